//! Checking every byte of a segment.

use std::sync::Arc;

use super::file::Segment;
use super::format::SegmentSummary;
use super::reader::SegmentReader;
use crate::event::Position;
use crate::integrity::MerkleTree;
use crate::store::StoreError;
use crate::store::embedded::block::{BlockView, Slot};
use crate::store::embedded::disk::Disk;
use crate::store::embedded::encoding::{EventView, Malformed};
use crate::store::embedded::failure::corrupted;
use crate::store::embedded::stub::Stub;

/// Who looks on while a segment is verified.
pub(in crate::store::embedded) trait Visitor {
    /// The next event, verified.
    ///
    /// # Errors
    /// What else is wrong with it; this ends the verification.
    fn event(&mut self, position: Position, event: &EventView<'_>) -> Result<(), StoreError>;

    /// What is left of a removed event.
    ///
    /// # Errors
    /// As [`Self::event`].
    fn stub(&mut self, position: Position, stub: &Stub<'_>) -> Result<(), StoreError>;

    /// So many bytes more of the file are verified.
    fn progress(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

/// Verifies a whole segment: header, trailer and directory, then block by block its checksum and its place
/// in the directory, and event by event position, leaf hash, parts and time; last the trailer's sums and root.
///
/// # Errors
/// The first thing found wrong, with its position if it has one, or what the visitor says.
pub(in crate::store::embedded) fn verify(
    disk: &dyn Disk,
    name: &str,
    store_id: u128,
    visitor: &mut impl Visitor,
) -> Result<SegmentSummary, StoreError> {
    let segment = Arc::new(Segment::open(disk, name, store_id)?);
    let mut reader = SegmentReader::new(Arc::clone(&segment));
    let (directory, stated) = (segment.directory(), segment.summary());
    let mut sums = Sums { stubs_allowed: segment.has_stubs(), ..Sums::default() };
    let mut verified_bytes = 0;
    for index in 0..directory.len() {
        let block = reader.block(index)?;
        if block.last() != directory.last(index) {
            let first_wrong = block.last().min(directory.last(index)).next();
            return Err(corrupted(first_wrong)(Malformed("a block does not hold the events that the directory says")));
        }
        sums.add_block(&block, visitor)?;
        let end = directory.bytes(&(index..index + 1)).end;
        visitor.progress(end - verified_bytes);
        verified_bytes = end;
    }
    visitor.progress(stated.file_bytes - verified_bytes);
    let found = SegmentSummary {
        first: directory.first(0),
        last: directory.last(directory.len().saturating_sub(1)),
        first_timestamp_us: sums.first_timestamp_us.unwrap_or_default(),
        last_timestamp_us: sums.last_timestamp_us,
        blocks: directory.len() as u64,
        payload_bytes: sums.payload_bytes,
        file_bytes: stated.file_bytes,
        root: sums.tree.root(),
    };
    if found == *stated { Ok(found) } else { Err(segment.place().corrupted("its trailer does not sum up its events")) }
}

/// What the trailer says, summed up anew.
#[derive(Default)]
struct Sums {
    first_timestamp_us: Option<u64>,
    last_timestamp_us: u64,
    payload_bytes: u64,
    tree: MerkleTree,
    stubs_allowed: bool,
}

impl Sums {
    fn add_block(&mut self, block: &BlockView<'_>, visitor: &mut impl Visitor) -> Result<(), StoreError> {
        for slot in block.slots() {
            let (position, slot) = slot.map_err(corrupted(block.first()))?;
            match slot {
                Slot::Event(bytes) => {
                    let event = EventView::parse(bytes).map_err(corrupted(position))?;
                    event.verify_leaf(position).map_err(corrupted(position))?;
                    event.verify_labels().map_err(corrupted(position))?;
                    self.add(slot).map_err(corrupted(position))?;
                    visitor.event(position, &event)?;
                }
                Slot::Stub(bytes) => {
                    let stub = Stub::parse(bytes).map_err(corrupted(position))?;
                    self.add(slot).map_err(corrupted(position))?;
                    visitor.stub(position, &stub)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, slot: Slot<'_>) -> Result<(), Malformed> {
        let timestamp_us = slot.timestamp_us()?;
        if timestamp_us < self.last_timestamp_us {
            return Err(Malformed("an event is older than the one before it"));
        }
        if matches!(slot, Slot::Stub(_)) && !self.stubs_allowed {
            return Err(Malformed("a removed event stands in a segment that was never compacted"));
        }
        self.first_timestamp_us.get_or_insert(timestamp_us);
        self.last_timestamp_us = timestamp_us;
        self.payload_bytes += slot.bytes().len() as u64;
        self.tree.push(*slot.stored_leaf()?);
        Ok(())
    }
}
