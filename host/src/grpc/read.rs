//! `Read`: the events that are there, as a stream of messages, up to where the log ends when it begins.

use std::vec::IntoIter;

use tonic::Status;

use super::convert;
use super::limits::PAGE_BYTES;
use super::message::{self, ReadResponse, SequencedEvent};
use super::status::{invalid, of_store};
use crate::event::Position;
use crate::gate::Caller;
use crate::store::{AsyncStore, Direction, ReadRequest};

/// A read and how far it is. Holds one page.
pub(super) struct Reading {
    store: AsyncStore,
    /// What is left to read.
    request: ReadRequest,
    batch_size: usize,
    /// Events that may still be sent, if they are limited.
    left: Option<usize>,
    /// Where the log ended when the first page was read.
    head: Option<Position>,
    /// Read and not sent.
    unsent: IntoIter<Vec<SequencedEvent>>,
    sent_any: bool,
    done: bool,
}

impl Reading {
    /// Begins a read of what a caller may see. `complete` makes removed events an error.
    pub(super) fn new(
        (store, caller): (AsyncStore, &Caller),
        request: message::ReadRequest,
        complete: bool,
    ) -> Result<Self, Status> {
        if request.subscribe.unwrap_or_default() {
            return Err(invalid("a read does not subscribe; call Subscribe for events to come"));
        }
        let left = request.limit.map(|limit| limit as usize);
        Ok(Self {
            store,
            batch_size: convert::batch_size(request.batch_size),
            left,
            head: None,
            unsent: Vec::new().into_iter(),
            sent_any: false,
            done: left == Some(0),
            request: ReadRequest { complete, ..range(request, caller)? },
        })
    }

    /// Before which position events that may have matched are removed, of what is left to read.
    pub(super) fn removed_before(&self) -> Option<Position> {
        let ReadRequest { query, after, .. } = &self.request;
        self.store.removals().touched(query, *after).map(|(_, before)| before)
    }

    /// The next message; none when all is sent.
    pub(super) async fn next(&mut self) -> Result<Option<ReadResponse>, Status> {
        loop {
            if let Some(events) = self.unsent.next() {
                return Ok(Some(self.message(events)));
            }
            if self.done {
                return Ok(None);
            }
            self.fetch().await?;
            if self.done && !self.sent_any && self.unsent.as_slice().is_empty() {
                // Tells the head at least.
                return Ok(Some(self.message(Vec::new())));
            }
        }
    }

    async fn fetch(&mut self) -> Result<(), Status> {
        self.request.limit = self.left.map_or(self.batch_size, |left| left.min(self.batch_size));
        let page = self.store.read(self.request.clone()).await.map_err(|error| of_store(&error))?;
        let head = *self.head.get_or_insert(page.head);
        match self.request.direction {
            Direction::Forwards => {
                self.request.after = page.through;
                self.request.before = Some(head.next());
            }
            Direction::Backwards => self.request.before = Some(page.through),
        }
        self.left = self.left.map(|left| left.saturating_sub(page.events.len()));
        self.done = page.complete || self.left == Some(0);
        self.unsent = convert::batches(page.events, self.batch_size).into_iter();
        Ok(())
    }

    fn message(&mut self, events: Vec<SequencedEvent>) -> ReadResponse {
        self.sent_any = true;
        let head = match self.left {
            None => self.head.filter(|head| *head != Position::START).map(|head| head.0),
            Some(_) => events.last().map(|event| event.position),
        };
        ReadResponse { events, head }
    }
}

/// What the request asks for. `start` is inclusive.
fn range(request: message::ReadRequest, caller: &Caller) -> Result<ReadRequest, Status> {
    let bounds = match (request.backwards.unwrap_or_default(), request.start) {
        (false, start) => {
            ReadRequest { after: Position(start.unwrap_or_default().saturating_sub(1)), ..ReadRequest::default() }
        }
        (true, start) => ReadRequest {
            direction: Direction::Backwards,
            before: start.and_then(|start| start.checked_add(1)).map(Position),
            ..ReadRequest::default()
        },
    };
    let query = convert::narrowed(caller, request.query)?;
    Ok(ReadRequest { query, bytes_max: PAGE_BYTES, ..bounds })
}
