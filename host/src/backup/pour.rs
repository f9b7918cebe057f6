//! From a source into a sink: every file is hashed on its way.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::manifest::{MANIFEST_BYTES_MAX, MANIFEST_FILE};
use super::{BackupError, BackupManifest, FileEntry, Live, Sink};

/// Takes a file of a source: its name, its length, and its bytes.
pub type Visit<'a> = dyn FnMut(&str, u64, &mut dyn Read) -> Result<(), BackupError> + 'a;

/// Files, one after the other.
pub trait Source {
    /// Hands over each file once. Whoever visits reads all of it, or fails.
    ///
    /// # Errors
    /// When a file cannot be read, or what `visit` answers.
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), BackupError>;

    /// Where it is, for messages.
    fn place(&self) -> String;
}

/// How far it is: bytes of files that went through so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Files that are done.
    pub files: u64,
    /// Bytes, of files that are not done too.
    pub bytes: u64,
}

/// Writes a backup of a store, its manifest last; answers that.
///
/// # Errors
/// When the store cannot be read or the sink not be written. It is no backup then, and lacks a manifest.
pub fn write(mut live: Live, sink: &mut dyn Sink, tell: &mut dyn FnMut(Moved)) -> Result<BackupManifest, BackupError> {
    let mut moved = Moved::default();
    let mut files = Vec::new();
    live.each(&mut |name, bytes, content| {
        files.push(pour((name, bytes, content), sink, &mut moved, tell).map_err(|error| match error {
            Ended::Short(reason) => BackupError::ReadFailed { what: name.to_owned(), reason },
            Ended::Failed(error) => error,
        })?);
        Ok(())
    })?;
    let manifest = BackupManifest::new(live.head(), files);
    let text = manifest.encode();
    sink.put(MANIFEST_FILE, text.len() as u64, &mut text.as_slice())?;
    sink.finish()?;
    Ok(manifest)
}

/// Reads a backup into a sink, without its manifest unless `keep_manifest`; answers that. What has come does not
/// differ from what it says.
///
/// # Errors
/// When the backup is cut off, changed or of an unknown format, or something cannot be read or written.
pub fn read(
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    keep_manifest: bool,
    tell: &mut dyn FnMut(Moved),
) -> Result<BackupManifest, BackupError> {
    let place = source.place();
    let (mut moved, mut files, mut manifest) = (Moved::default(), Vec::new(), None);
    source.each(&mut |name, bytes, content| {
        if manifest.is_some() {
            let reason = format!("it stands behind {MANIFEST_FILE}, which is the last");
            return Err(BackupError::Changed { place: place.clone(), file: name.to_owned(), reason });
        }
        if name != MANIFEST_FILE {
            files.push(pour((name, bytes, content), sink, &mut moved, tell).map_err(|error| match error {
                Ended::Short(reason) => {
                    BackupError::CutOff { place: place.clone(), reason: format!("{name}: {reason}") }
                }
                Ended::Failed(error) => error,
            })?);
            return Ok(());
        }
        let text = read_manifest(bytes, content, &place)?;
        let found = BackupManifest::decode(&text, &place)?;
        check(&found, &files, &place)?;
        if keep_manifest {
            sink.put(MANIFEST_FILE, text.len() as u64, &mut text.as_slice())?;
        }
        manifest = Some(found);
        Ok(())
    })?;
    let reason = format!("its last file, {MANIFEST_FILE}, is missing");
    let manifest = manifest.ok_or(BackupError::CutOff { place, reason })?;
    sink.finish()?;
    Ok(manifest)
}

fn read_manifest(bytes: u64, content: &mut dyn Read, place: &str) -> Result<Vec<u8>, BackupError> {
    let cut_off = |reason: String| BackupError::CutOff { place: place.to_owned(), reason };
    let mut text = Vec::new();
    let read = content.take(MANIFEST_BYTES_MAX).read_to_end(&mut text);
    match read.map_err(|error| cut_off(format!("{MANIFEST_FILE}: {error}")))? as u64 {
        read if read == bytes => Ok(text),
        read => Err(cut_off(format!("{MANIFEST_FILE}: {read} of its {bytes} bytes are there"))),
    }
}

/// Checks that what has come is what the manifest says.
fn check(manifest: &BackupManifest, files: &[FileEntry], place: &str) -> Result<(), BackupError> {
    let changed = |file: &str, reason: String| {
        Err(BackupError::Changed { place: place.to_owned(), file: file.to_owned(), reason })
    };
    for (said, found) in manifest.files.iter().zip(files) {
        if said.name != found.name {
            return changed(&found.name, format!("{} stands there by {MANIFEST_FILE}", said.name));
        }
        if said.bytes != found.bytes {
            return changed(&found.name, format!("it has {} of {} bytes", found.bytes, said.bytes));
        }
        if said.sha256 != found.sha256 {
            return changed(&found.name, format!("its SHA-256 is {}, not {}", found.sha256, said.sha256));
        }
    }
    match (manifest.files.get(files.len()), files.get(manifest.files.len())) {
        (Some(missing), _) => changed(&missing.name, "it is missing".to_owned()),
        (_, Some(unknown)) => changed(&unknown.name, format!("{MANIFEST_FILE} knows nothing of it")),
        (None, None) => Ok(()),
    }
}

/// Why a file did not come through.
enum Ended {
    /// Its source ended before it did: what is missing.
    Short(String),
    Failed(BackupError),
}

/// Puts one file into a sink, and hashes it.
fn pour(
    (name, bytes, content): (&str, u64, &mut dyn Read),
    sink: &mut dyn Sink,
    moved: &mut Moved,
    tell: &mut dyn FnMut(Moved),
) -> Result<FileEntry, Ended> {
    let mut counted = Counted { content, hash: Sha256::new(), left: bytes, failed: None, moved, tell };
    let put = sink.put(name, bytes, &mut counted);
    let (failed, left, digest) = (counted.failed.take(), counted.left, counted.hash.finalize());
    match (failed, put) {
        (Some(None), _) => return Err(Ended::Short(format!("{left} of its {bytes} bytes are missing"))),
        (Some(Some(reason)), _) => {
            return Err(Ended::Failed(BackupError::ReadFailed { what: name.to_owned(), reason }));
        }
        (None, put) => put.map_err(Ended::Failed)?,
    }
    if left > 0 {
        let reason = format!("its last {left} bytes were not asked for");
        return Err(Ended::Failed(BackupError::ReadFailed { what: name.to_owned(), reason }));
    }
    moved.files += 1;
    let sha256 = digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok(FileEntry { name: name.to_owned(), bytes, sha256 })
}

/// The bytes of a file on their way.
struct Counted<'a> {
    content: &'a mut dyn Read,
    hash: Sha256,
    left: u64,
    /// How reading failed, if it did; without words when it ended too early.
    failed: Option<Option<String>>,
    moved: &'a mut Moved,
    tell: &'a mut dyn FnMut(Moved),
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let out = out.get_mut(..wanted).unwrap_or_default();
        if out.is_empty() {
            return Ok(0);
        }
        let bytes = match self.content.read(out) {
            Ok(0) => {
                self.failed = Some(None);
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let early = error.kind() == io::ErrorKind::UnexpectedEof;
                self.failed = Some((!early).then(|| error.to_string()));
                return Err(error);
            }
            read => read?,
        };
        self.hash.update(out.get(..bytes).unwrap_or_default());
        self.left = self.left.saturating_sub(bytes as u64);
        self.moved.bytes += bytes as u64;
        (self.tell)(*self.moved);
        Ok(bytes)
    }
}
