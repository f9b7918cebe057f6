//! Counts requests: by route, as the router knows it and not as the client spells it, and by status.

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::state::ApiState;
use crate::clock::Stopwatch;

/// The route of requests that match none.
const NO_ROUTE: &str = "none";

/// Counts a request when its answer's head is made.
pub(super) async fn measured(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Stopwatch::start();
    let path = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str);
    let route = state.requests().route(&format!("{} {path}", method(request.method())));
    let response = next.run(request).await;
    route.count(response.status().as_str());
    route.took(began.elapsed_ns());
    response
}

/// The method, of those that a client cannot make up.
const fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
