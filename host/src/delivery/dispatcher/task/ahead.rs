//! Reading ahead: while the handler has one page, the next is read.

use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use super::{Task, read_panicked};
use crate::event::Position;
use crate::store::{ReadPage, ReadRequest, StoreError};

/// Most events read at a time.
const FETCH_EVENTS_MAX: usize = 1024;
/// Most payload bytes read at a time; also bounds what one call of the handler is given. Twice as much is in memory.
const FETCH_BYTES_MAX: usize = 4 << 20;

/// A page that is read, or was, before it is asked for.
pub(super) struct Ahead {
    after: Position,
    page: JoinHandle<Result<ReadPage, StoreError>>,
}

impl Task {
    /// The partition's events after a position.
    pub(super) async fn page(&mut self, after: Position) -> Result<ReadPage, StoreError> {
        let ahead = self.ahead.take().filter(|ahead| ahead.after == after);
        let reading = ahead.map_or_else(|| self.read(after), |ahead| ahead.page);
        reading.await.map_err(read_panicked).flatten()
    }

    /// Waits for what is read for nobody: it holds the store.
    pub(super) async fn end_reading(&mut self) {
        if let Some(ahead) = self.ahead.take() {
            drop(ahead.page.await);
        }
    }

    /// Begins to read the page after this one. What is appended meanwhile may be in it or not.
    pub(super) fn read_ahead(&mut self, after: Position) {
        self.ahead = Some(Ahead { after, page: self.read(after) });
    }

    fn read(&self, after: Position) -> JoinHandle<Result<ReadPage, StoreError>> {
        let store = Arc::clone(&self.common.store);
        let (query, limit) = (self.common.filter.clone().into(), FETCH_EVENTS_MAX);
        let request = ReadRequest { query, after, limit, bytes_max: FETCH_BYTES_MAX, ..ReadRequest::default() };
        let share = (self.share.count > 1).then(|| self.share.clone());
        spawn_blocking(move || {
            let mut page = store.read(&request)?;
            if let Some(share) = share {
                page.events.retain(|event| share.takes(event));
            }
            Ok(page)
        })
    }
}
