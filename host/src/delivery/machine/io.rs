//! What goes into the machine and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::delivery::handler::{EventBatch, Evidence, HandleError};
use crate::delivery::key::Sequence;
use crate::delivery::quiet::Quiet;
use crate::event::Position;
use crate::store::{DeadLetter, DeadLetterChange, Progress};

/// What the shell reports.
#[derive(Debug)]
pub(in crate::delivery) enum Input {
    /// The log's head is, or has become, this.
    Head(Position),
    /// A wait is over.
    Due,
    /// The page asked for.
    Fetched(Page),
    /// The set-aside event asked for, as it is stored.
    Recalled(DeadLetter),
    /// Reading failed; it may succeed later, unless there is a reason to halt.
    ReadFailed {
        /// Why it never will.
        halt: Option<String>,
    },
    /// The call succeeded; this much is staged in the unit now.
    Handled(Staged),
    /// The call failed; what it staged is taken back.
    Failed(HandleError, Evidence),
    /// The commit is durable.
    Committed,
    /// The commit failed, and everything staged is dropped.
    CommitFailed(CommitFailure),
    /// The call panicked, and everything staged is dropped with it.
    Lost(String),
    /// There is no handler any more, and what was staged went with it.
    HandlerGone,
    /// The shell is done with what it wanted the boundary for.
    GoOn,
    /// At a boundary: an operator wants these sequences handed over, whatever they wait for.
    Force(Vec<Sequence>),
    /// At a boundary: an operator gives these set-aside events up.
    Discard(Vec<(Sequence, Position)>),
    /// At a boundary: what has become of the events that were taken over as set aside. Those that were first of their
    /// key and are settled there are wanted.
    Release(Elsewhere),
    /// At a boundary: hand nothing over until [`Input::Resume`].
    Pause,
    /// At a boundary: end what stopped delivery.
    Resume,
}

/// What was read: the matching events of a range that are the partition's.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Page {
    /// The events.
    pub(in crate::delivery) events: EventBatch,
    /// Every matching event up to here is in the page.
    pub(in crate::delivery) through: Position,
    /// Whether that was the head when it was read.
    pub(in crate::delivery) complete: bool,
    /// The head when it was read.
    pub(in crate::delivery) head: Position,
    /// Rows of events that another generation has set aside: they are set aside here too, untried.
    pub(in crate::delivery) carried: BTreeMap<Position, DeadLetter>,
    /// Which of the events emit nothing.
    pub(in crate::delivery) quiet: Quiet,
}

/// What another generation has not handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::delivery) struct Elsewhere {
    /// Events that it has set aside.
    pub(in crate::delivery) held: BTreeSet<Position>,
    /// Events that an operator discarded there: nobody handles them.
    pub(in crate::delivery) discarded: BTreeSet<Position>,
}

/// How much the unit of work holds.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::delivery) struct Staged {
    /// Events to append.
    pub(in crate::delivery) events: usize,
    /// Bytes of events and state.
    pub(in crate::delivery) bytes: usize,
}

/// Why a commit failed.
#[derive(Debug)]
pub(in crate::delivery) enum CommitFailure {
    /// The store cannot write now.
    Unavailable,
    /// Another partition wrote what the unit had read.
    Conflict,
    /// What the handler staged is refused.
    Refused(String),
    /// More would follow from one first cause than the plugin may append.
    Storm(String),
    /// No commit of this runner can succeed: another one drives the plugin, or the store is broken.
    Broken(String),
}

/// What the shell has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Action {
    /// Read the partition's matching events after this position.
    Fetch(Position),
    /// Hand these events of the last page over.
    Handle(Range<usize>),
    /// Read this set-aside event and its row.
    Recall(Position),
    /// Hand the event read last so over, alone.
    Rehandle,
    /// Commit what is staged, with this.
    Commit(Commit),
    /// Wait until the head passes `after`, until the time if given, or until the shell wants to yield.
    Wait {
        /// Only a head beyond this matters; none when no event would help.
        after: Option<Position>,
        /// Microseconds since the Unix epoch.
        until_us: Option<u64>,
    },
    /// Nothing is staged and nothing in flight: the shell may do what it yielded for.
    Yielded,
}

/// The part of a unit of work that the machine decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Commit {
    /// The progress after it.
    pub(in crate::delivery) progress: Progress,
    /// Changes of the set-aside events.
    pub(in crate::delivery) rows: Vec<DeadLetterChange>,
    /// Events that it settles as handled.
    pub(in crate::delivery) handled: u64,
    /// Whether it accounts for a failed attempt.
    pub(in crate::delivery) attempted: bool,
    /// What became of a set-aside event that was handed over again.
    pub(in crate::delivery) recalled: Option<Box<Recalled>>,
}

/// What became of a set-aside event that was handed over again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Recalled {
    /// Its row as it was.
    pub(in crate::delivery) row: DeadLetter,
    /// Why it failed again; none when it was handled.
    pub(in crate::delivery) failure: Option<String>,
}

impl Page {
    /// Nothing, read up to `at`.
    pub(super) fn empty(at: Position) -> Self {
        Self { through: at, complete: true, head: at, ..Self::default() }
    }
}
