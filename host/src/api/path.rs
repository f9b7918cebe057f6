//! The parts of a path, decoded.

use axum::extract::{FromRequestParts, Path as AxumPath};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// What stands at the places that a route names; as axum's own, but what is no UTF-8 is refused with a problem.
pub(super) struct Path<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let decoded = AxumPath::from_request_parts(parts, state).await;
        let AxumPath(named) = decoded.map_err(|_| Problem::invalid("the path is not percent-encoded UTF-8"))?;
        Ok(Self(named))
    }
}
