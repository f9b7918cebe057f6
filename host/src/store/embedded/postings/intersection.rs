//! Positions in every one of several lists.

use super::Postings;
use crate::store::StoreError;

/// What is in every one of several lists of one direction. Cheapest when the shortest list is the first.
#[derive(Debug)]
pub(in crate::store::embedded) struct Intersection<P> {
    lists: Vec<P>,
}

impl<P: Postings> Intersection<P> {
    /// Of lists that look in the same direction; that of no lists is empty.
    pub(in crate::store::embedded) const fn new(lists: Vec<P>) -> Self {
        Self { lists }
    }
}

impl<P: Postings> Postings for Intersection<P> {
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        let Some((first, others)) = self.lists.split_first_mut() else { return Ok(None) };
        let mut candidate = bound;
        'candidates: while let Some(position) = first.seek(candidate)? {
            candidate = position;
            for other in &mut *others {
                match other.seek(candidate)? {
                    Some(position) if position == candidate => {}
                    // Beyond the candidate: the first list has to catch up.
                    Some(position) => {
                        candidate = position;
                        continue 'candidates;
                    }
                    None => return Ok(None),
                }
            }
            return Ok(Some(candidate));
        }
        Ok(None)
    }
}
