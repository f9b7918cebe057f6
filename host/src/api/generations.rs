//! `POST` and `DELETE /v1/plugins/{name}/rebuild`, `POST /v1/plugins/{name}/rollback` and `…/reload`: building a plugin's
//! state anew, returning to what was live before, and loading its files anew.
//!
//! A rebuild is answered when it has begun, unless it is over by then; with `wait=true` when what is built is live, as [`super::lines`] says. A
//! client that goes away ends the waiting, not the rebuild.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::lines::{Running, respond};
use super::params::Params;
use super::path::Path;
use super::plugins::must_be_known;
use super::problem::Problem;
use super::registry::CommandRefused;
use super::state::ApiState;
use crate::delivery::rehearsal::RehearsalProgress;
use crate::delivery::{State as Doing, Status, generations};
use crate::error::ErrorClass;
use crate::event::PluginName;

/// A generation that became live.
#[derive(Serialize, ToSchema)]
pub(super) struct Rebuilt {
    plugin: PluginName,
    state_generation: u32,
    /// How long nothing was handled, in microseconds: in all the times that it was tried.
    pause_us: u64,
}

impl Rebuilt {
    fn of(plugin: PluginName, status: &Status) -> Self {
        let pause_us = status.rebuild_pause_us.unwrap_or_default();
        Self { plugin, state_generation: status.generation, pause_us }
    }
}

/// Begins a rebuild.
pub(super) async fn rebuild(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["from", "wait", "force"])?;
    let (name, from, force) = (PluginName::new(name)?, params.position("from")?, params.flag("force")?);
    let wait = params.flag("wait")?;
    must_be_known(&state, &name).await?;
    state.plugins().rebuild(&name, from, force).await?;
    tracing::info!(plugin = %name, force, "rebuild asked for by an operator");
    let status = watched(&state, &name)?;
    let now = status.borrow().clone();
    let Some(begun) = &now.rebuild else { return Ok(Json::render(&Rebuilt::of(name, &now))?.into_response()) };
    if wait {
        return respond(Rebuilding { plugin: name, generation: begun.generation, status }, state, &headers).await;
    }
    Ok((StatusCode::ACCEPTED, Json::render(begun)?).into_response())
}

/// Ends a rebuild.
pub(super) async fn cancel(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let name = PluginName::new(name)?;
    must_be_known(&state, &name).await?;
    state.plugins().cancel_rebuild(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns to what was live before; answers what is live now.
pub(super) async fn roll_back(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let name = PluginName::new(name)?;
    must_be_known(&state, &name).await?;
    state.plugins().roll_back(&name).await?;
    tracing::info!(plugin = %name, "rolled back by an operator");
    blocking(&state, move |store| Json::render(&generations(&name, store)?)).await
}

/// Loads a plugin anew from its files; answers when that has replaced what ran.
pub(super) async fn reload(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let installed = Params::parse(query.as_deref(), &["installed"])?.flag("installed")?;
    let name = PluginName::new(name)?;
    state.plugins().reload(&name, installed).await?;
    tracing::info!(plugin = %name, installed, "reloaded by an operator");
    Ok(StatusCode::NO_CONTENT)
}

fn watched(state: &ApiState, name: &PluginName) -> Result<watch::Receiver<Status>, Problem> {
    let gone = || CommandRefused::NotRunning { plugin: name.clone() };
    Ok(state.plugins().watch(name).ok_or_else(gone)?)
}

/// A rebuild that somebody waits for.
struct Rebuilding {
    plugin: PluginName,
    generation: u32,
    status: watch::Receiver<Status>,
}

impl Rebuilding {
    /// Waits until the rebuild is over, or has come to a stop.
    async fn over(&mut self) -> Result<Rebuilt, Problem> {
        let (plugin, generation) = (self.plugin.clone(), self.generation);
        let is_over = |status: &Status| match &status.rebuild {
            Some(rebuild) if rebuild.generation == generation => {
                matches!(rebuild.state, Doing::Halted { .. } | Doing::Quarantined { .. })
            }
            _ => true,
        };
        let gone = || CommandRefused::NotRunning { plugin: plugin.clone() };
        let status = self.status.wait_for(is_over).await.map_err(|_| gone())?.clone();
        let conflict = |text: String| Problem::of_class(ErrorClass::Conflict, text);
        match status.rebuild.as_ref().map(|rebuild| &rebuild.state) {
            Some(Doing::Halted { reason } | Doing::Quarantined { reason }) => Err(conflict(format!(
                "the rebuild of plugin {plugin} stopped: {reason}; mend that and `tidemill plugins resume {plugin}`, or end \
                 it by `tidemill plugins rebuild {plugin} --cancel`"
            ))),
            _ if status.generation == generation => Ok(Rebuilt::of(plugin, &status)),
            _ => Err(conflict(format!("the rebuild of plugin {plugin} was cancelled, or began anew"))),
        }
    }
}

impl Running for Rebuilding {
    type Report = Rebuilt;

    async fn done(&mut self, state: &ApiState) -> Result<Rebuilt, Problem> {
        tokio::select! {
            rebuilt = self.over() => rebuilt,
            () = state.closed() => {
                let detail = "the server is shutting down; the rebuild goes on after the restart";
                Err(Problem::of_class(ErrorClass::Unavailable, detail))
            }
        }
    }

    fn progress_line(&self) -> String {
        let rebuild = self.status.borrow().rebuild.clone().unwrap_or_default();
        let progress = RehearsalProgress {
            position: rebuild.position,
            to: rebuild.target,
            events: rebuild.counters.handled,
            events_per_second: rebuild.events_per_second,
            seconds_left: rebuild.seconds_left,
        };
        serde_json::to_string(&progress).unwrap_or_default()
    }
}
