//! One event as bytes. Numbers are little-endian; lengths are in bytes.
//!
//! ```text
//! id 16 | version u64 | timestamp_us u64 | schema_version u32 | data length u32
//! | type length u16 | stream length u16 | content type length u16 | tags u16 | metadata entries u16
//! | type | stream | content type | tags: (length u16, text)…
//! | metadata: (key length u16, key, value length u16, value)… | data
//! | leaf hash 32 (see `integrity`), of the position and of everything before it
//! ```
//!
//! Stream length 0 is no stream, content type length 0 is none (JSON): neither may be empty. The position
//! is not stored; it follows from the block. Reads rely on the block's checksum; leaf hashes are for proofs,
//! and checked only when a store is verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::texts::Texts;
use crate::event::{
    DATA_BYTES_MAX, EventType, METADATA_ENTRIES_MAX, METADATA_VALUE_BYTES_MAX, NAME_BYTES_MAX, Position, RecordedEvent,
    StreamName, TAGS_MAX, Tag, Version,
};
use crate::integrity::{self, HASH_BYTES, Hash};

/// Bytes of the fixed part.
const HEAD_BYTES: usize = 50;

const _: () = assert!(NAME_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(METADATA_VALUE_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(TAGS_MAX <= u16::MAX as usize);
const _: () = assert!(METADATA_ENTRIES_MAX <= u16::MAX as usize);
const _: () = assert!(DATA_BYTES_MAX <= u32::MAX as usize);

/// Why bytes are not an event or not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Appends the encoding of a validated event, with its leaf hash.
pub(super) fn encode(event: &RecordedEvent, out: &mut Vec<u8>) {
    let start = out.len();
    put_parts(event, out);
    let leaf = integrity::leaf_hash(event.position, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&leaf);
}

fn put_parts(event: &RecordedEvent, out: &mut Vec<u8>) {
    let stream = event.stream.as_ref().map_or("", StreamName::as_str);
    let content_type = event.content_type.as_deref().unwrap_or("");
    out.extend_from_slice(event.id.as_bytes());
    out.extend_from_slice(&event.version.0.to_le_bytes());
    out.extend_from_slice(&event.timestamp_us.to_le_bytes());
    out.extend_from_slice(&event.schema_version.to_le_bytes());
    out.extend_from_slice(&u32::try_from(event.data.len()).expect("bounded by DATA_BYTES_MAX").to_le_bytes());
    put_count(event.event_type.as_str().len(), out);
    put_count(stream.len(), out);
    put_count(content_type.len(), out);
    put_count(event.tags.len(), out);
    put_count(event.metadata.len(), out);
    out.extend_from_slice(event.event_type.as_str().as_bytes());
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(content_type.as_bytes());
    for tag in &event.tags {
        put_text(tag.as_str(), out);
    }
    for (key, value) in &event.metadata {
        put_text(key, out);
        put_text(value, out);
    }
    out.extend_from_slice(&event.data);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    let count = u16::try_from(count).expect("names, values and counts are bounded, see the proofs above");
    out.extend_from_slice(&count.to_le_bytes());
}

/// What stands at fixed places of an encoded event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventHead {
    pub(super) id: Uuid,
    pub(super) version: Version,
    pub(super) timestamp_us: u64,
}

impl EventHead {
    /// Reads it off the front of an encoded event, without looking at the rest.
    pub(super) fn read(encoded: &[u8]) -> Result<Self, Malformed> {
        Self::take(&mut Reader(encoded))
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let id = Uuid::from_bytes(reader.array()?);
        let version = Version(u64::from_le_bytes(reader.array()?));
        let timestamp_us = u64::from_le_bytes(reader.array()?);
        Ok(Self { id, version, timestamp_us })
    }
}

/// The leaf hash that an encoded event carries; not checked against it.
pub(super) fn stored_leaf(encoded: &[u8]) -> Result<&Hash, Malformed> {
    encoded.split_last_chunk::<HASH_BYTES>().map(|(_, leaf)| leaf).ok_or(TOO_SHORT)
}

/// An encoded event whose parts are found but not copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventView<'a> {
    pub(super) id: Uuid,
    pub(super) version: Version,
    pub(super) timestamp_us: u64,
    pub(super) event_type: &'a str,
    pub(super) stream: Option<&'a str>,
    schema_version: u32,
    content_type: Option<&'a str>,
    tag_count: u16,
    metadata_count: u16,
    /// Tags and metadata.
    labels: Reader<'a>,
    data: &'a [u8],
    /// The leaf hash, as stored.
    pub(super) leaf: &'a Hash,
    /// What the leaf hash is of, beside the position.
    hashed: &'a [u8],
}

