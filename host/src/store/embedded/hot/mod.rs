//! A journal that is not sealed yet, with all that is kept in memory of it: where its blocks are, the index
//! over its events, and what its units of work changed.
//!
//! The writer adds to the newest; the others stand still until they are sealed. Readers hold them by [`Arc`],
//! and may do so after the seal: the journal's file is used again only when nobody does.

mod cursor;
mod id_map;
mod index;
mod positions;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(super) use cursor::HotCursor;
pub(super) use index::{Entry, HotIndex};

use super::disk::DiskFile;
use super::key::Kind;
use super::overlay::Overlay;
use super::postings::Postings;
use crate::event::Position;
use crate::store::{Direction, StoreError};

/// A journal that is not sealed.
#[derive(Debug)]
pub(super) struct Generation {
    /// The journal's sequence number.
    pub(super) sequence: u64,
    /// The number of its file.
    pub(super) slot: u32,
    /// The journal's file, for reading.
    pub(super) file: Arc<dyn DiskFile>,
    /// The last position before it.
    pub(super) after: Position,
    data: RwLock<HotData>,
}

/// What is kept in memory of a journal.
#[derive(Debug)]
pub(super) struct HotData {
    /// Where its blocks are, by position.
    pub(super) blocks: Vec<BlockPlace>,
    /// Over its events, those that are being committed included.
    pub(super) index: HotIndex,
    /// What its units of work changed.
    pub(super) overlay: Overlay,
    /// How many streams have their first event in it.
    pub(super) streams_begun: u64,
}

/// Where a block stands in a journal's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockPlace {
    /// Position of its first event.
    pub(super) first: Position,
    /// Position of its last event.
    pub(super) last: Position,
    /// Time of its first event, in microseconds since the Unix epoch.
    pub(super) first_us: u64,
    /// Where in the file.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) bytes: u32,
}

impl Generation {
    /// An empty one, after the event at `after`.
    pub(super) fn new(sequence: u64, slot: u32, file: Arc<dyn DiskFile>, after: Position) -> Self {
        let data =
            HotData { blocks: Vec::new(), index: HotIndex::new(), overlay: Overlay::default(), streams_begun: 0 };
        Self { sequence, slot, file, after, data: RwLock::new(data) }
    }

    /// What is in memory, to look at briefly: the writer waits meanwhile.
    pub(super) fn data(&self) -> RwLockReadGuard<'_, HotData> {
        self.data.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in memory, for the writer to change: of the journal that it writes, as a seal looks at another for long.
    pub(super) fn data_mut(&self) -> RwLockWriteGuard<'_, HotData> {
        self.data.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HotData {
    /// Position of its last committed event; none if it has none.
    pub(super) fn last(&self) -> Option<Position> {
        self.blocks.last().map(|block| block.last)
    }

    /// The index of the block that holds a position.
    pub(super) fn block_of(&self, position: Position) -> Option<usize> {
        let index = self.blocks.partition_point(|block| block.last < position);
        self.blocks.get(index).filter(|block| block.first <= position).map(|_| index)
    }
}

/// The positions of a name in one journal.
pub(super) struct HotPostings {
    pub(super) generation: Arc<Generation>,
    pub(super) kind: Kind,
    pub(super) name: Box<str>,
    pub(super) direction: Direction,
}

impl Postings for HotPostings {
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        let data = self.generation.data();
        let positions = data.index.positions(self.kind, &self.name);
        Ok(positions.and_then(|positions| positions.seek(bound, self.direction)))
    }
}
