//! One version on the stage: events in, outcomes and caught emissions out.
//!
//! What fails is looked for as live delivery does it: a handler that names an event has those before it handled
//! again; a batch that faults is halved. Nothing is waited for: a `retry` with a time counts as an attempt, so that
//! every rehearsal ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::report::{FailureView, OutcomeView};
use super::scratch::Scratch;
use super::snapshot::Settlement;
use super::{RehearsalError, Stage};
use crate::clock::Clock;
use crate::delivery::cost::{self, Cost};
use crate::delivery::key::{Key, Sequence};
use crate::delivery::machine::FaultRun;
use crate::delivery::{
    Effects, EventBatch, Evidence, Fault, HandleError, Handled, Handler, OnExhausted, Policy, Setup, StateSource,
    Verdict,
};
use crate::event::{Filter, NewEvent, Position, RecordedEvent, metadata_key};

/// Most bytes of events that are caught from one slice.
const EMITTED_BYTES_MAX: usize = 64 << 20;

/// One version on the stage.
pub(super) struct Actor {
    pub(super) state: Arc<Scratch>,
    pub(super) cost: Cost,
    clock: Arc<dyn Clock>,
    filter: Filter,
    policy: Policy,
    handler: Box<dyn Handler>,
    effects: Effects,
    /// What live delivery has handled: nothing else is handed over. None for everything.
    only: Option<Arc<Settlement>>,
    /// What keeps the order of events.
    key: Key,
    /// Keys of events that failed for good: later events stand behind them.
    blocked: BTreeSet<Sequence>,
    fault_run: FaultRun,
    watch: Option<Watch>,
    stopped: bool,
    /// Most events in the next call; lowered while a failing event is looked for.
    batch_limit: usize,
    /// Events up to here are handed over alone.
    alone_through: Position,
    /// The event that keeps failing.
    failing: Option<Failing>,
}

/// How often an event has failed so far.
#[derive(Clone, Copy)]
struct Failing {
    position: Position,
    attempts: u32,
    faults: u32,
}

/// A key, and the event that wrote it last.
pub(super) struct Watch {
    key: String,
    written_at: Option<Position>,
}

/// What became of one event.
#[derive(Debug)]
pub(super) struct Performed {
    pub(super) outcome: Outcome,
    /// What it would have appended.
    pub(super) emitted: Vec<NewEvent>,
}

/// How one event ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Handled,
    /// The version does not listen to it.
    NotSubscribed,
    /// It stands among the set-aside events of live delivery.
    LeftOut,
    /// It lacks the key that the manifest asks for: live delivery sets it aside, untried.
    NoKey,
    /// It was not tried: an earlier event of its key failed.
    Behind,
    /// It was out of attempts, or refused.
    Failed(FailureView),
    /// The handler stops before it, or halts at it as the policy says.
    Stopped(FailureView),
    /// It comes after one that was stopped at, or live delivery has not come to it.
    NotReached,
}

impl Outcome {
    /// What of it is compared and counted.
    pub(super) fn view(&self) -> OutcomeView {
        let (outcome, failure) = match self {
            Self::Handled => ("handled", None),
            Self::NotSubscribed => ("not_subscribed", None),
            Self::LeftOut => ("left_out", None),
            Self::NoKey => ("no_key", None),
            Self::Behind => ("behind", None),
            Self::Failed(failure) => ("failed", Some(failure)),
            Self::Stopped(failure) => ("stopped", Some(failure)),
            Self::NotReached => ("not_reached", None),
        };
        let of = |part: fn(&FailureView) -> &String| failure.map(|failure| part(failure).clone());
        OutcomeView {
            outcome: outcome.into(),
            kind: of(|failure| &failure.kind),
            reason: of(|failure| &failure.reason),
        }
    }
}

impl Actor {
    /// A version whose state begins as `base`, or empty.
    ///
    /// # Errors
    /// When it has no handler.
    pub(super) fn new(setup: Setup, base: Option<Arc<dyn StateSource>>, stage: &Stage) -> Result<Self, RehearsalError> {
        let none = || RehearsalError::Broken { reason: format!("plugin {} came without a handler", setup.plugin) };
        let handler = setup.handlers.into_iter().next().ok_or_else(none)?;
        let state = Arc::new(Scratch::new(base, stage.scratch_bytes_max));
        let reads = Arc::clone(&state) as Arc<dyn StateSource>;
        Ok(Self {
            effects: Effects::over(setup.plugin, reads, setup.append, stage.store.own_ids())
                .causation_depth_max(setup.policy.causation_depth_max)
                .state_bytes_max(setup.policy.state_bytes_max)
                .dispatching(setup.policy.dispatch.clone()),
            batch_limit: setup.policy.batch_events_max.max(1),
            state,
            cost: Cost::default(),
            clock: Arc::clone(&stage.clock),
            filter: setup.subscription.filter,
            key: setup.policy.key(),
            policy: setup.policy,
            handler,
            only: None,
            blocked: BTreeSet::new(),
            fault_run: FaultRun::default(),
            watch: None,
            stopped: false,
            alone_through: Position::START,
            failing: None,
        })
    }

