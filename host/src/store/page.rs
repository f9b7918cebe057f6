//! Where a page of events or of state ends, decided in pure code, the same for every store.

use super::{Direction, ReadPage, ReadRequest, StatePage};
use crate::event::{Position, RecordedEvent, Version};

/// Bytes of keys and values after which a page of state ends.
const STATE_PAGE_BYTES: usize = 1 << 20;

/// A page of events in the making. A store looks at the positions of [`Self::range`] in the direction of
/// the request, pushes what matches while the page is not full, and ends it by [`Self::stop`] at the
/// first match that no longer fits, or by [`Self::exhaust`] when there is none.
#[derive(Debug)]
pub(super) struct PageBuilder<'a> {
    request: &'a ReadRequest,
    head: Position,
    events: Vec<RecordedEvent>,
    bytes: usize,
}

impl<'a> PageBuilder<'a> {
    /// An empty page of the log as it was at `head`.
    pub(super) const fn new(request: &'a ReadRequest, head: Position) -> Self {
        Self { request, head, events: Vec::new(), bytes: 0 }
    }

    /// The positions to look at: above the first, below the second. Empty when nothing lies between.
    pub(super) fn range(&self) -> (Position, Position) {
        (self.request.after, self.below())
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
            Direction::Forwards => self.request.after,
            Direction::Backwards => self.below(),
        };
        let through = self.events.last().map_or(start, |event| event.position);
        ReadPage { events: self.events, head: self.head, through, complete: false }
    }

    /// Ends the page because nothing else matches.
    pub(super) fn exhaust(self) -> ReadPage {
        let (after, below) = self.range();
        let through = match self.request.direction {
            Direction::Forwards => after.max(Position(below.0.saturating_sub(1))),
            Direction::Backwards => below.min(Position(after.0.saturating_add(1))),
        };
        ReadPage { events: self.events, head: self.head, through, complete: true }
    }

    fn below(&self) -> Position {
        let end = self.head.next();
        self.request.before.map_or(end, |before| before.min(end))
    }
}

/// Whether a version is above the one that a request names.
pub(super) fn is_above(version: Version, after: Version) -> bool {
    after == Version::START || version > after
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

    fn page(request: &ReadRequest, head: u64) -> PageBuilder<'_> {
        PageBuilder::new(request, Position(head))
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
}
