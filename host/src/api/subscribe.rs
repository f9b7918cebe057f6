//! `GET /v1/events/subscribe`: catch up, then live, as server-sent events (WHATWG HTML §9.2).
//!
//! One cursor moves through the log: read what stands after it, send that, and when nothing is left wait
//! for the head to move past it. Catching up and live are the same loop, so there is no seam at which an
//! event could be lost or sent twice. Nothing is read ahead of the client: the next page is read when the
//! last one is sent. If retention removed events behind the start that might have matched, an event `removed`
//! says so first, with `{"removed_before":POSITION}`. The id of each event is its position, so `Last-Event-ID` resumes after it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::Event;
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::blocking::blocking;
use super::event_view::EventView;
use super::params::Params;
use super::problem::Problem;
use super::selection::filter;
use super::state::ApiState;
use crate::event::{Filter, Position, RecordedEvent};
use crate::store::ReadRequest;

const PARAMS: &[&str] = &["after", "type", "tag", "stream", "category"];
/// Events read at a time.
const PAGE_EVENTS: usize = 256;
/// Payload bytes read at a time.
const PAGE_BYTES: usize = 1 << 20;
/// How long a subscriber hears nothing at most.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Sends every matching event after `after`, or after `Last-Event-ID`, for as long as the client listens.
/// `after=head` begins at the end of the log.
pub(super) async fn subscribe(
    State(state): State<ApiState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let params = Params::parse(query.as_deref(), PARAMS)?;
    let after = start(&state, &params, &headers)?;
    let subscriber = Subscriber::new(state, filter(&params)?, after)?;
    Ok(Sse::new(unfold(subscriber, |mut subscriber| async move {
        subscriber.next().await.map(|event| (Ok(event), subscriber))
    })))
}

/// The position after which to begin.
fn start(state: &ApiState, params: &Params, headers: &HeaderMap) -> Result<Position, Problem> {
    if let Some(id) = headers.get("last-event-id") {
        let position = id.to_str().ok().and_then(|text| text.trim().parse().ok());
        return position.map(Position).ok_or_else(|| {
            Problem::invalid("header Last-Event-ID is not a position; send the id of the last event received")
        });
    }
    match params.one("after")? {
        Some("head") => Ok(state.store().head()),
        _ => Ok(params.position("after")?.unwrap_or_default()),
    }
}

/// One client and how far it is.
struct Subscriber {
    state: ApiState,
    /// `after` is how far the log was read.
    request: ReadRequest,
    head: watch::Receiver<Position>,
    /// Read, not sent. At most one page.
    unsent: VecDeque<RecordedEvent>,
    /// What is to be told before anything else: events before this position may be missing.
    removed_before: Option<Position>,
    /// Whether the first page was read.
    begun: bool,
    /// The last position that the client was told, as an id.
    told: Position,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Subscriber {
    fn new(state: ApiState, filter: Filter, after: Position) -> Result<Self, Problem> {
        let request = ReadRequest {
            query: filter.into(),
            after,
            limit: PAGE_EVENTS,
            bytes_max: PAGE_BYTES,
            ..ReadRequest::default()
        };
        Ok(Self {
            request,
            head: state.store().watch_head(),
            unsent: VecDeque::new(),
            removed_before: None,
            begun: false,
            told: after,
            ended: false,
            _place: state.subscriber_place()?,
            state,
        })
    }

    /// What to send next; none when it is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended || self.state.is_closing() {
                return None;
            }
            if let Some(before) = self.removed_before.take() {
                let told = serde_json::json!({ "removed_before": before });
                return Some(Event::default().event("removed").data(told.to_string()));
            }
            if let Some(event) = self.unsent.pop_front() {
                return Some(self.render(&event));
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => match self.wait().await {
                    Waited::Moved => {}
                    Waited::Idle => return Some(self.heartbeat()),
                    Waited::Closed => return None,
                },
                Err(problem) => {
                    self.ended = true;
                    return Some(Event::default().event("error").data(problem.to_json().to_string()));
                }
            }
        }
    }

    /// Reads the next page; false when there is nothing to read yet.
    async fn read(&mut self) -> Result<bool, Problem> {
        let request = self.request.clone();
        let page = blocking(&self.state, move |store| Ok(store.read(&request)?)).await?;
        self.request.after = self.request.after.max(page.through);
        self.unsent = page.events.into();
        if !std::mem::replace(&mut self.begun, true) {
            self.removed_before = page.removed_before;
        }
        Ok(!self.unsent.is_empty() || !page.complete || self.removed_before.is_some())
    }

    async fn wait(&mut self) -> Waited {
        let after = self.request.after;
        tokio::select! {
            moved = self.head.wait_for(|head| *head > after) => {
                if moved.is_ok() { Waited::Moved } else { Waited::Closed }
            }
            () = self.state.closed() => Waited::Closed,
            () = tokio::time::sleep(HEARTBEAT) => Waited::Idle,
        }
    }

    fn render(&mut self, event: &RecordedEvent) -> Event {
        self.told = event.position;
        match serde_json::to_string(&EventView::from(event)) {
            // Line breaks stand only between the tokens of JSON, where a space means the same; a stream
            // with one line of data for each event can be read by the simplest of clients.
            Ok(json) => Event::default().id(event.position.to_string()).data(json.replace(['\r', '\n'], " ")),
            Err(error) => {
                self.ended = true;
                tracing::error!(position = %event.position, %error, "event could not be rendered");
                Event::default().event("error").data("the event could not be rendered")
            }
        }
    }

    /// Keeps the connection alive and tells how far the log was searched, so that a client that comes
    /// back need not have it searched again.
    fn heartbeat(&mut self) -> Event {
        let event = Event::default().comment("idle");
        if self.request.after == self.told {
            return event;
        }
        self.told = self.request.after;
        event.id(self.told.to_string())
    }
}

/// Why waiting for events ended.
enum Waited {
    Moved,
    Idle,
    Closed,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::to_bytes;
    use axum::response::IntoResponse as _;
    use futures::stream::once;

    use super::*;
    use crate::api::NoPlugins;
    use crate::clock::ManualClock;
    use crate::store::memory::MemoryStore;

    async fn text(event: Event) -> String {
        let body = Sse::new(once(async { Ok::<_, Infallible>(event) })).into_response().into_body();
        String::from_utf8(to_bytes(body, 1024).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn a_heartbeat_tells_once_how_far_the_log_was_searched() {
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(0))));
        let state = ApiState::new(store, Arc::new(NoPlugins));
        let mut subscriber = Subscriber::new(state, Filter::all(), Position(3)).unwrap();
        assert_eq!(text(subscriber.heartbeat()).await, ": idle\n\n");
        subscriber.request.after = Position(7);
        assert_eq!(text(subscriber.heartbeat()).await, ": idle\nid: 7\n\n");
        assert_eq!(text(subscriber.heartbeat()).await, ": idle\n\n");
    }
}
