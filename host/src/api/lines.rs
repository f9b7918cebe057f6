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
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::{once, unfold};
use serde::Serialize;

use super::append_stream::NDJSON_CONTENT_TYPE;
use super::blocking::Json;
use super::form::Form;
use super::problem::Problem;
use super::state::ApiState;

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
    if Form::of(headers) == Form::Ndjson {
        return into_lines(running, state).await;
    }
    Ok(Json::render(&running.done(&state).await?)?.into_response())
}

/// Answers lines until the end. What fails before the first of them is a problem as any other.
async fn into_lines(running: impl Running, state: ApiState) -> Result<Response, Problem> {
    let (first, running) = next_line(running, &state).await?;
    let others = unfold(running, move |running| {
        let state = state.clone();
        async move {
            let next = next_line(running?, &state).await;
            Some(next.unwrap_or_else(|problem| (problem.to_json().to_string(), None)))
        }
    });
    let lines = once(ready(first)).chain(others).map(|line| Ok::<_, Infallible>(line + "\n"));
    Ok(([(header::CONTENT_TYPE, NDJSON_CONTENT_TYPE)], Body::from_stream(lines)).into_response())
}

/// What it has come to, or how far it is; then it goes on.
async fn next_line<R: Running>(mut running: R, state: &ApiState) -> Result<(String, Option<R>), Problem> {
    match tokio::time::timeout(TELL_EVERY, running.done(state)).await {
        Ok(report) => Ok((serde_json::to_string(&report?).unwrap_or_default(), None)),
        Err(_) => Ok((running.progress_line(), Some(running))),
    }
}
