//! Rehearsals: a range of the log is handed to a handler, and nothing of it reaches the store.
//!
//! State is a `scratch` in memory, and what the handler appends is caught. That it reaches nothing else is for the
//! caller to see to. There are three of them:
//! - [`replay()`]: one version over a range, on top of the live state;
//! - [`shadow()`]: the live version and a candidate side by side, each from nothing, and how they differ;
//! - [`verify_state`]: one version from its start to its checkpoint, and how the result differs from what is stored.
//!
//! `actor` is one version on the stage: one handler, whatever partitions there are, in the order of the log. It
//! follows the rules of live delivery for keys, for what fails and for when to stop, but waits for nothing, counts
//! each `retry` as an attempt, with a time or without, and has no bound on how many events are set aside. `walk` reads
//! the log page by page and tells how far it is. All of it blocks; [`Job`] gives it a thread. What it does not show:
//! whether the store would refuse what is appended, and what others would make of it.
//!
//! Invariants, held by `tests`: a store is read and never written; memory is bounded, but for the keys of events that
//! failed; a rehearsal ends soon after it is cancelled, within one batch of the handler.

mod actor;
mod error;
mod job;
mod progress;
mod replay;
mod report;
mod scratch;
mod shadow;
mod snapshot;
mod span;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::RehearsalError;
pub use job::Job;
pub use progress::{RehearsalProgress, Tell};
pub use replay::{ReplayReport, replay};
pub use report::{
    Differences, EmissionDifference, EmissionView, FailureView, OutcomeDifference, OutcomeView, StateDifference,
};
pub use shadow::{Live, ShadowReport, shadow};
pub use span::Asked;
pub use verify::{FirstDifference, VerifyStateReport, verify_state};

use crate::clock::Clock;
use crate::store::Store;

/// Most bytes of state that one version may build up in a rehearsal, keys and bookkeeping included.
const SCRATCH_BYTES_MAX: usize = 256 << 20;

/// What a rehearsal reads from. Cheap to clone.
#[derive(Clone)]
pub struct Stage {
    /// The log, and the live state.
    pub store: Arc<dyn Store>,
    /// The time, for rates and costs.
    pub clock: Arc<dyn Clock>,
    /// Most bytes of state that one version may build up.
    pub scratch_bytes_max: usize,
}

impl Stage {
    /// A stage with the usual bound on state: 256 MiB for each version.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, scratch_bytes_max: SCRATCH_BYTES_MAX }
    }

    /// The same for a rehearsal that may take another amount of state, in bytes, if that is asked for.
    #[must_use]
    pub fn holding(&self, state_bytes: Option<usize>) -> Self {
        Self { scratch_bytes_max: state_bytes.unwrap_or(self.scratch_bytes_max), ..self.clone() }
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("scratch_bytes_max", &self.scratch_bytes_max).finish_non_exhaustive()
    }
}
