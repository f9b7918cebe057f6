//! `Subscribe`: the events that are there and those to come, as a stream of messages.

use std::vec::IntoIter;

use tokio::sync::watch;
use tonic::Status;

use super::convert;
use super::message::{SequencedEvent, SubscribeRequest, SubscribeResponse};
use super::status::of_store;
use crate::event::Position;
use crate::gate::Caller;
use crate::store::{AsyncStore, Feed};

/// A subscription and how far it is. Holds one page.
pub(super) struct Following {
    feed: Feed,
    /// Before this position, events that may have matched were removed when it began.
    pub(super) removed_before: Option<Position>,
    batch_size: usize,
    /// Read and not sent.
    unsent: IntoIter<Vec<SequencedEvent>>,
    closing: watch::Receiver<bool>,
    /// No event can come after the last position.
    done: bool,
}

impl Following {
    /// Begins a subscription to what a caller may see.
    pub(super) fn new(
        (store, caller): (&AsyncStore, &Caller),
        request: SubscribeRequest,
        closing: watch::Receiver<bool>,
    ) -> Result<Self, Status> {
        let query = convert::narrowed(caller, request.query)?;
        let after = Position(request.after.unwrap_or_default());
        Ok(Self {
            removed_before: store.removals().touched(&query, after).map(|(_, before)| before),
            feed: store.subscribe(query, after),
            batch_size: convert::batch_size(request.batch_size),
            unsent: Vec::new().into_iter(),
            closing,
            done: after == Position(u64::MAX),
        })
    }

    /// The next message; waits until there is an event. None when the server is told to stop.
    pub(super) async fn next(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        loop {
            if self.done || *self.closing.borrow() {
                return Ok(None);
            }
            if let Some(events) = self.unsent.next() {
                return Ok(Some(SubscribeResponse { events }));
            }
            tokio::select! {
                page = self.feed.next_page() => {
                    let page = page.map_err(|error| of_store(&error))?;
                    self.unsent = convert::batches(page, self.batch_size).into_iter();
                }
                _ = self.closing.wait_for(|closing| *closing) => return Ok(None),
            }
        }
    }
}
