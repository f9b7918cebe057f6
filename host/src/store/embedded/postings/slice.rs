//! Positions in memory.

use super::Postings;
use crate::store::{Direction, StoreError};

/// A strictly rising list in memory, borrowed or owned.
#[derive(Clone, Debug)]
pub(in crate::store::embedded) struct Slice<T> {
    list: T,
    direction: Direction,
    /// How many positions were passed, from the end where the direction begins.
    passed: usize,
}

impl<T: AsRef<[u64]>> Slice<T> {
    /// Looks through a strictly rising list.
    pub(in crate::store::embedded) fn new(list: T, direction: Direction) -> Self {
        debug_assert!(list.as_ref().is_sorted_by(|a, b| a < b), "positions rise strictly");
        Self { list, direction, passed: 0 }
    }
}

impl<T: AsRef<[u64]>> Postings for Slice<T> {
    #[inline]
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        let list = self.list.as_ref();
        let at = |index: usize| match self.direction {
            Direction::Forwards => list.get(index),
            Direction::Backwards => list.len().checked_sub(index + 1).and_then(|index| list.get(index)),
        };
        let is_passed = |position: &u64| match self.direction {
            Direction::Forwards => *position < bound,
            Direction::Backwards => *position > bound,
        };
        let is_passed_at = |index| at(index).is_some_and(is_passed);
        // Doubling steps to somewhere beyond the bound, then halves between the last two.
        let (mut low, mut step) = (self.passed, 1);
        while is_passed_at(low + step - 1) {
            (low, step) = (low + step, step * 2);
        }
        let mut high = (low + step - 1).min(list.len());
        while low < high {
            let middle = low.midpoint(high);
            if is_passed_at(middle) { low = middle + 1 } else { high = middle }
        }
        self.passed = low;
        Ok(at(low).copied())
    }
}
