//! What is staged since the last commit, and when that is enough.

use super::io::{Recalled, Staged};
use crate::event::Position;
use crate::store::DeadLetterChange;

/// Most events in one unit of work.
const EVENTS_MAX: u64 = 4096;
/// Staged events after which a unit is committed.
const STAGED_EVENTS_MAX: usize = 4096;
/// Staged bytes after which a unit is committed.
const STAGED_BYTES_MAX: usize = 8 << 20;
/// Time after its first call at which a unit is committed, in microseconds.
const TIME_MAX_US: u64 = 100_000;

/// What is staged since the last commit.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// Events handled.
    pub(super) handled: u64,
    /// The only one of them, while there is one.
    pub(super) single: Option<Position>,
    pub(super) staged: Staged,
    pub(super) rows: Vec<DeadLetterChange>,
    /// An attempt has to be counted.
    pub(super) attempted: bool,
    pub(super) recalled: Option<Box<Recalled>>,
    /// When its first call returned.
    since_us: Option<u64>,
}

impl Unit {
    pub(super) fn is_empty(&self) -> bool {
        self.handled == 0 && !self.attempted && self.rows.is_empty()
    }

    /// Whether it must be committed before anything else.
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.attempted || self.is_full(now_us)
    }

    pub(super) fn is_full(&self, now_us: u64) -> bool {
        self.handled + self.rows.len() as u64 >= EVENTS_MAX
            || self.since_us.is_some_and(|since_us| now_us.saturating_sub(since_us) >= TIME_MAX_US)
            || self.staged.events >= STAGED_EVENTS_MAX
            || self.staged.bytes >= STAGED_BYTES_MAX
    }

    /// Takes in that events were handled, the last of them at a position.
    pub(super) fn handled(&mut self, count: usize, last: Position, staged: Staged, now_us: u64) {
        self.single = (self.handled == 0 && count == 1).then_some(last);
        self.handled += count as u64;
        self.staged = staged;
        self.since_us.get_or_insert(now_us);
    }
}
