//! What a backup says of itself.

use serde::{Deserialize, Serialize};

use super::BackupError;

/// The file that says it, the last of a backup.
pub const MANIFEST_FILE: &str = "BACKUP.json";
/// Longest manifest that is read, in bytes: for some 500,000 files.
pub(super) const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// The format of backups that this release writes and reads.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// Format of the backup; that of the store is in its own files.
    pub format: u32,
    /// The release that wrote it.
    pub release: String,
    /// Position of the last event in it.
    pub head: u64,
    /// Its files but this one, in the order in which they were written.
    pub files: Vec<FileEntry>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path in the data directory, with `/` between its parts.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

impl BackupManifest {
    pub(super) fn new(head: u64, files: Vec<FileEntry>) -> Self {
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").to_owned(), head, files }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Reads one that stands at `place`.
    pub(super) fn decode(bytes: &[u8], place: &str) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let malformed = |error: serde_json::Error| BackupError::Changed {
            place: place.to_owned(),
            file: MANIFEST_FILE.to_owned(),
            reason: error.to_string(),
        };
        let Format { format: found } = serde_json::from_slice(bytes).map_err(malformed)?;
        if found != FORMAT {
            return Err(BackupError::UnknownFormat { place: place.to_owned(), found, known: FORMAT });
        }
        serde_json::from_slice(bytes).map_err(malformed)
    }
}
