//! One version over a range, on top of the live state: what would it do now?

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actor::{Actor, Outcome};
use super::progress::Tell;
use super::report::{Differences, FailureView};
use super::walk::{Route, walk};
use super::{Asked, RehearsalError, Stage};
use crate::delivery::state_source::StoredState;
use crate::delivery::{Cost, Setup, live_owner};
use crate::event::{PluginName, Position};

/// What a replay showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayReport {
    /// The plugin.
    pub plugin: PluginName,
    /// SHA-256 of its component, in hex.
    pub component_digest: String,
    /// First position of the range.
    pub from: Position,
    /// Last position of the range.
    pub to: Position,
    /// Set when retention may have removed events of the range: the position before which it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_before: Option<Position>,
    /// Events of the range that it listens to, up to where it stopped.
    pub events: u64,
    /// How many ended how: `handled`, `failed`, `stopped`, `behind`, `no_key`.
    pub outcomes: BTreeMap<String, u64>,
    /// How many events of each type it would have appended.
    pub emitted: BTreeMap<String, u64>,
    /// What could not be handled.
    pub failures: Differences<FailureView>,
    /// Where and why the handler stopped, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<FailureView>,
    /// What it cost.
    pub cost: Cost,
}

/// Replays a range. Blocks for as long as the handler takes.
///
/// # Errors
/// When the range is none, the state outgrows the stage, the store cannot be read, or `tell` cancels it.
pub fn replay(stage: &Stage, setup: Setup, asked: Asked, tell: Tell<'_>) -> Result<ReplayReport, RehearsalError> {
    let span = asked.within(&setup, stage.store.head(), &*stage.store)?;
    let mut report = ReplayReport {
        plugin: setup.plugin.clone(),
        component_digest: setup.component_digest.clone(),
        from: span.first,
        to: span.last,
        removed_before: None,
        events: 0,
        outcomes: BTreeMap::new(),
        emitted: BTreeMap::new(),
        failures: Differences::default(),
        stopped: None,
        cost: Cost::default(),
    };
    let route = Route {
        query: setup.subscription.filter.clone().into(),
        span,
        slice_events_max: setup.policy.batch_events_max,
        whole: false,
    };
    let live = StoredState { owner: live_owner(&setup.plugin, &*stage.store)?, store: Arc::clone(&stage.store) };
    let mut actor = Actor::new(setup, Some(Arc::new(live)), stage)?;
    let removed_before = walk(stage, route, tell, &mut |slice| {
        for performed in actor.perform(slice)? {
            report.note(performed.outcome);
            for event in performed.emitted {
                *report.emitted.entry(event.event_type.to_string()).or_default() += 1;
            }
        }
        Ok(if actor.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    (report.cost, report.removed_before) = (actor.cost, removed_before);
    Ok(report)
}

impl ReplayReport {
    fn note(&mut self, outcome: Outcome) {
        if matches!(outcome, Outcome::NotReached) {
            return;
        }
        self.events += 1;
        *self.outcomes.entry(outcome.view().outcome).or_default() += 1;
        match outcome {
            Outcome::Failed(failure) => self.failures.note(|| failure),
            Outcome::Stopped(failure) => {
                self.failures.note(|| failure.clone());
                self.stopped = Some(failure);
            }
            Outcome::Handled
            | Outcome::NotSubscribed
            | Outcome::LeftOut
            | Outcome::NoKey
            | Outcome::Behind
            | Outcome::NotReached => {}
        }
    }
}
