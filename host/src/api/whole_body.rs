//! Reads a body that is taken as a whole, within bounds of size and time.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest as _, Request};
use axum::http::StatusCode;

use super::problem::{Kind, Problem};
use super::state::ApiState;

/// Reads a body; `bytes_max` is what the route's layer allows, and `advice` is told to who sends more.
pub(super) async fn whole_body(
    state: &ApiState,
    request: Request,
    bytes_max: usize,
    advice: &str,
) -> Result<Bytes, Problem> {
    let seconds = state.limits().body_time;
    let arrived = tokio::time::timeout(Duration::from_secs(seconds), Bytes::from_request(request, &()));
    let read = arrived.await.map_err(|_| {
        let detail = format!("the body did not arrive within {seconds} s");
        Problem::http(StatusCode::REQUEST_TIMEOUT, Kind::TimedOut, detail)
    })?;
    read.map_err(|rejection| unreadable(&rejection, bytes_max, advice))
}

fn unreadable(rejection: &BytesRejection, bytes_max: usize, advice: &str) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the body is larger than {bytes_max} bytes; {advice}");
        return Problem::http(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLarge, detail);
    }
    Problem::invalid(format!("the body could not be read: {}", rejection.body_text()))
}
