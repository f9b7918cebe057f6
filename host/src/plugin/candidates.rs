//! Candidates on disk: a component, maybe a manifest, and the report of its shadow run.
//!
//! `DIR/<plugin>/` holds `component.wasm`, `plugin.toml` if one was given, and `report.json`. Each file is written
//! aside, synced and renamed; the report goes first and comes last, and names the digests of the other two, so a
//! report that is there belongs to files that are whole. One candidate for each plugin; it is read anew each time.
//! `exchange` puts a candidate in place of what is installed.

mod exchange;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

pub use exchange::finish_promotions;
use exchange::{Exchange, exchange};

use super::source::digest_of;
use crate::delivery::rehearsal::ShadowReport;
use crate::error::ErrorClass;
use crate::event::PluginName;

const COMPONENT: &str = "component.wasm";
const MANIFEST: &str = "plugin.toml";
const REPORT: &str = "report.json";
/// What a promotion is about to do, while it does it.
const NOTE: &str = "promotion.json";

/// The report of a shadow run, with what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CandidateReport {
    /// When it was made: microseconds since the Unix epoch.
    pub made_us: u64,
    /// SHA-256 of what the manifest says that the live version ran under, in hex.
    #[serde(default)]
    pub live_manifest_digest: String,
    /// SHA-256 of the candidate's manifest, in hex; none when it runs under the installed one.
    pub manifest_digest: Option<String>,
    /// What the run showed; the digests of both components are in it.
    #[serde(flatten)]
    pub shadow: ShadowReport,
}

/// Why the files of a candidate are not what they should be.
#[derive(Debug, Error)]
pub enum CandidateError {
    /// They cannot be read or written.
    #[error("{} cannot be read or written; mend the disk, then shadow again", path.display())]
    Files {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// They are not those of the report.
    #[error("{} is not what the report was made of; shadow again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl CandidateError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Files { .. } => ErrorClass::Unavailable,
            Self::Damaged { .. } => ErrorClass::Corrupted,
        }
    }
}

/// A candidate, complete and checked.
pub(super) struct Candidate {
    pub(super) component: Vec<u8>,
    pub(super) manifest: Option<String>,
    pub(super) report: CandidateReport,
}

/// The candidates of all plugins.
pub(super) struct Candidates {
    directory: PathBuf,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl Candidates {
    /// Those in a directory, which is made when there is something to keep.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, writing: Mutex::new(()) }
    }

    /// Keeps a candidate in place of the plugin's last one.
    pub(super) fn keep(&self, name: &PluginName, candidate: &Candidate) -> Result<(), CandidateError> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder(name);
        fs::create_dir_all(&folder).map_err(|source| CandidateError::Files { path: folder.clone(), source })?;
        remove(&folder.join(REPORT))?;
        replace(&folder.join(COMPONENT), &candidate.component)?;
        match &candidate.manifest {
            Some(manifest) => replace(&folder.join(MANIFEST), manifest.as_bytes())?,
            None => remove(&folder.join(MANIFEST))?,
        }
        let report = serde_json::to_vec_pretty(&candidate.report).map_err(io::Error::from);
        let path = folder.join(REPORT);
        let report = report.map_err(|source| CandidateError::Files { path: path.clone(), source })?;
        replace(&path, &report)
    }

    /// The report of a plugin's candidate, if it has one.
    pub(super) fn report(&self, name: &PluginName) -> Result<Option<CandidateReport>, CandidateError> {
        let path = self.folder(name).join(REPORT);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        // A report that another release wrote otherwise is as good as none.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Puts a plugin's candidate, if it has one, where `judge` says: component and manifest, in the plugins directory.
    pub(super) fn promote<E: From<CandidateError>>(
        &self,
        name: &PluginName,
        plugins: &Path,
        judge: impl FnOnce(&Candidate) -> Result<(PathBuf, PathBuf), E>,
    ) -> Result<Option<CandidateReport>, E> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(candidate) = self.load(name)? else { return Ok(None) };
        let (component_path, manifest_path) = judge(&candidate)?;
        let Candidate { component, manifest, report } = candidate;
        let manifest = manifest.map(|text| Exchange::of(MANIFEST, text.as_bytes(), &manifest_path, plugins));
        let component = Exchange::of(COMPONENT, &component, &component_path, plugins);
        let exchanges = manifest.into_iter().chain([component]).collect::<Result<Vec<_>, _>>()?;
        exchange(&self.folder(name), plugins, &exchanges)?;
        Ok(Some(report))
    }

    /// A plugin's candidate, if it has one.
    fn load(&self, name: &PluginName) -> Result<Option<Candidate>, CandidateError> {
        let Some(report) = self.report(name)? else { return Ok(None) };
        let path = self.folder(name).join(COMPONENT);
        let component = read(&path)?.filter(|bytes| digest_of(bytes) == report.shadow.candidate_digest);
        let component = component.ok_or(CandidateError::Damaged { path })?;
        let path = self.folder(name).join(MANIFEST);
        let manifest = read(&path)?;
        if manifest.as_deref().map(digest_of) != report.manifest_digest {
            return Err(CandidateError::Damaged { path });
        }
        let manifest = manifest.map(String::from_utf8).transpose().map_err(|_| CandidateError::Damaged { path })?;
        Ok(Some(Candidate { component, manifest, report }))
    }

    /// Drops a plugin's candidate, if it is still the one of this report.
    pub(super) fn forget(&self, name: &PluginName, report: &CandidateReport) -> Result<(), CandidateError> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.report(name)?.as_ref() != Some(report) {
            return Ok(());
        }
        [REPORT, COMPONENT, MANIFEST].iter().try_for_each(|file| remove(&self.folder(name).join(file)))?;
        // It is tidier without, and does no harm.
        let _ = fs::remove_dir(self.folder(name));
        Ok(())
    }

    fn folder(&self, name: &PluginName) -> PathBuf {
        self.directory.join(name.as_str())
    }
}

