//! Moves reads of the store off the async threads.

use std::panic::resume_unwind;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::store::Store;

/// Runs `work` on a blocking thread. A panic in it goes on here, to the layer that answers for panics.
pub(super) async fn blocking<T, F>(state: &ApiState, work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(&dyn Store) -> Result<T, Problem> + Send + 'static,
{
    let store = state.store().clone();
    match tokio::task::spawn_blocking(move || work(&*store)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(Problem::of_class(ErrorClass::Unavailable, "the server is shutting down; try again later")),
        },
    }
}

/// A JSON body, rendered already: large pages are rendered on the blocking thread that read them.
pub(super) struct Json(Vec<u8>);

impl Json {
    /// Renders a value.
    pub(super) fn render(value: &impl Serialize) -> Result<Self, Problem> {
        serde_json::to_vec(value)
            .map(Self)
            .map_err(|error| Problem::of_class(ErrorClass::Bug, format!("the answer could not be rendered: {error}")))
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}
