//! What lies in the plugins directory, by the name it would have as a plugin. Reads names only.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{RESERVED_FOLDERS, SourceError};
use crate::event::PluginName;

/// The manifest of a folder.
pub(super) const MANIFEST_NAME: &str = "plugin.toml";
/// Endings of files that editors and copying tools write before the real one.
const TEMPORARY_ENDINGS: &[&str] = &["~", ".tmp", ".part", ".partial", ".swp", ".swx", ".bak"];

/// What lies in the plugins directory.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// What there is under each name.
    pub(super) plugins: BTreeMap<PluginName, Places>,
    /// What has no name of its own.
    pub(super) strays: BTreeMap<PathBuf, SourceError>,
    /// Every folder in it, plugin or not.
    pub(super) folders: Vec<PathBuf>,
}

/// Where the files of one plugin are. At least one of folder and component is there.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The folder.
    pub(super) folder: Option<Folder>,
    /// The bare component.
    pub(super) component: Option<PathBuf>,
    /// The manifest beside the bare component.
    pub(super) manifest: Option<PathBuf>,
}

/// A folder that holds a manifest or a component.
#[derive(Debug)]
pub(super) struct Folder {
    /// The folder.
    pub(super) path: PathBuf,
    /// Its manifest.
    pub(super) manifest: Option<PathBuf>,
    /// The `.wasm` files in it, in name order.
    pub(super) components: Vec<PathBuf>,
}

impl Layout {
    /// Lists the plugins directory.
    pub(super) fn of(directory: &Path) -> Result<Self, SourceError> {
        let entries = list(directory)
            .map_err(|error| SourceError::Directory { path: directory.into(), reason: error.to_string() })?;
        let mut layout = Self::default();
        for path in entries {
            layout.add(&path);
        }
        layout.drop_strays();
        Ok(layout)
    }

    fn add(&mut self, path: &Path) {
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_dir() {
            self.add_folder(path);
        } else if extension == "wasm" {
            let component = path.to_owned();
            self.at(path, path.file_stem(), |places| places.component = Some(component));
        } else if extension == "toml" {
            let manifest = path.to_owned();
            self.at(path, path.file_stem(), |places| places.manifest = Some(manifest));
        }
    }

    fn add_folder(&mut self, path: &Path) {
        self.folders.push(path.to_owned());
        if RESERVED_FOLDERS.iter().any(|folder| path.file_name() == Some(OsStr::new(folder))) {
            return;
        }
        match Folder::of(path) {
            Ok(folder) if folder.manifest.is_none() && folder.components.is_empty() => {}
            Ok(folder) => self.at(path, path.file_name(), |places| places.folder = Some(folder)),
            Err(error) => {
                let problem = SourceError::Unreadable { path: path.into(), reason: error.to_string() };
                self.strays.insert(path.to_owned(), problem);
            }
        }
    }

    /// Notes something under the name that the path would have as a plugin.
    fn at(&mut self, path: &Path, name: Option<&OsStr>, note: impl FnOnce(&mut Places)) {
        match PluginName::new(name.unwrap_or_default().to_string_lossy()) {
            Ok(name) => note(self.plugins.entry(name).or_default()),
            Err(reason) => {
                let problem = SourceError::BadName { path: path.into(), reason };
                self.strays.insert(path.to_owned(), problem);
            }
        }
    }

    /// Moves manifests without a component out of the plugins.
    fn drop_strays(&mut self) {
        for places in self.plugins.values_mut() {
            if places.component.is_none()
                && let Some(manifest) = places.manifest.take()
            {
                let component = manifest.with_extension("wasm");
                self.strays.insert(manifest.clone(), SourceError::StrayManifest { manifest, component });
            }
        }
        self.plugins.retain(|_, places| places.folder.is_some() || places.component.is_some());
    }
}

impl Folder {
    fn of(path: &Path) -> io::Result<Self> {
        let mut folder = Self { path: path.into(), manifest: None, components: Vec::new() };
        for entry in list(path)? {
            if entry.file_name() == Some(OsStr::new(MANIFEST_NAME)) {
                folder.manifest = Some(entry);
            } else if entry.extension() == Some(OsStr::new("wasm")) {
                folder.components.push(entry);
            }
        }
        Ok(folder)
    }
}

/// The paths in a directory, in name order, without hidden and temporary files.
pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !is_passing(&entry.file_name()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a file of this name is hidden, or on its way to another name.
pub(crate) fn is_passing(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(['.', '#']) || TEMPORARY_ENDINGS.iter().any(|ending| name.ends_with(ending))
}
