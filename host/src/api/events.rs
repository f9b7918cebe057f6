//! `GET /v1/events` and `GET /v1/events/{id}`.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::blocking::blocking;
use super::event_view::{EventView, views};
use super::form::{Answer, Form};
use super::params::{Params, bad_value};
use super::path::Path;
use super::problem::Problem;
use super::schema::{self, Shown};
use super::selection::{Link, filter};
use super::state::ApiState;
use super::wait::AtLeast;
use crate::access::Action;
use crate::event::{Position, Query};
use crate::gate::Caller;
use crate::store::{Direction, ReadPage, ReadRequest};

const PARAMS: &[&str] = &[
    "after",
    "before",
    "limit",
    "direction",
    "type",
    "tag",
    "stream",
    "category",
    "since",
    "until",
    "complete",
    schema::PARAM,
    "at_least",
    "timeout_ms",
];
/// Events on a page unless told.
pub(super) const PAGE_EVENTS_DEFAULT: usize = 100;
/// Most events on a page.
pub(super) const PAGE_EVENTS_MAX: usize = 10_000;
/// Payload bytes after which a page ends.
pub(super) const PAGE_BYTES_MAX: usize = 4 << 20;

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
pub(super) struct PageView<'a> {
    events: Vec<EventView<'a>>,
    head: Position,
    /// Events before this position may be missing, as they were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_before: Option<Position>,
    next: Option<&'a str>,
}

/// Reads events in the order of the log.
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let form = Form::of(&headers);
    let params = Params::parse(query.as_deref(), PARAMS)?;
    let shown = Shown::parse(&params, &state, &caller, filter(&params)?.into())?;
    let request = ReadRequest {
        query: shown.query(),
        since_us: params.time_us("since")?,
        until_us: params.time_us("until")?,
        after: params.position("after")?.unwrap_or_default(),
        before: params.position("before")?,
        direction: direction(&params)?,
        limit: params.limit(PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX)?,
        bytes_max: PAGE_BYTES_MAX,
        complete: params.flag("complete")?,
        ..ReadRequest::default()
    };
    if let Some(at_least) = AtLeast::parse(&params)? {
        at_least.of_log(&state).await?;
    }
    blocking(&state, move |store| {
        let mut page = store.read(&request)?;
        shown.page(&mut page, request.direction);
        let next = next(&params, &request, &page);
        let (events, head, removed_before) = (views(&page.events), page.head, page.removed_before);
        form.page(&page, &PageView { events, head, removed_before, next: next.as_deref() }, next.as_deref())
    })
    .await
}

/// Where the next page begins: a position, so that it does not move when events are appended.
fn next(params: &Params, request: &ReadRequest, page: &ReadPage) -> Option<String> {
    const SAME: &[&str] =
        &["limit", "direction", "type", "tag", "stream", "category", "since", "until", "complete", schema::PARAM];
    if page.complete {
        return None;
    }
    let link = Link::to("/v1/events");
    let through = page.through.to_string();
    let link = match request.direction {
        Direction::Forwards => link.with("after", &through).with_same(params, &["before"]),
        Direction::Backwards => link.with("before", &through).with_same(params, &["after"]),
    };
    Some(link.with_same(params, SAME).into_text())
}

pub(super) fn direction(params: &Params) -> Result<Direction, Problem> {
    match params.one("direction")? {
        None | Some("forwards") => Ok(Direction::Forwards),
        Some("backwards") => Ok(Direction::Backwards),
        Some(other) => Err(bad_value("direction", other, "give `forwards` or `backwards`")),
    }
}

/// Reads one event by its id.
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    let form = Form::of(&headers);
    let params = Params::parse(query.as_deref(), &[schema::PARAM, "at_least", "timeout_ms"])?;
    let shown = Shown::parse(&params, &state, &caller, Query::all())?;
    let id = Uuid::try_parse(&id).map_err(|error| {
        let shown: String = id.chars().take(64).collect();
        Problem::invalid(format!("{shown:?} is not an event id: {error}"))
    })?;
    if let Some(at_least) = AtLeast::parse(&params)? {
        at_least.of_log(&state).await?;
    }
    blocking(&state, move |store| match store.event(id)?.map(|event| shown.event(event)) {
        Some(event) if caller.may(&Action::ReadEvent(&event)).is_ok() => form.one(&event),
        _ => Err(Problem::not_found(format!("no event has the id {id}")).with("id", id.to_string())),
    })
    .await
}
