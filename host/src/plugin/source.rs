//! Finds plugins in a directory: folders with a `plugin.toml`, and bare `.wasm` files.
//!
//! A [`Scanner`] looks at the directory again and again and says what stands still. Nothing is taken
//! before two looks have found the same: not a file that somebody is still writing, not a folder that is
//! half copied, not a removal that is half of a replacement. It never says what to do about it; that is
//! the registry's. It blocks, and knows no time: its caller leaves one debounce between two looks.

mod command_files;
mod error;
mod files;
mod hurried;
mod layout;
mod steady;
mod type_files;
mod upcasters;
mod validators;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use command_files::{CommandFiles, CommandLook};
pub use error::SourceError;
use files::{Files, read_component};
pub(crate) use files::{Stamp, digest_of};
pub(crate) use layout::is_passing;
use layout::{Folder, Layout, Places};
pub(crate) use steady::is_absent;
use type_files::SCHEMAS_FOLDER;
pub(crate) use type_files::TypeFiles;
pub(crate) use upcasters::{Outlook, UPCASTERS_FOLDER, Upcasters};
pub(crate) use validators::VALIDATORS_FOLDER;

use super::{Manifest, SecretSource};
use crate::event::PluginName;
use crate::schema::Chain;

/// Folders of the plugins directory that are no plugins, and no names for one.
pub(crate) const RESERVED_FOLDERS: [&str; 3] = [UPCASTERS_FOLDER, VALIDATORS_FOLDER, SCHEMAS_FOLDER];

/// A plugin's files, complete and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The folder, or the bare component.
    pub(crate) source: PathBuf,
    /// Where its manifest is, or would be.
    pub(crate) manifest_path: PathBuf,
    /// What the manifest says; the defaults when there is none.
    pub(crate) manifest: Arc<Manifest>,
    /// Where its component is.
    pub(crate) component_path: PathBuf,
    /// SHA-256 of the component, in hex.
    pub(crate) digest: String,
    /// What lifts its events to today's schema.
    pub(crate) chain: Arc<Chain>,
    /// How the files were that its secrets come from, in the order of their names; none of one that is not there.
    pub(crate) secrets: Vec<Option<Stamp>>,
    /// Metadata of component and manifest, so that a touched file counts as changed.
    stamps: (Stamp, Option<Stamp>),
}

impl Candidate {
    /// Size of the component, in bytes.
    pub(crate) const fn component_bytes(&self) -> u64 {
        self.stamps.0.bytes()
    }

    /// The same plugin with another component.
    pub(crate) fn with_component(&self, component_path: PathBuf, digest: String) -> Self {
        Self { component_path, digest, ..self.clone() }
    }

    /// The same plugin, whose events another chain lifts.
    pub(crate) fn lifted_by(self, chain: &Arc<Chain>) -> Self {
        Self { chain: Arc::clone(chain), ..self }
    }

    /// The same plugin under another manifest.
    pub(crate) fn with_manifest(&self, manifest: Arc<Manifest>) -> Self {
        Self { manifest, ..self.clone() }
    }

    /// Reads the component: exactly the bytes that were seen, or an error.
    pub(crate) fn read_component(&self) -> Result<Vec<u8>, SourceError> {
        read_component(&self.component_path, &self.digest)
    }
}

/// Files that are not a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// What is wrong with them.
    pub(crate) problem: SourceError,
    /// What their manifest says, where that is known: what runs is allowed no more.
    pub(crate) manifest: Option<Arc<Manifest>>,
}

impl From<SourceError> for Broken {
    fn from(problem: SourceError) -> Self {
        Self { problem, manifest: None }
    }
}

/// What there is under a plugin's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Something that has not stood still yet, a removal included.
    Settling,
    /// A plugin that can be loaded.
    Ready(Box<Candidate>),
    /// Files that are not one.
    Broken(Broken),
}

/// What one look found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Every name there is.
    pub(crate) plugins: BTreeMap<PluginName, Found>,
    /// What is wrong with files that belong to no plugin, by path.
    pub(crate) strays: BTreeMap<PathBuf, SourceError>,
    /// Whether another look is due one debounce later.
    pub(crate) settling: bool,
    /// The folders in the directory, for whoever watches them.
    pub(crate) folders: Vec<PathBuf>,
}

/// Looks at a plugins directory, and remembers what it saw.
#[derive(Debug)]
pub(crate) struct Scanner {
    directory: PathBuf,
    files: Files,
    /// What the last look found.
    seen: BTreeMap<Subject, Finding>,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Plugin(PluginName),
    Stray(PathBuf),
}

/// What is found about one subject; none when there is nothing any more.
type Finding = Option<Result<Box<Candidate>, Broken>>;

