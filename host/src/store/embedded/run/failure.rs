//! What goes wrong with the file of a run, in the words of the store.

use std::io;

use crate::store::StoreError;
pub(super) use crate::store::embedded::failure::io_failed as write_failed;

/// Bytes of `file` that are not what was written; `place` says which.
pub(super) fn corrupted(file: &str, place: impl std::fmt::Display, reason: &str) -> StoreError {
    StoreError::CorruptedFile { file: file.to_owned(), reason: format!("{place}: {reason}") }
}

/// A read of `file` at byte `offset` that failed.
pub(super) fn read_failed(file: &str, offset: u64, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => corrupted(file, format_args!("byte {offset}"), "the file is cut off"),
        _ => StoreError::ReadFailed { reason: format!("{file} at byte {offset}: {error}") },
    }
}
