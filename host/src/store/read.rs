//! Asking for events, and the answer.

use crate::event::{Position, Query, RecordedEvent, Version};

/// Which way to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Rising positions.
    #[default]
    Forwards,
    /// Falling positions.
    Backwards,
}

/// Which events to read: those that match the query and lie within every bound that is given.
///
/// Bounds that leave nothing between them, such as `after` at `before` or beyond the head, or `since_us`
/// above `until_us`, answer an empty page that is complete: they are no error. Reading backwards from
/// `before: 0` is such a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Which events match.
    pub query: Query,
    /// Only positions above this one.
    pub after: Position,
    /// Only positions below this one, if given.
    pub before: Option<Position>,
    /// Only events stored at this time or later, if given: microseconds since the Unix epoch.
    pub since_us: Option<u64>,
    /// Only events stored before this time, if given: the log as of this time. Microseconds since the Unix
    /// epoch. What is appended later may still be stored before a time to come.
    pub until_us: Option<u64>,
    /// Only versions above this one; asks nothing of events outside any stream when 0.
    pub after_version: Version,
    /// Which way to read.
    pub direction: Direction,
    /// Most events to answer with. With 0 there are none, and `complete` tells whether any matches.
    pub limit: usize,
    /// Payload bytes after which the page ends; it holds at least one event if there is one.
    pub bytes_max: usize,
    /// Whether removed events are an error, [`StoreError::Removed`](super::StoreError::Removed), rather than
    /// told by [`ReadPage::removed_before`].
    pub complete: bool,
}

impl Default for ReadRequest {
    fn default() -> Self {
        Self {
            query: Query::all(),
            after: Position::START,
            before: None,
            since_us: None,
            until_us: None,
            after_version: Version::START,
            direction: Direction::Forwards,
            limit: 1000,
            bytes_max: 16 << 20,
            complete: false,
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
    /// Whether nothing that matches is left within the asked bounds, as of `head`.
    pub complete: bool,
    /// Set when retention may have removed events that match, above the lower end of the asked range: the
    /// highest position before which it did, over the categories that the query may ask for. Such events are
    /// not in any page.
    pub removed_before: Option<Position>,
}
