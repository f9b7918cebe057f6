//! Reads of events: the parts of a view, helped by the index.

use std::sync::Arc;

use super::cursor::EventCursor;
use super::encoding::EventView;
use super::failure::corrupted;
use super::lookup;
use super::plan::{Candidates, Plan, Range};
use super::segment::SegmentCursor;
use super::shared::Shared;
use super::texts::Texts;
use super::view::View;
use crate::event::{Filter, Position, Query, RecordedEvent, StreamName};
use crate::store::page::{PageBuilder, first_at, is_above};
use crate::store::{Direction, ReadPage, ReadRequest, StoreError};

/// Reads a page of events.
pub(super) fn read(shared: &Shared, request: &ReadRequest) -> Result<ReadPage, StoreError> {
    let head = shared.head();
    let view = shared.view();
    let mut page = PageBuilder::new(request, head, &view.removals, |time_us| first_since(&view, time_us, head))?;
    let Some(range) = range(&view, request, page.range())? else { return Ok(page.exhaust()) };
    let mut candidates = Candidates::new(Plan::of(&view, &request.query, range)?, range);
    let mut cursor = EventCursor::new(view, request.direction);
    let mut texts = Texts::default();
    while let Some(position) = candidates.next()? {
        let Some(event) = cursor.event(position)? else { continue };
        if !is_above(event.version, request.after_version) || !event.matches_query(&request.query, position)? {
            continue;
        }
        if page.is_full() {
            return Ok(page.stop());
        }
        page.push(event.to_event_of_page(position, &mut texts).map_err(corrupted(position))?);
    }
    Ok(page.exhaust())
}

/// The positions to look at; none when nothing can match.
fn range(
    view: &View,
    request: &ReadRequest,
    (after, below): (Position, Position),
) -> Result<Option<Range>, StoreError> {
    // Of what a query names by category, nothing is left below their horizons.
    let after = after.max(Position(view.removals.floor(&request.query).0.saturating_sub(1)));
    let mut range = Range { after, below, direction: request.direction };
    if request.after_version.0 > 0
        && !range.is_empty()
        && let Some(stream) = only_stream(&request.query)
    {
        let Some(first) = lookup::first_above(view, &stream, request.after_version)? else { return Ok(None) };
        range.after = range.after.max(Position(first.0.saturating_sub(1)));
    }
    Ok((!range.is_empty()).then_some(range))
}

/// The one stream that a query asks for.
fn only_stream(query: &Query) -> Option<StreamName> {
    match query.items.as_slice() {
        [Filter { streams, .. }] => match streams.as_slice() {
            [pattern] => pattern.exact().and_then(|name| StreamName::new(name).ok()),
            _ => None,
        },
        _ => None,
    }
}

/// Position of the first event not above `head` whose time is not before `time_us`; the one after the head
/// if there is none.
fn first_since(view: &Arc<View>, time_us: u64, head: Position) -> Result<Position, StoreError> {
    if let Some(position) = SegmentCursor::new(Arc::clone(&view.segments)).first_at_or_after(time_us)? {
        return Ok(position);
    }
    let mut cursor = EventCursor::new(Arc::clone(view), Direction::Forwards);
    for generation in view.newest_first().rev() {
        let data = generation.data();
        let index = data.blocks.partition_point(|block| block.first_us < time_us);
        // The block before may end with it.
        let before = index.checked_sub(1).and_then(|index| data.blocks.get(index)).copied();
        let next = data.blocks.get(index).map(|block| block.first);
        drop(data);
        if let Some(block) = before {
            let end = block.last.min(head).0 + 1;
            let found = first_at(block.first.0..end, time_us, |position| {
                Ok(cursor.stored(position)?.map_or(u64::MAX, |event| event.timestamp_us))
            })?;
            if found.0 < end {
                return Ok(found);
            }
        }
        if let Some(next) = next {
            return Ok(next.min(head.next()));
        }
    }
    Ok(head.next())
}

/// The event at a committed position; none if it is removed.
pub(super) fn event_at(view: &Arc<View>, position: Position) -> Result<Option<RecordedEvent>, StoreError> {
    let mut cursor = EventCursor::new(Arc::clone(view), Direction::Forwards);
    let event = cursor.event(position)?;
    event.map(|event| event.to_event(position)).transpose().map_err(corrupted(position))
}

impl EventView<'_> {
    /// [`Query::matches`] without copying the event, which stands at `position`.
    pub(super) fn matches_query(&self, query: &Query, position: Position) -> Result<bool, StoreError> {
        let mut tags = None;
        query.matches_parts(self.event_type, self.stream, |tag| {
            let tags = match &mut tags {
                Some(tags) => tags,
                none => none.insert(self.tags().map_err(corrupted(position))?),
            };
            Ok(tags.contains(&tag.as_str()))
        })
    }
}
