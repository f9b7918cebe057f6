//! `GET /v1/streams`: which streams there are. `GET /v1/event-types`: which types of event.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::params::Params;
use super::problem::Problem;
use super::selection::Link;
use super::state::ApiState;
use super::wait::AtLeast;
use crate::event::{PAGE_STREAMS_MAX, Position, StreamName, Version};
use crate::store::StreamHead;

const PARAMS: &[&str] = &["prefix", "after", "limit", "at_least", "timeout_ms"];
/// Streams on a page unless told.
pub(super) const PAGE_DEFAULT: usize = 100;

/// Some of the streams, in the order of their names by bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamList)]
pub(super) struct PageView<'a> {
    streams: Vec<RowView<'a>>,
    next: Option<String>,
}

/// A stream and where it ends.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamRow)]
pub(super) struct RowView<'a> {
    stream: &'a str,
    version: Version,
    position: Position,
    deleted: bool,
}

impl<'a> RowView<'a> {
    fn new((name, head): &'a (StreamName, StreamHead)) -> Self {
        let StreamHead { version, position, deleted } = *head;
        Self { stream: name.as_str(), version, position, deleted }
    }
}

/// Lists streams.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), PARAMS)?;
    let limit = params.limit(PAGE_DEFAULT, PAGE_STREAMS_MAX)?;
    let after = params.one("after")?.map(StreamName::new).transpose()?;
    let prefix = params.one("prefix")?.unwrap_or_default().to_owned();
    if let Some(at_least) = AtLeast::parse(&params)? {
        at_least.of_log(&state).await?;
    }
    blocking(&state, move |store| {
        let page = store.streams(&prefix, after.as_ref(), limit)?;
        let next = page.next.as_ref().map(|next| {
            let link = Link::to("/v1/streams").with("after", next.as_str());
            link.with_same(&params, &["prefix", "limit"]).into_text()
        });
        Json::render(&PageView { streams: page.streams.iter().map(RowView::new).collect(), next })
    })
    .await
}

/// Every type of event in the log.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypes)]
pub(super) struct TypesView<'a> {
    types: Vec<TypeView<'a>>,
}

/// A type, and how many events have it.
#[derive(Serialize, ToSchema)]
#[schema(as = EventTypeCount)]
pub(super) struct TypeView<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    events: u64,
}

/// Lists types of events.
pub(super) async fn types(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["at_least", "timeout_ms"])?;
    if let Some(at_least) = AtLeast::parse(&params)? {
        at_least.of_log(&state).await?;
    }
    blocking(&state, move |store| {
        let types = store.event_types()?;
        let types = types.iter().map(|(name, events)| TypeView { name: name.as_str(), events: *events }).collect();
        Json::render(&TypesView { types })
    })
    .await
}
