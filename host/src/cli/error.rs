//! What the user is told when a command fails, and the exit code.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::error::{ErrorClass, with_sources};
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// How the process ends when a command fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Unavailable = 5,
    Denied = 6,
}

impl From<ErrorClass> for Exit {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Conflict => Self::Conflict,
            ErrorClass::Invalid => Self::Usage,
            ErrorClass::NotFound => Self::NotFound,
            ErrorClass::Denied => Self::Denied,
            ErrorClass::Unavailable => Self::Unavailable,
            ErrorClass::Corrupted | ErrorClass::Bug => Self::Failure,
        }
    }
}

impl Exit {
    /// The exit for an HTTP status of 400 or more.
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 | 410 => Self::NotFound,
            409 => Self::Conflict,
            408 | 429 | 502 | 503 | 504 => Self::Unavailable,
            400..=499 => Self::Usage,
            _ => Self::Failure,
        }
    }
}

/// Why the part of the program that a command runs has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    /// What kind of thing went wrong; the exit code follows from it.
    pub class: ErrorClass,
    /// What was wrong, where, and what to do.
    pub what: String,
}

impl ProgramError {
    /// Takes the words of an error and its sources.
    #[must_use]
    pub fn new(class: ErrorClass, error: &dyn Error) -> Self {
        Self { class, what: with_sources(error) }
    }
}

/// Why a command ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CliError {
    /// It failed: what was wrong, and what to do about it.
    Failed {
        /// How the process ends.
        exit: Exit,
        /// What was wrong, and where.
        what: String,
        /// What to do, if `what` does not say so.
        hint: Option<String>,
    },
    /// The reader of stdout went away, as in `| head`: not worth a word.
    OutputClosed,
}

impl CliError {
    /// A failure.
    pub(super) fn new(exit: Exit, what: impl Display) -> Self {
        Self::Failed { exit, what: what.to_string(), hint: None }
    }

    /// What the user gave will not do.
    pub(super) fn usage(what: impl Display) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// A data directory without a store.
    pub(super) fn no_store(directory: &Path) -> Self {
        Self::new(Exit::NotFound, format_args!("there is no store in {}", directory.display()))
            .hint("give the directory that `tidemill serve --data` uses")
    }

    /// Says what to do about it.
    #[must_use]
    pub(super) fn hint(self, text: impl Display) -> Self {
        match self {
            Self::Failed { exit, what, .. } => Self::Failed { exit, what, hint: Some(text.to_string()) },
            Self::OutputClosed => self,
        }
    }

    /// Writing to stdout failed.
    pub(super) fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::new(Exit::Failure, format_args!("writing to stdout failed: {error}")),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::new(error.class().into(), error)
    }
}

impl From<TelemetryError> for CliError {
    fn from(error: TelemetryError) -> Self {
        Self::new(error.class().into(), error)
    }
}

impl From<ProgramError> for CliError {
    fn from(error: ProgramError) -> Self {
        Self::new(error.class.into(), error.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_follows_from_the_class_or_the_status() {
        let in_use = StoreError::InUse { path: "d".into() };
        assert!(matches!(CliError::from(in_use), CliError::Failed { exit: Exit::Unavailable, .. }));
        for (status, exit) in [(400, Exit::Usage), (403, Exit::Denied), (404, Exit::NotFound), (409, Exit::Conflict)] {
            assert_eq!(Exit::of_status(status), exit);
        }
        for (status, exit) in [(413, Exit::Usage), (500, Exit::Failure), (503, Exit::Unavailable)] {
            assert_eq!(Exit::of_status(status), exit);
        }
    }
}
