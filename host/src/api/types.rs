//! `GET /v1/types` and `GET /v1/types/{type}`: the types of events as they are seen, lifted and described.
//!
//! Counts come from the store's index and the ends of a type from one read each, so nothing is kept for this. Schema
//! versions are counted by reading, of one type at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::event_view::timestamp;
use super::params::Params;
use super::path::Path;
use super::percent::encode;
use super::problem::Problem;
use super::selection::Link;
use super::state::ApiState;
use super::type_versions::{Counted, count, of_type};
use super::wait::for_log;
use crate::event::{EventType, Position, RecordedEvent};
use crate::schema::{Chain, Target, TypeSchemas};
use crate::store::{Direction, ReadRequest, Store};

const PARAMS: &[&str] = &["at_least", "timeout_ms"];

/// Every type that is stored, made by an upcaster, or described.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeList)]
pub(super) struct ListView<'a> {
    types: Vec<RowView<'a>>,
}

/// A type.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeRow)]
pub(super) struct RowView<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    /// Events that are stored under it.
    events: u64,
    /// Whether events that are stored under it may be lifted.
    lifted: bool,
    /// Versions that a JSON Schema describes.
    schemas: Vec<u32>,
    /// Whether appends are held to one of them.
    enforced: bool,
}

/// A type in full.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeDetails)]
pub(super) struct TypeView<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    /// Events that are stored under it.
    events: u64,
    /// The first of them.
    first: Option<EndView>,
    /// The last of them.
    last: Option<EndView>,
    /// How many of them are of each schema version: those above `after`, up to where `next` goes on.
    versions: Vec<VersionView>,
    /// The schema version that upcasters lift it to; absent where they say nothing of it, or make another type of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u32>,
    /// The lifts from it and to it.
    lifts: Vec<LiftView<'a>>,
    /// What its data must look like, by version.
    schemas: Vec<SchemaView<'a>>,
    /// The link that goes on counting `versions`, where one answer does not take all events.
    next: Option<String>,
}

/// The events of one schema version.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeVersion)]
pub(super) struct VersionView {
    version: u32,
    events: u64,
}

/// An end of the events of a type.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeEnd)]
pub(super) struct EndView {
    position: Position,
    schema_version: u32,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// A lift.
#[derive(Serialize, ToSchema)]
#[schema(as = Lift)]
pub(super) struct LiftView<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    from: u32,
    /// What it may make; empty where it drops every event.
    into: Vec<TargetView<'a>>,
    /// Where it is written.
    origin: &'a str,
}

/// A type that a lift may make.
#[derive(Serialize, ToSchema)]
#[schema(as = LiftTarget)]
pub(super) struct TargetView<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    schema_version: u32,
}

impl<'a> TargetView<'a> {
    fn of(target: &'a Target) -> Self {
        Self { name: target.event_type.as_str(), schema_version: target.version }
    }
}

/// What the data of one version must look like.
#[derive(Serialize, ToSchema)]
#[schema(as = TypeSchema)]
pub(super) struct SchemaView<'a> {
    version: u32,
    /// Whether appends are held to it.
    enforced: bool,
    /// The JSON Schema.
    #[schema(value_type = Object)]
    schema: &'a Value,
}

/// What is known beside the store.
struct Known {
    chain: Arc<Chain>,
    schemas: Arc<TypeSchemas>,
}

impl Known {
    fn of(state: &ApiState) -> Self {
        // Upcasters that are broken lift nothing, which is what is shown.
        Self { chain: state.plugins().chain().unwrap_or_default(), schemas: state.plugins().schemas() }
    }

    fn row<'a>(&'a self, name: &'a str, events: u64) -> RowView<'a> {
        RowView {
            name,
            events,
            lifted: self.chain.lifts_type(name),
            schemas: self.schemas.of(name).map(|(version, _)| version).collect(),
            enforced: self.schemas.of(name).any(|(_, schema)| schema.enforced),
        }
    }

    fn lifts(&self, name: &str) -> Vec<LiftView<'_>> {
        let about = self
            .chain
            .lifts()
            .filter(|(lift, _)| lift.event_type.as_str() == name || lift.types().any(|made| made.as_str() == name));
        about
            .map(|(lift, origin)| LiftView {
                name: lift.event_type.as_str(),
                from: lift.from,
                into: lift.into.iter().map(TargetView::of).collect(),
                origin,
            })
            .collect()
    }
}

/// Lists types.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), PARAMS)?;
    for_log(&state, &params).await?;
    let known = Known::of(&state);
    blocking(&state, move |store| {
        let stored: BTreeMap<EventType, u64> = store.event_types()?.into_iter().collect();
        let made = known.chain.lifts().flat_map(|(lift, _)| lift.types().chain([&lift.event_type]));
        let names: BTreeSet<&EventType> = stored.keys().chain(made).chain(known.schemas.types()).collect();
        let row = |name: &&'_ EventType| stored.get(*name).copied().unwrap_or(0);
        let types = names.iter().map(|name| known.row(name.as_str(), row(name))).collect();
        Json::render(&ListView { types })
    })
    .await
}

/// Shows one type.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &[&["after"], PARAMS].concat())?;
    let (name, after) = (EventType::new(name)?, params.position("after")?.unwrap_or_default());
    for_log(&state, &params).await?;
    let known = Known::of(&state);
    blocking(&state, move |store| {
        let stored = store.event_types()?.into_iter().find(|(other, _)| *other == name);
        let schemas: Vec<_> = known.schemas.of(name.as_str()).collect();
        let lifts = known.lifts(name.as_str());
        if stored.is_none() && schemas.is_empty() && lifts.is_empty() {
            let detail = format!("no event has the type {name}, no upcaster makes it and no schema describes it");
            return Err(Problem::not_found(detail).with("event_type", name.as_str()));
        }
        let Counted { versions, rest } = count(store, of_type(&name)?, after)?;
        let next = rest.map(|rest| {
            let link = Link::to(format!("/v1/types/{}", encode(name.as_str())));
            link.with("after", &rest.to_string()).into_text()
        });
        Json::render(&TypeView {
            name: name.as_str(),
            events: stored.map_or(0, |(_, events)| events),
            first: end(store, &name, Direction::Forwards)?,
            last: end(store, &name, Direction::Backwards)?,
            versions: versions.into_iter().map(|(version, events)| VersionView { version, events }).collect(),
            current_version: known.chain.current(name.as_str()),
            lifts,
            schemas: schemas
                .into_iter()
                .map(|(version, schema)| SchemaView { version, enforced: schema.enforced, schema: &schema.document })
                .collect(),
            next,
        })
    })
    .await
}

/// The first or the last event of a type that is still there.
fn end(store: &dyn Store, name: &EventType, direction: Direction) -> Result<Option<EndView>, Problem> {
    let mut request = ReadRequest { query: of_type(name)?, direction, limit: 1, ..ReadRequest::default() };
    // A store may stop before it has met a match.
    loop {
        let page = store.read(&request)?;
        if let Some(RecordedEvent { position, schema_version, timestamp_us, .. }) = page.events.first() {
            let (position, schema_version) = (*position, *schema_version);
            return Ok(Some(EndView { position, schema_version, timestamp: timestamp(*timestamp_us) }));
        }
        if page.complete {
            return Ok(None);
        }
        match direction {
            Direction::Forwards => request.after = page.through,
            Direction::Backwards => request.before = Some(page.through),
        }
    }
}