impl<'a> EventView<'a> {
    /// Finds the parts of an encoded event that fills `bytes`. Tags and metadata are looked at later.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (hashed, leaf) = bytes.split_last_chunk().ok_or(TOO_SHORT)?;
        let mut reader = Reader(hashed);
        let EventHead { id, version, timestamp_us } = EventHead::take(&mut reader)?;
        let schema_version = u32::from_le_bytes(reader.array()?);
        let data_bytes = u32::from_le_bytes(reader.array()?) as usize;
        let [type_bytes, stream_bytes, content_type_bytes] = [reader.count()?, reader.count()?, reader.count()?];
        let [tag_count, metadata_count] = [reader.count()?, reader.count()?];
        let event_type = reader.text(type_bytes)?;
        if event_type.is_empty() {
            return Err(Malformed("an event has no type"));
        }
        let stream = Some(reader.text(stream_bytes)?).filter(|text| !text.is_empty());
        let content_type = Some(reader.text(content_type_bytes)?).filter(|text| !text.is_empty());
        let label_bytes = reader.0.len().checked_sub(data_bytes).ok_or(TOO_SHORT)?;
        let labels = Reader(reader.take(label_bytes)?);
        let data = reader.0;
        Ok(Self {
            id,
            version,
            timestamp_us,
            event_type,
            stream,
            schema_version,
            content_type,
            tag_count,
            metadata_count,
            labels,
            data,
            leaf,
            hashed,
        })
    }

    /// Computes the leaf hash anew and compares it with the stored one.
    pub(super) fn verify_leaf(&self, position: Position) -> Result<(), Malformed> {
        if integrity::leaf_hash(position, self.hashed) == *self.leaf {
            Ok(())
        } else {
            Err(Malformed("the leaf hash of an event does not match"))
        }
    }

    /// The tags, in the order they were given.
    pub(super) fn tags(&self) -> Result<Vec<&'a str>, Malformed> {
        let mut reader = self.labels;
        (0..self.tag_count).map(|_| reader.prefixed_text()).collect()
    }

    /// Looks at tags and metadata: nothing is missing, and nothing belongs to neither.
    pub(super) fn verify_labels(&self) -> Result<(), Malformed> {
        let mut reader = self.labels;
        for _ in 0..u32::from(self.tag_count) + 2 * u32::from(self.metadata_count) {
            reader.prefixed_text()?;
        }
        if reader.0.is_empty() { Ok(()) } else { Err(LEFT_OVER) }
    }

    /// Copies it out.
    pub(super) fn to_event(self, position: Position) -> Result<RecordedEvent, Malformed> {
        self.copied(position, |text| text.into())
    }

    /// Copies it out as one of a page, whose events share their types and streams.
    pub(super) fn to_event_of_page(self, position: Position, texts: &mut Texts) -> Result<RecordedEvent, Malformed> {
        self.copied(position, |text| texts.shared(text))
    }

    fn copied(self, position: Position, mut name: impl FnMut(&str) -> Arc<str>) -> Result<RecordedEvent, Malformed> {
        let mut reader = self.labels;
        let mut tags = Vec::with_capacity(usize::from(self.tag_count).min(TAGS_MAX));
        for _ in 0..self.tag_count {
            tags.push(Tag::from_stored(reader.prefixed_text()?));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..self.metadata_count {
            metadata.insert(reader.prefixed_text()?.to_owned(), reader.prefixed_text()?.to_owned());
        }
        if !reader.0.is_empty() {
            return Err(LEFT_OVER);
        }
        Ok(RecordedEvent {
            position,
            id: self.id,
            event_type: EventType::from_stored(name(self.event_type)),
            stream: self.stream.map(|stream| StreamName::from_stored(name(stream))),
            version: self.version,
            timestamp_us: self.timestamp_us,
            tags,
            data: self.data.to_vec(),
            content_type: self.content_type.map(str::to_owned),
            metadata,
            schema_version: self.schema_version,
        })
    }
}

