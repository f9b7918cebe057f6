//! A block: consecutive events, encoded and under one checksum. Numbers are little-endian.
//!
//! ```text
//! format version u8 (1 or 2) | checksum u64: xxh3-64 of the rest, seeded with the first position
//! | events u32 | where each event ends u32… (bytes from the end of this table) | events (see `encoding`)
//! ```
//!
//! In format 2, which only segments hold, the top bit of an end says that a stub stands there in place of a
//! removed event (see `stub`).
//!
//! The seed ties a block to its place: a block in a wrong place does not verify. A block is verified before
//! anything of it is looked at, each time it is read from a file.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::encoding::{self, EventHead, EventView, Malformed, Reader};
use super::stub::Stub;
use crate::event::{Position, RecordedEvent};
use crate::integrity::Hash;

/// Version of the bytes of a block of events.
const FORMAT_EVENTS: u8 = 1;
/// Version of the bytes of a block that has stubs.
const FORMAT_STUBS: u8 = 2;
/// Marks the end of a stub.
const STUB: u32 = 1 << 31;
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
    has_stubs: bool,
}

impl BlockBuilder {
    /// A builder of blocks of at most `bytes_max` bytes; an event too large for that has its own block.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, ends: Vec::new(), body: Vec::new(), has_stubs: false }
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

    /// Adds an event or a stub that is already encoded.
    pub(super) fn push_slot(&mut self, slot: Slot<'_>) {
        self.body.extend_from_slice(slot.bytes());
        let end = u32::try_from(self.body.len()).ok().filter(|end| end & STUB == 0).expect("blocks are bounded");
        let mark = if matches!(slot, Slot::Stub(_)) { STUB } else { 0 };
        self.has_stubs |= mark != 0;
        self.ends.extend_from_slice(&(end | mark).to_le_bytes());
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
        out.push(if std::mem::take(&mut self.has_stubs) { FORMAT_STUBS } else { FORMAT_EVENTS });
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

/// What stands at a position of a block, encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot<'a> {
    /// An event.
    Event(&'a [u8]),
    /// What is left of a removed one.
    Stub(&'a [u8]),
}

impl<'a> Slot<'a> {
    /// Its bytes.
    pub(super) const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Event(bytes) | Self::Stub(bytes) => bytes,
        }
    }

    /// When the event was stored.
    pub(super) fn timestamp_us(self) -> Result<u64, Malformed> {
        match self {
            Self::Event(bytes) => EventHead::read(bytes).map(|head| head.timestamp_us),
            Self::Stub(bytes) => Stub::parse(bytes).map(|stub| stub.timestamp_us),
        }
    }

    /// The leaf hash of the event; not checked against it.
    pub(super) fn stored_leaf(self) -> Result<&'a Hash, Malformed> {
        match self {
            Self::Event(bytes) => encoding::stored_leaf(bytes),
            Self::Stub(bytes) => Stub::parse(bytes).map(|stub| stub.leaf),
        }
    }

    /// The event; none when it was removed.
    pub(super) fn event(self) -> Result<Option<EventView<'a>>, Malformed> {
        match self {
            Self::Event(bytes) => EventView::parse(bytes).map(Some),
            Self::Stub(_) => Ok(None),
        }
    }
}

