//! What redb's errors, and its panics, mean to the callers of the store.

use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disk::TooManyOpen;
use super::encoding::Malformed;
use crate::event::Position;
use crate::store::StoreError;

/// An error while reading.
pub(super) fn read_failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(reason) => StoreError::CorruptedRow { what: "the store's file".to_owned(), reason },
        redb::Error::PreviousIo => {
            StoreError::ReadFailed { reason: "an earlier failure of the disk closed the file; restart".to_owned() }
        }
        error => StoreError::ReadFailed { reason: error.to_string() },
    }
}

/// An error of redb while writing.
pub(super) fn write_failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => io_failed("state.redb", &error),
        error => StoreError::WriteFailed { reason: error.to_string() },
    }
}

/// An error of the disk while writing `what`.
pub(super) fn io_failed(what: &str, error: &io::Error) -> StoreError {
    let reason = format!("{what}: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => no_room(reason, error),
        _ => StoreError::WriteFailed { reason },
    }
}

/// An error that passes: the disk is full, or no more files may be opened.
pub(super) fn no_room(reason: String, error: &io::Error) -> StoreError {
    match error.get_ref() {
        Some(inner) if inner.is::<TooManyOpen>() => StoreError::TooManyFiles { reason },
        _ => StoreError::DiskFull { reason },
    }
}

/// An error of the disk while reading `what`.
pub(super) fn io_read_failed(what: &str, error: &io::Error) -> StoreError {
    StoreError::ReadFailed { reason: format!("{what}: {error}") }
}

/// An error while opening the redb file at `path`.
pub(super) fn open_failed(path: &str, error: redb::DatabaseError) -> StoreError {
    let not_a_store = |reason: String| StoreError::NotAStore { path: path.into(), reason };
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) => match error.kind() {
            // redb's answer to a file that does not begin as its own, or ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
                not_a_store(error.to_string())
            }
            io::ErrorKind::StorageFull => io_failed(path, &error),
            _ => io_read_failed(path, &error),
        },
        error => not_a_store(error.to_string()),
    }
}

/// Bytes of the log at `position` that do not decode.
pub(super) fn corrupted(position: Position) -> impl Fn(Malformed) -> StoreError {
    move |Malformed(reason)| StoreError::Corrupted { position, reason: reason.to_owned() }
}

/// Runs `work`, and answers what `failed` makes of the panic's message if it panics: redb trusts its
/// pages and may panic over damaged ones.
pub(super) fn contain<T>(
    work: impl FnOnce() -> Result<T, StoreError>,
    failed: impl FnOnce(String) -> StoreError,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(failed(format!("reading its pages failed ({text})")))
    })
}

/// [`contain`] for reads.
pub(super) fn contain_read<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    contain(work, |reason| StoreError::CorruptedRow { what: "the store's file".to_owned(), reason })
}

/// An open file. Closing it writes what redb knows of its free pages; over damaged pages that may panic.
pub(super) struct File(Option<redb::Database>);

impl File {
    pub(super) const fn new(database: redb::Database) -> Self {
        Self(Some(database))
    }
}

impl Deref for File {
    type Target = redb::Database;

    fn deref(&self) -> &redb::Database {
        self.0.as_ref().expect("it is taken only when dropped")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let database = self.0.take();
        let close = || {
            drop(database);
            Ok(())
        };
        if let Err(error) = contain_read(close) {
            tracing::error!(%error, "the store's file could not be closed in order; what was acknowledged is in it");
        }
    }
}
