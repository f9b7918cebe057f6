//! A block: consecutive events in one row of the table `events`. Numbers are little-endian.
//!
//! ```text
//! format version u8 (1) | checksum u64: xxh3-64 of the rest, seeded with the first position
//! | events u32 | where each event ends u32… (bytes from the end of this table) | events (see `encoding`)
//! ```
//!
//! The seed ties a block to its key: a block in a wrong place does not verify. A block is verified before
//! anything of it is looked at, on every read: redb checks its own checksums only when it repairs a file.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::encoding::{self, EventView, Malformed, Reader};
use crate::event::{Position, RecordedEvent};

/// Version of the bytes of a block.
const BLOCK_FORMAT: u8 = 1;
/// Bytes before the table of ends.
const HEAD_BYTES: usize = 13;
/// Largest block of more than one event, in bytes. redb keeps a row of this size in a page of 16 KiB,
/// sizes of pages being powers of two; larger blocks make the read of one event dearer.
pub(super) const BLOCK_BYTES_MAX: usize = (16 << 10) - 64;

/// Cuts consecutive events into blocks, each with its first position.
pub(super) fn encode(events: &[RecordedEvent]) -> Vec<(Position, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut rest = events;
    while let Some(first) = rest.first() {
        let (block, after) = rest.split_at(fitting(rest));
        blocks.push((first.position, encode_block(first.position, block)));
        rest = after;
    }
    blocks
}

/// How many of the events, one at least, fit into a block.
fn fitting(events: &[RecordedEvent]) -> usize {
    let mut bytes = HEAD_BYTES;
    let fits = |event: &&RecordedEvent| {
        bytes += 4 + encoding::encoded_bytes(event);
        bytes <= BLOCK_BYTES_MAX
    };
    events.iter().take_while(fits).count().max(1)
}

fn encode_block(first: Position, events: &[RecordedEvent]) -> Vec<u8> {
    let body_bytes: usize = events.iter().map(encoding::encoded_bytes).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + 4 * events.len() + body_bytes);
    out.push(BLOCK_FORMAT);
    out.extend_from_slice(&[0; 8]);
    put_u32(events.len(), &mut out);
    let mut end = 0;
    for event in events {
        end += encoding::encoded_bytes(event);
        put_u32(end, &mut out);
    }
    for event in events {
        encoding::encode(event, &mut out);
    }
    if let Some((head, rest)) = out.split_at_mut_checked(9) {
        let checksum = xxh3_64_with_seed(rest, first.0).to_le_bytes();
        for (to, from) in head.iter_mut().skip(1).zip(checksum) {
            *to = from;
        }
    }
    out
}

fn put_u32(number: usize, out: &mut Vec<u8>) {
    let number = u32::try_from(number).expect("an append is bounded by APPEND_BYTES_MAX");
    out.extend_from_slice(&number.to_le_bytes());
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
        Self::trust(first, bytes)
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
        Ok(Self { first, count, ends, body: reader.0 })
    }

    /// Position of its last event.
    pub(super) fn last(&self) -> Position {
        Position(self.first.0.saturating_add(u64::from(self.count) - 1))
    }

    /// The event at a position; an error when the block does not hold it.
    pub(super) fn event(&self, position: Position) -> Result<EventView<'a>, Malformed> {
        let index = position.0.checked_sub(self.first.0).and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or(Malformed("the event is missing"))?;
        let start = if index == 0 { 0 } else { self.end(index - 1)? };
        let bytes = self.body.get(start..self.end(index)?).ok_or(Malformed("a block is cut off"))?;
        EventView::parse(bytes)
    }

    fn end(&self, index: usize) -> Result<usize, Malformed> {
        let at = index.checked_mul(4).and_then(|at| self.ends.get(at..));
        let end = at.and_then(|ends| ends.first_chunk()).ok_or(Malformed("the event is missing"))?;
        Ok(u32::from_le_bytes(*end) as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::redb::encoding::tests::any_event;

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
            for position in first.0..=block.last().0 {
                events.push(block.event(Position(position))?.to_event(Position(position))?);
            }
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
