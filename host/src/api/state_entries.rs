//! `/v1/plugins/{name}/state`: looks into a plugin's committed state.

use axum::extract::{RawQuery, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::params::Params;
use super::path::Path;
use super::plugins::{known, must_be_known};
use super::problem::Problem;
use super::selection::Link;
use super::state::ApiState;
use super::wait::AtLeast;
use crate::delivery::live_owner;
use crate::event::PluginName;

/// Entries on a page unless told.
pub(super) const PAGE_DEFAULT: usize = 100;
/// Most entries on a page.
pub(super) const PAGE_MAX: usize = 1000;

/// One key. A value that is JSON stands in `value` with its bytes as they are, any other in `value_base64`.
#[derive(Serialize, ToSchema)]
#[schema(as = StateEntry)]
pub(super) struct EntryView<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    value_base64: Option<String>,
}

impl<'a> EntryView<'a> {
    fn new(key: &'a str, bytes: &'a [u8]) -> Self {
        // Text around the JSON would be lost: then it is not the value's own bytes.
        let value = serde_json::from_slice::<&RawValue>(bytes).ok().filter(|raw| raw.get().len() == bytes.len());
        Self { key, value, value_base64: value.is_none().then(|| STANDARD.encode(bytes)) }
    }
}

/// Some entries.
#[derive(Serialize, ToSchema)]
#[schema(as = StatePage)]
pub(super) struct PageView<'a> {
    entries: Vec<EntryView<'a>>,
    next: Option<String>,
}

/// Lists entries in key order.
pub(super) async fn scan(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["prefix", "after", "limit", "at_least", "timeout_ms"])?;
    let name = PluginName::new(name)?;
    let limit = params.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let installed = at_least(&state, &params, &name).await?;
    blocking(&state, move |store| {
        if !installed {
            known(store, &name)?;
        }
        let page = store.state_scan(
            &live_owner(&name, store)?,
            params.one("prefix")?.unwrap_or_default(),
            params.one("after")?,
            limit,
        )?;
        let next = page.next.as_ref().map(|next| {
            let link = Link::to(format!("/v1/plugins/{name}/state")).with("after", next);
            link.with_same(&params, &["prefix", "limit"]).into_text()
        });
        let entries = page.entries.iter().map(|(key, value)| EntryView::new(key, value)).collect();
        Json::render(&PageView { entries, next })
    })
    .await
}

/// Reads one key.
pub(super) async fn get(
    State(state): State<ApiState>,
    Path((name, key)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["at_least", "timeout_ms"])?;
    let name = PluginName::new(name)?;
    let installed = at_least(&state, &params, &name).await?;
    blocking(&state, move |store| {
        if !installed {
            known(store, &name)?;
        }
        match store.state_get(&live_owner(&name, store)?, &key)? {
            Some(value) => Json::render(&EntryView::new(&key, &value)),
            None => {
                let shown: String = key.chars().take(64).collect();
                Err(Problem::not_found(format!("the state of plugin {name} has no key {shown:?}")).with("key", key))
            }
        }
    })
    .await
}

/// Waits until the plugin has come so far, if the request asks for it; answers whether the plugin is installed.
pub(super) async fn at_least(state: &ApiState, params: &Params, name: &PluginName) -> Result<bool, Problem> {
    if let Some(at_least) = AtLeast::parse(params)? {
        must_be_known(state, name).await?;
        at_least.of_plugin(state, name).await?;
    }
    Ok(state.plugins().get(name).is_some())
}
