//! Finding events in the blocks, one after the other, in either direction.

use redb::{AccessGuard, Range, ReadOnlyTable, ReadTransaction};

use super::block::BlockView;
use super::encoding::{EventView, Malformed};
use super::failure::{corrupted, read_failed};
use super::tables::EVENTS;
use crate::event::Position;
use crate::store::{Direction, StoreError};

/// Blocks that are stepped over one by one before looking the next one up is cheaper.
const STEPS_MAX: u64 = 16;

type Row = (AccessGuard<'static, u64>, AccessGuard<'static, &'static [u8]>);

/// Reads events of one transaction. Fast when asked for positions in the order of its direction.
pub(super) struct EventCursor {
    table: ReadOnlyTable<u64, &'static [u8]>,
    direction: Direction,
    /// Rows beyond the current block, in the direction.
    rows: Option<Range<'static, u64, &'static [u8]>>,
    current: Option<Block>,
}

/// A verified block in memory.
struct Block {
    first: Position,
    last: Position,
    bytes: AccessGuard<'static, &'static [u8]>,
}

impl EventCursor {
    pub(super) fn new(transaction: &ReadTransaction, direction: Direction) -> Result<Self, StoreError> {
        let table = transaction.open_table(EVENTS).map_err(read_failed)?;
        Ok(Self { table, direction, rows: None, current: None })
    }

    /// The event at a position that is not above the head.
    pub(super) fn event(&mut self, position: Position) -> Result<EventView<'_>, StoreError> {
        if !self.current.as_ref().is_some_and(|block| block.holds(position)) {
            self.current = Some(self.find(position)?);
        }
        let block = self.current.as_ref().ok_or(Malformed("the event is missing"));
        block.and_then(|block| block.view()?.event(position)).map_err(corrupted(position))
    }

    fn find(&mut self, position: Position) -> Result<Block, StoreError> {
        if self.current.as_ref().is_some_and(|block| block.distance(position) <= STEPS_MAX)
            && let Some(block) = self.step(position)?
        {
            return Ok(block);
        }
        self.rows = None;
        let row = self.table.range(..=position.0).map_err(read_failed)?.next_back();
        let block = row.map(|row| verify(row.map_err(read_failed)?)).transpose()?;
        block
            .filter(|block| block.holds(position))
            .ok_or_else(|| corrupted(position)(Malformed("the event is missing")))
    }

    /// Walks from the current block to the one that holds `position`.
    fn step(&mut self, position: Position) -> Result<Option<Block>, StoreError> {
        let Some(current) = &self.current else { return Ok(None) };
        let mut rows = match self.rows.take() {
            Some(rows) => rows,
            None => match self.direction {
                Direction::Forwards => self.table.range(current.last.next().0..),
                Direction::Backwards => self.table.range(..current.first.0),
            }
            .map_err(read_failed)?,
        };
        for _ in 0..=STEPS_MAX {
            let row = match self.direction {
                Direction::Forwards => rows.next(),
                Direction::Backwards => rows.next_back(),
            };
            let Some(row) = row.transpose().map_err(read_failed)? else { break };
            // What is stepped over is not verified: if it lies about its length, looking the block up by
            // its key finds the right one.
            let first = Position(row.0.value());
            let Ok(view) = BlockView::trust(first, row.1.value()) else { break };
            if first <= position && position <= view.last() {
                self.rows = Some(rows);
                return verify(row).map(Some);
            }
        }
        Ok(None)
    }
}

fn verify((first, bytes): Row) -> Result<Block, StoreError> {
    let first = Position(first.value());
    let last = BlockView::verify(first, bytes.value()).map_err(corrupted(first))?.last();
    Ok(Block { first, last, bytes })
}

impl Block {
    fn holds(&self, position: Position) -> bool {
        self.first <= position && position <= self.last
    }

    /// How many positions lie between the block and `position`.
    fn distance(&self, position: Position) -> u64 {
        if position < self.first { self.first.0 - position.0 } else { position.0.saturating_sub(self.last.0) }
    }

    fn view(&self) -> Result<BlockView<'_>, Malformed> {
        BlockView::trust(self.first, self.bytes.value())
    }
}
