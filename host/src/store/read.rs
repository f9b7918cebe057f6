//! Asking for events, and the answer.

use crate::event::{Filter, Position, RecordedEvent, Version};

/// Which way to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Rising positions.
    #[default]
    Forwards,
    /// Falling positions.
    Backwards,
}

/// Which events to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Which events match.
    pub filter: Filter,
    /// Only positions above this one.
    pub after: Position,
    /// Only positions below this one, if given.
    pub before: Option<Position>,
    /// Only versions above this one; asks nothing of events outside any stream when 0.
    pub after_version: Version,
    /// Which way to read.
    pub direction: Direction,
    /// Most events to answer with; 0 answers none.
    pub limit: usize,
    /// Payload bytes after which the page ends; it holds at least one event if there is one.
    pub bytes_max: usize,
}

impl Default for ReadRequest {
    fn default() -> Self {
        Self {
            filter: Filter::all(),
            after: Position::START,
            before: None,
            after_version: Version::START,
            direction: Direction::Forwards,
            limit: 1000,
            bytes_max: 16 << 20,
        }
    }
}

/// Some of the matching events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPage {
    /// Matching events, in the order of the direction.
    pub events: Vec<RecordedEvent>,
    /// Head of the log when it was read.
    pub head: Position,
    /// How far the log was considered: every matching event up to and including this position (forwards),
    /// or down to and including it (backwards), is in `events`. Forwards, give it as the next `after`;
    /// backwards, as the next `before`.
    pub through: Position,
    /// Whether nothing that matches is left in the asked range, as of `head`.
    pub complete: bool,
}
