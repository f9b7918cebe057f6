//! A block: consecutive events, encoded and under one checksum. Numbers are little-endian.
//!
//! ```text
//! format version u8 (1) | checksum u64: xxh3-64 of the rest, seeded with the first position
//! | events u32 | where each event ends u32… (bytes from the end of this table) | events (see `encoding`)
//! ```
//!
//! The seed ties a block to its place: a block in a wrong place does not verify. A block is verified before
//! anything of it is looked at, each time it is read from a file.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::encoding::{self, EventView, Malformed, Reader};
use crate::event::{Position, RecordedEvent};

/// Version of the bytes of a block.
const BLOCK_FORMAT: u8 = 1;
/// Bytes before the table of ends.
const HEAD_BYTES: usize = 13;
/// Bytes before what the checksum is of.
const CHECKSUM_END: usize = 9;
/// Largest block of more than one event in the journal, in bytes. Fewer and larger blocks cost the commit
/// less; larger ones than this make the read of one event dearer.
pub(super) const BLOCK_BYTES_MAX: usize = (16 << 10) - 64;

/// Builds blocks of consecutive events, one after the other, in buffers that it keeps.
#[derive(Debug)]
pub(super) struct BlockBuilder {
    /// Largest block of more than one event, in bytes.
    bytes_max: usize,
    ends: Vec<u8>,
    body: Vec<u8>,
}

impl BlockBuilder {
    /// A builder of blocks of at most `bytes_max` bytes; an event too large for that has its own block.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ends: Vec::new(), body: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Events in the block so far.
    pub(super) fn len(&self) -> usize {
        self.ends.len() / 4
    }

    /// Whether an event of so many encoded bytes may be added; any may to an empty block.
    pub(super) fn fits(&self, encoded_bytes: usize) -> bool {
        self.is_empty() || HEAD_BYTES + self.ends.len() + 4 + self.body.len() + encoded_bytes <= self.bytes_max
    }

    /// Adds an event that is already encoded.
    pub(super) fn push_raw(&mut self, encoded: &[u8]) {
        self.body.extend_from_slice(encoded);
        put_u32(self.body.len(), &mut self.ends);
    }

    /// Encodes and adds an event.
    pub(super) fn push(&mut self, event: &RecordedEvent) {
        encoding::encode(event, &mut self.body);
        put_u32(self.body.len(), &mut self.ends);
    }

    /// Appends the block, which holds an event at least and begins at `first`, to `out`, answers where it
    /// stands there, and begins the next one.
    pub(super) fn finish(&mut self, first: Position, out: &mut Vec<u8>) -> Range<usize> {
        assert!(!self.is_empty(), "a block holds at least one event");
        let start = out.len();
        out.reserve(HEAD_BYTES + self.ends.len() + self.body.len());
        out.push(BLOCK_FORMAT);
        out.extend_from_slice(&[0; CHECKSUM_END - 1]);
        put_u32(self.len(), out);
        out.extend_from_slice(&self.ends);
        out.extend_from_slice(&self.body);
        self.ends.clear();
        self.body.clear();
        if let Some((head, rest)) = out.get_mut(start..).and_then(|block| block.split_at_mut_checked(CHECKSUM_END)) {
            let checksum = xxh3_64_with_seed(rest, first.0).to_le_bytes();
            for (to, from) in head.iter_mut().skip(1).zip(checksum) {
                *to = from;
            }
        }
        start..out.len()
    }
}

fn put_u32(number: usize, out: &mut Vec<u8>) {
    let number = u32::try_from(number).expect("an append is bounded by APPEND_BYTES_MAX");
    out.extend_from_slice(&number.to_le_bytes());
}

/// Cuts consecutive events into blocks for the journal, back to back at the end of `out`; tells of each its
/// first position and its place in `out`.
pub(super) fn encode_into(events: &[RecordedEvent], out: &mut Vec<u8>, mut placed: impl FnMut(Position, Range<usize>)) {
    let mut builder = BlockBuilder::new(BLOCK_BYTES_MAX);
    let mut first = events.first().map_or(Position::START, |event| event.position);
    for event in events {
        if !builder.fits(encoding::encoded_bytes(event)) {
            placed(first, builder.finish(first, out));
            first = event.position;
        }
        builder.push(event);
    }
    if !builder.is_empty() {
        placed(first, builder.finish(first, out));
    }
}

