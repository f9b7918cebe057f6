//! Rows of dead letters read without their evidence, which is most of their bytes.

use serde::Deserialize;

use crate::event::Position;
use crate::store::DeadLetter;

/// How much of a dead letter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) enum Part {
    Whole,
    WithoutEvidence,
}

impl Part {
    /// The part of a letter that is at hand.
    pub(in crate::store::embedded) fn of(self, letter: DeadLetter) -> DeadLetter {
        if self == Self::Whole { letter } else { letter.without_evidence() }
    }
}

/// A dead letter as it is stored, but for what the guest wrote and the backtrace: they are not copied.
#[derive(Deserialize)]
pub(super) struct Bare {
    position: Position,
    #[serde(default)]
    key: Option<String>,
    reason: String,
    kind: String,
    attempts: u32,
    #[serde(default)]
    faults: u32,
    #[serde(default)]
    due_us: Option<u64>,
    first_us: u64,
    last_us: u64,
    component_digest: String,
    #[serde(default)]
    quiet: bool,
}

impl From<Bare> for DeadLetter {
    fn from(bare: Bare) -> Self {
        let Bare { position, key, reason, kind, attempts, faults, due_us, first_us, last_us, component_digest, quiet } =
            bare;
        let (stderr_tail, backtrace) = (String::new(), String::new());
        Self {
            position,
            key,
            reason,
            kind,
            attempts,
            faults,
            due_us,
            first_us,
            last_us,
            component_digest,
            stderr_tail,
            backtrace,
            quiet,
        }
    }
}
