//! Where a page of events, of streams or of state ends, decided in pure code, the same for every store.

use std::ops::Range;

use super::{Direction, ReadPage, ReadRequest, Removals, StatePage, StoreError, StreamHead, StreamPage};
use crate::event::{PAGE_STREAMS_MAX, Position, RecordedEvent, StreamName, Version};

/// Bytes of keys and values after which a page of state ends.
const STATE_PAGE_BYTES: usize = 1 << 20;

/// A page of events in the making. A store looks at the positions of [`Self::range`] in the direction of
/// the request, pushes what matches while the page is not full, and ends it by [`Self::stop`] at the
/// first match that no longer fits, or by [`Self::exhaust`] when there is none.
#[derive(Debug)]
pub(super) struct PageBuilder<'a> {
    request: &'a ReadRequest,
    head: Position,
    /// Positions to look at are above this one.
    after: Position,
    /// Positions to look at are below this one.
    below: Position,
    removed_before: Option<Position>,
    events: Vec<RecordedEvent>,
    bytes: usize,
}

impl<'a> PageBuilder<'a> {
    /// An empty page of the log as it was at `head`. `first_at` answers the position of the first event
    /// stored at a time or later, the position after the head when there is none (see [`first_at`]); it is
    /// asked only when the request has bounds in time.
    ///
    /// # Errors
    /// When the query is over its bounds, when events are removed and the request does not take that, and those
    /// of `first_at`.
    pub(super) fn new(
        request: &'a ReadRequest,
        head: Position,
        removals: &Removals,
        mut first_at: impl FnMut(u64) -> Result<Position, StoreError>,
    ) -> Result<Self, StoreError> {
        request.query.validate()?;
        let (mut after, mut below) = (request.after, head.next());
        if let Some(since_us) = request.since_us {
            after = after.max(Position(first_at(since_us)?.0.saturating_sub(1)));
        }
        if let Some(until_us) = request.until_us {
            below = below.min(first_at(until_us)?);
        }
        if let Some(before) = request.before {
            below = below.min(before);
        }
        let removed = removals.touched(&request.query, after).filter(|_| below.0.saturating_sub(after.0) > 1);
        if let Some((category, before)) = removed.filter(|_| request.complete) {
            return Err(StoreError::Removed { category: category.to_owned(), before });
        }
        let removed_before = removed.map(|(_, before)| before);
        Ok(Self { request, head, after, below, removed_before, events: Vec::new(), bytes: 0 })
    }

    /// The positions to look at: above the first, below the second. Empty when nothing lies between.
    pub(super) const fn range(&self) -> (Position, Position) {
        (self.after, self.below)
    }

    /// Whether the page takes no more events.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= self.request.limit || (!self.events.is_empty() && self.bytes >= self.request.bytes_max)
    }

    /// Adds the next matching event.
    pub(super) fn push(&mut self, event: RecordedEvent) {
        debug_assert!(!self.is_full(), "a full page takes no more events");
        self.bytes += event.data.len();
        self.events.push(event);
    }

    /// Ends the page before everything was looked at: another event matches.
    pub(super) fn stop(self) -> ReadPage {
        let start = match self.request.direction {
            Direction::Forwards => self.after,
            Direction::Backwards => self.below,
        };
        let through = self.events.last().map_or(start, |event| event.position);
        self.page(through, false)
    }

    /// Ends the page because nothing else matches.
    pub(super) fn exhaust(self) -> ReadPage {
        let through = match self.request.direction {
            Direction::Forwards => self.after.max(Position(self.below.0.saturating_sub(1))),
            Direction::Backwards => self.below.min(Position(self.after.0.saturating_add(1))),
        };
        self.page(through, true)
    }

    fn page(self, through: Position, complete: bool) -> ReadPage {
        let Self { events, head, removed_before, .. } = self;
        ReadPage { events, head, through, complete, removed_before }
    }
}

/// The first of `positions` whose event was stored at `time_us` or later, the end of them when there is
/// none. Times never decrease with position, so it is searched for by halves; a store that knows the times
/// of some positions passes the range that is left.
pub(super) fn first_at(
    mut positions: Range<u64>,
    time_us: u64,
    mut timestamp_us: impl FnMut(Position) -> Result<u64, StoreError>,
) -> Result<Position, StoreError> {
    while positions.start < positions.end {
        let middle = positions.start + (positions.end - positions.start) / 2;
        if timestamp_us(Position(middle))? < time_us {
            positions.start = middle + 1;
        } else {
            positions.end = middle;
        }
    }
    Ok(Position(positions.start))
}

