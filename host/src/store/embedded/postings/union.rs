//! Positions in at least one of several lists.

use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::{Postings, nearness};
use crate::store::{Direction, StoreError};

/// What is in at least one of several lists of one direction, each position once.
#[derive(Debug)]
pub(in crate::store::embedded) struct Union<P> {
    lists: Vec<P>,
    direction: Direction,
    /// Where each list stands that is not at its end, as (nearness, list); none before the first seek.
    heap: Option<BinaryHeap<(u64, usize)>>,
}

impl<P: Postings> Union<P> {
    /// Of lists that look in `direction`.
    pub(in crate::store::embedded) const fn new(lists: Vec<P>, direction: Direction) -> Self {
        Self { lists, direction, heap: None }
    }

    /// Seeks in every list.
    fn start(&mut self, bound: u64) -> Result<&mut BinaryHeap<(u64, usize)>, StoreError> {
        let mut heap = BinaryHeap::with_capacity(self.lists.len());
        for (index, list) in self.lists.iter_mut().enumerate() {
            heap.extend(list.seek(bound)?.map(|position| (nearness(position, self.direction), index)));
        }
        Ok(self.heap.insert(heap))
    }
}

impl<P: Postings> Postings for Union<P> {
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        if self.heap.is_none() {
            self.start(bound)?;
        }
        let Some(heap) = &mut self.heap else { return Ok(None) };
        while let Some(mut nearest) = heap.peek_mut() {
            if nearest.0 <= nearness(bound, self.direction) {
                return Ok(Some(nearness(nearest.0, self.direction)));
            }
            let list = self.lists.get_mut(nearest.1);
            match list.map_or(Ok(None), |list| list.seek(bound))? {
                Some(position) => nearest.0 = nearness(position, self.direction),
                None => drop(PeekMut::pop(nearest)),
            }
        }
        Ok(None)
    }
}
