//! What a plugin does, call by call: the outermost handler of a run.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use super::fixture::{Appended, Dispatched, is_own};
use super::run::json_or_text;
use crate::clock::Stopwatch;
use crate::delivery::{Effects, Envelope, EventBatch, Failure, HandleError, Handled, Handler, Usage, Verdict};
use crate::event::{NewEvent, Position, RecordedEvent, metadata_key};
use crate::runtime::{LogLine, Transcript};

/// A call of the plugin, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// The events that it was handed.
    pub events: Vec<Given>,
    /// `handled`, or what it said, or what went wrong.
    pub outcome: &'static str,
    /// Why, where it was not handled.
    pub reason: Option<String>,
    /// Index in `events` of the one that failed, where the plugin named it.
    pub failed: Option<usize>,
    /// The wait it asked for, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Whether it was given that wait: the clock of the run was moved on by it, and no attempt was counted.
    pub waited: bool,
    /// The wasm backtrace; empty when there was no trap.
    pub backtrace: String,
    /// The last of what it said, where it was not handled.
    pub last_words: String,
    /// The events that it appended. They count when it was handled.
    pub appended: Vec<Appended>,
    /// The commands that it sent to be decided. They count when it was handled.
    pub dispatched: Vec<Dispatched>,
    /// The keys that it wrote, with their values; none for a key that it deleted.
    pub state: BTreeMap<String, Option<Value>>,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// How long it took, in microseconds.
    pub us: u64,
    /// Fuel that it took: about one unit for each instruction.
    pub fuel: u64,
    /// Memory that the plugin has after it, in bytes.
    pub memory_bytes: usize,
}

/// An event as it was handed over.
#[derive(Clone, Debug, Serialize)]
pub struct Given {
    /// Its index among those that are handled; what the plugin appended counts on behind them.
    pub index: usize,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its stream.
    pub stream: Option<String>,
}

impl Call {
    /// A call of one event or command, of which nothing else is known yet.
    pub(super) fn of(given: Given, outcome: &'static str) -> Self {
        Self {
            events: vec![given],
            outcome,
            reason: None,
            failed: None,
            retry_after_ms: None,
            waited: false,
            backtrace: String::new(),
            last_words: String::new(),
            appended: Vec::new(),
            dispatched: Vec::new(),
            state: BTreeMap::new(),
            log: Vec::new(),
            us: 0,
            fuel: 0,
            memory_bytes: 0,
        }
    }

    /// Whether it was handled.
    #[must_use]
    pub fn is_handled(&self) -> bool {
        self.outcome == HANDLED
    }

    /// Whether its lines count: they do not when all of its events are handed over again.
    pub(super) fn is_final(&self) -> bool {
        self.is_handled() || self.failed == Some(0) || (self.failed.is_none() && self.events.len() == 1)
    }
}

/// How often an event is waited for that the plugin asks time for. What it asks for beyond that counts as attempts: here
/// nothing is mended meanwhile, and a run has an end.
const WAITS_MAX: u32 = 3;

const HANDLED: &str = "handled";

/// Calls as they come. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    pub(super) fn take(&self) -> Vec<Call> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, call: Call) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

/// A handler whose calls are written down.
pub(super) struct Recorded {
    pub(super) inner: Box<dyn Handler>,
    pub(super) transcript: Transcript,
    pub(super) calls: Calls,
    /// Where what was there before ends.
    pub(super) given: Position,
    /// How often each event was asked time for.
    pub(super) asked: BTreeMap<Position, u32>,
}