/// [`encode_into`] with bytes of its own for each block.
#[cfg(test)]
pub(super) fn encode(events: &[RecordedEvent]) -> Vec<(Position, Vec<u8>)> {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    encode_into(events, &mut bytes, |first, place| places.push((first, place)));
    let block = |place: Range<usize>| bytes.get(place).unwrap_or_default().to_vec();
    places.into_iter().map(|(first, place)| (first, block(place))).collect()
}

/// A verified block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockView<'a> {
    first: Position,
    count: u32,
    ends: &'a [u8],
    body: &'a [u8],
}

impl<'a> BlockView<'a> {
    /// Verifies the block that stands at `first`.
    pub(super) fn verify(first: Position, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let [format] = reader.array()?;
        if format != BLOCK_FORMAT {
            return Err(Malformed("a block has an unknown format"));
        }
        let checksum = u64::from_le_bytes(reader.array()?);
        if checksum != xxh3_64_with_seed(reader.0, first.0) {
            return Err(Malformed("the checksum of a block does not match"));
        }
        let block = Self::trust(first, bytes)?;
        if block.end(block.len() - 1)? == block.body.len() {
            Ok(block)
        } else {
            Err(Malformed("a block has bytes that belong to no event"))
        }
    }

    /// Finds the parts of a block that was verified before.
    pub(super) fn trust(first: Position, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        reader.take(9)?;
        let count = u32::from_le_bytes(reader.array()?);
        let ends = reader.take((count as usize).checked_mul(4).ok_or(Malformed("a block counts too many events"))?)?;
        if count == 0 {
            return Err(Malformed("a block is empty"));
        }
        // So that no position computed from these overflows.
        first.0.checked_add(count.into()).ok_or(Malformed("a block counts too many events"))?;
        Ok(Self { first, count, ends, body: reader.0 })
    }

    /// Position of its first event.
    pub(super) const fn first(&self) -> Position {
        self.first
    }

    /// Position of its last event.
    pub(super) const fn last(&self) -> Position {
        Position(self.first.0 + self.count as u64 - 1)
    }

    /// Events in it; one at least.
    pub(super) const fn len(&self) -> usize {
        self.count as usize
    }

    /// The event at a position; an error when the block does not hold it.
    pub(super) fn event(&self, position: Position) -> Result<EventView<'a>, Malformed> {
        EventView::parse(self.raw(position)?)
    }

    /// The encoded event at a position; an error when the block does not hold it.
    pub(super) fn raw(&self, position: Position) -> Result<&'a [u8], Malformed> {
        let index = position.0.checked_sub(self.first.0).and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or(MISSING)?;
        let start = if index == 0 { 0 } else { self.end(index - 1)? };
        self.body.get(start..self.end(index)?).ok_or(CUT_OFF)
    }

    /// Its encoded events with their positions, in order.
    pub(super) fn raws(&self) -> impl Iterator<Item = Result<(Position, &'a [u8]), Malformed>> + use<'a> {
        let (body, mut start) = (self.body, 0);
        let (ends, _) = self.ends.as_chunks();
        (self.first.0..).zip(ends).map(move |(position, end)| {
            let end = u32::from_le_bytes(*end) as usize;
            let raw = body.get(start..end).ok_or(CUT_OFF)?;
            start = end;
            Ok((Position(position), raw))
        })
    }

    /// Its events with their positions, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = Result<(Position, EventView<'a>), Malformed>> + use<'a> {
        self.raws().map(|raw| raw.and_then(|(position, raw)| Ok((position, EventView::parse(raw)?))))
    }

    fn end(&self, index: usize) -> Result<usize, Malformed> {
        let at = index.checked_mul(4).and_then(|at| self.ends.get(at..));
        let end = at.and_then(|ends| ends.first_chunk()).ok_or(MISSING)?;
        Ok(u32::from_le_bytes(*end) as usize)
    }
}

