//! `DELETE /v1/streams/{stream}`: ends a stream for good. Its events stay readable.

use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use uuid::Uuid;

use super::blocking::{Json, blocking};
use super::params::{Params, bad_value};
use super::problem::Problem;
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::event::{ExpectedVersion, Position, StreamName, Version};
use crate::store::StreamDeletion;

/// Where the last event of the deleted stream stands.
#[derive(Serialize)]
struct DeletedView {
    stream: StreamName,
    deleted: bool,
    id: Uuid,
    version: Version,
    position: Position,
}

/// Deletes a stream, if it is at `expected_version`. Sent again with the same `id` it is a retry.
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(stream): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["expected_version", "id"])?;
    let stream = StreamName::new(stream)?;
    let mut deletion = StreamDeletion { expected: expected_version(&params)?, ..StreamDeletion::of(stream.clone()) };
    if let Some(text) = params.one("id")? {
        deletion.id = Uuid::try_parse(text).map_err(|_| bad_value("id", text, "give a UUID, or leave it out"))?;
    }
    let answer = blocking(&state, move |store| Ok(store.delete_stream(deletion))).await?;
    let deleted = answer.await?;
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
