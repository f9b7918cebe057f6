//! What is refused once the server is shutting down: writes. Reads, and what is being worked on, go on until the end.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Problem;
use super::state::ApiState;
use crate::error::ErrorClass;

/// Refuses what is not a read while the server is shutting down, with 503 and `Retry-After`.
pub(super) async fn refuse_writes(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if state.is_closing() && !request.method().is_safe() {
        return Err(draining());
    }
    Ok(next.run(request).await)
}

/// What was to be written came too late.
pub(super) fn draining() -> Problem {
    let detail = "the server is shutting down and takes no more writes; nothing was done; send it again later";
    Problem::of_class(ErrorClass::Unavailable, detail)
}
