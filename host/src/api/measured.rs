//! Counts requests: by route, as the router knows it and not as the client spells it, and by status.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::state::ApiState;
use crate::clock::Stopwatch;
use crate::measure::{Counter, Histogram, TIME_BOUNDS_NS, Times};

/// The route of requests that match none.
const NO_ROUTE: &str = "none";

/// What was asked, and how that was answered.
#[derive(Debug, Default)]
pub(super) struct Requests(RwLock<BTreeMap<String, Arc<Route>>>);

/// One method of one route.
#[derive(Debug)]
struct Route {
    statuses: RwLock<BTreeMap<u16, Counter>>,
    times: Histogram<17>,
}

/// What a route has come to.
pub(super) struct RouteCounts {
    /// Method and path, as `GET /v1/events/{id}`.
    pub(super) route: String,
    /// Answers by status.
    pub(super) statuses: Vec<(u16, u64)>,
    /// Times until the answer's head.
    pub(super) times: Times,
}

impl Default for Route {
    fn default() -> Self {
        Self { statuses: RwLock::default(), times: Histogram::new(&TIME_BOUNDS_NS) }
    }
}

impl Requests {
    /// What was counted, in the order of routes.
    pub(super) fn read(&self) -> Vec<RouteCounts> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let counts = |(route, counted): (&String, &Arc<Route>)| {
            let statuses = counted.statuses.read().unwrap_or_else(PoisonError::into_inner);
            let statuses = statuses.iter().map(|(status, count)| (*status, count.get())).collect();
            RouteCounts { route: route.clone(), statuses, times: counted.times.read() }
        };
        routes.iter().map(counts).collect()
    }

    fn route(&self, name: &str) -> Arc<Route> {
        if let Some(route) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(route);
        }
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(name.to_owned()).or_default())
    }
}

impl Route {
    fn count(&self, status: u16, ns: u64) {
        self.times.record(ns);
        if let Some(count) = self.statuses.read().unwrap_or_else(PoisonError::into_inner).get(&status) {
            count.add(1);
            return;
        }
        let mut statuses = self.statuses.write().unwrap_or_else(PoisonError::into_inner);
        statuses.entry(status).or_default().add(1);
    }
}

/// Counts a request when its answer's head is made.
pub(super) async fn measured(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Stopwatch::start();
    let path = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str);
    let route = state.requests().route(&format!("{} {path}", method(request.method())));
    let response = next.run(request).await;
    route.count(response.status().as_u16(), began.elapsed_ns());
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
