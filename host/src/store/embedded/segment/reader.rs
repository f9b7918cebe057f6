//! Reading the blocks of segments: one by one at random, ahead in chunks when asked in sequence.

use std::ops::Range;
use std::sync::Arc;

use super::file::Segment;
use crate::event::Position;
use crate::store::embedded::block::{BlockView, Slot};
use crate::store::embedded::encoding::{EventView, Malformed};
use crate::store::embedded::failure::corrupted;
use crate::store::{Direction, StoreError};

/// Bytes that are read ahead when a second block in sequence is asked for; four times as many each time after.
const AHEAD_BYTES_MIN: u64 = 16 << 10;
/// Most bytes that are read ahead: more would leave the processor's cache before they are looked at.
const AHEAD_BYTES_MAX: u64 = 128 << 10;

/// Reads one segment at a time; its buffer and its sense of direction outlive the turn to the next one.
#[derive(Debug)]
pub(in crate::store::embedded) struct SegmentReader {
    segment: Arc<Segment>,
    /// The blocks `held`, back to back; what is behind them is left over.
    buffer: Vec<u8>,
    held: Range<usize>,
    /// The block that was verified last; it is among those held.
    current: Option<usize>,
    /// First and last position of the block asked for last, of whichever segment.
    asked: Option<(Position, Position)>,
    ahead_bytes: u64,
}

impl SegmentReader {
    /// A reader that holds nothing yet.
    pub(in crate::store::embedded) const fn new(segment: Arc<Segment>) -> Self {
        Self { segment, buffer: Vec::new(), held: 0..0, current: None, asked: None, ahead_bytes: 0 }
    }

    /// The segment it reads.
    pub(in crate::store::embedded) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Turns to another segment.
    pub(in crate::store::embedded) fn turn_to(&mut self, segment: Arc<Segment>) {
        (self.segment, self.held, self.current) = (segment, 0..0, None);
    }

    /// The verified block that holds a position.
    ///
    /// # Errors
    /// When the segment does not hold the position, the block is damaged or the disk fails.
    pub(in crate::store::embedded) fn block_at(&mut self, position: Position) -> Result<BlockView<'_>, StoreError> {
        let missing = corrupted(position);
        if !self.segment.summary().holds(position) {
            return Err(missing(Malformed("the event is missing")));
        }
        let block = self.block(self.segment.directory().find(position))?;
        if block.last() < position { Err(missing(Malformed("the event is missing"))) } else { Ok(block) }
    }

    /// The event at a position; none when there is only a stub of it.
    ///
    /// # Errors
    /// As [`Self::block_at`].
    pub(in crate::store::embedded) fn event(
        &mut self,
        position: Position,
    ) -> Result<Option<EventView<'_>>, StoreError> {
        let slot = self.block_at(position)?.slot(position);
        slot.and_then(Slot::event).map_err(corrupted(position))
    }

    /// The first event that is not older than a time; past the last event when all are older.
    ///
    /// # Errors
    /// When a block is damaged or the disk fails.
    pub(in crate::store::embedded) fn first_at_or_after(&mut self, timestamp_us: u64) -> Result<Position, StoreError> {
        // How many blocks begin with an older event.
        let (mut low, mut high) = (0, self.segment.directory().len());
        while low < high {
            let middle = low.midpoint(high);
            if self.first_timestamp_us(middle)? < timestamp_us { low = middle + 1 } else { high = middle }
        }
        let Some(older) = low.checked_sub(1) else { return Ok(self.segment.summary().first) };
        let block = self.block(older)?;
        for slot in block.slots() {
            let (position, slot) = slot.map_err(corrupted(block.first()))?;
            if slot.timestamp_us().map_err(corrupted(position))? >= timestamp_us {
                return Ok(position);
            }
        }
        Ok(block.last().next())
    }

    fn first_timestamp_us(&mut self, index: usize) -> Result<u64, StoreError> {
        let block = self.block(index)?;
        block.slot(block.first()).and_then(Slot::timestamp_us).map_err(corrupted(block.first()))
    }

    /// A verified block by its number, which is one of the directory's.
    pub(super) fn block(&mut self, index: usize) -> Result<BlockView<'_>, StoreError> {
        let first = self.segment.directory().first(index);
        if self.current != Some(index) {
            self.fetch(index)?;
        }
        BlockView::trust(first, self.held_bytes(index)).map_err(corrupted(first))
    }

    /// Makes a block the current one: reads it if it is not held, and verifies it.
    fn fetch(&mut self, index: usize) -> Result<(), StoreError> {
        self.current = None;
        if !self.held.contains(&index) {
            self.load(index)?;
        }
        let directory = self.segment.directory();
        let first = directory.first(index);
        self.asked = Some((first, directory.last(index)));
        BlockView::verify(first, self.held_bytes(index)).map_err(corrupted(first))?;
        self.current = Some(index);
        Ok(())
    }

    fn held_bytes(&self, index: usize) -> &[u8] {
        let start = self.segment.directory().bytes(&self.held).start;
        let place = self.segment.directory().bytes(&(index..index + 1));
        let in_buffer = |offset: u64| usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        self.buffer.get(in_buffer(place.start)..in_buffer(place.end)).unwrap_or_default()
    }

    fn load(&mut self, index: usize) -> Result<(), StoreError> {
        let direction = self.sequence(index);
        self.ahead_bytes = match direction {
            Some(_) => (4 * self.ahead_bytes).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX),
            None => 0,
        };
        let blocks = self.segment.directory().ahead(index, self.ahead_bytes, direction.unwrap_or_default());
        self.held = 0..0;
        self.segment.read(&blocks, &mut self.buffer)?;
        self.held = blocks;
        Ok(())
    }

    /// The direction in which a block follows the one asked for before; none when it is further from it
    /// than that one is long.
    fn sequence(&self, index: usize) -> Option<Direction> {
        let (asked_first, asked_last) = self.asked?;
        let (first, last) = (self.segment.directory().first(index), self.segment.directory().last(index));
        let (gap, direction) = if first > asked_last {
            (first.0 - asked_last.0, Direction::Forwards)
        } else {
            (asked_first.0.checked_sub(last.0)?, Direction::Backwards)
        };
        (gap <= asked_last.0 - asked_first.0 + 2).then_some(direction)
    }
}