const MISSING: Malformed = Malformed("the event is missing");
const CUT_OFF: Malformed = Malformed("a block is cut off");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::embedded::encoding::tests::any_event;

    fn numbered(mut events: Vec<RecordedEvent>, first: u64) -> Vec<RecordedEvent> {
        for (position, event) in (first..).zip(&mut events) {
            event.position = Position(position);
        }
        events
    }

    fn any_events() -> impl Strategy<Value = Vec<RecordedEvent>> {
        (proptest::collection::vec(any_event(1), 1..60), 1..u64::MAX / 2).prop_map(|(events, at)| numbered(events, at))
    }

    fn decode(blocks: &[(Position, Vec<u8>)]) -> Result<Vec<RecordedEvent>, Malformed> {
        let mut events = Vec::new();
        for (first, bytes) in blocks {
            let block = BlockView::verify(*first, bytes)?;
            for event in block.events() {
                let (position, view) = event?;
                assert_eq!(
                    block.raw(position),
                    block.raws().nth((position.0 - first.0) as usize).unwrap().map(|raw| raw.1)
                );
                assert_eq!(block.event(position)?.to_event(position)?, view.to_event(position)?);
                events.push(view.to_event(position)?);
            }
            assert_eq!(events.last().map(|event| event.position), Some(block.last()));
        }
        Ok(events)
    }

    proptest! {
            #[test]
            fn blocks_survive_the_round_trip(events in any_events()) {
                let blocks = encode(&events);
                for (_, bytes) in &blocks {
                    prop_assert!(bytes.len() <= BLOCK_BYTES_MAX);
                }
                prop_assert_eq!(decode(&blocks).unwrap(), events);
            }

            /// Events taken raw out of blocks of one size make the blocks of another.
            #[test]
            fn blocks_are_cut_anew_from_raw_events(events in any_events(), bytes_max in 1..4000_usize) {
                let (mut builder, mut out, mut cut) = (BlockBuilder::new(bytes_max), Vec::new(), Vec::new());
                let mut first = events[0].position;
                for (at, bytes) in &encode(&events) {
                    for raw in BlockView::verify(*at, bytes).unwrap().raws() {
                        let (position, raw) = raw.unwrap();
                        if !builder.fits(raw.len()) {
                            out.clear();
    builder.finish(first, &mut out);
    cut.push((first, out.clone()));
                            first = position;
                        }
                        builder.push_raw(raw);
                    }
                }
                out.clear();
    builder.finish(first, &mut out);
    cut.push((first, out.clone()));
                for (_, bytes) in &cut {
                    prop_assert!(bytes.len() <= bytes_max || bytes[9..13] == [1, 0, 0, 0]);
                }
                prop_assert_eq!(decode(&cut).unwrap(), events);
            }

            #[test]
            fn a_flipped_bit_is_refused(events in any_events(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
                let mut blocks = encode(&events);
                let (_, bytes) = &mut blocks[0];
                let at = at.index(bytes.len());
                bytes[at] ^= 1_u8 << bit;
                prop_assert!(decode(&blocks).is_err());
            }

            #[test]
            fn a_cut_or_moved_block_is_refused(events in any_events(), cut in any::<prop::sample::Index>()) {
                let (first, bytes) = encode(&events).remove(0);
                prop_assert!(BlockView::verify(first.next(), &bytes).is_err());
                prop_assert!(BlockView::verify(first, &bytes[..cut.index(bytes.len())]).is_err());
            }

            #[test]
            fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<u64>()) {
                prop_assert!(BlockView::verify(Position(at), &bytes).is_err());
                if let Ok(block) = BlockView::trust(Position(1), &bytes) {
                    let _ = block.event(Position(at)).and_then(|event| event.to_event(Position(at)));
                }
            }
        }

    #[test]
    fn a_large_event_has_its_own_block() {
        let small = RecordedEvent {
            position: Position(1),
            id: uuid::Uuid::nil(),
            event_type: crate::event::EventType::new("T").unwrap(),
            stream: None,
            version: crate::event::Version::START,
            timestamp_us: 0,
            tags: Vec::new(),
            data: vec![b'1'; 10],
            content_type: None,
            metadata: std::collections::BTreeMap::new(),
            schema_version: 1,
        };
        let large = RecordedEvent { data: vec![b'1'; 1 << 20], ..small.clone() };
        let events = numbered(vec![small.clone(), small.clone(), large, small.clone(), small], 1);
        let firsts: Vec<_> = encode(&events).iter().map(|(first, _)| first.0).collect();
        assert_eq!(firsts, [1, 3, 4]);
    }
}
