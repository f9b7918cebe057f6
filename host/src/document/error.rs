//! Why a file is refused.

use thiserror::Error;

use crate::error::ErrorClass;

/// Why a file is refused. Every text says where, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// It is not TOML.
    #[error("{file}:{line}: this is not TOML: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What the parser found.
        reason: String,
    },
    /// A key or table that no release knows.
    #[error("{file}:{line}: unknown {key}; {hint}")]
    UnknownKey {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key and where it stands, such as `key "max_atempts" in [delivery]`.
        key: String,
        /// The nearest known key, or all that are known there.
        hint: String,
    },
    /// A key of a later release.
    #[error("{file}:{line}: {key} is not supported by this release; remove it, or use a newer tidemill")]
    Unsupported {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key and where it stands.
        key: String,
    },
    /// A value of the wrong type or out of bounds.
    #[error("{file}:{line}: {key} is {found}; allowed is {allowed}")]
    BadValue {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key and where it stands.
        key: String,
        /// The value.
        found: String,
        /// What may stand there.
        allowed: String,
    },
}

impl DocumentError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Syntax { .. } | Self::UnknownKey { .. } | Self::Unsupported { .. } | Self::BadValue { .. } => {
                ErrorClass::Invalid
            }
        }
    }
}
