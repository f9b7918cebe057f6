//! Shapes of what is shown of plugins, which is put together of what the registry says and what the store keeps.
#![expect(dead_code, reason = "the fields are there to be described")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::delivery::{Generations, Status};
use crate::event::{PluginName, Position};
use crate::plugin::{
    CandidateReport, DescriptionInfo, GrantsInfo, LimitsInfo, PolicyInfo, Problem, SubscriptionInfo, UsedPercent,
};
use crate::store::StateSize;

/// Every plugin.
#[derive(ToSchema)]
pub(super) struct PluginList {
    plugins: Vec<Plugin>,
    /// What is wrong with the plugins directory beyond what concerns one plugin.
    problems: Vec<String>,
    /// Whether what was installed at the start is still being loaded, so that not every plugin is told of.
    loading: bool,
    head: Position,
}

/// A plugin that is installed, or of which the store still keeps something. What runs is told where something runs.
#[derive(ToSchema)]
pub(super) struct Plugin {
    name: PluginName,
    installed: bool,
    /// Every matching event up to here is handled or set aside.
    checkpoint: Position,
    /// Positions between that and the head.
    lag_events: u64,
    /// Age of the first event after it, in seconds.
    lag_seconds: f64,
    /// How many events are set aside.
    dead_letters: u64,
    /// How much state its live generation has.
    state_size: StateSize,
    #[schema(nullable = false)]
    generations: Option<Generations>,
    /// The report of the version that was shadowed last; of one plugin only.
    #[schema(nullable = false)]
    candidate: Option<CandidateReport>,
    status: Option<Status>,
    /// Where its files are.
    #[schema(nullable = false)]
    source: Option<String>,
    /// Whether something is being loaded for it now; where it is not installed, whether that may be.
    #[schema(nullable = false)]
    loading: Option<bool>,
    /// What is wrong with its files.
    #[schema(nullable = false)]
    problem: Option<Problem>,
    /// How many versions have run since the process started.
    #[schema(nullable = false)]
    generation: Option<u64>,
    /// SHA-256 of the component, in hex.
    #[schema(nullable = false)]
    digest: Option<String>,
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
    /// For which aggregates it decides commands: the category of their streams.
    #[schema(nullable = false)]
    aggregate: Option<String>,
    /// Version of what its snapshots of them hold.
    #[schema(nullable = false)]
    snapshot_schema: Option<u32>,
    /// Aggregates of it that could not be made since the process started, as retention took events and no snapshot that fits
    /// stands for them.
    #[schema(nullable = false)]
    history_gone: Option<HistoryGone>,
    /// Snapshots of them that were left out since the process started, so that the aggregates were made of their events.
    #[schema(nullable = false)]
    snapshots_left_out: Option<SnapshotsLeftOut>,
    #[schema(nullable = false)]
    description: Option<DescriptionInfo>,
    /// What its authors say of it, in its file.
    #[schema(nullable = false)]
    labels: Option<BTreeMap<String, String>>,
    #[schema(nullable = false)]
    subscription: Option<SubscriptionInfo>,
    #[schema(nullable = false)]
    policy: Option<PolicyInfo>,
    #[schema(nullable = false)]
    limits: Option<LimitsInfo>,
    #[schema(nullable = false)]
    grants: Option<GrantsInfo>,
    /// Whether it can be replayed and rebuilt.
    #[schema(nullable = false)]
    replayable: Option<bool>,
    /// How often it was denied something since this version runs.
    #[schema(nullable = false)]
    denied: Option<u64>,
    #[schema(nullable = false)]
    used_percent: Option<UsedPercent>,
}

/// Aggregates that could not be made.
#[derive(ToSchema)]
pub(super) struct HistoryGone {
    /// How often one was wanted.
    count: u64,
    /// What was told at the last time.
    reason: String,
}

/// Snapshots that were left out.
#[derive(ToSchema)]
pub(super) struct SnapshotsLeftOut {
    /// How often one was.
    count: u64,
    /// Which was the last one, and why.
    reason: String,
}

/// How far one partition is behind; told beside its status.
#[derive(ToSchema)]
pub(super) struct Lag {
    lag_events: u64,
    lag_seconds: f64,
}
