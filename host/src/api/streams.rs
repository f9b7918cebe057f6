//! `GET /v1/streams/{stream}`: the events of one stream, by version.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking::blocking;
use super::event_view::{EventView, views};
use super::events::{PAGE_BYTES_MAX, PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX, direction};
use super::form::{Answer, Form};
use super::params::Params;
use super::path::Path;
use super::percent::encode;
use super::problem::Problem;
use super::schema::{self, Shown};
use super::selection::Link;
use super::state::ApiState;
use super::wait::AtLeast;
use crate::access::Action;
use crate::event::{Filter, Position, Query, StreamName, Version};
use crate::gate::Caller;
use crate::store::{Direction, ReadPage, ReadRequest, Store, StoreError, StreamHead};

const PARAMS: &[&str] =
    &["after", "before", "since", "until", "limit", "direction", "complete", schema::PARAM, "at_least", "timeout_ms"];

/// A page of a stream; a deleted one is read like any other. `after` and `before` are versions here, not positions; as of a time it
/// is read by `until`, and `version` is that of now.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamPage)]
pub(super) struct StreamView<'a> {
    stream: &'a str,
    version: Version,
    deleted: bool,
    events: Vec<EventView<'a>>,
    head: Position,
    /// Events before this position may be missing, as they were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_before: Option<Position>,
    next: Option<&'a str>,
}

/// Reads a stream.
pub(super) async fn read(
    State(state): State<ApiState>,
    caller: Caller,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let form = Form::of(&headers);
    let params = Params::parse(query.as_deref(), PARAMS)?;
    let stream = StreamName::new(stream)?;
    caller.may(&Action::ReadStream(&stream))?;
    let shown = Shown::parse(&params, &state, &caller, Filter::stream(&stream).into())?;
    let range = Range {
        query: shown.query(),
        after: Version(params.number("after")?.unwrap_or(0)),
        before: params.number("before")?.map(Version),
        since_us: params.time_us("since")?,
        until_us: params.time_us("until")?,
        direction: direction(&params)?,
        limit: params.limit(PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX)?,
        complete: params.flag("complete")?,
    };
    if let Some(at_least) = AtLeast::parse(&params)? {
        at_least.of_log(&state).await?;
    }
    blocking(&state, move |store| {
        let Some(StreamHead { version, deleted, .. }) = store.stream_head(&stream)? else {
            return Err(Problem::not_found(format!("stream {stream} has no events")).with("stream", stream.as_str()));
        };
        let mut page = range.read(store, &stream)?;
        let last = shown.page(&mut page, range.direction);
        let next = range.next(&params, &stream, last.filter(|_| !page.complete));
        let (events, head, removed_before) = (views(&page.events), page.head, page.removed_before);
        let (stream, next) = (stream.as_str(), next.as_deref());
        let whole = StreamView { stream, version, deleted, events, head, removed_before, next };
        Ok(form.page(&page, &whole, next)?.tagged(etag(version)))
    })
    .await
}

/// The `ETag` of a stream: its version, which `If-Match` of an append expects.
pub(super) fn etag(version: Version) -> HeaderValue {
    // Digits within quotes are a header value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// Which part of a stream is wanted.
struct Range {
    /// The events of the stream that may be seen.
    query: Query,
    after: Version,
    before: Option<Version>,
    since_us: Option<u64>,
    until_us: Option<u64>,
    direction: Direction,
    limit: usize,
    complete: bool,
}

impl Range {
    fn read(&self, store: &dyn Store, stream: &StreamName) -> Result<ReadPage, StoreError> {
        let mut request = ReadRequest {
            query: self.query.clone(),
            after_version: self.after,
            before: self.before_position(store, stream)?,
            since_us: self.since_us,
            until_us: self.until_us,
            direction: self.direction,
            limit: self.limit,
            bytes_max: PAGE_BYTES_MAX,
            complete: self.complete,
            ..ReadRequest::default()
        };
        // A store may stop before it has met a match; a page without events could not say where to go on.
        loop {
            let page = store.read(&request)?;
            if page.complete || !page.events.is_empty() {
                return Ok(page);
            }
            match self.direction {
                Direction::Forwards => request.after = page.through,
                Direction::Backwards => request.before = Some(page.through),
            }
        }
    }

    /// The position of the version to stay below; none when the stream has not come that far.
    fn before_position(&self, store: &dyn Store, stream: &StreamName) -> Result<Option<Position>, StoreError> {
        let version = store.stream_head(stream)?.map_or(Version::START, |head| head.version);
        let Some(before) = self.before.filter(|before| *before <= version) else { return Ok(None) };
        if before == Version::START {
            return Ok(Some(Position::START));
        }
        let after_version = Version(before.0 - 1);
        let request =
            ReadRequest { query: Filter::stream(stream).into(), after_version, limit: 1, ..ReadRequest::default() };
        Ok(store.read(&request)?.events.first().map(|event| event.position))
    }

    /// Where the next page begins; none where this one goes up to no version, as it is the last.
    fn next(&self, params: &Params, stream: &StreamName, last: Option<Version>) -> Option<String> {
        let last = last?.to_string();
        let link = Link::to(format!("/v1/streams/{}", encode(stream.as_str())));
        let link = match self.direction {
            Direction::Forwards => link.with("after", &last).with_same(params, &["before"]),
            Direction::Backwards => link.with("before", &last).with_same(params, &["after"]),
        };
        Some(link.with_same(params, &["since", "until", "limit", "direction", "complete", schema::PARAM]).into_text())
    }
}
