//! Answers to work that takes long: one JSON object when it is done, or lines meanwhile.
//!
//! With `Accept: application/x-ndjson` the answer is lines: time and again how far it is, and last the same object,
//! so that a client that waits for long hears something; if it fails after the first line, the last one is the
//! problem. A client that goes away ends the waiting, and what is [`Running`] is dropped.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use serde::Serialize;

use super::blocking::Json;
use super::problem::Problem;
use super::state::ApiState;

const LINES: &str = "application/x-ndjson";
/// Time between two lines that tell how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Work that has begun.
pub(super) trait Running: Send + 'static {
    /// What it comes to.
    type Report: Serialize + Send;

    /// Waits for the end, or until the server shuts down. Being dropped while waiting loses nothing.
    fn done(&mut self, state: &ApiState) -> impl Future<Output = Result<Self::Report, Problem>> + Send;

    /// How far it is, as a line.
    fn progress_line(&self) -> String;
}

/// Answers as the client asked for it.
pub(super) async fn respond(
    mut running: impl Running,
    state: ApiState,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.any(|value| value.contains(LINES)) {
        return Ok(into_lines(running, state));
    }
    Ok(Json::render(&running.done(&state).await?)?.into_response())
}

/// Answers lines until the end.
fn into_lines(running: impl Running, state: ApiState) -> Response {
    let lines = unfold(Some((running, state)), |running| async move {
        let (mut running, state) = running?;
        let waited = tokio::time::timeout(TELL_EVERY, running.done(&state)).await;
        let (line, rest) = match waited {
            Ok(Ok(report)) => (serde_json::to_string(&report).unwrap_or_default(), None),
            Ok(Err(problem)) => (problem.to_json().to_string(), None),
            Err(_) => (running.progress_line(), Some((running, state))),
        };
        Some((Ok::<_, Infallible>(line + "\n"), rest))
    });
    ([(header::CONTENT_TYPE, LINES)], Body::from_stream(lines)).into_response()
}
