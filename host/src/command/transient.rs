//! Failures that may pass, after which a command is decided again: nothing of it was appended.
//!
//! The manifest says which of them. A failure of the store is none: what failed there may be stored all the same.

use super::error::CommandError;

/// A failure that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transient {
    /// The stream moved while the command was decided.
    Conflict,
    /// The component, or a validator, failed on it.
    Fault,
}

/// What is borne unless the manifest says otherwise, by who waits for the answer.
const USUAL: &[Transient] = &[Transient::Conflict];
/// The same of a command that was accepted.
const USUAL_LATER: &[Transient] = &[Transient::Conflict, Transient::Fault];

impl Transient {
    /// All of them, with the names that a manifest has for them.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[("conflict", Self::Conflict), ("fault", Self::Fault)];

    /// What an error is; none where it does not pass by itself, or says nothing of the command.
    pub(super) fn of(error: &CommandError) -> Option<Self> {
        match error {
            CommandError::Contended { .. } => Some(Self::Conflict),
            error => error.fault().map(|_| Self::Fault),
        }
    }

    /// Whether it is among those that a manifest names, or else the usual ones.
    pub(super) fn is_borne(self, named: Option<&[Self]>) -> bool {
        named.unwrap_or(USUAL).contains(&self)
    }

    /// The same for a command that was accepted.
    pub(super) fn is_borne_later(self, named: Option<&[Self]>) -> bool {
        named.unwrap_or(USUAL_LATER).contains(&self)
    }
}
