//! An event on its way into the log.

use std::collections::BTreeMap;

use thiserror::Error;
use uuid::Uuid;

use super::limits::{DATA_BYTES_MAX, METADATA_ENTRIES_MAX, METADATA_VALUE_BYTES_MAX, TAGS_MAX};
use super::name::{EventType, NameError, StreamName, Tag, check_plain};
use super::{
    BYTES_CONTENT_TYPE, COMMAND_KEY, JSON_CONTENT_TYPE, RESERVED_TYPE_PREFIX, RecordedEvent, TOMBSTONE_TYPE,
    TRACKING_KEY, metadata_key,
};

/// An event proposed for appending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Identity; appending the same id again is a retry, not a second event.
    pub id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// The stream it belongs to, if any.
    pub stream: Option<StreamName>,
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

/// Why an event cannot be appended, whatever the log holds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidEvent {
    /// A name in it is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The host alone writes events of this type.
    #[error(
        "type \"{event_type}\" is the host's own, as all that begin with '{RESERVED_TYPE_PREFIX}'; give another, and end a stream by deleting it"
    )]
    ReservedType {
        /// The type.
        event_type: EventType,
    },
    /// The host alone writes this stream, and nobody ends it.
    #[error(
        "stream \"{stream}\" is the host's own, as all that begin with '{RESERVED_TYPE_PREFIX}'; nobody else appends to \
         it or deletes it: use another name"
    )]
    ReservedStream {
        /// The stream.
        stream: StreamName,
    },
    /// The host alone writes this metadata.
    #[error("metadata {key:?} is the host's own; give it another key")]
    ReservedMetadata {
        /// The key.
        key: &'static str,
    },
    /// The payload is too large.
    #[error("data has {bytes} bytes; at most {DATA_BYTES_MAX} are allowed")]
    DataTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The content type says JSON, the payload is not.
    #[error("data is not valid JSON ({reason}); give a content_type if it is meant to be something else")]
    DataNotJson {
        /// Where and why parsing stopped.
        reason: String,
    },
    /// Too many tags.
    #[error("{count} tags; at most {TAGS_MAX} are allowed")]
    TooManyTags {
        /// How many.
        count: usize,
    },
    /// Too many metadata entries.
    #[error("{count} metadata entries; at most {METADATA_ENTRIES_MAX} are allowed")]
    TooMuchMetadata {
        /// How many.
        count: usize,
    },
    /// A metadata value is too long.
    #[error("metadata {key:?} has {bytes} bytes; at most {METADATA_VALUE_BYTES_MAX} are allowed")]
    MetadataValueTooLong {
        /// The entry's key.
        key: String,
        /// The value's length.
        bytes: usize,
    },
    /// Its data is not what its type and version promise.
    #[error("data is not what the schema of {event_type} {version} asks for: {}", listed(.errors))]
    AgainstSchema {
        /// The type.
        event_type: EventType,
        /// The schema version.
        version: u32,
        /// Places in the data, as JSON pointers, and what is wrong there.
        errors: Vec<(String, String)>,
    },
    /// Schema versions start at 1.
    #[error("schema_version is 0; the first is 1")]
    SchemaVersionZero,
}

