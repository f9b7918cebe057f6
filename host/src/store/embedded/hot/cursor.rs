//! Reading blocks of journals, one after the other, in either direction.

use std::sync::Arc;

use super::{BlockPlace, Generation};
use crate::event::Position;
use crate::store::embedded::block::BlockView;
use crate::store::embedded::encoding::Malformed;
use crate::store::embedded::failure::corrupted;
use crate::store::{Direction, StoreError};

/// Bytes read at once when blocks are asked for one after the other.
const WINDOW_BYTES: u64 = 128 << 10;

/// Reads blocks of the journals of one view. Fast when asked for positions in the order of its direction.
#[derive(Debug)]
pub(in crate::store::embedded) struct HotCursor {
    direction: Direction,
    /// The journal and the index of the block that was read last.
    at: Option<(u64, usize)>,
    /// The verified block, and where it stands in the window.
    current: Option<BlockPlace>,
    /// Where in the journal's file the window begins.
    start: u64,
    window: Vec<u8>,
}

impl HotCursor {
    pub(in crate::store::embedded) const fn new(direction: Direction) -> Self {
        Self { direction, at: None, current: None, start: 0, window: Vec::new() }
    }

    /// The verified block that holds a committed position of a journal.
    pub(in crate::store::embedded) fn block(
        &mut self,
        generation: &Arc<Generation>,
        position: Position,
    ) -> Result<BlockView<'_>, StoreError> {
        let same = self.at.is_some_and(|(sequence, _)| sequence == generation.sequence);
        let current = self.current.filter(|block| same && block.first <= position && position <= block.last);
        let place = match current {
            Some(place) => place,
            None => self.load(generation, position)?,
        };
        BlockView::trust(place.first, self.bytes(&place)?).map_err(corrupted(position))
    }

    fn load(&mut self, generation: &Generation, position: Position) -> Result<BlockPlace, StoreError> {
        self.current = None;
        let missing = || corrupted(position)(Malformed("the event is missing in its journal"));
        let data = generation.data();
        let index = data.block_of(position).ok_or_else(missing)?;
        let place = *data.blocks.get(index).ok_or_else(missing)?;
        let next = match self.direction {
            Direction::Forwards => index.checked_sub(1),
            Direction::Backwards => index.checked_add(1),
        };
        let sequential = next.is_some_and(|next| self.at == Some((generation.sequence, next)));
        let same = self.at.is_some_and(|(sequence, _)| sequence == generation.sequence);
        let loaded = same && self.start <= place.offset && place.end() <= self.start + self.window.len() as u64;
        let span = if sequential { span(&data.blocks, index, self.direction) } else { (place.offset, place.end()) };
        drop(data);
        self.at = Some((generation.sequence, index));
        if !loaded {
            let (start, end) = span;
            self.window.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
            self.start = start;
            let read = generation.file.read(start, &mut self.window);
            read.map_err(|error| StoreError::ReadFailed {
                reason: format!("journal-{} at byte {start}: {error}", generation.slot),
            })?;
        }
        BlockView::verify(place.first, self.bytes(&place)?).map_err(corrupted(position))?;
        self.current = Some(place);
        Ok(place)
    }

    fn bytes(&self, place: &BlockPlace) -> Result<&[u8], StoreError> {
        let start = place.offset.checked_sub(self.start).and_then(|start| usize::try_from(start).ok());
        let bytes = start.and_then(|start| self.window.get(start..start.checked_add(place.bytes as usize)?));
        bytes.ok_or_else(|| corrupted(place.first)(Malformed("a block lies outside of its journal")))
    }
}

/// The bytes from a block on, in a direction, that are read at once.
fn span(blocks: &[BlockPlace], index: usize, direction: Direction) -> (u64, u64) {
    let (before, from) = blocks.split_at_checked(index).unwrap_or_default();
    let Some(place) = from.first() else { return (0, 0) };
    let fits = |other: &&BlockPlace| other.end().max(place.end()) - other.offset.min(place.offset) <= WINDOW_BYTES;
    match direction {
        Direction::Forwards => {
            let last = from.iter().take_while(fits).last().unwrap_or(place);
            (place.offset, last.end())
        }
        Direction::Backwards => {
            let first = before.iter().rev().take_while(fits).last().unwrap_or(place);
            (first.offset, place.end())
        }
    }
}

impl BlockPlace {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.bytes)
    }
}
