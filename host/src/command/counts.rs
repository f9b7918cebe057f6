//! What has become of the commands of one kind of aggregate.

use std::sync::{Mutex, PoisonError};

use crate::measure::{Counter, Histogram, TIME_BOUNDS_NS, Times};

/// Where the commands of one kind of aggregate are counted.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) accepted: Counter,
    pub(super) rejected: Counter,
    /// Answered with the outcome that they had before.
    pub(super) repeated: Counter,
    /// They do not fit a schema, or a validator refuses them, or nobody knows their type.
    pub(super) invalid: Counter,
    /// Their deadline passed.
    pub(super) expired: Counter,
    /// The code failed on them.
    pub(super) faulted: Counter,
    /// They have no outcome for another reason.
    pub(super) refused: Counter,
    /// Decided again, because the stream had moved.
    pub(super) decided_again: Counter,
    pub(super) snapshots: Counter,
    /// Snapshots that could not be made or written.
    pub(super) snapshots_failed: Counter,
    /// Snapshots that did not fit.
    pub(super) snapshots_left_out: Noted,
    /// Uses of aggregates that cannot be made any more.
    pub(super) history_gone: Noted,
    pub(super) loaded: Counter,
    pub(super) times: Histogram<17>,
    pub(super) decide_times: Histogram<17>,
}

impl Default for Counts {
    fn default() -> Self {
        let counter = Counter::default;
        Self {
            accepted: counter(),
            rejected: counter(),
            repeated: counter(),
            invalid: counter(),
            expired: counter(),
            faulted: counter(),
            refused: counter(),
            decided_again: counter(),
            snapshots: counter(),
            snapshots_failed: counter(),
            snapshots_left_out: Noted::default(),
            history_gone: Noted::default(),
            loaded: counter(),
            times: Histogram::new(&TIME_BOUNDS_NS),
            decide_times: Histogram::new(&TIME_BOUNDS_NS),
        }
    }
}

/// What is counted, and the last of it told.
#[derive(Debug, Default)]
pub(super) struct Noted {
    count: Counter,
    last: Mutex<Option<String>>,
}

impl Noted {
    /// Takes note of one, and of what is told of it.
    pub(super) fn note(&self, told: String) {
        self.count.add(1);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// What was told of the last one.
    fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What has become of the commands of one kind of aggregate, since the process began.
#[derive(Clone, Debug)]
pub struct AggregateCounts {
    /// Commands by result.
    pub results: Results,
    /// Commands decided again because their stream had moved.
    pub decided_again: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots that could not be made or written.
    pub snapshots_failed: u64,
    /// Snapshots that did not fit, and were left out.
    pub snapshots_left_out: u64,
    /// What was told of the last of those.
    pub snapshots_left_out_last: Option<String>,
    /// Uses of aggregates that cannot be made, as events were removed and no snapshot that fits stands for them.
    pub history_gone: u64,
    /// What was told at the last of those.
    pub history_gone_last: Option<String>,
    /// Aggregates made from their events, or from a snapshot.
    pub loaded: u64,
    /// Aggregates in memory.
    pub hot: u64,
    /// Time from a command to its outcome.
    pub times: Times,
    /// Of that, finding the aggregate and deciding, without the append.
    pub decide_times: Times,
}

/// Commands by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    /// Decided, and what followed appended.
    pub accepted: u64,
    /// Rejected by the domain.
    pub rejected: u64,
    /// Answered with the outcome that they had before.
    pub repeated: u64,
    /// Not decided: they do not fit a schema, a validator refuses them, or their type is not known.
    pub invalid: u64,
    /// Not decided, or not appended, as their deadline passed.
    pub expired: u64,
    /// The code failed on them.
    pub faulted: u64,
    /// No outcome for another reason.
    pub refused: u64,
}

impl Results {
    /// With their names.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 7] {
        let Self { accepted, rejected, repeated, invalid, expired, faulted, refused } = *self;
        [
            ("accepted", accepted),
            ("rejected", rejected),
            ("repeated", repeated),
            ("invalid", invalid),
            ("expired", expired),
            ("faulted", faulted),
            ("refused", refused),
        ]
    }
}

impl Counts {
    /// What it has come to; `hot` aggregates are in memory.
    pub(super) fn read(&self, hot: u64) -> AggregateCounts {
        AggregateCounts {
            results: Results {
                accepted: self.accepted.get(),
                rejected: self.rejected.get(),
                repeated: self.repeated.get(),
                invalid: self.invalid.get(),
                expired: self.expired.get(),
                faulted: self.faulted.get(),
                refused: self.refused.get(),
            },
            decided_again: self.decided_again.get(),
            snapshots: self.snapshots.get(),
            snapshots_failed: self.snapshots_failed.get(),
            snapshots_left_out: self.snapshots_left_out.count.get(),
            snapshots_left_out_last: self.snapshots_left_out.last(),
            history_gone: self.history_gone.count.get(),
            history_gone_last: self.history_gone.last(),
            loaded: self.loaded.get(),
            hot,
            times: self.times.read(),
            decide_times: self.decide_times.read(),
        }
    }
}
