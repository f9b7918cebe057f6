//! Streams as a whole: where they end, listing them, and ending one for good.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::event::{ExpectedVersion, Position, StreamName, Version};

/// The end of a stream: its last event, which is a tombstone when the stream is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// Version of the last event, from 1.
    pub version: Version,
    /// Position of the last event.
    pub position: Position,
    /// Whether the stream is deleted: it takes no more events; those it has stay.
    pub deleted: bool,
}

/// Some of the streams, in the order of their names by bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPage {
    /// The streams and their ends, deleted ones among them.
    pub streams: Vec<(StreamName, StreamHead)>,
    /// Give this as `after` to go on; none when the list is complete, or 0 were asked for.
    pub next: Option<StreamName>,
}

/// Ends a stream by a last event, its tombstone, which subscribers see like any other. Nothing is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDeletion {
    /// The stream; it must have events.
    pub stream: StreamName,
    /// What is required of it before.
    pub expected: ExpectedVersion,
    /// Identity of the tombstone: a deletion sent again with the same id is a retry.
    pub id: Uuid,
    /// Metadata of the tombstone, such as who deleted the stream and why.
    pub metadata: BTreeMap<String, String>,
}

impl StreamDeletion {
    /// The deletion of a stream whatever its version, with a fresh id.
    #[must_use]
    pub fn of(stream: StreamName) -> Self {
        Self { stream, expected: ExpectedVersion::Any, id: Uuid::now_v7(), metadata: BTreeMap::new() }
    }
}

/// How much was ever appended: what is removed counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events: positions are dense, so this is the head.
    pub events: u64,
    /// Streams that ever had an event, deleted ones included.
    pub streams: u64,
}
