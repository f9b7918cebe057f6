//! The key of an event: what keeps its order, and which partition takes it.
//!
//! Events of one key are handled in the order of the log, whatever happens to events of other keys. The rules
//! stand here once and are part of what is stored: set-aside events and layouts of partitions rely on them, so
//! they do not change between releases.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::event::{NAME_BYTES_MAX, Position, RecordedEvent, metadata_key};

/// Longest key, in bytes: a longer one is cut, and told apart by a hash of the whole.
const KEY_BYTES_MAX: usize = NAME_BYTES_MAX;
/// What is kept of a key that is cut, in bytes: the rest is `~` and 16 hex digits.
const KEY_BYTES_KEPT: usize = KEY_BYTES_MAX - 17;

/// Where the key of an event is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// Its stream.
    #[default]
    Stream,
    /// Its first tag that begins so.
    Tag(String),
    /// A value of its metadata.
    Metadata(String),
    /// Its correlation id, or its own id when it has none.
    CorrelationId,
}

/// The text is no key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} names no key; allowed is \"stream\", \"tag:PREFIX\", \"metadata:NAME\" or \"correlation_id\"")]
pub struct InvalidKey {
    /// The text.
    pub text: String,
}

impl Key {
    /// The key of an event, if it has one: 1 to 255 bytes.
    #[must_use]
    pub fn of<'e>(&self, event: &'e RecordedEvent) -> Option<Cow<'e, str>> {
        let key = match self {
            Self::Stream => event.stream.as_ref().map(|stream| Cow::Borrowed(stream.as_str())),
            Self::Tag(prefix) => {
                event.tags.iter().map(|tag| tag.as_str()).find(|tag| tag.starts_with(prefix)).map(Cow::Borrowed)
            }
            Self::Metadata(name) => event.metadata.get(name).map(|value| Cow::Borrowed(value.as_str())),
            Self::CorrelationId => Some(match event.metadata.get(metadata_key::CORRELATION_ID) {
                Some(id) => Cow::Borrowed(id.as_str()),
                None => Cow::Owned(event.id.to_string()),
            }),
        };
        key.filter(|key| !key.is_empty()).map(bounded)
    }

    /// What keeps the order of an event.
    pub(super) fn sequence_of(&self, event: &RecordedEvent) -> Sequence {
        match self.of(event) {
            Some(key) => Sequence::Key(key.as_ref().into()),
            None => Sequence::Alone(event.position),
        }
    }

    /// The partition that takes an event, of `count`.
    pub(super) fn partition_of(&self, event: &RecordedEvent, count: u32) -> u32 {
        if count <= 1 {
            return 0;
        }
        match self.of(event) {
            Some(key) => partition(key.as_bytes(), count),
            None => partition(&event.position.0.to_le_bytes(), count),
        }
    }
}

/// `xxh3_64` of the bytes, modulo the number of partitions.
fn partition(bytes: &[u8], count: u32) -> u32 {
    let partition = xxh3_64(bytes) % u64::from(count.max(1));
    u32::try_from(partition).unwrap_or_default()
}

fn bounded(key: Cow<'_, str>) -> Cow<'_, str> {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let kept = key.get(..key.floor_char_boundary(KEY_BYTES_KEPT)).unwrap_or_default();
    Cow::Owned(format!("{kept}~{:016x}", xxh3_64(key.as_bytes())))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream => f.write_str("stream"),
            Self::Tag(prefix) => write!(f, "tag:{prefix}"),
            Self::Metadata(name) => write!(f, "metadata:{name}"),
            Self::CorrelationId => f.write_str("correlation_id"),
        }
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        match text.split_once(':') {
            None if text == "stream" => Ok(Self::Stream),
            None if text == "correlation_id" => Ok(Self::CorrelationId),
            Some(("tag", prefix)) if !prefix.is_empty() => Ok(Self::Tag(prefix.into())),
            Some(("metadata", name)) if !name.is_empty() => Ok(Self::Metadata(name.into())),
            _ => Err(InvalidKey { text: text.chars().take(64).collect() }),
        }
    }
}

/// Events that are handled one after the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sequence {
    /// Those of a key.
    Key(Arc<str>),
    /// This event, which has no key.
    Alone(Position),
}

