//! An event as the log holds it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::name::{EventType, StreamName, Tag};
use super::number::{Position, Version};
use super::{JSON_CONTENT_TYPE, NewEvent, TOMBSTONE_TYPE};

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Place in the global order.
    pub position: Position,
    /// Identity.
    pub id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// The stream it belongs to, if any.
    pub stream: Option<StreamName>,
    /// Place within the stream; 0 outside any stream.
    pub version: Version,
    /// When the host stored it: microseconds since the Unix epoch, never decreasing with position.
    pub timestamp_us: u64,
    /// Labels for queries.
    pub tags: Vec<Tag>,
    /// The payload; valid JSON when `content_type` is none.
    pub data: Vec<u8>,
    /// Media type of `data`; none for `application/json`.
    pub content_type: Option<String>,
    /// Anything about the event that is not the event.
    pub metadata: BTreeMap<String, String>,
    /// Version of the payload's schema, from 1.
    pub schema_version: u32,
}

impl RecordedEvent {
    /// Gives a proposed event its place and time.
    #[must_use]
    pub fn record(event: NewEvent, position: Position, version: Version, timestamp_us: u64) -> Self {
        Self {
            position,
            id: event.id,
            event_type: event.event_type,
            stream: event.stream,
            version,
            timestamp_us,
            tags: event.tags,
            data: event.data,
            content_type: event.content_type,
            metadata: event.metadata,
            schema_version: event.schema_version,
        }
    }

    /// Whether it is the last event of a deleted stream.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.event_type.as_str() == TOMBSTONE_TYPE
    }

    /// What it takes, in bytes: its payload, names, labels and metadata.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.data.len()
            + self.event_type.as_str().len()
            + self.stream.as_ref().map_or(0, |stream| stream.as_str().len())
            + self.tags.iter().map(|tag| tag.as_str().len()).sum::<usize>()
            + self.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
    }

    /// Media type of the payload, in full.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(JSON_CONTENT_TYPE)
    }

    /// The payload as JSON text; none when it has another content type.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        match self.content_type {
            None => std::str::from_utf8(&self.data).ok(),
            Some(_) => None,
        }
    }
}
