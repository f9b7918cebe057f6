//! Positions that have something in common, looked through in one direction, and how lists combine.

mod concat;
mod intersection;
mod slice;
#[cfg(test)]
mod tests;
mod union;

pub(super) use concat::Concat;
pub(super) use intersection::Intersection;
pub(super) use slice::Slice;
pub(super) use union::Union;

use crate::store::{Direction, StoreError};

/// A list of positions, looked through in one direction.
///
/// Forwards, [`Self::seek`] answers the lowest position that is not below its bound; backwards, the highest
/// that is not above it. Bounds of successive calls rise (forwards) or fall (backwards), not strictly.
pub(super) trait Postings {
    /// The nearest position at the bound or beyond it, in the direction; none when there is none.
    ///
    /// # Errors
    /// When the index cannot be read or its bytes are corrupted.
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError>;
}

impl<P: Postings + ?Sized> Postings for Box<P> {
    fn seek(&mut self, bound: u64) -> Result<Option<u64>, StoreError> {
        (**self).seek(bound)
    }
}

/// How far along a position is: falls in the direction, so that a max-heap gives the nearest first. Its own
/// inverse.
const fn nearness(position: u64, direction: Direction) -> u64 {
    match direction {
        Direction::Forwards => !position,
        Direction::Backwards => position,
    }
}
