//! Which file it is, and what errors about it say.

use std::io;

use crate::store::StoreError;
use crate::store::embedded::disk::Disk;
use crate::store::embedded::encoding::Malformed;
use crate::store::embedded::failure::io_failed;

/// A file, for messages.
#[derive(Clone, Debug)]
pub(super) struct Place {
    name: String,
    path: String,
}

impl Place {
    pub(super) fn new(disk: &dyn Disk, name: &str) -> Self {
        Self { name: name.to_owned(), path: disk.path(name) }
    }

    /// Its bytes are not what was written.
    pub(super) fn corrupted(&self, reason: impl Into<String>) -> StoreError {
        StoreError::CorruptedFile { file: self.name.clone(), reason: reason.into() }
    }

    /// [`Self::corrupted`], of a part of the file.
    pub(super) fn malformed(&self, part: &str) -> impl Fn(Malformed) -> StoreError {
        move |Malformed(reason)| self.corrupted(format!("{part}: {reason}"))
    }

    /// It is not a file of this store.
    pub(super) fn foreign(&self, reason: impl Into<String>) -> StoreError {
        StoreError::NotAStore { path: self.path.clone().into(), reason: reason.into() }
    }

    /// It was written by a newer release.
    pub(super) fn newer(&self, found: u32, known: u32) -> StoreError {
        StoreError::NewerFormat { path: self.path.clone().into(), found, known }
    }

    /// Reading it failed. A file that is not there or ends early is damage, not a failure of the disk.
    pub(super) fn read_failed(&self, error: &io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::NotFound => self.corrupted("it is missing; restore it from a backup"),
            io::ErrorKind::UnexpectedEof => self.corrupted("it is cut off"),
            _ => StoreError::ReadFailed { reason: format!("{}: {error}", self.path) },
        }
    }

    /// Writing it failed.
    pub(super) fn write_failed(&self, error: &io::Error) -> StoreError {
        io_failed(&self.path, error)
    }
}