/// Puts a file in place in one step, durably: written aside, synced, renamed.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CandidateError> {
    replace_file(path, bytes).map_err(|source| CandidateError::Files { path: path.into(), source })
}

/// The same, with the system's words.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_aside(path, bytes)?;
    fs::rename(aside(path), path)?;
    sync_folder(path)
}

/// Writes beside a file what is to take its place, and syncs it; what cannot be written whole does not stay.
fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path);
    let write = |mut file: File| file.write_all(bytes).and_then(|()| file.sync_all());
    File::create(&aside).and_then(write).inspect_err(|_| drop(fs::remove_file(&aside)))
}

/// Where a file is written that takes the place of another one.
fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    // The plugins directory is not looked at for files of this ending.
    aside.push(".tmp");
    aside.into()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn remove(path: &Path) -> Result<(), CandidateError> {
    match fs::remove_file(path).and_then(|()| sync_folder(path)) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(CandidateError::Files { path: path.into(), source }),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CandidateError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CandidateError::Files { path: path.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Cost;
    use crate::delivery::rehearsal::Differences;
    use crate::event::Position;

    fn candidate(component: &[u8], manifest: Option<&str>) -> Candidate {
        let shadow = ShadowReport {
            plugin: name(),
            live_digest: "l".into(),
            candidate_digest: digest_of(component),
            from: Position(1),
            to: Position(2),
            removed_before: None,
            ends_before: None,
            events: 2,
            clean: true,
            outcomes: Differences::default(),
            emissions: Differences::default(),
            state: Differences::default(),
            live_cost: Cost::default(),
            candidate_cost: Cost::default(),
        };
        let manifest_digest = manifest.map(|text| digest_of(text.as_bytes()));
        let report = CandidateReport { made_us: 1, live_manifest_digest: "m".into(), manifest_digest, shadow };
        Candidate { component: component.into(), manifest: manifest.map(str::to_owned), report }
    }

    fn name() -> PluginName {
        PluginName::new("p").unwrap()
    }

    #[test]
    fn what_is_kept_comes_back_and_the_last_one_counts() {
        let directory = tempfile::tempdir().unwrap();
        let candidates = Candidates::new(directory.path().join("candidates"));
        assert!(candidates.load(&name()).unwrap().is_none() && candidates.report(&name()).unwrap().is_none());
        candidates.keep(&name(), &candidate(b"one", Some("[delivery]"))).unwrap();
        let found = candidates.load(&name()).unwrap().unwrap();
        assert_eq!((&*found.component, found.manifest.as_deref()), (&b"one"[..], Some("[delivery]")));
        candidates.keep(&name(), &candidate(b"two", None)).unwrap();
        let found = candidates.load(&name()).unwrap().unwrap();
        assert_eq!((&*found.component, found.manifest), (&b"two"[..], None));
        assert_eq!(candidates.report(&name()).unwrap(), Some(found.report));
        let found = candidates.report(&name()).unwrap().unwrap();
        candidates.forget(&name(), &CandidateReport { made_us: 2, ..found.clone() }).unwrap();
        assert!(candidates.load(&name()).unwrap().is_some(), "it is another one");
        candidates.forget(&name(), &found).unwrap();
        assert!(candidates.load(&name()).unwrap().is_none());
        assert_eq!(fs::read_dir(directory.path().join("candidates")).unwrap().count(), 0);
    }

    #[test]
    fn files_that_do_not_belong_to_the_report_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let candidates = Candidates::new(directory.path().into());
        for (file, bytes) in
            [(COMPONENT, Some("other")), (COMPONENT, None), (MANIFEST, Some("other")), (MANIFEST, None)]
        {
            candidates.keep(&name(), &candidate(b"one", Some("[delivery]"))).unwrap();
            let path = directory.path().join("p").join(file);
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let Err(CandidateError::Damaged { path: said }) = candidates.load(&name()) else {
                panic!("{file} is damaged")
            };
            assert_eq!(said, path);
        }
    }
}
