//! What can be seen of a plugin's delivery from outside.

use serde::Serialize;

use crate::event::Position;
use crate::store::Failing;

/// What a plugin's delivery is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Handling events, or waiting for some.
    #[default]
    Running,
    /// Waiting before another attempt.
    BackingOff {
        /// When it is due: microseconds since the Unix epoch.
        until_us: u64,
    },
    /// Not going on until it is replaced or resumed.
    Halted {
        /// Why.
        reason: String,
    },
    /// Ended on request.
    Stopped,
}

/// What a plugin's delivery has done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Events handled and committed.
    pub handled: u64,
    /// Events appended by the handler and committed.
    pub emitted: u64,
    /// Attempts that failed.
    pub retried: u64,
    /// Events set aside as dead letters.
    pub parked: u64,
    /// Calls of the handler that did not answer: traps, deadlines and the like.
    pub faults: u64,
    /// Commits.
    pub commits: u64,
}

/// A plugin's delivery at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// Every matching event up to here is handled or set aside. May be ahead of the durable checkpoint
    /// by events that do not match.
    pub checkpoint: Position,
    /// The event that keeps failing, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// What it has done.
    pub counters: Counters,
}
