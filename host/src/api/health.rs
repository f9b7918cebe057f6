//! `GET /livez` and `GET /readyz`.

use axum::extract::State;
use serde_json::json;

use super::blocking::{Json, blocking};
use super::problem::Problem;
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::store::ReadRequest;

/// Answers as long as the process does.
pub(super) async fn live() -> Result<Json, Problem> {
    Json::render(&json!({ "status": "live" }))
}

/// Answers ok while requests are welcome: the plugins are loaded, the store can be read,
/// and the server is not shutting down.
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json, Problem> {
    if state.is_closing() {
        return Err(Problem::of_class(ErrorClass::Unavailable, "the server is shutting down"));
    }
    if !state.plugins().is_ready() {
        return Err(Problem::of_class(ErrorClass::Unavailable, "the plugins are being loaded"));
    }
    blocking(&state, |store| {
        let page = store.read(&ReadRequest { limit: 1, ..ReadRequest::default() })?;
        Json::render(&json!({ "status": "ready", "head": page.head }))
    })
    .await
}
