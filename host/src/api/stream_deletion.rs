//! `DELETE /v1/streams/{stream}`: ends a stream for good. Its events stay readable.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::append_context::AppendContext;
use super::blocking::Json;
use super::params::{Params, bad_value};
use super::path::Path;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::access::Action;
use crate::error::ErrorClass;
use crate::event::{EventType, ExpectedVersion, Position, StreamName, TOMBSTONE_TYPE, Version};
use crate::gate::Caller;
use crate::store::StreamDeletion;

/// Where the last event of the deleted stream stands.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamDeleted)]
pub(super) struct DeletedView {
    stream: StreamName,
    deleted: bool,
    id: Uuid,
    version: Version,
    position: Position,
}

/// Deletes a stream, if it is at `expected_version` or the version that `If-Match` names. Sent again with
/// the same `id` or `Idempotency-Key` it is a retry.
pub(super) async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["expected_version", "id"])?;
    let stream = StreamName::new(stream)?;
    // The tombstone is an event like others.
    caller.may(&Action::AppendEvent(&EventType::from_stored(TOMBSTONE_TYPE), Some(&stream)))?;
    let context = AppendContext::of(&headers)?.by(&caller);
    let precondition = context.expected();
    let expected = match precondition {
        Some(_) if params.one("expected_version")?.is_some() => {
            return Err(Problem::invalid("both `expected_version` and If-Match are given; give one"));
        }
        Some(expected) => expected,
        None => expected_version(&params)?,
    };
    let mut deletion = StreamDeletion { expected, ..StreamDeletion::of(stream.clone()) };
    deletion.id = context.id(0).unwrap_or(deletion.id);
    if let Some(text) = params.one("id")? {
        deletion.id = Uuid::try_parse(text).map_err(|_| bad_value("id", text, "give a UUID, or leave it out"))?;
    }
    let deleted = caller.delete_stream(state.log(), deletion).await.map_err(|error| match Problem::from(error) {
        problem if problem.kind() == Kind::WrongExpectedVersion && precondition.is_some() => {
            problem.under(StatusCode::PRECONDITION_FAILED)
        }
        problem => problem,
    })?;
    let tombstone = deleted
        .events
        .first()
        .ok_or_else(|| Problem::of_class(ErrorClass::Bug, "the deletion was answered without an event"))?;
    let (id, version, position) = (tombstone.id, tombstone.version, tombstone.position);
    Json::render(&DeletedView { stream, deleted: true, id, version, position })
}

fn expected_version(params: &Params) -> Result<ExpectedVersion, Problem> {
    const NAME: &str = "expected_version";
    match params.one(NAME)? {
        None | Some("any") => Ok(ExpectedVersion::Any),
        Some("no_stream") => Ok(ExpectedVersion::NoStream),
        Some("exists") => Ok(ExpectedVersion::Exists),
        Some(text) => text
            .parse()
            .map(|version| ExpectedVersion::Exact(Version(version)))
            .map_err(|_| bad_value(NAME, text, "give the version of the stream's last event, `exists` or `any`")),
    }
}
