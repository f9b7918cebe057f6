//! `GET /v1/streams/{stream}/state`: an aggregate as of some point. `GET /v1/streams/{stream}/diff`: what changed it between
//! two. `GET /v1/snapshots`, `DELETE /v1/snapshots/{stream}`: what makes loading it quick.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::blocking::Json;
use super::event_view::timestamp;
use super::params::Params;
use super::path::Path;
use super::percent::encode;
use super::problem::Problem;
use super::selection::Link;
use super::state::ApiState;
use super::wait::for_log;
use crate::access::Action;
use crate::command::{Change, DamagedSnapshot, Point, SnapshotInfo, SnapshotPage, StateAt, Touched};
use crate::event::{Category, EventType, Position, StreamName, Version};
use crate::gate::Caller;

/// Snapshots on a page unless told.
pub(super) const PAGE_DEFAULT: usize = 100;
/// Most snapshots on a page.
pub(super) const PAGE_MAX: usize = 1000;

/// An aggregate as of some point.
#[derive(Serialize, ToSchema)]
#[schema(as = AggregateState)]
pub(super) struct StateView<'a> {
    stream: &'a StreamName,
    aggregate: &'a Category,
    /// Version of the last event that is in it.
    version: Version,
    /// That event's position.
    position: Position,
    /// Version of what the state holds.
    snapshot_schema: u32,
    /// The state, when it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    state: Option<&'a RawValue>,
    /// The state, when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state_base64: Option<String>,
}

/// What changed an aggregate between two points.
#[derive(Serialize, ToSchema)]
#[schema(as = AggregateDiff)]
pub(super) struct DiffView<'a> {
    stream: &'a StreamName,
    from_version: Version,
    to_version: Version,
    events: Vec<ChangeView<'a>>,
    /// The link to what changed it further, where that is not all.
    next: Option<String>,
}

/// What one event changed.
#[derive(Serialize, ToSchema)]
#[schema(as = AggregateChange)]
pub(super) struct ChangeView<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    event_type: &'a EventType,
    version: Version,
    position: Position,
    timestamp: String,
    changes: Vec<TouchedView<'a>>,
}

/// A part of the state that changed.
#[derive(Serialize, ToSchema)]
#[schema(as = StateChange)]
pub(super) struct TouchedView<'a> {
    /// Where, as a JSON pointer.
    path: &'a str,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a serde_json::Value>,
    /// What is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a serde_json::Value>,
}

/// Some of the snapshots, in the order of their streams' names.
#[derive(Serialize, ToSchema)]
#[schema(as = SnapshotList)]
pub(super) struct SnapshotsView<'a> {
    snapshots: Vec<SnapshotView<'a>>,
    /// Those between them that are damaged on disk.
    damaged: Vec<DamagedSnapshotView<'a>>,
    next: Option<String>,
}

/// A snapshot that is damaged on disk: its aggregate is made without it, and it is written anew when the next is due.
#[derive(Serialize, ToSchema)]
#[schema(as = DamagedSnapshot)]
pub(super) struct DamagedSnapshotView<'a> {
    stream: &'a StreamName,
    /// What is wrong with it, for people.
    reason: &'a str,
}

/// A snapshot that there is.
#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub(super) struct SnapshotView<'a> {
    stream: &'a StreamName,
    /// Version of what it holds.
    schema: u32,
    /// Up to where it stands for the stream.
    version: Version,
    /// The position of that event.
    position: Position,
    bytes: usize,
}

/// Shows an aggregate.
pub(super) async fn state(
    State(state): State<ApiState>,
    caller: Caller,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(
        query.as_deref(),
        &["aggregate", "at_version", "at_time", "at_position", "at_least", "timeout_ms"],
    )?;
    let stream = StreamName::new(stream)?;
    may_see(&caller, &stream)?;
    for_log(&state, &params).await?;
    let point = point(&params, ["at_version", "at_time", "at_position"])?;
    let found = state.commands().state_at(stream, aggregate(&params)?, point).await?;
    let StateAt { aggregate, stream, version, position, schema, state } = &found;
    let json = serde_json::from_slice::<&RawValue>(state).ok();
    let state_base64 = json.is_none().then(|| STANDARD.encode(state));
    let (version, position, snapshot_schema) = (*version, *position, *schema);
    Json::render(&StateView { stream, aggregate, version, position, snapshot_schema, state: json, state_base64 })
}

