//! The classes that every error of the host falls into, and what failed code leaves behind.
//!
//! Errors are one enum per operation, next to the operation; each answers `class()`. What follows from
//! an error (retry, HTTP status, exit code, what a guest is told) is an exhaustive match on the class.

use std::error::Error;

/// What kind of thing went wrong, and so who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request was well formed but the world has moved on: read again and decide anew.
    Conflict,
    /// The request is malformed or out of bounds: it will never succeed as it is.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// The caller may not do this.
    Denied,
    /// It may succeed later: a full disk, a time-out, a store that is shutting down.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupted,
    /// Our own mistake.
    Bug,
}

/// What failed code left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The last of what the guest wrote to stderr and to the log.
    pub stderr_tail: String,
    /// The wasm backtrace; empty when there was no trap.
    pub backtrace: String,
}

/// An error with its sources, in one line; a source whose words are there already is left out.
#[must_use]
pub fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = error.source();
    }
    text
}
