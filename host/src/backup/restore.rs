//! From a backup to a data directory.

use std::path::Path;

use super::pour::{Moved, Source, read};
use super::{Archive, BackupError, BackupManifest, Destination};
use crate::store::embedded::{ClosedStore, VerifyProgress, VerifyReport};

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What the backup said.
    pub manifest: BackupManifest,
    /// What verifying found: no problems.
    pub report: VerifyReport,
}

/// Restores a backup into a directory that is not there or empty. Every digest is checked, and then the store verified,
/// before the directory has its name.
///
/// # Errors
/// When something is in the directory, the backup is none, is cut off or changed, what is in it does not verify, or
/// the disk fails. Nothing is left then.
pub fn restore(
    from: &Path,
    to: &Path,
    moved: &mut dyn FnMut(Moved),
    verified: &mut dyn FnMut(VerifyProgress),
) -> Result<Restored, BackupError> {
    let destination = Destination::Directory(to.to_owned());
    destination.check()?;
    let mut archive = Archive::open(from)?;
    let staged = destination.stage()?;
    let manifest = staged.fill(|sink| read(&mut archive, sink, false, moved))?;
    let report = ClosedStore::open(staged.path())?.verify(verified);
    let refuse = |file: String, reason: String| BackupError::Changed { place: archive.place(), file, reason };
    if let Some(problem) = report.problems.first() {
        return Err(refuse(problem.place.clone(), problem.error.to_string()));
    }
    if report.head.0 != manifest.head {
        let reason = format!("it names {} as the last position, the log ends at {}", manifest.head, report.head);
        return Err(refuse(super::MANIFEST_FILE.to_owned(), reason));
    }
    staged.keep()?;
    Ok(Restored { manifest, report })
}
