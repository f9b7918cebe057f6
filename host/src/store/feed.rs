//! Catching up with the log and then following it.
//!
//! One cursor moves through the log: what stands after it is read and handed out, and when nothing is left
//! the feed waits for the head to move past it. The past and the live end are the same loop, so there is no
//! seam at which an event could be lost or come twice. A feed holds one page at most and reads the next
//! when that is handed out: a slow reader costs memory for one page, however fast the log grows.

use std::vec::IntoIter;

use tokio::sync::watch;

use super::{AsyncStore, ReadRequest, StoreError};
use crate::event::{Position, Query, RecordedEvent};

/// Events read at a time.
const PAGE_EVENTS: usize = 512;
/// Payload bytes after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

/// Every matching event after a position, in order, each once. Made by [`AsyncStore::subscribe`].
#[derive(Debug)]
pub struct Feed {
    store: AsyncStore,
    /// `after` is how far the log was read.
    request: ReadRequest,
    head: watch::Receiver<Position>,
    /// Read and not handed out.
    unread: IntoIter<RecordedEvent>,
    /// The highest that a page told.
    removed_before: Option<Position>,
}

impl Feed {
    pub(super) fn new(store: AsyncStore, query: Query, after: Position) -> Self {
        let head = store.watch_head();
        let request = ReadRequest { query, after, limit: PAGE_EVENTS, bytes_max: PAGE_BYTES, ..ReadRequest::default() };
        Self { store, request, head, unread: Vec::new().into_iter(), removed_before: None }
    }

    /// The next event; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Store::read`](super::Store::read). Called again, it tries the same place again.
    pub async fn next(&mut self) -> Result<RecordedEvent, StoreError> {
        loop {
            if let Some(event) = self.unread.next() {
                return Ok(event);
            }
            self.fetch().await?;
        }
    }

    /// The next events; waits until there is one, or until [`Self::removed_before`] rises, and then there may
    /// be none. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Store::read`](super::Store::read). Called again, it tries the same place again.
    pub async fn next_page(&mut self) -> Result<Vec<RecordedEvent>, StoreError> {
        let told = self.removed_before;
        while self.unread.as_slice().is_empty() && self.removed_before == told {
            self.fetch().await?;
        }
        Ok(std::mem::take(&mut self.unread).collect())
    }

    /// How far the feed has come: every matching event up to here was handed out. A feed that begins after
    /// this position goes on where this one is. It moves also while nothing matches.
    #[must_use]
    pub fn through(&self) -> Position {
        let before = |event: &RecordedEvent| Position(event.position.0.saturating_sub(1));
        self.unread.as_slice().first().map_or(self.request.after, before)
    }

    /// Before which position matching events may be missing, as retention had removed them when the feed came
    /// there; none while none are.
    #[must_use]
    pub fn removed_before(&self) -> Option<Position> {
        self.removed_before
    }

    /// Waits for something to read and reads it. The cursor moves with the page it brings, so that a future
    /// dropped before has no effect.
    async fn fetch(&mut self) -> Result<(), StoreError> {
        let after = self.request.after;
        self.head.wait_for(|head| *head > after).await.map_err(|_| StoreError::ShuttingDown)?;
        let page = self.store.read(self.request.clone()).await?;
        self.request.after = after.max(page.through);
        self.unread = page.events.into_iter();
        self.removed_before = self.removed_before.max(page.removed_before);
        Ok(())
    }
}
