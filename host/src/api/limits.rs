//! Bounds on requests that hold for every route: header, URL, and how many at a time.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::held::Held;
use super::problem::{Kind, Problem};
use super::state::ApiState;

/// Largest header in bytes, names and values.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Longest path with its query, in bytes.
const URL_BYTES_MAX: usize = 16 << 10;

/// Media type of subscriptions.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// Refuses what is too large, and holds one of the places for requests until the answer is taken. A subscription, which
/// may never end, has a place of its own.
pub(super) async fn bounded(State(state): State<ApiState>, request: Request, next: Next) -> Result<Response, Problem> {
    let url = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if url > URL_BYTES_MAX {
        let detail = format!("the URL has {url} bytes; at most {URL_BYTES_MAX} are allowed");
        return Err(Problem::http(StatusCode::URI_TOO_LONG, Kind::UriTooLong, detail));
    }
    let header: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header > HEADER_BYTES_MAX {
        let detail = format!("the header has {header} bytes; at most {HEADER_BYTES_MAX} are allowed");
        return Err(Problem::http(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Kind::HeadersTooLarge, detail));
    }
    let place = state.places().requests.take()?;
    let response = next.run(request).await;
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|given| given == EVENT_STREAM) {
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(Held::new(body, place))))
}
