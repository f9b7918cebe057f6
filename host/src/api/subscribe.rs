//! `GET /v1/events/subscribe` and `GET /v1/streams/{stream}/subscribe`: catch up, then live, as server-sent
//! events (WHATWG HTML §9.2).
//!
//! A task takes pages from the store's feed, whose past and live end are one loop, and hands them to the
//! client as they are taken: one page waits and one is being sent, however slow the client is. The id of
//! each event is its position, so `Last-Event-ID` resumes after it. If retention removed events that might
//! have matched, an event `removed` says so before what follows, with `{"removed_before":POSITION}`. Whatever
//! ends a subscription but the client and the server's end is told as a last event of type `error`, with a
//! problem as its data.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::blocking::blocking;
use super::form::event_line;
use super::limits::EVENT_STREAM;
use super::params::{Params, bad_value};
use super::path::Path;
use super::problem::{Kind, Problem};
use super::schema::{self, Shown};
use super::selection::filter;
use super::state::ApiState;
use super::wait::for_log;
use crate::access::Action;
use crate::error::ErrorClass;
use crate::event::{Filter, Position, RecordedEvent, StreamName, Version};
use crate::gate::Caller;
use crate::store::{Direction, Feed, ReadRequest, Store, StoreError};

const PARAMS: &[&str] = &["after", "type", "tag", "stream", "category", schema::PARAM, "at_least", "timeout_ms"];
const STREAM_PARAMS: &[&str] = &["after", "type", "tag", schema::PARAM, "at_least", "timeout_ms"];
/// How long a subscriber hears nothing at most.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The last that a subscriber hears of a server that shuts down: a comment, so that clients come back by themselves.
const GOODBYE: &[u8] = b": the server is shutting down\n\n";
/// Bytes of an event on the wire, about, to make room at once.
const EVENT_BYTES: usize = 512;

/// Sends every matching event after `after`, or after `Last-Event-ID`, for as long as the client listens.
/// `after=head` begins at the end of the log, which with `at_least` is there or later.
pub(super) async fn subscribe(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), PARAMS)?;
    for_log(&state, &params).await?;
    let after = match (last_event_id(&headers)?, params.one("after")?) {
        (Some(last), _) => last,
        (None, Some("head")) => state.store().head(),
        (None, _) => params.position("after")?.unwrap_or_default(),
    };
    let shown = Shown::parse(&params, &state, &caller, filter(&params)?.into())?;
    respond(state, shown, after)
}

/// The same for one stream, where `after` is a version.
pub(super) async fn subscribe_stream(
    State(state): State<ApiState>,
    caller: Caller,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), STREAM_PARAMS)?;
    let stream = StreamName::new(stream)?;
    caller.may(&Action::ReadStream(&stream))?;
    let filter = Filter { streams: Filter::stream(&stream).streams, ..filter(&params)? };
    for_log(&state, &params).await?;
    let after = match (last_event_id(&headers)?, params.one("after")?) {
        (Some(last), _) => last,
        (None, Some("head")) => state.store().head(),
        (None, _) => {
            let version = Version(params.number("after")?.unwrap_or(0));
            blocking(&state, move |store| position_of(store, &stream, version)).await?
        }
    };
    let shown = Shown::parse(&params, &state, &caller, filter.into())?;
    respond(state, shown, after)
}

/// The position of a version, which must be there; 0 for version 0.
fn position_of(store: &dyn Store, stream: &StreamName, version: Version) -> Result<Position, Problem> {
    let Some(before) = version.0.checked_sub(1) else { return Ok(Position::START) };
    let query = Filter::stream(stream).into();
    let request = ReadRequest { query, after_version: Version(before), limit: 1, ..ReadRequest::default() };
    match store.read(&request)?.events.first() {
        Some(event) => Ok(event.position),
        None => {
            let allowed = format!("stream {stream} has not come so far; give a version that it has, or `head`");
            Err(bad_value("after", &version.to_string(), &allowed))
        }
    }
}

/// The position that the client has seen last.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let position = id.to_str().ok().and_then(|text| text.trim().parse().ok());
    position.map(|position| Some(Position(position))).ok_or_else(|| {
        Problem::invalid("header Last-Event-ID is not a position; send the id of the last event received")
    })
}

