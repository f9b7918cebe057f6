//! The directory of a segment: which blocks there are and where.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::format::{ENTRY_BYTES, HEADER_BYTES, SegmentSummary};
use crate::event::Position;
use crate::store::Direction;
use crate::store::embedded::encoding::Malformed;

/// A block: its first position from the segment's first, and where it begins in the file.
#[derive(Clone, Copy)]
struct Entry {
    first: u32,
    offset: u32,
}

impl Entry {
    const fn encode(self) -> [u8; ENTRY_BYTES] {
        (self.first as u64 | (self.offset as u64) << 32).to_le_bytes()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
    const fn decode(bytes: [u8; ENTRY_BYTES]) -> Self {
        let both = u64::from_le_bytes(bytes);
        Self { first: both as u32, offset: (both >> 32) as u32 }
    }
}

/// Appends the entry of a block; none when the segment has grown past what an entry can say.
pub(super) fn put_entry(first: Position, segment_first: Position, offset: u64, out: &mut Vec<u8>) -> Option<()> {
    let first = u32::try_from(first.0.checked_sub(segment_first.0)?).ok()?;
    let offset = u32::try_from(offset).ok()?;
    out.extend_from_slice(&Entry { first, offset }.encode());
    Some(())
}

/// The blocks of a segment, one at least; both their positions and their places rise.
#[derive(Debug)]
pub(super) struct Directory {
    /// As in the file: so opening a segment is fast.
    entries: Vec<u8>,
    first: Position,
    last: Position,
    /// Where the last block ends in the file.
    end: u64,
}

impl Directory {
    /// Takes the bytes of a directory.
    pub(super) fn new(entries: Vec<u8>, checksum: u64, summary: &SegmentSummary) -> Result<Self, Malformed> {
        if xxh3_64(&entries) != checksum {
            return Err(Malformed("the checksum does not match"));
        }
        let end = summary.directory_offset().unwrap_or_default();
        let directory = Self { entries, first: summary.first, last: summary.last, end };
        if directory.is_rising() { Ok(directory) } else { Err(Malformed("its blocks are out of order")) }
    }

    fn is_rising(&self) -> bool {
        let entries = self.entries();
        let (Some(first), Some(last)) = (self.entry(0), self.entry(entries.len().saturating_sub(1))) else {
            return false;
        };
        let inside = u64::from(last.first) <= self.last.0 - self.first.0 && u64::from(last.offset) < self.end;
        let before = |a: Entry, b: Entry| (a.first < b.first) & (a.offset < b.offset);
        let pairs = entries.iter().zip(entries.iter().skip(1));
        // Not `all`: without leaving early it runs on several pairs at a time.
        let rising = pairs.fold(true, |rising, (a, b)| rising & before(Entry::decode(*a), Entry::decode(*b)));
        first.first == 0 && first.offset as usize == HEADER_BYTES && inside && rising
    }

    fn entries(&self) -> &[[u8; ENTRY_BYTES]] {
        self.entries.as_chunks().0
    }

    fn entry(&self, block: usize) -> Option<Entry> {
        self.entries().get(block).copied().map(Entry::decode)
    }

    /// Number of blocks.
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    /// The block that holds a position of the segment.
    pub(super) fn find(&self, position: Position) -> usize {
        let from_first = position.0.saturating_sub(self.first.0);
        let after = self.entries().partition_point(|entry| u64::from(Entry::decode(*entry).first) <= from_first);
        after.saturating_sub(1)
    }

    /// First position of a block; past the last block, the position after the segment.
    pub(super) fn first(&self, block: usize) -> Position {
        self.entry(block).map_or(self.last.next(), |entry| Position(self.first.0 + u64::from(entry.first)))
    }

    /// Last position of a block.
    pub(super) fn last(&self, block: usize) -> Position {
        Position(self.first(block + 1).0 - 1)
    }

    /// Where blocks stand in the file.
    pub(super) fn bytes(&self, blocks: &Range<usize>) -> Range<u64> {
        self.offset(blocks.start)..self.offset(blocks.end)
    }

    fn offset(&self, block: usize) -> u64 {
        self.entry(block).map_or(self.end, |entry| entry.offset.into())
    }

    /// A block and those next to it in a direction, so many bytes of them as are wanted or one block more.
    pub(super) fn ahead(&self, block: usize, bytes: u64, direction: Direction) -> Range<usize> {
        let before =
            |limit: u64| self.entries().partition_point(|entry| u64::from(Entry::decode(*entry).offset) < limit);
        match direction {
            Direction::Forwards => block..before(self.offset(block) + bytes).max(block + 1),
            Direction::Backwards => before(self.offset(block + 1).saturating_sub(bytes)).min(block)..block + 1,
        }
    }
}
