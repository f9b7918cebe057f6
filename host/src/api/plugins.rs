//! `GET /v1/plugins` and `GET /v1/plugins/{name}`.
//!
//! Shows the installed plugins, and those that are not installed but of which the store still keeps
//! progress, state or dead letters.

use std::collections::BTreeMap;

use axum::extract::{Path, RawQuery, State};
use serde_json::{Map, Value, json};

use super::blocking::{Json, blocking};
use super::params::Params;
use super::problem::Problem;
use super::registry::PluginSummary;
use super::state::ApiState;
use crate::delivery::{Generations, generations, live_owner, stored_checkpoint};
use crate::event::{PluginName, Position};
use crate::store::Store;

/// Lists every plugin.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let (installed, problems) = (state.plugins().list(), state.plugins().problems());
    blocking(&state, move |store| {
        let mut plugins: BTreeMap<String, Option<PluginSummary>> =
            store.plugins()?.into_iter().map(|name| (name.into(), None)).collect();
        plugins.extend(installed.into_iter().map(|plugin| (plugin.name.to_string(), Some(plugin))));
        let head = store.head();
        let views = plugins
            .into_iter()
            .map(|(name, installed)| view(store, head, &PluginName::new(name)?, installed))
            .collect::<Result<Vec<_>, Problem>>()?;
        Json::render(&json!({ "plugins": views, "problems": problems, "head": head }))
    })
    .await
}

/// Shows one plugin.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let name = PluginName::new(name)?;
    let (installed, rehearsals) = (state.plugins().get(&name), state.plugins().rehearsals());
    blocking(&state, move |store| {
        if installed.is_none() {
            known(store, &name)?;
        }
        let mut view = view(store, store.head(), &name, installed)?;
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

/// What there is to see of a plugin: what the registry says, and what the store keeps of it.
fn view(
    store: &dyn Store,
    head: Position,
    name: &PluginName,
    installed: Option<PluginSummary>,
) -> Result<Value, Problem> {
    let mut fields = Map::new();
    fields.insert("name".into(), json!(name));
    fields.insert("installed".into(), json!(installed.is_some()));
    let checkpoint = match installed.as_ref().and_then(|plugin| plugin.status.as_ref()) {
        Some(status) => status.checkpoint,
        None => stored_checkpoint(name, store)?.unwrap_or_default(),
    };
    fields.insert("checkpoint".into(), json!(checkpoint));
    fields.insert("lag_events".into(), json!(head.0.saturating_sub(checkpoint.0)));
    fields.insert("dead_letters".into(), json!(store.dead_letter_count(&live_owner(name, store)?)?));
    let known = generations(name, store)?;
    if known != Generations::default() {
        fields.insert("generations".into(), json!(known));
    }
    if let Some(plugin) = installed {
        fields.insert("status".into(), with_lags(json!(plugin.status), head));
        for (key, value) in plugin.details {
            fields.entry(key).or_insert(value);
        }
    }
    Ok(Value::Object(fields))
}

/// A status whose partitions say how far they are behind.
fn with_lags(mut status: Value, head: Position) -> Value {
    let partitions = status.get_mut("partitions").and_then(Value::as_array_mut);
    for partition in partitions.into_iter().flatten() {
        let checkpoint = partition.get("checkpoint").and_then(Value::as_u64).unwrap_or_default();
        if let Some(fields) = partition.as_object_mut() {
            fields.insert("lag_events".into(), json!(head.0.saturating_sub(checkpoint)));
        }
    }
    status
}
