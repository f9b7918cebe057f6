//! Reads a span of the log page by page, and hands it on in slices of a batch.

use std::ops::ControlFlow;

use super::progress::{Odometer, Tell};
use super::span::Span;
use super::{RehearsalError, Stage};
use crate::delivery::EventBatch;
use crate::event::{Position, Query};
use crate::store::ReadRequest;

/// Most events read at a time.
const PAGE_EVENTS_MAX: usize = 1024;
/// Most payload bytes read at a time, if more than one event is.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// What becomes of one slice; breaking ends the walk early, and well.
pub(super) type Each<'a> = &'a mut dyn FnMut(&EventBatch) -> Result<ControlFlow<()>, RehearsalError>;

/// What is walked over.
pub(super) struct Route {
    pub(super) query: Query,
    pub(super) span: Span,
    /// Most events in a slice; at least 1.
    pub(super) slice_events_max: usize,
    /// Whether it ends at once when retention has removed events of it.
    pub(super) whole: bool,
}

/// Hands every matching event of the route to `each`, in order. Answers before which position retention may have
/// removed others, if it has.
pub(super) fn walk(
    stage: &Stage,
    route: Route,
    tell: Tell<'_>,
    each: Each<'_>,
) -> Result<Option<Position>, RehearsalError> {
    let Route { query, span, slice_events_max, whole } = route;
    let mut removed_before = None;
    let mut odometer = Odometer::new(span, stage.clock.now_us());
    let mut request = ReadRequest {
        query,
        after: Position(span.first.0.saturating_sub(1)),
        before: Some(span.last.next()),
        limit: PAGE_EVENTS_MAX,
        bytes_max: PAGE_BYTES_MAX,
        ..ReadRequest::default()
    };
    loop {
        let page = stage.store.read(&request)?;
        removed_before = removed_before.max(page.removed_before);
        if let (true, Some(before)) = (whole, removed_before) {
            return Err(RehearsalError::Removed { before });
        }
        let (through, complete) = (page.through, page.complete);
        let page = EventBatch::new(page.events);
        let mut next = 0;
        while next < page.len() {
            let slice = page.slice(next..next + slice_events_max.max(1));
            next += slice.len();
            if each(&slice)?.is_break() {
                return Ok(removed_before);
            }
            let position = slice.last().map_or(through, |event| event.position);
            tell(odometer.advance(slice.len(), position, stage.clock.now_us())).or_cancelled()?;
        }
        tell(odometer.advance(0, through, stage.clock.now_us())).or_cancelled()?;
        if complete {
            return Ok(removed_before);
        }
        request.after = through;
    }
}

trait OrCancelled {
    fn or_cancelled(self) -> Result<(), RehearsalError>;
}

impl OrCancelled for ControlFlow<()> {
    fn or_cancelled(self) -> Result<(), RehearsalError> {
        if self.is_break() { Err(RehearsalError::Cancelled) } else { Ok(()) }
    }
}