impl Scanner {
    /// Nothing is seen yet.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, files: Files::default(), seen: BTreeMap::new() }
    }

    /// Looks at the directory. Blocks; reads only files whose metadata changed.
    ///
    /// # Errors
    /// When the directory cannot be listed. What was seen before stays as it was.
    pub(crate) fn scan(&mut self) -> Result<Scan, SourceError> {
        let layout = Layout::of(&self.directory)?;
        let mut scan = Scan { folders: layout.folders, ..Scan::default() };
        let mut findings: BTreeMap<Subject, (Finding, bool)> = BTreeMap::new();
        self.files.begin();
        for (name, places) in layout.plugins {
            let (found, steady) = self.inspect(&name, places);
            findings.insert(Subject::Plugin(name), (Some(found), steady));
        }
        self.files.end();
        for (path, problem) in layout.strays {
            findings.insert(Subject::Stray(path), (Some(Err(problem.into())), true));
        }
        for subject in self.seen.keys() {
            findings.entry(subject.clone()).or_insert((None, true));
        }
        for (subject, (finding, steady)) in findings {
            self.settle(&mut scan, subject, finding, steady);
        }
        Ok(scan)
    }

    /// Reports a finding if it is steady and was there at the last look.
    fn settle(&mut self, scan: &mut Scan, subject: Subject, finding: Finding, steady: bool) {
        let settled = steady && self.seen.get(&subject) == Some(&finding);
        scan.settling |= !settled;
        if settled && finding.is_none() {
            self.seen.remove(&subject);
            return;
        }
        match (&subject, &finding) {
            (Subject::Plugin(name), Some(Ok(candidate))) if settled => {
                scan.plugins.insert(name.clone(), Found::Ready(candidate.clone()));
            }
            (Subject::Plugin(name), Some(Err(broken))) if settled => {
                scan.plugins.insert(name.clone(), Found::Broken(broken.clone()));
            }
            (Subject::Plugin(name), _) => {
                scan.plugins.insert(name.clone(), Found::Settling);
            }
            (Subject::Stray(path), Some(Err(broken))) if settled => {
                scan.strays.insert(path.clone(), broken.problem.clone());
            }
            (Subject::Stray(_), _) => {}
        }
        self.seen.insert(subject, finding);
    }

    /// What a plugin's files are, and whether all of them are steady.
    fn inspect(&mut self, name: &PluginName, places: Places) -> (Result<Box<Candidate>, Broken>, bool) {
        let mut steady = true;
        let found = match (places.folder, places.component) {
            (Some(folder), Some(file)) => {
                Err(SourceError::TwoOfOneName { name: name.clone(), folder: folder.path, file }.into())
            }
            (Some(folder), None) => self.inspect_folder(folder, &mut steady),
            (None, component) => {
                let component = component.unwrap_or_default();
                self.inspect_bare(component, places.manifest.as_deref(), &mut steady)
            }
        };
        (found, steady)
    }

    fn inspect_folder(&mut self, folder: Folder, steady: &mut bool) -> Result<Box<Candidate>, Broken> {
        let Some(manifest_path) = &folder.manifest else {
            return Err(SourceError::NoManifest { folder: folder.path }.into());
        };
        let look = self.files.manifest(manifest_path)?;
        *steady &= look.steady;
        let manifest = look.content?;
        let component = component_of(&folder, manifest_path, &manifest)
            .and_then(|path| self.files.component(&path).map(|look| (path, look)));
        let (component_path, component) =
            component.map_err(|problem| Broken { problem, manifest: Some(Arc::clone(&manifest)) })?;
        *steady &= component.steady;
        Ok(Box::new(Candidate {
            secrets: stamps_of_secrets(&manifest, Some(&folder.path)),
            manifest_path: manifest_path.clone(),
            source: folder.path,
            manifest,
            component_path,
            digest: component.content,
            chain: Arc::default(),
            stamps: (component.stamp, Some(look.stamp)),
        }))
    }

    fn inspect_bare(
        &mut self,
        component_path: PathBuf,
        manifest_path: Option<&Path>,
        steady: &mut bool,
    ) -> Result<Box<Candidate>, Broken> {
        let mut manifest = Arc::<Manifest>::default();
        let mut manifest_stamp = None;
        if let Some(path) = manifest_path {
            let look = self.files.manifest(path)?;
            *steady &= look.steady;
            manifest = look.content?;
            manifest_stamp = Some(look.stamp);
            if manifest.component.is_some() {
                let problem = SourceError::ComponentNamed { manifest: path.into() };
                return Err(Broken { problem, manifest: Some(manifest) });
            }
        }
        let component = self.files.component(&component_path);
        let component = component.map_err(|problem| Broken { problem, manifest: Some(Arc::clone(&manifest)) })?;
        *steady &= component.steady;
        Ok(Box::new(Candidate {
            secrets: stamps_of_secrets(&manifest, component_path.parent()),
            source: component_path.clone(),
            manifest_path: component_path.with_extension("toml"),
            manifest,
            component_path,
            digest: component.content,
            chain: Arc::default(),
            stamps: (component.stamp, manifest_stamp),
        }))
    }
}

/// Where the component of a folder is.
fn component_of(folder: &Folder, manifest_path: &Path, manifest: &Manifest) -> Result<PathBuf, SourceError> {
    let Some(named) = &manifest.component else { return the_only(&folder.path, &folder.components) };
    let path = folder.path.join(named);
    if path.exists() {
        return Ok(path);
    }
    Err(SourceError::MissingComponent { manifest: manifest_path.into(), component: named.clone() })
}

/// How the files are that a manifest's secrets come from.
fn stamps_of_secrets(manifest: &Manifest, folder: Option<&Path>) -> Vec<Option<Stamp>> {
    let sources = manifest.grants.secrets.values().map(|secret| secret.source.in_folder(folder));
    let paths = sources.filter_map(|source| match source {
        SecretSource::File(path) => Some(path),
        SecretSource::Environment(_) => None,
    });
    paths.map(|path| Stamp::of(&path, u64::MAX).ok()).collect()
}

/// The one component of a folder.
fn the_only(folder: &Path, components: &[PathBuf]) -> Result<PathBuf, SourceError> {
    let names = || {
        let names = components.iter().filter_map(|path| path.file_name());
        names.map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(", ")
    };
    match components {
        [] => Err(SourceError::NoComponent { folder: folder.into() }),
        [component] => Ok(component.clone()),
        _ => Err(SourceError::SeveralComponents { folder: folder.into(), names: names() }),
    }
}

#[cfg(test)]
mod tests;
