//! A rising list of positions, and taking a page of several of them.

use std::collections::BinaryHeap;

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
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them are not above `head`.
    pub(super) fn len_at(&self, head: Position) -> usize {
        match self.0.last() {
            Some(last) if *last > head.0 => self.0.partition_point(|position| *position <= head.0),
            _ => self.0.len(),
        }
    }

    /// Those above `after` and below `below`, without the first `skipped` of the whole list.
    pub(super) fn between(&self, after: Position, below: Position, skipped: usize) -> &[u64] {
        let start = self.0.partition_point(|position| *position <= after.0).max(skipped);
        let end = self.0.partition_point(|position| *position < below.0);
        self.0.get(start..end).unwrap_or_default()
    }
}

/// The first `max` positions of all lists together in a direction, each once.
pub(super) fn merge(lists: &[&[u64]], direction: Direction, max: usize) -> Vec<u64> {
    // The heap gives the largest key first; inverting the bits inverts the order.
    let next = |list| match direction {
        Direction::Forwards => <[u64]>::split_first(list).map(|(position, rest)| (!position, rest)),
        Direction::Backwards => list.split_last().map(|(position, rest)| (*position, rest)),
    };
    let mut heap: BinaryHeap<(u64, &[u64])> = lists.iter().filter_map(|list| next(list)).collect();
    let mut merged = Vec::with_capacity(max.min(lists.iter().map(|list| list.len()).sum()));
    while merged.len() < max
        && let Some((key, rest)) = heap.pop()
    {
        let position = if direction == Direction::Forwards { !key } else { key };
        if merged.last() != Some(&position) {
            merged.push(position);
        }
        heap.extend(next(rest));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_merge_in_both_directions() {
        let lists: [&[u64]; 3] = [&[1, 4, 9], &[2, 4], &[]];
        assert_eq!(merge(&lists, Direction::Forwards, 3), [1, 2, 4]);
        assert_eq!(merge(&lists, Direction::Backwards, 3), [9, 4, 2]);
        assert_eq!(merge(&lists, Direction::Backwards, 9), [9, 4, 2, 1]);
    }

    #[test]
    fn a_range_of_a_list_is_exclusive_at_both_ends() {
        let mut list = Positions::new();
        for position in [2, 3, 3, 5, 8] {
            list.push(Position(position));
        }
        assert_eq!(list.between(Position(2), Position(8), 0), [3, 5]);
        assert_eq!(list.between(Position(0), Position(9), 3), [8]);
        assert_eq!(list.between(Position(5), Position(4), 0), [0; 0]);
        assert_eq!(list.len_at(Position(5)), 3);
        assert!(!list.undo(Position(8)) && !list.undo(Position(8)));
        assert_eq!(list.len(), 3);
    }
}
