//! The shop, told as a program: what Tidemill promises, seen happening and then proved from the log.
//!
//! It runs the real host on a temporary directory with the example plugins, leads orders through the shop's aggregates by
//! commands, lets one of them be poison, replaces a plugin and restarts the host in mid-stream. `proof` then reads the log
//! and checks that nothing was lost or doubled; it knows nothing of how the host did it.

mod board;
mod order;
mod proof;
mod shop;
mod story;

use std::path::PathBuf;

use thiserror::Error;

use crate::app::HostError;
use crate::command::CommandError;
use crate::error::ErrorClass;
use crate::store::StoreError;

pub use proof::Totals;
pub use story::run;

/// Why the demo did not come to a proof, or the proof failed.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The host did not start.
    #[error("the host did not start")]
    Host(#[from] HostError),
    /// A directory could not be prepared.
    #[error("{path} could not be written")]
    Directory {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// A command has no outcome.
    #[error("a command has no outcome")]
    Command(#[from] CommandError),
    /// The log could not be read.
    #[error("the log could not be read")]
    Store(#[from] StoreError),
    /// A dead letter could not be retried.
    #[error("a dead letter could not be retried")]
    Retry(#[from] crate::delivery::CommandError),
    /// Something did not happen in time.
    #[error("waited {seconds} s in vain for {what}")]
    TooLong {
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
    },
    /// The log does not hold what it must.
    #[error("the proof failed:\n  {}", .0.join("\n  "))]
    Disproved(Vec<String>),
}

impl DemoError {
    /// What kind of thing went wrong; a proof that fails is our own mistake.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Host(error) => error.class(),
            Self::Command(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Retry(error) => error.class(),
            Self::Directory { .. } => ErrorClass::Unavailable,
            Self::TooLong { .. } | Self::Disproved(_) => ErrorClass::Bug,
        }
    }
}
