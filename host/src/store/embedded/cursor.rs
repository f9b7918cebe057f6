//! Reading events of a view, one after the other, in either direction, wherever they stand.

use std::sync::Arc;

use super::encoding::EventView;
use super::failure::corrupted;
use super::hot::HotCursor;
use super::segment::SegmentCursor;
use super::view::View;
use crate::event::Position;
use crate::store::{Direction, StoreError};

/// Reads events of a view. Fast when asked for positions in the order of its direction.
pub(super) struct EventCursor {
    view: Arc<View>,
    sealed: SegmentCursor,
    hot: HotCursor,
}

impl EventCursor {
    pub(super) fn new(view: Arc<View>, direction: Direction) -> Self {
        let sealed = SegmentCursor::new(Arc::clone(&view.segments));
        Self { view, sealed, hot: HotCursor::new(direction) }
    }

    /// The event at a position that is not above the head; none if it is removed.
    pub(super) fn event(&mut self, position: Position) -> Result<Option<EventView<'_>>, StoreError> {
        let removals = Arc::clone(&self.view.removals);
        let event = self.stored(position)?;
        Ok(event.filter(|event| !removals.removes(event.stream, position)))
    }

    /// The event at a position that is not above the head, removed or not; none if there is only a stub of it.
    pub(super) fn stored(&mut self, position: Position) -> Result<Option<EventView<'_>>, StoreError> {
        let mut journals = self.view.newest_first();
        match journals.find(|generation| generation.after < position) {
            Some(generation) => {
                self.hot.block(generation, position)?.event(position).map(Some).map_err(corrupted(position))
            }
            None => self.sealed.event(position),
        }
    }
}
