//! A folder of files that are taken together: looked at until all of them stand still.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SourceError;
use super::files::Files;
use super::layout::list;

/// Every file, by its path, with the SHA-256 of its bytes in hex.
pub(super) type Contents = BTreeMap<PathBuf, String>;

/// The same, where a file that cannot be read says why.
pub(super) type Each = BTreeMap<PathBuf, Result<String, SourceError>>;

/// Looks at a folder, and remembers what it saw.
#[derive(Debug)]
pub(super) struct Steady {
    folder: PathBuf,
    /// How the files end that matter.
    endings: &'static [&'static str],
    /// Whether the files are one folder further down.
    nested: bool,
    files: Files,
    /// What the last look found; none before the first.
    seen: Option<Each>,
}

impl Steady {
    /// Nothing is seen yet.
    pub(super) fn new(folder: PathBuf, endings: &'static [&'static str]) -> Self {
        Self { folder, endings, nested: false, files: Files::default(), seen: None }
    }

    /// The same, of files that are in folders of this one.
    pub(super) fn nested(folder: PathBuf, endings: &'static [&'static str]) -> Self {
        Self { nested: true, ..Self::new(folder, endings) }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is in it, and whether two looks have found the same. Blocks.
    ///
    /// # Errors
    /// When the folder, or one of its files, cannot be read.
    pub(super) fn look(&mut self) -> Result<(Contents, bool), SourceError> {
        let (each, settled) = self.look_at_each()?;
        let contents = each.into_iter().map(|(path, found)| Ok((path, found?))).collect::<Result<_, SourceError>>()?;
        Ok((contents, settled))
    }

    /// The same, of files that do not depend on each other. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn look_at_each(&mut self) -> Result<(Each, bool), SourceError> {
        let unreadable =
            |error: io::Error| SourceError::Unreadable { path: self.folder.clone(), reason: error.to_string() };
        let absent = is_absent(&self.folder);
        let mut paths = if absent { Vec::new() } else { list(&self.folder).map_err(unreadable)? };
        if self.nested {
            let folders = paths.into_iter().filter(|path| path.is_dir());
            paths = folders.map(|folder| list(&folder)).collect::<Result<Vec<_>, _>>().map_err(unreadable)?.concat();
        }
        let (mut contents, mut steady) = (Each::new(), true);
        self.files.begin();
        for path in paths.into_iter().filter(|path| ends(path, self.endings)) {
            let look = self.files.component(&path);
            steady &= look.as_ref().map_or(true, |look| look.steady);
            contents.insert(path, look.map(|look| look.content));
        }
        self.files.end();
        // A folder that is not there has nothing to stand still but its absence.
        let settled = (absent && self.seen.is_none()) || (steady && self.seen.as_ref() == Some(&contents));
        self.seen = Some(contents.clone());
        Ok((contents, settled))
    }
}

/// Whether nothing is there: not even something that cannot be read, such as a link that leads nowhere.
pub(crate) fn is_absent(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn ends(path: &Path, endings: &[&str]) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|extension| endings.contains(&extension))
}