/// Shows what changed an aggregate.
pub(super) async fn diff(
    State(state): State<ApiState>,
    caller: Caller,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let from = ["from_version", "from_time", "from_position"];
    let to = ["to_version", "to_time", "to_position"];
    let known = [&["aggregate", "at_least", "timeout_ms"], &from[..], &to[..]].concat();
    let params = Params::parse(query.as_deref(), &known)?;
    let stream = StreamName::new(stream)?;
    may_see(&caller, &stream)?;
    for_log(&state, &params).await?;
    let from = match point(&params, from)? {
        Point::Now => Point::Version(Version::START),
        given => given,
    };
    let to = point(&params, to)?;
    let changed = state.commands().changes(stream.clone(), aggregate(&params)?, (from, to)).await?;
    let events = changed.events.iter().map(ChangeView::of).collect();
    let next = (!changed.complete).then(|| {
        let link = Link::to(format!("/v1/streams/{}/diff", encode(stream.as_str())));
        let link = link.with("from_version", &changed.to.to_string());
        link.with_same(&params, &["aggregate", "to_version", "to_time", "to_position"]).into_text()
    });
    Json::render(&DiffView { stream: &stream, from_version: changed.from, to_version: changed.to, events, next })
}

/// Lists snapshots.
pub(super) async fn snapshots(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["prefix", "after", "limit"])?;
    let limit = params.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let prefix = params.one("prefix")?.unwrap_or_default().to_owned();
    let after = params.one("after")?.map(StreamName::new).transpose()?.map(String::from);
    let SnapshotPage { snapshots, damaged, next } = state.commands().snapshots(prefix, after, limit).await?;
    let next = next.map(|next| {
        let link = Link::to("/v1/snapshots").with("after", &next);
        link.with_same(&params, &["prefix", "limit"]).into_text()
    });
    let snapshots = snapshots.iter().map(SnapshotView::of).collect();
    let damaged = damaged.iter().map(DamagedSnapshotView::of).collect();
    Json::render(&SnapshotsView { snapshots, damaged, next })
}

/// Drops a snapshot.
pub(super) async fn drop_snapshot(
    State(state): State<ApiState>,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let force = Params::parse(query.as_deref(), &["force"])?.flag("force")?;
    let stream = StreamName::new(stream)?;
    if state.commands().drop_snapshot(&stream, force).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("there is no snapshot of stream {stream}; `tidemill snapshots ls` lists them");
    Err(Problem::not_found(detail).with("stream", stream.as_str()))
}

impl<'a> ChangeView<'a> {
    fn of(change: &'a Change) -> Self {
        let touched = |touched: &'a Touched| TouchedView {
            path: &touched.path,
            before: touched.before.as_ref(),
            after: touched.after.as_ref(),
        };
        Self {
            id: change.id,
            event_type: &change.event_type,
            version: change.version,
            position: change.position,
            timestamp: timestamp(change.timestamp_us),
            changes: change.changes.iter().map(touched).collect(),
        }
    }
}

impl<'a> SnapshotView<'a> {
    fn of(info: &'a SnapshotInfo) -> Self {
        let SnapshotInfo { stream, schema, version, position, bytes } = info;
        Self { stream, schema: *schema, version: *version, position: *position, bytes: *bytes }
    }
}

impl<'a> DamagedSnapshotView<'a> {
    fn of(damaged: &'a DamagedSnapshot) -> Self {
        let DamagedSnapshot { stream, reason } = damaged;
        Self { stream, reason }
    }
}

/// Whether somebody may see what is made of all events of a stream.
fn may_see(caller: &Caller, stream: &StreamName) -> Result<(), Problem> {
    caller.may(&Action::ReadStream(stream))?;
    if !caller.reach().types.is_empty() {
        caller.may(&Action::ReadAll)?;
    }
    Ok(())
}

fn aggregate(params: &Params) -> Result<Option<Category>, Problem> {
    Ok(params.one("aggregate")?.map(Category::new).transpose()?)
}

/// A point, by one of three parameters: a version, a time, a position.
fn point(params: &Params, [version, time, position]: [&'static str; 3]) -> Result<Point, Problem> {
    let given = [
        params.number(version)?.map(|number| Point::Version(Version(number))),
        params.time_us(time)?.map(Point::Time),
        params.position(position)?.map(Point::Position),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (None, _) => Ok(Point::Now),
        (Some(point), None) => Ok(point),
        (Some(_), Some(_)) => Err(Problem::invalid(format!("give one of `{version}`, `{time}` and `{position}`"))),
    }
}
