//! `GET /v1/retention`: what is kept for how long, what is removed, and who holds that back.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking::Json;
use super::params::Params;
use super::problem::Problem;
use super::state::ApiState;
use crate::event::Position;
use crate::store::Owner;

/// Every category that has a policy, or of which something was removed, in the order of names.
#[derive(Serialize, ToSchema)]
#[schema(as = Retention)]
pub(super) struct RetentionView {
    retention: Vec<CategoryView>,
}

/// One category.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = RetentionCategory)]
pub(super) struct CategoryView {
    category: String,
    /// Its bounds, such as `30d,1000events`; null without a policy.
    policy: Option<String>,
    /// The position before which its events are removed; 0 if none are.
    removed_before: Position,
    /// The position before which the policy lets them go; null without one.
    wanted_before: Option<Position>,
    /// Who needs some of those.
    blocked_by: Option<BlockedView>,
    /// Generations that plugins kept to return to, and that the last look dropped because they alone held events back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<DroppedView>,
    /// The plugin that decides for aggregates of the category, if one does: those of which events are removed that no
    /// snapshot stands for take no more commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decided_by: Option<String>,
}

/// A generation of a plugin's data that could be returned to.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionDropped)]
pub(super) struct DroppedView {
    plugin: String,
    generation: u32,
}

/// A plugin that is not done with events that would be removed.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionBlocked)]
pub(super) struct BlockedView {
    plugin: String,
    /// The first position that it needs.
    position: Position,
    /// The generation of its data that needs it, where that is only kept to return to.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_generation: Option<u32>,
}

/// Lists the categories.
pub(super) async fn list(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let mut views: BTreeMap<String, CategoryView> = BTreeMap::new();
    for status in state.retention() {
        let blocked_by = status.blocked_by.map(|needed| BlockedView {
            plugin: needed.plugin.to_string(),
            position: needed.from,
            kept_generation: needed.kept,
        });
        let view = |Owner { plugin, generation }| DroppedView { plugin: plugin.to_string(), generation };
        let dropped = status.dropped.into_iter().map(view).collect();
        let category = status.policy.category.to_string();
        let policy = Some(status.policy.to_string());
        let wanted_before = Some(status.wanted_before);
        let (named, removed_before, decided_by) = (category.clone(), Position::START, None);
        let view =
            CategoryView { category: named, policy, removed_before, wanted_before, blocked_by, dropped, decided_by };
        views.insert(category, view);
    }
    for (category, horizon) in state.store().removals().iter() {
        let view = views.entry(category.to_owned()).or_default();
        (view.category, view.removed_before) = (category.to_owned(), horizon);
    }
    for claimed in state.commands().claims().list() {
        if let Some(view) = views.get_mut(claimed.category.as_str()) {
            view.decided_by = Some(claimed.plugin.to_string());
        }
    }
    Json::render(&RetentionView { retention: views.into_values().collect() })
}