impl Handler for Recorded {
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        let events: Vec<_> = batch.iter().map(|event| self.event(event)).collect();
        let before = self.inner.usage();
        let watch = Stopwatch::start();
        let handled = self.inner.handle(batch.clone(), effects);
        let us = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usage = self.inner.usage();
        let waited = self.is_waited(&handled, &batch);
        let (state, staged) = handled.effects.staged_by_call();
        let state = state.into_iter().map(|(key, value)| (key.to_owned(), value.map(json_or_text)));
        let sealed = staged.iter().map(|event| (event, Envelope::sealed(event)));
        let dispatched = sealed.clone().filter_map(|(event, envelope)| {
            Some(Dispatched::new(cause(event, &batch, &events), envelope?, &event.data))
        });
        let appended = sealed.filter(|(_, envelope)| envelope.is_none());
        let appended = appended.map(|(event, _)| appended_of(event, cause(event, &batch, &events)));
        let error = handled.outcome.as_ref().err();
        let failure = error.and_then(|error| match error {
            HandleError::Failure(failure) => Some(failure),
            HandleError::Fault { .. } => None,
        });
        self.calls.add(Call {
            outcome: error.map_or(HANDLED, HandleError::kind),
            reason: error.map(|error| error.reason().to_owned()),
            failed: failure.map(|failure| failure.index),
            retry_after_ms: failure.and_then(asked_ms),
            waited,
            backtrace: handled.evidence.backtrace.clone(),
            last_words: handled.evidence.stderr_tail.clone(),
            appended: appended.collect(),
            dispatched: dispatched.collect(),
            state: state.collect(),
            log: self.transcript.take(),
            us,
            fuel: usage.fuel.saturating_sub(before.fuel),
            memory_bytes: usage.memory_bytes,
            events,
        });
        if waited { handled } else { at_once(handled) }
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

impl Recorded {
    /// Whether the plugin asks for time for the first event that it was handed, and is given it. For one behind others it
    /// asks again, when it is handed that one alone.
    fn is_waited(&mut self, handled: &Handled, batch: &EventBatch) -> bool {
        let Err(HandleError::Failure(failure)) = &handled.outcome else { return false };
        let Some(event) = batch.first().filter(|_| failure.index == 0 && asked_ms(failure).is_some()) else {
            return false;
        };
        let asked = self.asked.entry(event.position).or_default();
        *asked += 1;
        *asked <= WAITS_MAX
    }

    /// Positions are dense, so an event's index follows from its own.
    fn event(&self, event: &RecordedEvent) -> Given {
        let index = event.position.0.saturating_sub(self.given.0).saturating_sub(1);
        Given {
            index: usize::try_from(index).unwrap_or(usize::MAX),
            event_type: event.event_type.to_string(),
            stream: event.stream.as_ref().map(ToString::to_string),
        }
    }
}

/// Index of the event that caused one.
fn cause(event: &NewEvent, batch: &EventBatch, given: &[Given]) -> usize {
    let cause = event.metadata.get(metadata_key::CAUSATION_ID);
    let caused_by = batch.iter().zip(given).find(|(event, _)| Some(&event.id.to_string()) == cause);
    caused_by.map(|(_, given)| given.index).unwrap_or_default()
}

fn appended_of(event: &NewEvent, cause: usize) -> Appended {
    let own = event.metadata.iter().filter(|(key, _)| is_own(key));
    Appended {
        cause,
        event_type: event.event_type.to_string(),
        stream: event.stream.as_ref().map(ToString::to_string),
        tags: event.tags.iter().map(ToString::to_string).collect(),
        schema_version: event.schema_version,
        metadata: own.map(|(key, value)| (key.clone(), value.clone())).collect(),
        data: json_or_text(&event.data),
    }
}

/// The wait that a plugin asks for, in milliseconds.
const fn asked_ms(failure: &Failure) -> Option<u64> {
    match failure.verdict {
        Verdict::Retry { after_ms } => after_ms,
        Verdict::Reject | Verdict::Stop => None,
    }
}

/// A wait that is not given: the event is tried again as after any failure, and that counts.
fn at_once(mut handled: Handled) -> Handled {
    if let Err(HandleError::Failure(failure)) = &mut handled.outcome
        && let Verdict::Retry { after_ms } = &mut failure.verdict
    {
        *after_ms = None;
    }
    handled
}