fn respond(state: ApiState, shown: Shown, after: Position) -> Result<Response, Problem> {
    let place = state.places().subscribers.take()?;
    let (sender, pages) = mpsc::channel(1);
    let (last, farewell) = oneshot::channel();
    let feed = state.log().subscribe(shown.query(), after);
    let subscriber = Subscriber {
        state,
        shown,
        feed,
        unlifted: Vec::new(),
        pages: sender,
        removed_before: None,
        told: after,
        _place: place,
    };
    tokio::spawn(async move {
        if let Err(problem) = subscriber.run().await {
            let _ = last.send(problem);
        }
    });
    let body = unfold((pages, Some(farewell)), |(mut pages, farewell)| async move {
        if let Some(page) = pages.recv().await {
            return Some((Ok::<_, Infallible>(page), (pages, farewell)));
        }
        let problem = farewell?.await.ok()?;
        let text = format!("event: error\ndata: {}\n\n", problem.to_json());
        Some((Ok(text.into()), (pages, None)))
    });
    let headers = [(header::CONTENT_TYPE, EVENT_STREAM), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// One client and how far it is.
struct Subscriber {
    state: ApiState,
    /// As which of its forms it sees events.
    shown: Shown,
    feed: Feed,
    /// Read, and not lifted yet.
    unlifted: Vec<RecordedEvent>,
    pages: mpsc::Sender<Bytes>,
    /// Before which position the client was told that events may be missing.
    removed_before: Option<Position>,
    /// The last position that the client was told, as an id.
    told: Position,
    _place: OwnedSemaphorePermit,
}

impl Subscriber {
    /// Sends until the client goes or the server shuts down.
    async fn run(mut self) -> Result<(), Problem> {
        let slow_max = Duration::from_secs(self.state.limits().write_time);
        loop {
            let text = tokio::select! {
                filled = fill(&mut self.unlifted, &mut self.feed) => {
                    filled?;
                    let page = self.lift().await?;
                    self.renew();
                    self.render(&page)?
                }
                () = tokio::time::sleep(HEARTBEAT) => {
                    self.renew();
                    self.heartbeat()
                }
                () = self.state.closed() => {
                    // A client that has not taken the last page yet misses nothing but this.
                    let _ = self.pages.try_send(Bytes::from_static(GOODBYE));
                    return Ok(());
                }
                () = self.pages.closed() => return Ok(()),
            };
            tokio::select! {
                sent = tokio::time::timeout(slow_max, self.pages.send(text.into())) => match sent {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => return Err(too_slow(slow_max, self.told)),
                },
                () = self.state.closed() => return Ok(()),
            }
        }
    }

    /// The next events as the client sees them.
    async fn lift(&mut self) -> Result<Vec<RecordedEvent>, Problem> {
        let page = std::mem::take(&mut self.unlifted);
        if !self.shown.is_lifting() {
            return Ok(page);
        }
        let shown = self.shown.clone();
        let (page, rest) = blocking(&self.state, move |_| Ok(shown.events(page, Direction::Forwards))).await?;
        self.unlifted = rest;
        Ok(page)
    }

    /// Goes on by another chain, where there is one and nothing is left to lift by this one: other stored events may
    /// become what is asked for.
    fn renew(&mut self) {
        if self.unlifted.is_empty() && self.shown.renew(&self.state) {
            self.feed = self.state.log().subscribe(self.shown.query(), self.feed.through());
        }
    }

    fn render(&mut self, page: &[RecordedEvent]) -> Result<Vec<u8>, Problem> {
        let mut text = Vec::with_capacity((page.len() + 1) * EVENT_BYTES);
        let removed_before = self.feed.removed_before();
        if let Some(before) = removed_before.filter(|_| removed_before > self.removed_before) {
            self.removed_before = removed_before;
            text.extend_from_slice(format!("event: removed\ndata: {{\"removed_before\":{before}}}\n\n").as_bytes());
        }
        let mut events = page.iter().peekable();
        while let Some(event) = events.next() {
            // Who goes on after an id has seen all that the event became.
            if events.peek().is_none_or(|next| next.position != event.position) {
                self.told = event.position;
            }
            render_event(&mut text, self.told, event)?;
        }
        Ok(text)
    }

    /// Keeps the connection alive and tells how far the log was searched, so that a client that comes
    /// back need not have it searched again.
    fn heartbeat(&mut self) -> Vec<u8> {
        let through = self.feed.through();
        if through == self.told {
            return b": idle\n\n".into();
        }
        self.told = through;
        format!(": idle\nid: {through}\n\n").into()
    }
}

/// Waits for events, unless there are some. Dropping the future loses nothing.
async fn fill(unlifted: &mut Vec<RecordedEvent>, feed: &mut Feed) -> Result<(), StoreError> {
    if unlifted.is_empty() {
        *unlifted = feed.next_page().await?;
    }
    Ok(())
}

fn too_slow(slow_max: Duration, told: Position) -> Problem {
    let detail = format!(
        "the client took nothing for {} s; subscribe again with the last id it has, which is before {}, as Last-Event-ID",
        slow_max.as_secs(),
        told.next()
    );
    Problem::new(ErrorClass::Unavailable, Kind::TimedOut, detail)
}

/// One line of data, so that the simplest of clients can read it.
fn render_event(text: &mut Vec<u8>, id: Position, event: &RecordedEvent) -> Result<(), Problem> {
    text.extend_from_slice(format!("id: {id}\ndata: ").as_bytes());
    event_line(text, event).map_err(|error| {
        Problem::of_class(ErrorClass::Bug, format!("event {} could not be rendered: {error}", event.position))
    })?;
    text.extend_from_slice(b"\n\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::NoPlugins;
    use crate::clock::ManualClock;
    use crate::event::{EventType, NewEvent, Pattern};
    use crate::store::AppendRequest;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn a_heartbeat_tells_once_how_far_the_log_was_searched() {
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(0))));
        let state = ApiState::new(store.clone(), Arc::new(NoPlugins));
        let filter = Filter { types: vec![Pattern::new("Rare").unwrap()], ..Filter::default() };
        let shown = Shown::of_stored(filter.into());
        let feed = state.log().subscribe(shown.query(), Position::START);
        let (pages, _taken) = mpsc::channel(1);
        let place = state.places().subscribers.take().unwrap();
        let mut subscriber = Subscriber {
            state,
            shown,
            feed,
            unlifted: Vec::new(),
            pages,
            removed_before: None,
            told: Position::START,
            _place: place,
        };
        assert_eq!(subscriber.heartbeat(), b": idle\n\n");
        let event = NewEvent::json(EventType::new("Common").unwrap(), "1");
        store.append(AppendRequest::unconditional(vec![event])).await.unwrap();
        while subscriber.feed.through() < Position(1) {
            let moment = Duration::from_millis(5);
            let idle = tokio::time::timeout(moment, subscriber.feed.next_page()).await;
            assert!(idle.is_err(), "nothing matches");
        }
        assert_eq!(subscriber.heartbeat(), b": idle\nid: 1\n\n");
        assert_eq!(subscriber.heartbeat(), b": idle\n\n");
    }
}