    /// Leaves out what live delivery has not handled.
    pub(super) fn only(&mut self, settlement: Arc<Settlement>) {
        self.only = Some(settlement);
    }

    /// Finds out which event writes a key last.
    pub(super) fn watch(&mut self, key: &str) {
        self.watch = Some(Watch { key: key.into(), written_at: None });
    }

    /// The event that wrote the watched key last.
    pub(super) fn written_at(&self) -> Option<Position> {
        self.watch.as_ref()?.written_at
    }

    /// Whether it takes no more events.
    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Hands a slice over; answers what became of each of its events.
    pub(super) fn perform(&mut self, slice: &EventBatch) -> Result<Vec<Performed>, RehearsalError> {
        let mut performed = Vec::with_capacity(slice.len());
        let mut emitted_bytes = 0;
        while let Some(event) = slice.get(performed.len()) {
            if let Some(outcome) = self.passed_over(event) {
                performed.push(Performed { outcome, emitted: Vec::new() });
                continue;
            }
            let next = performed.len();
            let rest = slice.get(next..).unwrap_or_default();
            let limit = if event.position <= self.alone_through { 1 } else { self.batch_limit };
            let taken = rest.iter().take(limit).take_while(|event| self.passed_over(event).is_none());
            let batch = slice.slice(next..next + taken.count());
            emitted_bytes += self.hand_over(&batch, &mut performed)?;
            if emitted_bytes > EMITTED_BYTES_MAX {
                let from = slice.first().map_or(Position::START, |event| event.position);
                return Err(RehearsalError::TooMuchEmitted { bytes_max: EMITTED_BYTES_MAX, events: slice.len(), from });
            }
        }
        Ok(performed)
    }

    /// What becomes of an event that the handler is not given.
    fn passed_over(&self, event: &RecordedEvent) -> Option<Outcome> {
        let live = self.only.as_ref();
        if self.stopped || live.is_some_and(|live| !live.covers(event)) {
            Some(Outcome::NotReached)
        } else if !self.filter.matches(event) {
            Some(Outcome::NotSubscribed)
        } else if live.is_some_and(|live| live.is_set_aside(event.position)) {
            Some(Outcome::LeftOut)
        } else {
            self.held_up(event)
        }
    }

    /// What becomes of an event by its key.
    fn held_up(&self, event: &RecordedEvent) -> Option<Outcome> {
        let needs_key = self.policy.needs_key();
        if self.blocked.is_empty() && !needs_key {
            return None;
        }
        let sequence = self.key.sequence_of(event);
        match sequence {
            Sequence::Alone(_) => needs_key.then_some(Outcome::NoKey),
            Sequence::Key(_) => self.blocked.contains(&sequence).then_some(Outcome::Behind),
        }
    }

    /// Calls the handler once, and takes over what it did, or draws the consequence. Answers the bytes caught.
    fn hand_over(&mut self, batch: &EventBatch, performed: &mut Vec<Performed>) -> Result<usize, RehearsalError> {
        let (error, evidence) = match self.call(batch) {
            // Which of them wrote the watched key shows when each is handled alone.
            Ok(()) if batch.len() > 1 && self.watch.as_ref().is_some_and(|watch| self.effects.writes(&watch.key)) => {
                self.effects.discard_call();
                self.alone_through = batch.last().map_or(Position::START, |event| event.position);
                return Ok(0);
            }
            Ok(()) => return self.settle(batch, performed),
            Err(failed) => failed,
        };
        match &error {
            HandleError::Failure(failure) if (1..batch.len()).contains(&failure.index) => {
                self.batch_limit = failure.index;
            }
            HandleError::Fault { .. } if batch.len() > 1 => self.batch_limit = batch.len() / 2,
            _ => performed.extend(batch.first().and_then(|event| self.attempt(event, &error, evidence))),
        }
        Ok(0)
    }