/// What is wrong, place by place.
fn listed(errors: &[(String, String)]) -> String {
    let one = |(path, reason): &(String, String)| {
        if path.is_empty() { reason.clone() } else { format!("{path}: {reason}") }
    };
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl NewEvent {
    /// An event with a fresh UUID v7, JSON `data`, and nothing else.
    #[must_use]
    pub fn json(event_type: EventType, data: impl Into<Vec<u8>>) -> Self {
        Self {
            id: Uuid::now_v7(),
            event_type,
            stream: None,
            tags: Vec::new(),
            data: data.into(),
            content_type: None,
            metadata: BTreeMap::new(),
            schema_version: 1,
        }
    }

    /// The same of data that nobody told the type of: JSON if that is what it is, else bytes.
    #[must_use]
    pub fn untold(event_type: EventType, data: Vec<u8>) -> Self {
        let content_type = check_json(&data).is_err().then(|| BYTES_CONTENT_TYPE.to_owned());
        Self { content_type, ..Self::json(event_type, data) }
    }

    /// The event that ends a stream.
    pub(crate) fn tombstone(id: Uuid, stream: StreamName, metadata: BTreeMap<String, String>) -> Self {
        Self { id, metadata, ..Self::json(EventType::from_stored(TOMBSTONE_TYPE), "{}").on(stream) }
    }

    /// Whether it ends its stream.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.event_type.as_str() == TOMBSTONE_TYPE
    }

    /// Puts it on a stream.
    #[must_use]
    pub fn on(mut self, stream: StreamName) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Sets the content type; `application/json` and none are the same thing.
    #[must_use]
    pub fn with_content_type(mut self, content_type: Option<String>) -> Self {
        self.content_type = content_type.filter(|given| given != JSON_CONTENT_TYPE);
        self
    }

    /// Checks everything about the event that does not depend on the log.
    ///
    /// # Errors
    /// The first thing found wrong, with its value and the bound.
    pub fn validate(&self) -> Result<(), InvalidEvent> {
        if self.event_type.as_str().starts_with(RESERVED_TYPE_PREFIX) {
            return Err(InvalidEvent::ReservedType { event_type: self.event_type.clone() });
        }
        if let Some(stream) = self.stream.as_ref().filter(|stream| stream.is_of_host()) {
            return Err(InvalidEvent::ReservedStream { stream: stream.clone() });
        }
        if let Some(key) = [TRACKING_KEY, COMMAND_KEY].into_iter().find(|key| self.metadata.contains_key(*key)) {
            return Err(InvalidEvent::ReservedMetadata { key });
        }
        self.validate_content()
    }

    /// [`Self::validate`] for events of the host's own, whose types and streams are reserved.
    pub(crate) fn validate_content(&self) -> Result<(), InvalidEvent> {
        if self.data.len() > DATA_BYTES_MAX {
            return Err(InvalidEvent::DataTooLarge { bytes: self.data.len() });
        }
        match &self.content_type {
            Some(content_type) => check_plain("content_type", content_type)?,
            None => check_json(&self.data)?,
        }
        if self.tags.len() > TAGS_MAX {
            return Err(InvalidEvent::TooManyTags { count: self.tags.len() });
        }
        if self.metadata.len() > METADATA_ENTRIES_MAX {
            return Err(InvalidEvent::TooMuchMetadata { count: self.metadata.len() });
        }
        for (key, value) in &self.metadata {
            check_plain("metadata key", key)?;
            if value.len() > METADATA_VALUE_BYTES_MAX {
                return Err(InvalidEvent::MetadataValueTooLong { key: key.clone(), bytes: value.len() });
            }
        }
        if self.schema_version == 0 {
            return Err(InvalidEvent::SchemaVersionZero);
        }
        Ok(())
    }

    /// Bytes it brings to an append: payload, names, tags and metadata.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.data.len()
            + self.event_type.as_str().len()
            + self.stream.as_ref().map_or(0, |stream| stream.as_str().len())
            + self.tags.iter().map(|tag| tag.as_str().len()).sum::<usize>()
            + self.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
    }

    /// Whether `stored` is this event: same id and same content, whatever the host added at append, and
    /// whatever trace it was appended in.
    #[must_use]
    pub fn same_content(&self, stored: &RecordedEvent) -> bool {
        self.id == stored.id
            && self.event_type == stored.event_type
            && self.stream == stored.stream
            && self.tags == stored.tags
            && self.data == stored.data
            && self.content_type == stored.content_type
            && same_metadata(&self.metadata, &stored.metadata)
            && self.schema_version == stored.schema_version
    }
}

/// Whether two events have the same metadata, whatever traces they were appended in.
fn same_metadata(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    let content = |(key, _): &(&String, &String)| key.as_str() != metadata_key::TRACEPARENT;
    one == other || one.iter().filter(content).eq(other.iter().filter(content))
}

