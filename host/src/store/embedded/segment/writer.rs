//! Writing a segment.

use std::sync::Arc;

use super::directory;
use super::format::{self, SegmentSummary, TRAILER_BYTES};
use super::place::Place;
use crate::event::Position;
use crate::integrity::MerkleTree;
use crate::store::StoreError;
use crate::store::embedded::block::{BlockBuilder, BlockView, Slot};
use crate::store::embedded::disk::{Disk, DiskFile, Open};
use crate::store::embedded::encoding::Malformed;
use crate::store::embedded::failure::corrupted;

/// Largest block of more than one event, in bytes: what the read of one event costs.
const BLOCK_BYTES_MAX: usize = 4 << 10;
/// Bytes that are written at once, or a multiple of it: at such places the system's pages are larger.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes written between syncs, so that no sync of the journal waits for a whole segment.
const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// Writes the file of a segment from encoded events, in the order of their positions. A file that was not
/// finished is worthless: whoever made it removes it.
#[derive(Debug)]
pub(in crate::store::embedded) struct SegmentWriter {
    place: Place,
    file: Arc<dyn DiskFile>,
    /// What is not written yet, and where it will be.
    buffer: Vec<u8>,
    offset: u64,
    /// Bytes written since the last sync.
    unsynced: u64,
    /// Whether it may have stubs.
    stubs: bool,
    /// The block that is being filled, and its first position.
    block: BlockBuilder,
    block_first: Position,
    first: Position,
    next: Position,
    directory: Vec<u8>,
    tree: MerkleTree,
    first_timestamp_us: u64,
    last_timestamp_us: u64,
    blocks: u64,
    payload_bytes: u64,
}

impl SegmentWriter {
    /// Makes the file of a segment whose first event stands at `first`; only one that is said to have stubs
    /// may be given any.
    ///
    /// # Errors
    /// When there is a file of that name, or the disk fails or is full.
    pub(in crate::store::embedded) fn create(
        disk: &dyn Disk,
        name: &str,
        store_id: u128,
        first: Position,
        stubs: bool,
    ) -> Result<Self, StoreError> {
        let place = Place::new(disk, name);
        let file = disk.open(name, Open::New).map_err(|error| place.write_failed(&error))?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES + 2 * BLOCK_BYTES_MAX);
        buffer.extend_from_slice(&format::header(store_id, first, stubs));
        Ok(Self {
            place,
            file,
            buffer,
            offset: 0,
            unsynced: 0,
            stubs,
            block: BlockBuilder::new(BLOCK_BYTES_MAX),
            block_first: first,
            first,
            next: first,
            directory: Vec::new(),
            tree: MerkleTree::default(),
            first_timestamp_us: 0,
            last_timestamp_us: 0,
            blocks: 0,
            payload_bytes: 0,
        })
    }

    /// Bytes of the file so far. A segment must stay below 4 GiB.
    pub(in crate::store::embedded) const fn bytes(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Adds the next event, or the stub of it, as it was encoded for its position.
    ///
    /// # Errors
    /// When it is neither, is older than the one before it, or the disk fails or is full.
    pub(in crate::store::embedded) fn push(&mut self, slot: Slot<'_>) -> Result<(), StoreError> {
        assert!(self.stubs || matches!(slot, Slot::Event(_)), "the header says that there are no stubs");
        let position = self.next;
        let timestamp_us = slot.timestamp_us().map_err(corrupted(position))?;
        let leaf = slot.stored_leaf().map_err(corrupted(position))?;
        if position == self.first {
            self.first_timestamp_us = timestamp_us;
        } else if timestamp_us < self.last_timestamp_us {
            return Err(corrupted(position)(Malformed("an event is older than the one before it")));
        }
        if !self.block.fits(slot.bytes().len()) {
            self.end_block()?;
        }
        self.block.push_slot(slot);
        self.tree.push(*leaf);
        self.last_timestamp_us = timestamp_us;
        self.payload_bytes += slot.bytes().len() as u64;
        self.next = position.next();
        Ok(())
    }

    /// Adds the events of a block, which must be the next ones.
    ///
    /// # Errors
    /// As [`Self::push`], and when events are missing before the block.
    pub(in crate::store::embedded) fn push_block(&mut self, block: &BlockView<'_>) -> Result<(), StoreError> {
        if block.first() != self.next {
            return Err(corrupted(self.next)(Malformed("events are missing")));
        }
        for slot in block.slots() {
            let (_, slot) = slot.map_err(corrupted(self.next))?;
            self.push(slot)?;
        }
        Ok(())
    }

    /// Ends the segment, which holds one event at least, and syncs the file; that the directory of the disk
    /// lasts is the caller's to see to.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub(in crate::store::embedded) fn finish(mut self) -> Result<SegmentSummary, StoreError> {
        assert!(self.next > self.first, "a segment holds at least one event");
        self.end_block()?;
        let summary = SegmentSummary {
            first: self.first,
            last: Position(self.next.0 - 1),
            first_timestamp_us: self.first_timestamp_us,
            last_timestamp_us: self.last_timestamp_us,
            blocks: self.blocks,
            payload_bytes: self.payload_bytes,
            file_bytes: self.bytes() + self.directory.len() as u64 + TRAILER_BYTES as u64,
            root: self.tree.root(),
        };
        self.buffer.extend_from_slice(&self.directory);
        self.buffer.extend_from_slice(&format::trailer(&summary, &self.directory));
        self.write(self.buffer.len())?;
        self.file.sync().map_err(|error| self.place.write_failed(&error))?;
        Ok(summary)
    }

    fn end_block(&mut self) -> Result<(), StoreError> {
        let entry = directory::put_entry(self.block_first, self.first, self.bytes(), &mut self.directory);
        entry.ok_or_else(|| StoreError::WriteFailed { reason: "a segment has grown past 4 GiB".to_owned() })?;
        self.block.finish(self.block_first, &mut self.buffer);
        self.block_first = self.next;
        self.blocks += 1;
        match self.buffer.len() / WRITE_BYTES {
            0 => Ok(()),
            whole => self.write(whole * WRITE_BYTES),
        }
    }

    /// Writes so many bytes of the buffer.
    fn write(&mut self, bytes: usize) -> Result<(), StoreError> {
        let front = self.buffer.get(..bytes).unwrap_or_default();
        self.file.write(self.offset, front).map_err(|error| self.place.write_failed(&error))?;
        self.offset += front.len() as u64;
        self.unsynced += front.len() as u64;
        self.buffer.drain(..bytes);
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.unsynced = 0;
            self.file.sync().map_err(|error| self.place.write_failed(&error))?;
        }
        Ok(())
    }
}