    /// Calls the handler with a batch; on success what it did is staged.
    fn call(&mut self, batch: &EventBatch) -> Result<(), (HandleError, Evidence)> {
        let fresh = self.effects.fresh();
        let mut effects = std::mem::replace(&mut self.effects, fresh);
        effects.begin_call(batch.clone());
        let called = cost::call(&mut *self.handler, batch.clone(), effects, &*self.clock);
        self.cost.count(&called, self.handler.usage());
        let Ok(Handled { effects, outcome, evidence }) = called.handled else {
            let reason = "the handler panicked; the host's stderr says where".into();
            return Err((HandleError::Fault { fault: Fault::Trap, reason }, Evidence::default()));
        };
        self.effects = effects;
        let checked = outcome.map_err(|error| checked(error, batch.len()));
        checked.map_err(|error| {
            self.effects.discard_call();
            (error, evidence)
        })
    }

    /// Takes over what the last call staged; every event of its batch is handled.
    fn settle(&mut self, batch: &EventBatch, performed: &mut Vec<Performed>) -> Result<usize, RehearsalError> {
        let (changes, events) = self.effects.take();
        if let Some(watch) = self.watch.as_mut().filter(|watch| changes.iter().any(|change| change.key == watch.key)) {
            watch.written_at = batch.last().map(|event| event.position);
        }
        self.state.apply(changes)?;
        self.failing = None;
        self.fault_run.end();
        self.batch_limit = (self.batch_limit * 2).min(self.policy.batch_events_max.max(1));
        let bytes = events.iter().map(NewEvent::size_bytes).sum();
        performed.extend(
            by_cause(batch, events).into_iter().map(|emitted| Performed { outcome: Outcome::Handled, emitted }),
        );
        Ok(bytes)
    }

    /// Counts a failed attempt; answers what became of the event if it has no more.
    fn attempt(&mut self, event: &RecordedEvent, error: &HandleError, evidence: Evidence) -> Option<Performed> {
        let before = self.failing.take().filter(|failing| failing.position == event.position);
        let mut failing = before.unwrap_or(Failing { position: event.position, attempts: 0, faults: 0 });
        let is_fault = matches!(error, HandleError::Fault { .. });
        let count = if is_fault { &mut failing.faults } else { &mut failing.attempts };
        *count = count.saturating_add(1);
        let Failing { position, attempts, faults } = failing;
        let halts = match verdict(error) {
            Verdict::Reject => false,
            Verdict::Stop => true,
            Verdict::Retry { .. } if !self.policy.is_exhausted(attempts, faults) => {
                self.failing = Some(failing);
                self.batch_limit = 1;
                return None;
            }
            Verdict::Retry { .. } => {
                self.policy.on_exhausted == OnExhausted::Halt || (is_fault && self.fault_run.note(position))
            }
        };
        self.batch_limit = self.policy.batch_events_max.max(1);
        let failure = FailureView::new(event, error, evidence, attempts.saturating_add(faults));
        self.stopped = halts;
        if let sequence @ Sequence::Key(_) = self.key.sequence_of(event) {
            self.blocked.insert(sequence);
        }
        let outcome = if halts { Outcome::Stopped(failure) } else { Outcome::Failed(failure) };
        Some(Performed { outcome, emitted: Vec::new() })
    }
}

/// A fault is tried again.
const fn verdict(error: &HandleError) -> Verdict {
    match error {
        HandleError::Failure(failure) => failure.verdict,
        HandleError::Fault { .. } => Verdict::Retry { after_ms: None },
    }
}

/// An answer about an event that is not in the batch makes no sense.
fn checked(error: HandleError, len: usize) -> HandleError {
    match error {
        HandleError::Failure(failure) if failure.index >= len => {
            let reason = format!("it named event {} of a batch of {len}: {}", failure.index, failure.reason);
            HandleError::Fault { fault: Fault::BadReply, reason }
        }
        other => other,
    }
}

/// The events that each event of a batch caused, in order.
fn by_cause(batch: &EventBatch, events: Vec<NewEvent>) -> Vec<Vec<NewEvent>> {
    let mut caused: Vec<Vec<NewEvent>> = batch.iter().map(|_| Vec::new()).collect();
    if events.is_empty() {
        return caused;
    }
    let index: HashMap<String, usize> =
        batch.iter().enumerate().map(|(index, event)| (event.id.to_string(), index)).collect();
    for event in events {
        let cause = event.metadata.get(metadata_key::CAUSATION_ID).and_then(|cause| index.get(cause)).copied();
        if let Some(list) = caused.get_mut(cause.unwrap_or_default()) {
            list.push(event);
        }
    }
    caused
}