fn check_json(data: &[u8]) -> Result<(), InvalidEvent> {
    serde_json::from_slice::<serde::de::IgnoredAny>(data)
        .map_err(|error| InvalidEvent::DataNotJson { reason: error.to_string() })?;
    // `IgnoredAny` skips over strings without decoding them; guests get the payload as text.
    std::str::from_utf8(data).map_err(|error| InvalidEvent::DataNotJson { reason: error.to_string() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Position, Version};
    use super::*;

    fn event(data: &[u8]) -> NewEvent {
        NewEvent::json(EventType::new("T").unwrap(), data)
    }

    #[test]
    fn json_is_the_default_and_is_checked() {
        assert_eq!(event(b"{\"a\":1}").validate(), Ok(()));
        let text = event(b"{\"a\":").validate().unwrap_err().to_string();
        assert!(text.contains("not valid JSON") && text.contains("content_type"), "{text}");
        assert!(event(b"\"\xff\"").validate().is_err(), "invalid UTF-8 inside a string");
        assert_eq!(event(b"\xff").with_content_type(Some("image/png".into())).validate(), Ok(()));
    }

    #[test]
    fn data_of_an_untold_type_is_json_or_bytes() {
        let untold = |data: &[u8]| NewEvent::untold(EventType::new("T").unwrap(), data.to_vec());
        assert_eq!(untold(b"[1]").content_type, None);
        for bytes in [&b""[..], b"\xff", b"{", b"\"\xff\""] {
            assert_eq!(untold(bytes).content_type.as_deref(), Some(BYTES_CONTENT_TYPE));
            assert_eq!(untold(bytes).validate(), Ok(()));
        }
    }

    #[test]
    fn bounds_are_named() {
        let text = event(&vec![b'1'; DATA_BYTES_MAX + 1]).validate().unwrap_err().to_string();
        assert!(text.contains("1048577") && text.contains("1048576"), "{text}");
        let mut tagged = event(b"1");
        tagged.tags = vec![Tag::new("a").unwrap(); TAGS_MAX + 1];
        assert_eq!(tagged.validate(), Err(InvalidEvent::TooManyTags { count: TAGS_MAX + 1 }));
        let mut zero = event(b"1");
        zero.schema_version = 0;
        assert_eq!(zero.validate(), Err(InvalidEvent::SchemaVersionZero));
    }

    #[test]
    fn a_retry_may_belong_to_another_trace() {
        let with = |key: &str, value: &str| {
            let metadata = BTreeMap::from([("actor".into(), "ann".into()), (key.into(), value.into())]);
            NewEvent { id: Uuid::nil(), metadata, ..event(b"1") }
        };
        let stored = RecordedEvent::record(with("traceparent", "a"), Position(1), Version(0), 0);
        assert!(with("traceparent", "b").same_content(&stored));
        assert!(with("actor", "ann").same_content(&stored));
        assert!(!with("z", "b").same_content(&stored) && !with("actor", "bob").same_content(&stored));
    }

    #[test]
    fn types_and_streams_of_the_host_are_refused() {
        let tombstone = NewEvent::tombstone(Uuid::nil(), StreamName::new("s").unwrap(), BTreeMap::new());
        assert_eq!(tombstone.validate_content(), Ok(()));
        let text = tombstone.validate().unwrap_err().to_string();
        assert!(text.starts_with("type \"$stream-deleted\" is the host's own"), "{text}");
        assert!(NewEvent::json(EventType::new("$mine").unwrap(), "1").validate().is_err());
        assert!(NewEvent::json(EventType::new("US$").unwrap(), "1").validate().is_ok());
        for (name, is_refused) in [("$commands-accepted", true), ("$", true), ("US$", false)] {
            let planted = event(b"1").on(StreamName::new(name).unwrap());
            assert_eq!(planted.validate_content(), Ok(()));
            assert_eq!(matches!(planted.validate(), Err(InvalidEvent::ReservedStream { .. })), is_refused, "{name}");
        }
    }
}
