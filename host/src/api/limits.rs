//! Bounds on requests that hold for every route: header, URL, and how many at a time.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::problem::{Kind, Problem};
use super::state::ApiState;

/// Largest header in bytes, names and values.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// Longest path with its query, in bytes.
const URL_BYTES_MAX: usize = 16 << 10;

/// Refuses what is too large, and holds one of the places for requests while the answer is made.
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
    let _place = state.places().requests.take()?;
    Ok(next.run(request).await)
}
