//! Looks at files: what they hold, and whether somebody is still writing them.
//!
//! A file is steady when two looks found the same size, times, inode and content; the scanner's caller
//! keeps them one debounce apart. A steady file is not read again until its metadata changes.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::SourceError;
use crate::plugin::Manifest;
use crate::runtime;

/// Largest component, in bytes: what the runtime compiles at most.
pub(super) const COMPONENT_BYTES_MAX: u64 = runtime::COMPONENT_BYTES_MAX as u64;
/// Largest manifest, in bytes.
pub(super) const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// What a file's metadata says; another one means that it was written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    marks: [u64; 6],
}

impl Stamp {
    /// Size of the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What a look found.
#[derive(Clone, Debug)]
pub(super) struct Look<T> {
    /// The metadata.
    pub(super) stamp: Stamp,
    /// What the file holds.
    pub(super) content: T,
    /// Whether the file is complete, as far as one can tell.
    pub(super) steady: bool,
}

/// What is known of the files of the plugins directory.
#[derive(Debug, Default)]
pub(super) struct Files {
    seen: HashMap<PathBuf, Seen>,
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    digest: String,
    steady: bool,
    /// Parsed at most once for each content.
    manifest: Option<Result<Arc<Manifest>, SourceError>>,
    /// Whether the round in progress has looked at it.
    looked: bool,
}

impl Files {
    /// Begins a round of looks.
    pub(super) fn begin(&mut self) {
        self.seen.values_mut().for_each(|seen| seen.looked = false);
    }

    /// Ends a round: files that it did not look at are forgotten.
    pub(super) fn end(&mut self) {
        self.seen.retain(|_, seen| seen.looked);
    }

    /// Looks at a component: the SHA-256 of its bytes, in hex.
    pub(super) fn component(&mut self, path: &Path) -> Result<Look<String>, SourceError> {
        let seen = self.look(path, COMPONENT_BYTES_MAX)?;
        Ok(Look { stamp: seen.stamp, content: seen.digest.clone(), steady: seen.steady })
    }

    /// Looks at a manifest.
    pub(super) fn manifest(&mut self, path: &Path) -> Result<Look<Result<Arc<Manifest>, SourceError>>, SourceError> {
        let seen = self.look(path, MANIFEST_BYTES_MAX)?;
        let content = seen.manifest.get_or_insert_with(|| read_manifest(path)).clone();
        Ok(Look { stamp: seen.stamp, content, steady: seen.steady })
    }

    fn look(&mut self, path: &Path, bytes_max: u64) -> Result<&mut Seen, SourceError> {
        let stamp = Stamp::of(path, bytes_max)?;
        let before = self.seen.remove(path);
        let seen = match before {
            Some(seen) if seen.stamp == stamp && seen.steady => seen,
            before => {
                let digest = digest_file(path)?;
                match before {
                    Some(seen) if seen.stamp == stamp && seen.digest == digest => Seen { steady: true, ..seen },
                    _ => Seen { stamp, digest, steady: false, manifest: None, looked: true },
                }
            }
        };
        let seen = self.seen.entry(path.to_owned()).or_insert(seen);
        seen.looked = true;
        Ok(seen)
    }
}

impl Stamp {
    /// What a file's metadata says; it has at most so many bytes.
    pub(super) fn of(path: &Path, bytes_max: u64) -> Result<Self, SourceError> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if !metadata.is_file() {
            return Err(SourceError::NotAFile { path: path.into() });
        }
        let bytes = metadata.len();
        if bytes > bytes_max {
            return Err(SourceError::TooLarge { path: path.into(), bytes, bytes_max });
        }
        Ok(Self { bytes, marks: marks(&metadata) })
    }
}

/// Times and identity of a file; the time of its last metadata change too, which no copy can set back.
#[cfg(unix)]
fn marks(metadata: &Metadata) -> [u64; 6] {
    use std::os::unix::fs::MetadataExt;
    let signed = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let [mtime, mtime_ns, ctime, ctime_ns] = signed.map(i64::cast_unsigned);
    [mtime, mtime_ns, ctime, ctime_ns, metadata.dev(), metadata.ino()]
}

/// Times of a file, as far as the platform has them.
#[cfg(not(unix))]
fn marks(metadata: &Metadata) -> [u64; 6] {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    metadata.modified().ok().hash(&mut hasher);
    metadata.created().ok().hash(&mut hasher);
    [hasher.finish(), 0, 0, 0, 0, 0]
}

/// The bytes of a component, if they are still the ones of this digest.
pub(super) fn read_component(path: &Path, digest: &str) -> Result<Vec<u8>, SourceError> {
    let bytes = read(path, COMPONENT_BYTES_MAX)?;
    if digest_of(&bytes) == digest { Ok(bytes) } else { Err(SourceError::Changed { path: path.into() }) }
}

/// SHA-256, in hex.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn read_manifest(path: &Path) -> Result<Arc<Manifest>, SourceError> {
    let bytes = read(path, MANIFEST_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| SourceError::NotText { path: path.into() })?;
    Ok(Arc::new(Manifest::parse(&path.display().to_string(), &text)?))
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if found > bytes_max {
        return Err(SourceError::TooLarge { path: path.into(), bytes: found, bytes_max });
    }
    Ok(bytes)
}

fn digest_file(path: &Path) -> Result<String, SourceError> {
    digest_stream(path).map_err(|error| unreadable(path, &error))
}

fn digest_stream(path: &Path) -> io::Result<String> {
    const CHUNK_BYTES: usize = 64 << 10;
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(chunk.get(..count).unwrap_or_default()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Unreadable { path: path.into(), reason: error.to_string() }
}
