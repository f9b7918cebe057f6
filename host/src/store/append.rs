//! Asking for an append, and its answer.

use thiserror::Error;
use uuid::Uuid;

use super::{StoreError, Tracking};
use crate::error::ErrorClass;
use crate::event::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, EXPECTATIONS_MAX, ExpectedVersion, InvalidEvent, InvalidQuery, NameError,
    NewEvent, Position, Query, StreamName, Version,
};

/// What one stream must be before the append. It may name a stream that gets no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExpectation {
    /// The stream.
    pub stream: StreamName,
    /// What is required of it.
    pub expected: ExpectedVersion,
}

/// What no event may have matched since the decision to append was made: the dynamic consistency boundary
/// (dcb.events).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendCondition {
    /// The append fails if any event after `after` matches this.
    pub fail_if_match: Query,
    /// How far the log was read for the decision, exclusive; 0 for nothing of it. Not beyond the head.
    pub after: Position,
}

/// Events to append atomically, in this order, over any streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendRequest {
    /// 1 to [`APPEND_EVENTS_MAX`] events; none is enough when there is something to track.
    pub events: Vec<NewEvent>,
    /// What must hold of streams before the append; all of it, or nothing is appended. At most
    /// [`EXPECTATIONS_MAX`]; several of one stream must leave it a version to be at.
    pub expected: Vec<StreamExpectation>,
    /// What must hold of the log before the append, if anything.
    pub condition: Option<AppendCondition>,
    /// How far a source was followed for this, if it is to be kept. Only forward from where the source is.
    pub tracking: Option<Tracking>,
    /// Whether the host itself asks: then types and metadata may be those that are reserved to it.
    pub by_host: bool,
}

impl AppendRequest {
    /// Events with no condition.
    #[must_use]
    pub const fn unconditional(events: Vec<NewEvent>) -> Self {
        Self { events, expected: Vec::new(), condition: None, tracking: None, by_host: false }
    }

    /// Its size: payloads, names and metadata of its events, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.iter().map(NewEvent::size_bytes).sum()
    }
}

/// Where one event of an append stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedEvent {
    /// Its id.
    pub id: Uuid,
    /// Its place in the global order.
    pub position: Position,
    /// Its stream, if any.
    pub stream: Option<StreamName>,
    /// Its place in the stream; 0 outside any stream.
    pub version: Version,
    /// When it was stored, in microseconds since 1970.
    pub timestamp_us: u64,
}

/// Where the events of an append stand, in the order they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One for each event of the request.
    pub events: Vec<AppendedEvent>,
    /// True when they were stored by an earlier append of the same ids.
    pub repeated: bool,
}

impl Appended {
    /// Lowest position among the events.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.events.iter().map(|event| event.position).min().unwrap_or_default()
    }

    /// Highest position among the events.
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.events.iter().map(|event| event.position).max().unwrap_or_default()
    }
}