impl Sequence {
    /// That of a set-aside event.
    pub(super) fn of_row(key: Option<&str>, position: Position) -> Self {
        key.map_or(Self::Alone(position), |key| Self::Key(key.into()))
    }

    /// The key as it is stored.
    pub(super) fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Alone(_) => None,
        }
    }

    /// The partition that it belongs to, of `count`.
    pub(super) fn partition(&self, count: u32) -> u32 {
        match self {
            Self::Key(key) => partition(key.as_bytes(), count),
            Self::Alone(position) => partition(&position.0.to_le_bytes(), count),
        }
    }
}

/// Which events of the log one partition takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// The partition.
    pub(super) partition: u32,
    /// How many there are.
    pub(super) count: u32,
    /// What tells them apart.
    pub(super) key: Key,
}

impl Share {
    /// Whether an event is the partition's.
    pub(super) fn takes(&self, event: &RecordedEvent) -> bool {
        self.key.partition_of(event, self.count) == self.partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, StreamName, Tag, Version};

    fn event() -> RecordedEvent {
        let mut event = NewEvent::json(EventType::new("T").unwrap(), "1");
        event.tags = ["region:eu", "customer:7", "customer:8"].map(|tag| Tag::new(tag).unwrap()).into();
        event.metadata.insert("tenant".into(), "acme".into());
        event.stream = Some(StreamName::new("order-1").unwrap());
        RecordedEvent::record(event, Position(5), Version(1), 1)
    }

    #[test]
    fn keys_are_found_where_their_rule_says() {
        let mut event = event();
        let of = |rule: &str, event: &RecordedEvent| rule.parse::<Key>().unwrap().of(event).map(Cow::into_owned);
        assert_eq!(of("stream", &event).as_deref(), Some("order-1"));
        assert_eq!(of("tag:customer:", &event).as_deref(), Some("customer:7"), "the first");
        assert_eq!(of("tag:order:", &event), None);
        assert_eq!(of("metadata:tenant", &event).as_deref(), Some("acme"));
        assert_eq!(of("metadata:actor", &event), None);
        assert_eq!(of("correlation_id", &event), Some(event.id.to_string()));
        event.metadata.insert("correlation_id".into(), "c".into());
        event.metadata.insert("tenant".into(), String::new());
        assert_eq!(of("correlation_id", &event).as_deref(), Some("c"));
        assert_eq!(of("metadata:tenant", &event), None, "an empty key is none");
    }

    #[test]
    fn rules_read_back_and_others_are_refused() {
        for text in ["stream", "tag:a:b", "metadata:x", "correlation_id"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        for wrong in ["", "Stream", "tag:", "metadata:", "key:x", "tag"] {
            assert!(wrong.parse::<Key>().unwrap_err().to_string().contains("tag:PREFIX"), "{wrong:?}");
        }
    }

    #[test]
    fn long_keys_are_cut_and_stay_apart() {
        let mut event = event();
        let mut key_of = |value: String| {
            event.metadata.insert("tenant".into(), value);
            Key::Metadata("tenant".into()).of(&event).unwrap().into_owned()
        };
        let (one, other) = (key_of("é".repeat(300)), key_of("é".repeat(301)));
        assert!(one.len() <= KEY_BYTES_MAX && other.len() <= KEY_BYTES_MAX && one != other);
        assert_eq!(key_of("x".repeat(255)), "x".repeat(255));
    }

    #[test]
    fn partitions_are_stable() {
        // Stored data relies on these numbers.
        let of = |key: &str| Sequence::Key(key.into()).partition(16);
        assert_eq!([of("order-1"), of("order-2"), of("")], PARTITIONS_OF_16);
        assert_eq!(Sequence::Alone(Position(7)).partition(16), PARTITION_OF_7);
        let event = event();
        for count in 1..9 {
            assert_eq!(Key::Stream.partition_of(&event, count), Key::Stream.sequence_of(&event).partition(count));
            assert_eq!(
                Key::Tag("none".into()).partition_of(&event, count),
                Sequence::Alone(Position(5)).partition(count)
            );
        }
    }

    const PARTITIONS_OF_16: [u32; 3] = [6, 12, 2];
    const PARTITION_OF_7: u32 = 15;
}