/// A verified block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockView<'a> {
    format: u8,
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
        if format != FORMAT_EVENTS && format != FORMAT_STUBS {
            return Err(Malformed("a block has an unknown format"));
        }
        let checksum = u64::from_le_bytes(reader.array()?);
        if checksum != xxh3_64_with_seed(reader.0, first.0) {
            return Err(Malformed("the checksum of a block does not match"));
        }
        let block = Self::trust(first, bytes)?;
        if block.end(block.len() - 1)?.0 == block.body.len() {
            Ok(block)
        } else {
            Err(Malformed("a block has bytes that belong to no event"))
        }
    }

    /// Finds the parts of a block that was verified before.
    pub(super) fn trust(first: Position, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let [format] = reader.array()?;
        reader.take(CHECKSUM_END - 1)?;
        let count = u32::from_le_bytes(reader.array()?);
        let ends = reader.take((count as usize).checked_mul(4).ok_or(Malformed("a block counts too many events"))?)?;
        if count == 0 {
            return Err(Malformed("a block is empty"));
        }
        // So that no position computed from these overflows.
        first.0.checked_add(count.into()).ok_or(Malformed("a block counts too many events"))?;
        Ok(Self { format, first, count, ends, body: reader.0 })
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

    /// The event at a position; an error when the block does not hold it, or a stub in its place.
    pub(super) fn event(&self, position: Position) -> Result<EventView<'a>, Malformed> {
        self.slot(position)?.event()?.ok_or(REMOVED)
    }

    /// What stands at a position; an error when the block does not hold it.
    pub(super) fn slot(&self, position: Position) -> Result<Slot<'a>, Malformed> {
        let index = position.0.checked_sub(self.first.0).and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or(MISSING)?;
        let start = if index == 0 { 0 } else { self.end(index - 1)?.0 };
        let (end, stub) = self.end(index)?;
        cut(self.body, start, end, stub)
    }

    /// What it holds, with positions, in order.
    pub(super) fn slots(&self) -> impl Iterator<Item = Result<(Position, Slot<'a>), Malformed>> + use<'a> {
        let (body, format, mut start) = (self.body, self.format, 0);
        let (ends, _) = self.ends.as_chunks();
        (self.first.0..).zip(ends).map(move |(position, end)| {
            let (end, stub) = end_of(*end, format);
            let slot = cut(body, start, end, stub)?;
            start = end;
            Ok((Position(position), slot))
        })
    }

    /// Its events with their positions, in order; stubs are an error.
    pub(super) fn events(&self) -> impl Iterator<Item = Result<(Position, EventView<'a>), Malformed>> + use<'a> {
        self.slots().map(|slot| slot.and_then(|(position, slot)| Ok((position, slot.event()?.ok_or(REMOVED)?))))
    }

    /// Where what is at an index ends, and whether it is a stub.
    fn end(&self, index: usize) -> Result<(usize, bool), Malformed> {
        let at = index.checked_mul(4).and_then(|at| self.ends.get(at..));
        let end = at.and_then(|ends| ends.first_chunk()).ok_or(MISSING)?;
        Ok(end_of(*end, self.format))
    }
}

/// In a block without stubs no end is so large that it has the mark.
const fn end_of(bytes: [u8; 4], format: u8) -> (usize, bool) {
    let end = u32::from_le_bytes(bytes);
    let stub = format == FORMAT_STUBS && end & STUB != 0;
    (if stub { end & !STUB } else { end } as usize, stub)
}

fn cut(body: &[u8], start: usize, end: usize, stub: bool) -> Result<Slot<'_>, Malformed> {
    let bytes = body.get(start..end).ok_or(CUT_OFF)?;
    Ok(if stub { Slot::Stub(bytes) } else { Slot::Event(bytes) })
}

const REMOVED: Malformed = Malformed("a removed event stands where none can be");
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
                let nth = block.slots().nth((position.0 - first.0) as usize).unwrap();
                assert_eq!(block.slot(position), nth.map(|(_, slot)| slot));
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
                    for raw in BlockView::verify(*at, bytes).unwrap().slots() {
                        let (position, raw) = raw.unwrap();
                        if !builder.fits(raw.bytes().len()) {
                            out.clear();
    builder.finish(first, &mut out);
    cut.push((first, out.clone()));
                            first = position;
                        }
                        builder.push_slot(raw);
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

    fn small() -> RecordedEvent {
        RecordedEvent {
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
        }
    }

    #[test]
    fn a_block_with_stubs_has_a_format_of_its_own() {
        let leaf = [7; 32];
        let (mut stub, mut event) = (Vec::new(), Vec::new());
        Stub { leaf: &leaf, timestamp_us: 9, end: None }.encode(&mut stub);
        let recorded = numbered(vec![small()], 2).remove(0);
        encoding::encode(&recorded, &mut event);
        let (mut builder, mut out) = (BlockBuilder::new(4000), Vec::new());
        builder.push_slot(Slot::Stub(&stub));
        builder.push_slot(Slot::Event(&event));
        builder.finish(Position(1), &mut out);
        let block = BlockView::verify(Position(1), &out).unwrap();
        assert_eq!(out[0], FORMAT_STUBS);
        assert_eq!(block.slot(Position(1)), Ok(Slot::Stub(&stub)));
        assert_eq!(block.event(Position(2)).unwrap().to_event(Position(2)).unwrap(), recorded);
        assert_eq!(block.event(Position(1)).unwrap_err(), REMOVED, "no journal holds stubs");
        assert!(block.events().next().unwrap().is_err());
        builder.push_slot(Slot::Event(&event));
        let place = builder.finish(Position(2), &mut out);
        assert_eq!(out[place.start], FORMAT_EVENTS, "a block without stubs is as if there were none");
        out[0] = FORMAT_EVENTS;
        let disguised = BlockView::verify(Position(1), &out[..place.start]).and_then(|block| block.slot(Position(1)));
        assert_eq!(disguised.unwrap_err(), CUT_OFF, "their marks mean nothing elsewhere");
    }

    #[test]
    fn a_large_event_has_its_own_block() {
        let small = small();
        let large = RecordedEvent { data: vec![b'1'; 1 << 20], ..small.clone() };
        let events = numbered(vec![small.clone(), small.clone(), large, small.clone(), small], 1);
        let firsts: Vec<_> = encode(&events).iter().map(|(first, _)| first.0).collect();
        assert_eq!(firsts, [1, 3, 4]);
    }
}