pub(super) const TOO_SHORT: Malformed = Malformed("bytes are missing");
const LEFT_OVER: Malformed = Malformed("an event has bytes that belong to no part of it");

/// Takes parts off the front of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (part, rest) = self.0.split_at_checked(bytes).ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(part)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (part, rest) = self.0.split_first_chunk().ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(*part)
    }

    fn count(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    fn text(&mut self, bytes: u16) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(bytes.into())?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    fn prefixed_text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.count()?;
        self.text(bytes)
    }
}

/// Bytes that [`encode`] will append.
pub(super) fn encoded_bytes(event: &RecordedEvent) -> usize {
    let tags: usize = event.tags.iter().map(|tag| 2 + tag.as_str().len()).sum();
    let metadata: usize = event.metadata.iter().map(|(key, value)| 4 + key.len() + value.len()).sum();
    HEAD_BYTES
        + event.event_type.as_str().len()
        + event.stream.as_ref().map_or(0, |stream| stream.as_str().len())
        + event.content_type.as_ref().map_or(0, String::len)
        + tags
        + metadata
        + event.data.len()
        + HASH_BYTES
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    /// Events as the log may hold them; the position is `position`.
    pub(in crate::store::embedded) fn any_event(position: u64) -> impl Strategy<Value = RecordedEvent> {
        let names = ("[A-Za-zé]{1,12}", proptest::option::of("[a-z]{1,6}-[0-9ß]{1,4}"), vec("[a-z:]{1,9}", 0..4));
        let rest = (
            vec(any::<u8>(), 0..200),
            proptest::option::of("[a-z]{1,8}/[a-z]{1,8}"),
            btree_map("[a-z_]{1,9}", ".{0,20}", 0..4),
        );
        (any::<[u8; 16]>(), any::<u64>(), any::<u64>(), any::<u32>(), names, rest).prop_map(
            move |(id, version, timestamp_us, schema_version, (name, stream, tags), (data, content_type, metadata))| {
                RecordedEvent {
                    position: Position(position),
                    id: Uuid::from_bytes(id),
                    event_type: EventType::new(name).unwrap(),
                    stream: stream.map(|stream| StreamName::new(stream).unwrap()),
                    version: Version(version),
                    timestamp_us,
                    tags: tags.into_iter().map(|tag| Tag::new(tag).unwrap()).collect(),
                    data,
                    content_type,
                    metadata,
                    schema_version,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn an_event_survives_the_round_trip(event in any_event(7)) {
            let mut bytes = Vec::new();
            encode(&event, &mut bytes);
            prop_assert_eq!(bytes.len(), encoded_bytes(&event));
            let view = EventView::parse(&bytes).unwrap();
            let tags: Vec<_> = event.tags.iter().map(Tag::as_str).collect();
            prop_assert_eq!(view.tags().unwrap(), tags);
            prop_assert_eq!(view.verify_leaf(Position(7)), Ok(()));
            prop_assert_eq!(view.verify_labels(), Ok(()));
            prop_assert_eq!(stored_leaf(&bytes).unwrap(), view.leaf);
            let head = EventHead { id: event.id, version: event.version, timestamp_us: event.timestamp_us };
            prop_assert_eq!(EventHead::read(&bytes), Ok(head));
            prop_assert_eq!(view.to_event(Position(7)).unwrap(), event);
        }

        #[test]
        fn a_leaf_hash_holds_position_and_every_bit(event in any_event(7), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = Vec::new();
            encode(&event, &mut bytes);
            prop_assert!(EventView::parse(&bytes).unwrap().verify_leaf(Position(8)).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(EventView::parse(&bytes).and_then(|view| view.verify_leaf(Position(7))).is_err());
        }

        #[test]
        fn a_truncated_event_is_refused(event in any_event(1), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&event, &mut bytes);
            bytes.truncate(cut.index(bytes.len()));
            let decoded = EventView::parse(&bytes).and_then(|view| view.to_event(Position(1)));
            prop_assert!(decoded.is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = EventView::parse(&bytes).and_then(|view| view.to_event(Position(1)));
        }
    }
}
