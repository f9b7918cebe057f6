//! Lists of ranges that follow each other, as one.

use std::fmt;

use super::Postings;
use crate::store::StoreError;

/// Lists of disjoint ranges of positions, in the order of the direction. The next one is asked for when the
/// one before is exhausted, so what is not read is not looked up.
pub(in crate::store::embedded) struct Concat<P, F> {
    current: Option<P>,
    /// Gives the next list, none after the last. It is told the bound: lists of ranges that end before it
    /// need not be given.
    next: F,
    exhausted: bool,
}

impl<P: Postings, F: FnMut(u64) -> Result<Option<P>, StoreError>> Concat<P, F> {
    /// Of the lists that `next` gives.
    pub(in crate::store::embedded) const fn new(next: F) -> Self {
        Self { current: None, next, exhausted: false }
    }
}

impl<P: Postings, F: FnMut(u64) -> Result<Option<P>, StoreError>> Postings for Concat<P, F> {
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        while !self.exhausted {
            if let Some(list) = &mut self.current
                && let Some(position) = list.seek(bound)?
            {
                return Ok(Some(position));
            }
            self.current = (self.next)(bound)?;
            self.exhausted = self.current.is_none();
        }
        Ok(None)
    }
}

impl<P: fmt::Debug, F> fmt::Debug for Concat<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concat").field("current", &self.current).field("exhausted", &self.exhausted).finish()
    }
}
