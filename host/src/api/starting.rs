//! What is asked of a plugin that does not run while the plugins of the start are being loaded: it may be about to come, so the
//! answer is not now, and not never.
//!
//! Whatever finds no such plugin says so by [`Problem::absent`], on whichever route; what that comes to is decided here.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::{Absent, Problem};
use super::state::ApiState;
use crate::error::ErrorClass;

/// Answers with 503 and `Retry-After` where a plugin does not run that may be among what is being loaded.
pub(super) async fn not_now(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    // Before anything is looked for: what is missed then may be there by the time that is told.
    let loading = !state.plugins().is_ready();
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Absent>() {
        Some(Absent(so_far)) if loading => later(&format!("send it again later. So far: {so_far}")).into_response(),
        _ => response,
    }
}

/// Refuses what could meet a plugin that is about to run.
pub(super) fn must_be_over(state: &ApiState) -> Result<(), Problem> {
    if state.plugins().is_ready() {
        return Ok(());
    }
    Err(later("this one may be among them; send it again later"))
}

/// Nothing was done, and it is worth another try.
fn later(what: &str) -> Problem {
    let detail = format!("the plugins are being loaded; {what}");
    Problem::of_class(ErrorClass::Unavailable, detail).with("loading", true)
}
