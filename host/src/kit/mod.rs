//! Tests of plugins without a server: fixtures run on the production engine, with production limits, in memory.
//!
//! A [`Fixture`] says which events a plugin is given and what must come of them; a [`Kit`] holds the component and its
//! manifest and runs fixtures by real delivery over a store in memory: what decides commands is sent them by the real bus,
//! what lifts events is asked by the real chain, and what holds commands against rules as the bus asks it. It owns the format and the comparison, and writes down what each call
//! does; it delivers nothing by itself and knows no rule of delivery.

mod alike;
mod clock;
mod command;
mod decider;
mod deciding;
mod doubted;
mod fixture;
mod format;
mod heard;
mod lifting;
mod open;
mod outcome;
mod possible;
mod queries;
mod recorded;
mod report;
mod run;
mod shape;
mod subject;
mod validating;
mod world;
mod wrapped;
mod written;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use fixture::{Appended, Dead, Dispatched, Fixture, Given, Lifted, Refused, Then, Waited};
pub use open::CheckError;
pub use outcome::{CameOf, Followed, Wrong};
pub use queries::Asked;
pub use recorded::{Call, Given as Handed};
pub use report::{Difference, Report};
pub use subject::{Kit, Traced};
pub use wrapped::Disturbance;
pub use written::Written;

use crate::error::ErrorClass;
use crate::plugin::{InstallError, ManifestError};

/// Why fixtures are not run.
#[derive(Debug, Error)]
pub enum KitError {
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", file.display())]
    Unreadable {
        /// The file, or the folder.
        file: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A file is no fixture.
    #[error("{} is no fixture: {reason}", file.display())]
    NotAFixture {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The host would not run the component.
    #[error("the host would not run it")]
    Refused(#[from] InstallError),
    /// Upcasters are no chain.
    #[error("{} lifts nothing: {reason}", place.display())]
    NoChain {
        /// Their file, or their folder.
        place: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The machine cannot run it.
    #[error("nothing can be run here: {reason}")]
    Host {
        /// Why.
        reason: String,
    },
}

impl KitError {
    /// A file that the system does not let read.
    pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { file: file.into(), reason: error.to_string() }
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Unreadable { .. } => ErrorClass::NotFound,
            Self::NotAFixture { .. } | Self::Manifest(_) | Self::NoChain { .. } => ErrorClass::Invalid,
            Self::Refused(error) => error.class(),
            Self::Host { .. } => ErrorClass::Unavailable,
        }
    }
}
