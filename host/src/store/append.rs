//! Asking for an append, and its answer.

use thiserror::Error;
use uuid::Uuid;

use super::StoreError;
use crate::error::ErrorClass;
use crate::event::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, ExpectedVersion, InvalidEvent, NewEvent, Position, StreamName, Version,
};

/// What one stream must be before the append. It may name a stream that gets no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExpectation {
    /// The stream.
    pub stream: StreamName,
    /// What is required of it.
    pub expected: ExpectedVersion,
}

/// Events to append atomically, in this order, over any streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendRequest {
    /// 1 to [`APPEND_EVENTS_MAX`] events.
    pub events: Vec<NewEvent>,
    /// What must hold of streams before the append; all of it, or nothing is appended.
    pub expected: Vec<StreamExpectation>,
}

impl AppendRequest {
    /// Events with no condition.
    #[must_use]
    pub const fn unconditional(events: Vec<NewEvent>) -> Self {
        Self { events, expected: Vec::new() }
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
}

/// Where the events of an append stand, in the order they were given. Never empty.
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
            | Self::DuplicateId { .. } => ErrorClass::Invalid,
            Self::WrongExpectedVersion { .. } | Self::IdConflict { .. } | Self::PartlyStored { .. } => {
                ErrorClass::Conflict
            }
            Self::Store(error) => error.class(),
        }
    }
}