/// Why nothing was appended.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// There is nothing to append.
    #[error("no events given; an append holds 1 to {APPEND_EVENTS_MAX}")]
    Empty,
    /// Too many events for one append.
    #[error("{count} events in one append; at most {APPEND_EVENTS_MAX} are allowed, split it")]
    TooManyEvents {
        /// How many.
        count: usize,
    },
    /// Too many bytes for one append.
    #[error("{bytes} bytes in one append; at most {APPEND_BYTES_MAX} are allowed, split it")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// One of the events is malformed.
    #[error("event {index}: {reason}")]
    InvalidEvent {
        /// Its index in the request, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        reason: InvalidEvent,
    },
    /// Its events take too much to be held to their schemas, all together.
    #[error("it takes too much to hold the first {count} events of one append to their schemas; split it")]
    TooMuchToCheck {
        /// So many from its beginning.
        count: usize,
    },
    /// Two events of the request have one id.
    #[error("events {first} and {second} have the same id {id}")]
    DuplicateId {
        /// Index of the first, from 0.
        first: usize,
        /// Index of the second, from 0.
        second: usize,
        /// The id.
        id: Uuid,
    },
    /// Too many expectations for one append.
    #[error("{count} expectations in one append; at most {EXPECTATIONS_MAX} are allowed, split it")]
    TooManyExpectations {
        /// How many.
        count: usize,
    },
    /// Two expectations that no stream can meet at once.
    #[error("stream {stream} is expected to be at {one} and at {other}; give one expectation for each stream")]
    ContradictingExpectations {
        /// The stream.
        stream: StreamName,
        /// What the expectations before came to.
        one: ExpectedVersion,
        /// The expectation that contradicts.
        other: ExpectedVersion,
    },
    /// The condition is malformed.
    #[error("condition: {reason}")]
    InvalidCondition {
        /// What is wrong with it.
        #[source]
        reason: InvalidQuery,
    },
    /// The condition claims to know more of the log than there is.
    #[error(
        "the condition is about events after position {after}, but the log ends at {head}; give the position up to which you read"
    )]
    ConditionAheadOfLog {
        /// The condition's `after`.
        after: Position,
        /// The last position.
        head: Position,
    },
    /// An event matches that must not be there.
    #[error(
        "the event at position {position}, after position {after}, matches the condition; read the matching events again and decide anew"
    )]
    ConditionFailed {
        /// Position of the last event that matches.
        position: Position,
        /// The condition's `after`.
        after: Position,
    },
    /// The stream was deleted.
    #[error("stream {stream} was deleted at version {version} and takes no more events; use another name")]
    StreamDeleted {
        /// The stream.
        stream: StreamName,
        /// Version of its tombstone.
        version: Version,
    },
    /// The stream that is to be deleted has no events.
    #[error("stream {stream} has no events, so there is nothing to delete; check its name")]
    NoSuchStream {
        /// The stream.
        stream: StreamName,
    },
    /// A stream is not at the expected version.
    #[error("stream {stream} is at version {actual}, expected {expected}; read it again and decide anew")]
    WrongExpectedVersion {
        /// The stream.
        stream: StreamName,
        /// What the request expected.
        expected: ExpectedVersion,
        /// Where the stream is; 0 when it has no events.
        actual: Version,
    },
    /// The id is stored already, with other content.
    #[error(
        "event {index}: id {id} is stored at position {position} with other content; give the new event its own id"
    )]
    IdConflict {
        /// Index in the request, from 0.
        index: usize,
        /// The id.
        id: Uuid,
        /// Where the stored event stands.
        position: Position,
    },
    /// The id is taken by an event that whoever asks may not read: all that it is told.
    #[error("event {index}: id {id} is taken by another event; give the new event its own id")]
    IdTaken {
        /// Index in the request, from 0.
        index: usize,
        /// The id.
        id: Uuid,
    },
    /// Some ids of the request are stored already, others are not: neither a retry nor a new append.
    #[error(
        "event {index}: id {id} is already stored at position {position}, other events of this append are not; send only the new ones"
    )]
    PartlyStored {
        /// Index of the first stored one, from 0.
        index: usize,
        /// Its id.
        id: Uuid,
        /// Where it stands.
        position: Position,
    },
    /// The name of what is tracked is no name.
    #[error("tracking: {reason}")]
    InvalidTracking {
        /// What is wrong with it.
        #[source]
        reason: NameError,
    },
    /// What is tracked would go back, or stay where it is.
    #[error("source {of:?} was followed to position {stored} already, {position} is not after it; go on from there")]
    TrackingNotForward {
        /// The source.
        of: String,
        /// What the request says of it.
        position: u64,
        /// Where it is.
        stored: u64,
    },
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Empty
            | Self::TooManyEvents { .. }
            | Self::TooLarge { .. }
            | Self::InvalidEvent { .. }
            | Self::TooMuchToCheck { .. }
            | Self::DuplicateId { .. }
            | Self::TooManyExpectations { .. }
            | Self::ContradictingExpectations { .. }
            | Self::InvalidCondition { .. }
            | Self::ConditionAheadOfLog { .. }
            | Self::InvalidTracking { .. } => ErrorClass::Invalid,
            Self::ConditionFailed { .. }
            | Self::StreamDeleted { .. }
            | Self::WrongExpectedVersion { .. }
            | Self::IdConflict { .. }
            | Self::IdTaken { .. }
            | Self::PartlyStored { .. }
            | Self::TrackingNotForward { .. } => ErrorClass::Conflict,
            Self::NoSuchStream { .. } => ErrorClass::NotFound,
            Self::Store(error) => error.class(),
        }
    }
}
