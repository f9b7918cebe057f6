//! The live version and a candidate side by side over the same history, each in a state of its own.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actor::{Actor, Performed};
use super::progress::Tell;
use super::report::{Differences, EmissionDifference, EmissionView, OutcomeDifference, StateDifference, compare_state};
use super::walk::{Route, walk};
use super::{Asked, RehearsalError, Stage};
use crate::delivery::{Cost, Setup, Status, live_state};
use crate::event::{NewEvent, PluginName, Position, Query};

/// The version that runs, and its delivery as it was a moment ago.
#[derive(Debug)]
pub struct Live {
    /// The version, with a handler of its own.
    pub setup: Setup,
    /// How far it has come, which what is stored may not say yet: there it is behind by events that do not match.
    pub status: Status,
}

/// How a candidate differs from the live version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShadowReport {
    /// The plugin.
    pub plugin: PluginName,
    /// SHA-256 of the live component, in hex.
    pub live_digest: String,
    /// SHA-256 of the candidate, in hex.
    pub candidate_digest: String,
    /// First position of the range.
    pub from: Position,
    /// Last position of the range.
    pub to: Position,
    /// Set when retention may have removed events of the range: the position before which it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_before: Option<Position>,
    /// Set when the range ends before what the plugin has come past: the highest checkpoint of its partitions. What the
    /// versions do with the events after the range is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_before: Option<Position>,
    /// Events of the range that either of them listens to, up to where both stopped.
    pub events: u64,
    /// Whether nothing differs but the cost.
    pub clean: bool,
    /// Events that ended differently.
    pub outcomes: Differences<OutcomeDifference>,
    /// Events that would be appended by one and not, or not so, by the other.
    pub emissions: Differences<EmissionDifference>,
    /// Keys that end with other values.
    pub state: Differences<StateDifference>,
    /// What the live version cost.
    pub live_cost: Cost,
    /// What the candidate cost.
    pub candidate_cost: Cost,
}

/// Runs both over a range, from empty states; unless told otherwise from where the plugin began to its checkpoint.
/// Blocks for as long as both handlers take.
///
/// # Errors
/// When the range is none, a state outgrows the stage, the store cannot be read, or `tell` cancels it.
pub fn shadow(
    stage: &Stage,
    live: Live,
    candidate: Setup,
    asked: Asked,
    tell: Tell<'_>,
) -> Result<ShadowReport, RehearsalError> {
    let Live { setup: live, status } = live;
    let settled = live_state(&live.plugin, &*stage.store, Some(&status))?.checkpoint;
    let reach = status.partitions.iter().map(|partition| partition.checkpoint).fold(settled, Position::max);
    let span = asked.within(&live, settled, &*stage.store)?;
    let mut report = ShadowReport {
        plugin: live.plugin.clone(),
        live_digest: live.component_digest.clone(),
        candidate_digest: candidate.component_digest.clone(),
        from: span.first,
        to: span.last,
        removed_before: None,
        ends_before: (span.last < reach).then_some(reach),
        events: 0,
        clean: false,
        outcomes: Differences::default(),
        emissions: Differences::default(),
        state: Differences::default(),
        live_cost: Cost::default(),
        candidate_cost: Cost::default(),
    };
    let query = both(&live, &candidate);
    let route = Route { query, span, slice_events_max: live.policy.batch_events_max, whole: false };
    let (mut live, mut candidate) = (Actor::new(live, None, stage)?, Actor::new(candidate, None, stage)?);
    let removed_before = walk(stage, route, tell, &mut |slice| {
        let pairs = live.perform(slice)?.into_iter().zip(candidate.perform(slice)?);
        for (event, (live, candidate)) in slice.iter().zip(pairs) {
            report.compare(event.position, &live, &candidate);
        }
        let over = live.is_stopped() && candidate.is_stopped();
        Ok(if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    report.state = compare_state(&live.state.take_entries(), &candidate.state.take_entries());
    report.clean = report.outcomes.count + report.emissions.count + report.state.count == 0;
    report.removed_before = removed_before;
    (report.live_cost, report.candidate_cost) = (live.cost, candidate.cost);
    Ok(report)
}

/// What either of two versions listens to.
fn both(live: &Setup, candidate: &Setup) -> Query {
    let (live, candidate) = (live.subscription.filter.clone(), candidate.subscription.filter.clone());
    if live == candidate { live.into() } else { vec![live, candidate].into() }
}

impl ShadowReport {
    /// Notes how one event differs. A reason in other words is no difference.
    fn compare(&mut self, position: Position, live: &Performed, candidate: &Performed) {
        self.events += 1;
        let (ended, expected) = (candidate.outcome.view(), live.outcome.view());
        if (&ended.outcome, &ended.kind) != (&expected.outcome, &expected.kind) {
            self.outcomes.note(|| OutcomeDifference { position, live: expected, candidate: ended });
        }
        for index in 0..live.emitted.len().max(candidate.emitted.len()) {
            let (live, candidate) = (live.emitted.get(index), candidate.emitted.get(index));
            if !same(live, candidate) {
                let view = |event: Option<&NewEvent>| event.map(EmissionView::from);
                let (live, candidate) = (view(live), view(candidate));
                self.emissions.note(|| EmissionDifference { position, index, live, candidate });
            }
        }
    }
}

/// Whether two events are the same but for their ids, which follow from cause and place.
fn same(live: Option<&NewEvent>, candidate: Option<&NewEvent>) -> bool {
    match (live, candidate) {
        (Some(live), Some(candidate)) => NewEvent { id: live.id, ..candidate.clone() } == *live,
        (live, candidate) => live.is_none() && candidate.is_none(),
    }
}
