//! `GET /v1/plugins` and `GET /v1/plugins/{name}`.
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
use super::starting::Starting;
use super::state::ApiState;
use super::state_entries::at_least;
use super::wait::for_log;
use crate::delivery::stored_checkpoint;
use crate::event::PluginName;
use crate::store::{SNAPSHOTS_OWNER, Store};

/// Lists every plugin.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["at_least", "timeout_ms"])?;
    for_log(&state, &params).await?;
    let (installed, problems, time_us) = (state.plugins().list(), state.plugins().problems(), state.now_us());
    let claimed = state.commands().claims().list();
    blocking(&state, move |store| {
        let mut plugins: BTreeMap<String, Option<PluginSummary>> =
            store.plugins()?.into_iter().map(|name| (name.into(), None)).collect();
        plugins.remove(SNAPSHOTS_OWNER);
        plugins.extend(installed.into_iter().map(|plugin| (plugin.name.to_string(), Some(plugin))));
        let now = Now { head: store.head(), time_us };
        let views = plugins
            .into_iter()
            .map(|(name, installed)| view(store, now, &PluginName::new(name)?, (installed, &claimed)))
            .collect::<Result<Vec<_>, Problem>>()?;
        Json::render(&json!({ "plugins": views, "problems": problems, "head": now.head }))
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
    let (name, starting) = (PluginName::new(name)?, Starting::of(&state));
    at_least(&state, &params, &name).await?;
    let (installed, rehearsals, time_us) = (state.plugins().get(&name), state.plugins().rehearsals(), state.now_us());
    let claimed = state.commands().claims().list();
    blocking(&state, move |store| {
        if installed.is_none() {
            known(store, &name).map_err(|problem| starting.told(problem))?;
        }
        let mut view = view(store, Now { head: store.head(), time_us }, &name, (installed, &claimed))?;
        if let Some(candidate) = rehearsals.map(|rehearsals| rehearsals.candidate(&name)).transpose()?.flatten()
            && let Value::Object(fields) = &mut view
        {
            fields.insert("candidate".into(), json!(candidate));
        }
        Json::render(&view)
    })
    .await
}

/// Refuses a name that is neither installed nor known to the store.
pub(super) fn known(store: &dyn Store, name: &PluginName) -> Result<(), Problem> {
    if stored_checkpoint(name, store)?.is_some() {
        return Ok(());
    }
    let detail = format!("no plugin is called {name}; `tidemill plugins ls` lists them");
    Err(Problem::not_found(detail).with("plugin", name.as_str()))
}

/// The same, asked off a blocking thread.
pub(super) async fn must_be_known(state: &ApiState, name: &PluginName) -> Result<(), Problem> {
    let starting = Starting::of(state);
    if state.plugins().get(name).is_some() {
        return Ok(());
    }
    let name = name.clone();
    blocking(state, move |store| known(store, &name)).await.map_err(|problem| starting.told(problem))
}