/// Whether a version is above the one that a request names.
pub(super) fn is_above(version: Version, after: Version) -> bool {
    after == Version::START || version > after
}

/// A page of the list of streams in the making.
#[derive(Debug)]
pub(super) struct StreamPageBuilder {
    limit: usize,
    page: StreamPage,
}

impl StreamPageBuilder {
    /// An empty page that takes at most `limit` streams, and no more than a page ever holds.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.min(PAGE_STREAMS_MAX), page: StreamPage::default() }
    }

    /// Offers the next stream in the order of names; answers false when it does not fit, and the page is
    /// complete.
    pub(super) fn offer(&mut self, stream: StreamName, head: StreamHead) -> bool {
        let fits = self.page.streams.len() < self.limit;
        if fits {
            self.page.streams.push((stream, head));
        } else {
            self.page.next = self.page.streams.last().map(|(last, _)| last.clone());
        }
        fits
    }

    /// The page.
    pub(super) fn finish(self) -> StreamPage {
        self.page
    }
}

/// A page of state in the making.
#[derive(Debug)]
pub(super) struct StatePageBuilder {
    limit: usize,
    page: StatePage,
    bytes: usize,
}

impl StatePageBuilder {
    /// An empty page that takes at most `limit` entries.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, page: StatePage::default(), bytes: 0 }
    }

    /// Offers the next entry in key order; answers false when it does not fit, and the page is complete.
    pub(super) fn offer(&mut self, key: &str, value: &[u8]) -> bool {
        if self.page.entries.len() >= self.limit || self.bytes >= STATE_PAGE_BYTES {
            self.page.next = self.page.entries.last().map(|(key, _)| key.clone());
            return false;
        }
        self.bytes += key.len() + value.len();
        self.page.entries.push((key.to_owned(), value.to_owned()));
        true
    }

    /// The page.
    pub(super) fn finish(self) -> StatePage {
        self.page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Event `n` was stored at time `10 * n`.
    fn page(request: &ReadRequest, head: u64) -> PageBuilder<'_> {
        PageBuilder::new(request, Position(head), &Removals::default(), |time_us| {
            first_at(1..head + 1, time_us, |position| Ok(position.0 * 10))
        })
        .unwrap()
    }

    #[test]
    fn an_exhausted_page_reaches_the_end_of_the_range() {
        let mut request = ReadRequest { after: Position(3), ..ReadRequest::default() };
        assert_eq!(page(&request, 9).exhaust().through, Position(9));
        assert_eq!(page(&request, 2).exhaust().through, Position(3), "never behind where the reader was");
        request.before = Some(Position(6));
        assert_eq!(page(&request, 9).exhaust().through, Position(5));
        request.direction = Direction::Backwards;
        assert_eq!(page(&request, 9).exhaust().through, Position(4));
        request.before = Some(Position(0));
        assert_eq!(page(&request, 9).exhaust().through, Position(0));
    }

    #[test]
    fn a_stopped_page_without_events_stands_where_it_began() {
        let mut request = ReadRequest { after: Position(3), limit: 0, ..ReadRequest::default() };
        assert!(page(&request, 9).is_full());
        assert_eq!(page(&request, 9).stop().through, Position(3));
        request.direction = Direction::Backwards;
        assert_eq!(page(&request, 9).stop().through, Position(10));
    }

    #[test]
    fn bounds_in_time_become_bounds_in_position() {
        let range = |after, before: Option<u64>, since_us, until_us| {
            let before = before.map(Position);
            let request = ReadRequest { after: Position(after), before, since_us, until_us, ..ReadRequest::default() };
            let page = page(&request, 9);
            (page.range().0.0, page.range().1.0)
        };
        assert_eq!(range(0, None, Some(30), None), (2, 10), "since is inclusive");
        assert_eq!(range(0, None, Some(31), Some(50)), (3, 5), "until is exclusive");
        assert_eq!(range(5, Some(6), Some(10), Some(80)), (5, 6), "the narrower bound counts");
        assert_eq!(range(0, None, Some(0), Some(0)), (0, 1));
        assert_eq!(range(0, None, Some(u64::MAX), Some(u64::MAX)), (9, 10));
    }

    #[test]
    fn the_first_at_a_time_is_the_first_of_equals() {
        let times = [5, 5, 7, 7, 7, 9];
        for time_us in 0..11 {
            let expected = times.iter().filter(|time| **time < time_us).count() as u64 + 1;
            let found = first_at(1..7, time_us, |position| Ok(times[position.0 as usize - 1]));
            assert_eq!(found.unwrap(), Position(expected), "at {time_us}");
        }
    }
}
