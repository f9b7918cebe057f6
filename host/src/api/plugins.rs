//! `GET /v1/plugins`, `GET /v1/plugins/{name}`, and `DELETE`, which removes what one that is gone has kept.
//!
//! Shows the installed plugins, and those that are not installed but of which the store still keeps
//! progress, state or dead letters.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::blocking::{Json, blocking};
use super::params::Params;
use super::path::Path;
use super::plugin_view::{Now, view};
use super::problem::Problem;
use super::registry::PluginSummary;
use super::starting::must_be_over;
use super::state::ApiState;
use super::state_entries::at_least;
use super::wait::for_log;
use crate::delivery::{self, Forgotten, stored_checkpoint};
use crate::error::{ErrorClass, with_sources};
use crate::event::PluginName;
use crate::store::{SNAPSHOTS_OWNER, Store};

/// Lists every plugin.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["at_least", "timeout_ms"])?;
    for_log(&state, &params).await?;
    // Before the list is made: what is loaded meanwhile is in it all the same.
    let loading = !state.plugins().is_ready();
    let (installed, problems, time_us) = (state.plugins().list(), state.plugins().problems(), state.now_us());
    let claimed = state.commands().claims().list();
    blocking(&state, move |store| {
        let mut plugins: BTreeMap<String, Option<PluginSummary>> =
            store.plugins()?.into_iter().map(|name| (name.into(), None)).collect();
        plugins.remove(SNAPSHOTS_OWNER);
        for name in plugins.keys().cloned().collect::<Vec<_>>() {
            if stored_checkpoint(&PluginName::new(name.as_str())?, store)?.is_none() {
                plugins.remove(&name);
            }
        }
        plugins.extend(installed.into_iter().map(|plugin| (plugin.name.to_string(), Some(plugin))));
        let now = Now { head: store.head(), time_us };
        let views = plugins
            .into_iter()
            .map(|(name, installed)| view(store, now, &PluginName::new(name)?, (installed, &claimed), loading))
            .collect::<Result<Vec<_>, Problem>>()?;
        Json::render(&json!({ "plugins": views, "problems": problems, "loading": loading, "head": now.head }))
    })
    .await
}

/// Shows one plugin.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["at_least", "timeout_ms"])?;
    let name = PluginName::new(name)?;
    // As in the list.
    let loading = !state.plugins().is_ready();
    at_least(&state, &params, &name).await?;
    let (installed, rehearsals, time_us) = (state.plugins().get(&name), state.plugins().rehearsals(), state.now_us());
    let claimed = state.commands().claims().list();
    blocking(&state, move |store| {
        if installed.is_none() {
            known(store, &name)?;
        }
        let mut view = view(store, Now { head: store.head(), time_us }, &name, (installed, &claimed), loading)?;
        if let Some(candidate) = rehearsals.map(|rehearsals| rehearsals.candidate(&name)).transpose()?.flatten()
            && let Value::Object(fields) = &mut view
        {
            fields.insert("candidate".into(), json!(candidate));
        }
        Json::render(&view)
    })
    .await
}

/// Removes what a plugin that is not installed keeps; answers what that was.
pub(super) async fn forget(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let name = PluginName::new(name)?;
    must_be_over(&state)?;
    let Some(_kept_out) = state.plugins().keep_out(&name) else { return Err(still_installed(&name)) };
    let plugin = name.clone();
    let forgotten = blocking(&state, move |store| {
        let forgotten =
            delivery::forget(&plugin, store).map_err(|error| Problem::of_class(error.class(), with_sources(&error)))?;
        forgotten.ok_or_else(|| nothing_known(&plugin))
    })
    .await?;
    state.plugins().forgotten(&name).await;
    let Forgotten { checkpoint, state_size, dead_letters, .. } = forgotten;
    let (keys, bytes) = (state_size.keys, state_size.bytes);
    tracing::info!(plugin = %name, %checkpoint, keys, bytes, dead_letters, "what it kept was removed by an operator");
    Json::render(&forgotten)
}

fn still_installed(name: &PluginName) -> Problem {
    let detail = format!(
        "plugin {name} is installed, and what it keeps is in use; take it out of the plugins directory first: \
         `tidemill plugins rm {name} --state` does both"
    );
    Problem::of_class(ErrorClass::Conflict, detail).with("plugin", name.as_str())
}

/// Refuses a name that is neither installed nor known to the store.
pub(super) fn known(store: &dyn Store, name: &PluginName) -> Result<(), Problem> {
    if stored_checkpoint(name, store)?.is_some() {
        return Ok(());
    }
    Err(nothing_known(name))
}

fn nothing_known(name: &PluginName) -> Problem {
    let detail = format!("no plugin is called {name}; `tidemill plugins ls` lists them");
    Problem::not_found(detail).with("plugin", name.as_str()).absent(true)
}

/// The same, asked off a blocking thread.
pub(super) async fn must_be_known(state: &ApiState, name: &PluginName) -> Result<(), Problem> {
    if state.plugins().get(name).is_some() {
        return Ok(());
    }
    let name = name.clone();
    blocking(state, move |store| known(store, &name)).await
}
