//! A rising list of positions.

use crate::event::Position;
use crate::store::Direction;

/// Positions of events that have something in common, rising.
#[derive(Debug)]
pub(super) struct Positions(Vec<u64>);

impl Positions {
    /// No positions.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a position above all others, once.
    pub(super) fn push(&mut self, position: Position) {
        if self.0.last() != Some(&position.0) {
            // Most lists are streams, and most streams are short: the default first step of four is too much.
            if self.0.capacity() == 0 {
                self.0.reserve_exact(1);
            }
            self.0.push(position.0);
        }
    }

    /// Takes back a push; answers whether the list is empty now.
    pub(super) fn undo(&mut self, position: Position) -> bool {
        self.0.pop_if(|last| *last == position.0);
        self.0.is_empty()
    }

    /// How many positions.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them are not above `head`.
    pub(super) fn len_at(&self, head: Position) -> usize {
        match self.0.last() {
            Some(last) if *last > head.0 => self.0.partition_point(|position| *position <= head.0),
            _ => self.0.len(),
        }
    }

    /// The nearest position at `bound` or beyond it, in a direction.
    pub(super) fn seek(&self, bound: u64, direction: Direction) -> Option<u64> {
        match direction {
            Direction::Forwards => self.get(self.0.partition_point(|position| *position < bound)),
            Direction::Backwards => self.get(self.0.partition_point(|position| *position <= bound).checked_sub(1)?),
        }
    }

    /// The position at an index.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        self.0.get(index).copied()
    }

    /// All of them.
    pub(super) fn as_slice(&self) -> &[u64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_looked_through_in_both_directions() {
        let mut list = Positions::new();
        for position in [2, 3, 3, 5, 8] {
            list.push(Position(position));
        }
        let seek = |bound, direction| list.seek(bound, direction);
        assert_eq!([0, 4, 8, 9].map(|bound| seek(bound, Direction::Forwards)), [Some(2), Some(5), Some(8), None]);
        assert_eq!([0, 4, 8, 9].map(|bound| seek(bound, Direction::Backwards)), [None, Some(3), Some(8), Some(8)]);
        assert_eq!((list.len_at(Position(5)), list.get(2), list.get(9)), (3, Some(5), None));
        assert!(!list.undo(Position(8)) && !list.undo(Position(8)));
        assert_eq!(list.len(), 3);
    }
}
