//! What an open store has done: counted while it does it, for whoever watches it.

use crate::measure::{COUNT_BOUNDS, Counter, EventCounts, Histogram, TIME_BOUNDS_NS, Times};

/// Where the threads of an open store count.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) append: Histogram<17>,
    pub(super) sync: Histogram<17>,
    pub(super) commit_events: Histogram<12>,
    pub(super) reads: Counter,
    pub(super) read_events: Counter,
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            append: Histogram::new(&TIME_BOUNDS_NS),
            sync: Histogram::new(&TIME_BOUNDS_NS),
            commit_events: Histogram::new(&COUNT_BOUNDS),
            reads: Counter::default(),
            read_events: Counter::default(),
        }
    }
}

impl Counting {
    /// What it has come to.
    pub(super) fn read(&self) -> Activity {
        Activity {
            append: self.append.read(),
            sync: self.sync.read(),
            commit_events: self.commit_events.read(),
            reads: self.reads.get(),
            read_events: self.read_events.get(),
        }
    }
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// From the submission of an append to its answer, of those that succeeded, in nanoseconds.
    pub append: Times,
    /// How long syncs of the journal took, in nanoseconds.
    pub sync: Times,
    /// Events of each commit that had some.
    pub commit_events: EventCounts,
    /// Pages read.
    pub reads: u64,
    /// Events on them.
    pub read_events: u64,
}
