//! `wait_for` on an append: the answer comes when the named plugins have settled what was appended.
//!
//! A plugin that is not installed, or does not run, is refused before anything is appended. After that the
//! append stands whatever the plugins do: who is behind when the time is over is part of the answer, not an
//! error.

use std::time::Duration;

use axum::http::StatusCode;
use futures::future::join_all;
use serde::Serialize;
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::params::Params;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use super::wait;
use crate::delivery::{State, Status};
use crate::event::{PluginName, Position};

/// How often a plugin that is being replaced is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Most plugins that one append waits for.
const PLUGINS_MAX: usize = 64;

/// Whom to wait for, and how long.
#[derive(Debug)]
pub(super) struct WaitFor {
    plugins: Vec<PluginName>,
    timeout: Duration,
}

/// A plugin that has not settled the append.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Behind {
    plugin: PluginName,
    /// How far it has come.
    checkpoint: Position,
    /// Why nobody waits any longer.
    reason: String,
}

impl WaitFor {
    /// Takes `wait_for`, names separated by commas, any number of times, and `timeout_ms`.
    pub(super) fn parse(params: &Params) -> Result<Option<Self>, Problem> {
        let timeout = wait::timeout(params)?;
        let names = params.all("wait_for").flat_map(|names| names.split(',')).map(str::trim);
        let mut plugins = names.map(PluginName::new).collect::<Result<Vec<_>, _>>()?;
        plugins.sort();
        plugins.dedup();
        if plugins.len() > PLUGINS_MAX {
            return Err(Problem::invalid(format!("an append waits for at most {PLUGINS_MAX} plugins")));
        }
        Ok((!plugins.is_empty()).then_some(Self { plugins, timeout }))
    }

    /// Refuses plugins that cannot settle anything. Asked before the append.
    pub(super) fn check(&self, state: &ApiState) -> Result<(), Problem> {
        self.plugins.iter().try_for_each(|plugin| {
            if state.plugins().watch(plugin).is_some() {
                return Ok(());
            }
            let (status, kind, what) = match state.plugins().get(plugin) {
                Some(_) => (StatusCode::SERVICE_UNAVAILABLE, Kind::Unavailable, "is not running"),
                None => (StatusCode::NOT_FOUND, Kind::NotFound, "is not installed"),
            };
            let detail = format!("plugin {plugin} {what}, so it cannot be waited for; nothing was appended");
            Err(Problem::http(status, kind, detail).with("plugin", plugin.as_str()).absent(true))
        })
    }

    /// Waits until each has settled everything up to `position`; answers those that have not, in name order.
    pub(super) async fn settled(&self, state: &ApiState, position: Position) -> Vec<Behind> {
        let waits = self.plugins.iter().map(|plugin| behind(state, plugin, position, self.timeout));
        join_all(waits).await.into_iter().flatten().collect()
    }
}

/// Waits for one plugin.
async fn behind(state: &ApiState, plugin: &PluginName, position: Position, longest: Duration) -> Option<Behind> {
    let reason = tokio::select! {
        waited = timeout(longest, settled(state, plugin, position)) => match waited {
            Ok(None) => return None,
            Ok(Some(held)) => held,
            Err(_) => "it did not come so far in time".into(),
        },
        () = state.closed() => "the server is shutting down".into(),
    };
    let checkpoint = state.plugins().watch(plugin).map(|status| status.borrow().checkpoint).unwrap_or_default();
    Some(Behind { plugin: plugin.clone(), checkpoint, reason })
}

/// Resolves when the plugin has come so far, or, with the reason, when it goes on no more. Follows it over
/// reloads.
async fn settled(state: &ApiState, plugin: &PluginName, position: Position) -> Option<String> {
    loop {
        if let Some(mut watched) = state.plugins().watch(plugin) {
            let over = |status: &Status| {
                status.checkpoint >= position || status.state == State::Stopped || held(&status.state).is_some()
            };
            if let Ok(status) = watched.wait_for(over).await {
                match held(&status.state) {
                    _ if status.checkpoint >= position => return None,
                    None => {}
                    held => return held,
                }
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Why a plugin goes on no more unless somebody acts. What it says of an event is for who may see that event.
fn held(state: &State) -> Option<String> {
    match state {
        State::Halted { .. } => Some("it has halted; `tidemill plugins inspect` says why".into()),
        State::Quarantined { .. } => Some("it is quarantined; `tidemill plugins inspect` says why".into()),
        State::Paused => Some("it is paused".into()),
        State::Running | State::BackingOff { .. } | State::Stopped => None,
    }
}
