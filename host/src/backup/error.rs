//! Why a backup was not written, or is not restored.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::error::ErrorClass;
use crate::store::StoreError;

/// Why a backup was not written, or is not restored. Nothing of it is left then.
#[derive(Clone, Debug, Error)]
pub enum BackupError {
    /// The store cannot be read, or what was restored does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something is at the place already.
    #[error("{place} {what}; give a place where nothing is")]
    Occupied {
        /// The place.
        place: String,
        /// What is there.
        what: &'static str,
    },
    /// What was given is no backup.
    #[error("{place} is not a backup: {reason}; give a directory or a tar file that `tidemill backup` wrote")]
    NotABackup {
        /// The place.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Another release wrote it.
    #[error("{place} has format {found}, this release knows format {known}; use a newer tidemill")]
    UnknownFormat {
        /// The place.
        place: String,
        /// Format found.
        found: u32,
        /// The format this release reads.
        known: u32,
    },
    /// The end is missing.
    #[error("{place} is cut off: {reason}; take another backup")]
    CutOff {
        /// The place.
        place: String,
        /// What is missing.
        reason: String,
    },
    /// Bytes are not what was written.
    #[error("{file} in {place} is not what was written: {reason}; take another backup")]
    Changed {
        /// The place.
        place: String,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading failed.
    #[error("{what} cannot be read: {reason}")]
    ReadFailed {
        /// The file.
        what: String,
        /// The system's words.
        reason: String,
    },
    /// Writing failed.
    #[error("{what} cannot be written: {reason}")]
    WriteFailed {
        /// The file.
        what: String,
        /// The system's words.
        reason: String,
    },
}

impl BackupError {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Occupied { .. } => ErrorClass::Conflict,
            Self::NotABackup { .. } | Self::UnknownFormat { .. } => ErrorClass::Invalid,
            Self::CutOff { .. } | Self::Changed { .. } => ErrorClass::Corrupted,
            Self::ReadFailed { .. } | Self::WriteFailed { .. } => ErrorClass::Unavailable,
        }
    }

    pub(super) fn reading(what: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::ReadFailed { what: what.display().to_string(), reason: error.to_string() }
    }

    pub(super) fn writing(what: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::WriteFailed { what: what.display().to_string(), reason: error.to_string() }
    }
}
