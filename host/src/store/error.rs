//! What every operation of a store can fail with.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::ErrorClass;
use crate::event::{InvalidQuery, Position};

/// Why a store cannot do its work.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// Another process has the data directory open.
    #[error("data directory {path} is in use by another process; stop that one, or ask it over HTTP (--server)")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file was written by a newer release.
    #[error("{path} has format {found}, this release knows up to {known}; use a newer tidemill")]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Format version found.
        found: u32,
        /// Newest format version this release reads.
        known: u32,
    },
    /// The file is there, but it is not a store's or it is damaged beyond opening.
    #[error("{path} cannot be opened as a store: {reason}; restore it from a backup, or give another --data")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Stored bytes are not what was written; nothing of them is served.
    #[error("the log is corrupted at position {position}: {reason}; restore from a backup")]
    Corrupted {
        /// First position of the damaged part.
        position: Position,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes of a file are not what was written; nothing of them is served.
    #[error("{file} is corrupted: {reason}; `tidemill verify` tells how far it goes")]
    CorruptedFile {
        /// The file's name in the data directory.
        file: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A row beside the log does not decode.
    #[error("{what} is corrupted: {reason}")]
    CorruptedRow {
        /// Which row.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed or is full, and writes stay refused. Nothing of this write can be read now; if it was
    /// the sync that failed, it may be there after the restart: send it again with the same ids.
    #[error("the store failed to write and takes no more writes: {reason}; make room or mend the disk, then restart")]
    WriteFailed {
        /// The system's words.
        reason: String,
    },
    /// The disk is full. Nothing of this write is stored; writes succeed again when there is room.
    #[error("the disk is full, nothing of this was stored: {reason}; make room, then send it again")]
    DiskFull {
        /// The system's words.
        reason: String,
    },
    /// Too many files are open. Nothing of this write is stored; writes succeed again when some are closed.
    #[error("too many files are open, nothing of this was stored: {reason}; send it again when connections are closed")]
    TooManyFiles {
        /// The system's words.
        reason: String,
    },
    /// Reading from the disk failed.
    #[error("the store failed to read: {reason}")]
    ReadFailed {
        /// The system's words.
        reason: String,
    },
    /// A read that is to be complete asks for events that retention removed.
    #[error(
        "events of category {category} before position {before} were removed by retention; \
         read with after={}, or without complete", .before.0.saturating_sub(1)
    )]
    Removed {
        /// The category.
        category: String,
        /// The position before which its events are removed.
        before: Position,
    },
    /// The query of a read is malformed.
    #[error(transparent)]
    InvalidQuery(#[from] InvalidQuery),
    /// The store is closing.
    #[error("the store is shutting down; try again after the restart")]
    ShuttingDown,
}

impl StoreError {
    /// Whether a write was refused for want of room, or of files that may be opened: nothing of it is stored, and writes
    /// succeed again by themselves.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::TooManyFiles { .. })
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NewerFormat { .. } | Self::InvalidQuery(_) => ErrorClass::Invalid,
            Self::Removed { .. } => ErrorClass::NotFound,
            Self::NotAStore { .. }
            | Self::Corrupted { .. }
            | Self::CorruptedFile { .. }
            | Self::CorruptedRow { .. } => ErrorClass::Corrupted,
            Self::InUse { .. }
            | Self::WriteFailed { .. }
            | Self::DiskFull { .. }
            | Self::TooManyFiles { .. }
            | Self::ReadFailed { .. }
            | Self::ShuttingDown => ErrorClass::Unavailable,
        }
    }
}
