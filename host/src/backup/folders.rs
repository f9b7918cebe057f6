//! What stands beside the store in its data directory: folders of plugins, candidates and the like.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Compiled components, which are made anew.
const NOT_KEPT: &str = "cache";

/// A file in a folder of a data directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Path in the data directory, with `/` between its parts.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// Every file in folders of a data directory but the cache, by name. A link to a file counts as the file; a link to a
/// folder is passed over.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), directory.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // A name that is not Unicode is none of the host's.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = format!("{prefix}{name}");
            if kind.is_dir() && name != NOT_KEPT {
                folders.push((format!("{name}/"), path));
            } else if !kind.is_dir() && !prefix.is_empty() {
                // What is gone by now, or leads nowhere, is not there.
                if let Some(data) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) {
                    found.push(Found { name, path, bytes: data.len() });
                }
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
