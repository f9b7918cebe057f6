//! One version from its start to its checkpoint, from nothing: is that the state that is stored?

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actor::{Actor, Outcome};
use super::progress::Tell;
use super::report::{Differences, FailureView, StateDifference, compare_state};
use super::snapshot::Snapshot;
use super::span::Span;
use super::walk::{Route, walk};
use super::{Asked, RehearsalError, Stage};
use crate::delivery::{Cost, Setup};
use crate::event::{PluginName, Position};

/// How a state built anew differs from the one that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyStateReport {
    /// The plugin.
    pub plugin: PluginName,
    /// SHA-256 of its component, in hex.
    pub component_digest: String,
    /// Where it began.
    pub from: Position,
    /// The checkpoint at which both were compared; of several partitions, the highest.
    pub to: Position,
    /// Events that were handed over.
    pub events: u64,
    /// Events that live delivery has set aside, those behind others included, and that were left out so.
    pub left_out: u64,
    /// Keys of the stored state.
    pub keys: u64,
    /// Whether the state is the same, key by key.
    pub same: bool,
    /// The first key that differs, in key order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<FirstDifference>,
    /// Every key that differs.
    pub state: Differences<StateDifference>,
    /// What could not be handled this time.
    pub failures: Differences<FailureView>,
    /// Where and why the handler stopped, if it did: nothing after that is in the state that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<FailureView>,
    /// What it cost.
    pub cost: Cost,
}

/// The first key that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstDifference {
    /// The key, and both values.
    #[serde(flatten)]
    pub difference: StateDifference,
    /// The last event that wrote the key in the rehearsal; none when no event did.
    pub written_at: Option<Position>,
}

/// Builds the state anew and compares. `setup` makes a fresh handler each time it is called: a second run finds
/// out which event wrote the first key that differs. Blocks for as long as the handler takes.
///
/// State, checkpoints and set-aside events are those of one moment. What live delivery has
/// settled is handed over in the order of the log, each event up to the checkpoint of its own partition: where
/// keys keep their order, state that depends on an order across keys may differ so. Events that an operator
/// discarded, or that were handed over again later than in their turn, are not told from others.
///
/// # Errors
/// When there is nothing to compare, a state outgrows the stage, the store cannot be read, or `tell` cancels it.
pub fn verify_state(
    stage: &Stage,
    setup: &dyn Fn() -> Setup,
    from: Option<Position>,
    tell: Tell<'_>,
) -> Result<VerifyStateReport, RehearsalError> {
    let first = setup();
    let plugin = first.plugin.clone();
    let component_digest = first.component_digest.clone();
    let live = Snapshot::take(stage, &plugin)?;
    let span = Asked { from, ..Asked::default() }.within(&first, live.settlement.reach(), &*stage.store)?;
    let mut run =
        Run { stage, live: &live, span, failures: Differences::default(), stopped: None, events: 0, left_out: 0 };
    let actor = run.through(first, None, tell)?;
    let state = compare_state(&live.state, &actor.state.take_entries());
    let (events, left_out) = (run.events, run.left_out);
    let (failures, stopped) = (std::mem::take(&mut run.failures), run.stopped.take());
    let first = match state.first.first() {
        Some(difference) => {
            let written_at = run.through(setup(), Some(&difference.key), tell)?.written_at();
            Some(FirstDifference { difference: difference.clone(), written_at })
        }
        None => None,
    };
    Ok(VerifyStateReport {
        plugin,
        component_digest,
        from: span.first,
        to: span.last,
        events,
        left_out,
        keys: live.state.len() as u64,
        same: state.count == 0,
        first,
        state,
        failures,
        stopped,
        cost: actor.cost,
    })
}

/// What both runs go over, and what they count.
struct Run<'a> {
    stage: &'a Stage,
    live: &'a Snapshot,
    span: Span,
    failures: Differences<FailureView>,
    stopped: Option<FailureView>,
    events: u64,
    left_out: u64,
}

impl Run<'_> {
    /// One run; it may watch a key.
    fn through(&mut self, setup: Setup, watch: Option<&str>, tell: Tell<'_>) -> Result<Actor, RehearsalError> {
        let query = setup.subscription.filter.clone().into();
        let route = Route { query, span: self.span, slice_events_max: setup.policy.batch_events_max, whole: true };
        let mut actor = Actor::new(setup, None, self.stage)?;
        actor.only(Arc::clone(&self.live.settlement));
        if let Some(key) = watch {
            actor.watch(key);
        }
        walk(self.stage, route, tell, &mut |slice| {
            for performed in actor.perform(slice)? {
                self.note(performed.outcome);
            }
            Ok(if actor.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(actor)
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::LeftOut => self.left_out += 1,
            Outcome::Failed(failure) => self.failures.note(|| failure),
            Outcome::Stopped(failure) => {
                self.failures.note(|| failure.clone());
                self.stopped = Some(failure);
            }
            Outcome::NotReached => return,
            Outcome::Handled | Outcome::NotSubscribed | Outcome::NoKey | Outcome::Behind => {}
        }
        self.events += 1;
    }
}
