//! `POST /v1/plugins/{name}/replay`, `…/shadow`, `…/rebuild/verify` and `…/promote`: trying versions over the log.
//!
//! The first three take long and answer as [`super::lines`] says. Two of them run at a time; one whose client goes
//! away is cancelled.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::future::{BoxFuture, FutureExt as _};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::blocking::Json;
use super::lines::{Running, respond};
use super::params::Params;
use super::path::Path;
use super::problem::{Kind, Problem};
use super::registry::CommandRefused;
use super::state::ApiState;
use super::whole_body::whole_body;
use crate::delivery::rehearsal::{Asked, Job, ReplayReport, VerifyStateReport};
use crate::error::{ErrorClass, with_sources};
use crate::event::PluginName;
use crate::plugin::{CandidateReport, Promoted, Proposal, RehearsalRefused, Rehearsals};
use crate::runtime::COMPONENT_BYTES_MAX;

/// Parameter for the bytes of state that a rehearsal may build up.
pub(super) const STATE_BYTES: &str = "state_bytes";

/// Media types of a component.
pub(super) const COMPONENT_TYPES: [&str; 2] = ["application/wasm", "application/octet-stream"];

/// A rehearsal that has begun, or why it has not.
type Begun<T> = Result<Job<T, RehearsalRefused>, RehearsalRefused>;

/// Who rehearses plugins.
pub trait Rehearse: Send + Sync + 'static {
    /// Hands a range to the installed version again, without effect.
    fn replay(&self, name: &PluginName, asked: Asked) -> Begun<ReplayReport>;

    /// Compares a version with the installed one, and keeps it as the candidate.
    fn shadow(&self, name: &PluginName, proposal: Proposal, asked: Asked) -> Begun<CandidateReport>;

    /// Compares the stored state with one that is built anew.
    fn verify_state(&self, name: &PluginName, asked: Asked) -> Begun<VerifyStateReport>;

    /// Puts the candidate in place of the installed version.
    fn promote<'a>(&'a self, name: &'a PluginName, force: bool) -> BoxFuture<'a, Result<Promoted, RehearsalRefused>>;

    /// The report of the candidate, if there is one. Blocks.
    fn candidate(&self, name: &PluginName) -> Result<Option<CandidateReport>, RehearsalRefused>;
}

impl Rehearse for Rehearsals {
    fn replay(&self, name: &PluginName, asked: Asked) -> Begun<ReplayReport> {
        Self::replay(self, name, asked)
    }

    fn shadow(&self, name: &PluginName, proposal: Proposal, asked: Asked) -> Begun<CandidateReport> {
        Self::shadow(self, name, proposal, asked)
    }

    fn verify_state(&self, name: &PluginName, asked: Asked) -> Begun<VerifyStateReport> {
        Self::verify_state(self, name, asked)
    }

    fn promote<'a>(&'a self, name: &'a PluginName, force: bool) -> BoxFuture<'a, Result<Promoted, RehearsalRefused>> {
        Self::promote(self, name, force).boxed()
    }

    fn candidate(&self, name: &PluginName) -> Result<Option<CandidateReport>, RehearsalRefused> {
        Self::candidate(self, name)
    }
}

/// Replays a range.
pub(super) async fn replay(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["from", "to", STATE_BYTES])?;
    let (name, asked) = (PluginName::new(name)?, asked(&params)?);
    let place = state.places().rehearsals.take()?;
    let job = rehearsals(&state, &name)?.replay(&name, asked)?;
    respond(Rehearsing { job, _place: place }, state, &headers).await
}

/// Runs a candidate beside the installed version.
pub(super) async fn shadow(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["from", "to", "manifest", STATE_BYTES])?;
    let (name, asked) = (PluginName::new(name)?, asked(&params)?);
    let manifest = params.one("manifest")?.map(str::to_owned);
    let headers = request.headers().clone();
    must_be_component(&headers)?;
    let component = whole_body(&state, request, COMPONENT_BYTES_MAX, "send a component").await?;
    let place = state.places().rehearsals.take()?;
    if component.is_empty() {
        return Err(Problem::invalid("the body is empty; send the bytes of the component to try"));
    }
    let proposal = Proposal { component: component.into(), manifest };
    let job = rehearsals(&state, &name)?.shadow(&name, proposal, asked)?;
    respond(Rehearsing { job, _place: place }, state, &headers).await
}

/// Refuses what says that it is something else.
fn must_be_component(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = given.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if COMPONENT_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let detail = format!("content type {text:?} is no component; send {}", COMPONENT_TYPES.join(" or "));
    Err(Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, Kind::UnsupportedMediaType, detail))
}

/// Builds state anew and compares it.
pub(super) async fn verify_state(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["from", STATE_BYTES])?;
    let (name, asked) = (PluginName::new(name)?, asked(&params)?);
    let place = state.places().rehearsals.take()?;
    let job = rehearsals(&state, &name)?.verify_state(&name, asked)?;
    respond(Rehearsing { job, _place: place }, state, &headers).await
}

/// Promotes the candidate.
pub(super) async fn promote(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["force"])?;
    let name = PluginName::new(name)?;
    Json::render(&rehearsals(&state, &name)?.promote(&name, params.flag("force")?).await?)
}

fn asked(params: &Params) -> Result<Asked, Problem> {
    let state_bytes = params.number(STATE_BYTES)?.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(Asked { from: params.position("from")?, to: params.position("to")?, state_bytes })
}

/// Who rehearses; nobody where no plugins run.
fn rehearsals(state: &ApiState, name: &PluginName) -> Result<Arc<dyn Rehearse>, Problem> {
    let none = || CommandRefused::NotRunning { plugin: name.clone() };
    Ok(state.plugins().rehearsals().ok_or_else(none)?)
}

/// A rehearsal, and the place that it takes.
struct Rehearsing<T> {
    job: Job<T, RehearsalRefused>,
    _place: OwnedSemaphorePermit,
}

impl<T: Serialize + Send + 'static> Running for Rehearsing<T> {
    type Report = T;

    async fn done(&mut self, state: &ApiState) -> Result<T, Problem> {
        tokio::select! {
            outcome = self.job.outcome() => Ok(outcome?),
            () = state.closed() => {
                let detail = "the server is shutting down; rehearse again after the restart";
                Err(Problem::of_class(ErrorClass::Unavailable, detail))
            }
        }
    }

    fn progress_line(&self) -> String {
        serde_json::to_string(&self.job.progress()).unwrap_or_default()
    }
}

impl From<RehearsalRefused> for Problem {
    fn from(error: RehearsalRefused) -> Self {
        let absent = matches!(error, RehearsalRefused::NotInstalled { .. } | RehearsalRefused::NotRunning { .. });
        Self::of_class(error.class(), with_sources(&error)).absent(absent)
    }
}
