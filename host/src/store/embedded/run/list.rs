//! The positions of one key in a run, looked through in one direction, a page at a time.

use std::sync::Arc;

use super::filter::Probe;
use super::reader::Run;
use crate::store::embedded::postings::{Postings, Slice};
use crate::store::{Direction, StoreError};

/// The list of a key. Nothing is read before the first seek, then one page for each that is needed: a seek
/// far ahead jumps over the pages between by the fences.
#[derive(Debug)]
pub(in crate::store::embedded) struct RunPostings {
    run: Arc<Run>,
    key: Box<[u8]>,
    direction: Direction,
    /// The page that was read last and the key's positions on it.
    page: Option<(usize, Slice<Vec<u64>>)>,
}

impl Run {
    /// The positions of a key; none when the filter knows that there are none. A list is empty when the
    /// filter was wrong.
    pub(in crate::store::embedded) fn postings(
        self: &Arc<Self>,
        key: Probe<'_>,
        direction: Direction,
    ) -> Option<RunPostings> {
        self.may_contain(key).then(|| RunPostings { run: Arc::clone(self), key: key.key.into(), direction, page: None })
    }
}

impl Postings for RunPostings {
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        if let Some((_, positions)) = &mut self.page
            && let Some(position) = positions.seek(bound)?
        {
            return Ok(Some(position));
        }
        // The page of the highest position up to the bound; forwards that of the lowest from it may be the next.
        let Some(page) = self.run.fences().page_of(&self.key, self.place(bound)) else { return Ok(None) };
        let found = self.seek_page(page, bound)?;
        if found.is_some() || self.direction == Direction::Backwards || !self.goes_on(page + 1) {
            return Ok(found);
        }
        self.seek_page(page + 1, bound)
    }
}

impl RunPostings {
    /// Reads a page, unless it is the current one, and looks there.
    fn seek_page(&mut self, page: usize, bound: u64) -> Result<Option<u64>, StoreError> {
        if self.page.as_ref().is_none_or(|(current, _)| *current != page) {
            let range = self.run.bounds();
            let read = self.run.piece(page, &self.key, |piece| {
                let mut positions = Vec::new();
                piece.positions(range, |position| positions.push(position))?;
                Ok(positions)
            })?;
            self.page = Some((page, Slice::new(read.unwrap_or_default(), self.direction)));
        }
        self.page.as_mut().map_or(Ok(None), |(_, positions)| positions.seek(bound))
    }

    /// Whether a page begins in the middle of the list.
    fn goes_on(&self, page: usize) -> bool {
        self.run.fences().get(page).is_some_and(|(key, place)| place > 0 && key == &*self.key)
    }

    /// How far into the run a position stands, from 1; 0 before the run.
    fn place(&self, position: u64) -> u64 {
        position.checked_sub(self.run.bounds().0).map_or(0, |offset| offset.saturating_add(1))
    }
}
