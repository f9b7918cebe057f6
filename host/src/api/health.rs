//! `GET /livez` and `GET /readyz`.

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::problem::Problem;
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::store::ReadRequest;

/// What readiness depends on; none of them holds an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Why requests are not welcome: the server is shutting down.
    #[schema(value_type = String, example = "ok")]
    serving: Check,
    /// Why the log takes no writes.
    #[schema(value_type = String, example = "ok")]
    log: Check,
    /// Why plugins are not there yet. One that is broken is reported elsewhere and holds nobody up.
    #[schema(value_type = String, example = "ok")]
    plugins: Check,
}

/// Whether something is as it should be: `"ok"`, or why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Check(Option<String>);

impl Serialize for Check {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_deref().unwrap_or("ok"))
    }
}

impl Readiness {
    /// How it stands now.
    pub(super) fn of(state: &ApiState) -> Self {
        let check = |fails: bool, why: &str| Check(fails.then(|| why.to_owned()));
        Self {
            serving: check(state.is_closing(), "the server is shutting down"),
            log: Check(state.log_problem()),
            plugins: check(!state.plugins().is_ready(), "the plugins are being loaded"),
        }
    }

    /// Whether requests are welcome.
    pub(super) fn is_ready(&self) -> bool {
        *self == Self::default()
    }

    fn problem(&self) -> Problem {
        let failing = [&self.serving, &self.log, &self.plugins];
        let reasons: Vec<_> = failing.into_iter().filter_map(|check| check.0.as_deref()).collect();
        Problem::of_class(ErrorClass::Unavailable, reasons.join("; ")).with("checks", json!(self))
    }
}

/// Answers as long as the process does.
pub(super) async fn live() -> Result<Json, Problem> {
    Json::render(&json!({ "status": "live" }))
}

/// Answers ok while requests are welcome: the log takes writes and can be read, the plugins are loaded or known to be
/// broken, and the server is not shutting down. A problem says which of that fails.
pub(super) async fn ready(State(state): State<ApiState>) -> Result<Json, Problem> {
    let readiness = Readiness::of(&state);
    if !readiness.is_ready() {
        return Err(readiness.problem());
    }
    let read = blocking(&state, |store| Ok(store.read(&ReadRequest { limit: 1, ..ReadRequest::default() })?)).await;
    match read {
        // Nobody is asked for a key here, so nobody is told what a key is needed for.
        Ok(page) if state.gate().is_open() => {
            Json::render(&json!({ "status": "ready", "head": page.head, "checks": readiness }))
        }
        Ok(_) => Json::render(&json!({ "status": "ready", "checks": readiness })),
        Err(problem) => {
            let log = Check(Some(format!("events cannot be read: {}", problem.detail())));
            Err(Readiness { log, ..readiness }.problem())
        }
    }
}
