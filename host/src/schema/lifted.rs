//! An event on its way through the chain.

use std::time::Duration;

use thiserror::Error;

use super::chain::Chain;
use super::lift::{NotUpcast, Step, Upcasted};
use crate::clock::Stopwatch;
use crate::error::Evidence;
use crate::event::{DATA_BYTES_MAX, EventType, Position, RecordedEvent, check_name};

/// Metadata key of what was made of an event that became several: its place among them, from 0. They have the
/// position and the id of the stored event in common.
pub const PART_KEY: &str = "$part";

/// Most events that one stored event may become.
pub(super) const PARTS_MAX: usize = 256;
/// Most that one stored event may become, in bytes: payloads, names and metadata.
pub(super) const PARTS_BYTES_MAX: usize = 4 << 20;
/// How long one stored event is lifted: no step begins later.
const EVENT_TIME_MAX: Duration = Duration::from_secs(5);

/// Why an event cannot be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("event {position} cannot be lifted to today's schema: {event_type} {from}: {}", self.told())]
pub struct LiftError {
    /// The stored event.
    pub position: Position,
    /// The type that was to be lifted.
    pub event_type: EventType,
    /// The schema version that was to be lifted.
    pub from: u32,
    /// What the step says, or what is wrong where none failed.
    pub reason: String,
    /// Where the step is written; none where none failed.
    pub upcaster: Option<String>,
    /// What the step left behind.
    pub evidence: Box<Evidence>,
}

impl Chain {
    /// What an event is today: itself (none), or what is made of it, in order; empty if it is dropped. Blocks where
    /// a step is code.
    ///
    /// # Errors
    /// When a step fails, answers what it did not declare, makes too much, or all of them take too long.
    pub fn lift(&self, event: &RecordedEvent) -> Result<Option<Vec<RecordedEvent>>, LiftError> {
        let began = Stopwatch::start();
        self.lift_while(event, &|| began.elapsed() < EVENT_TIME_MAX)
    }

    /// The same, as long as there is time, which is asked before each step.
    pub(super) fn lift_while(
        &self,
        event: &RecordedEvent,
        has_time: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<RecordedEvent>>, LiftError> {
        if self.step(event).is_none() {
            return Ok(None);
        }
        // What all of them take, lifted or not yet.
        let mut bytes = event.size_bytes();
        let (mut open, mut lifted) = (vec![event.clone()], Vec::new());
        while let Some(next) = open.pop() {
            match self.step(&next) {
                None => lifted.push(next),
                Some(None) => {
                    return Err(LiftError::of(&next, "nothing lifts it; add a lift from this version".into()));
                }
                Some(Some(_)) if !has_time() => return Err(LiftError::of(event, too_slow())),
                Some(Some(step)) => {
                    let made = step.made(&next).map_err(|failure| LiftError::by(step, &next, failure))?;
                    bytes = bytes.saturating_sub(next.size_bytes()) + size_of_all(&made);
                    // The first of them is lifted on first, so the order stays.
                    open.extend(made.into_iter().rev());
                }
            }
            if open.len() + lifted.len() > PARTS_MAX || bytes > PARTS_BYTES_MAX {
                return Err(LiftError::of(event, too_much()));
            }
        }
        if lifted.len() > 1 {
            for (part, event) in lifted.iter_mut().enumerate() {
                event.metadata.insert(PART_KEY.into(), part.to_string());
            }
        }
        Ok(Some(lifted))
    }
}

/// What events take, in bytes.
pub(super) fn size_of_all(events: &[RecordedEvent]) -> usize {
    events.iter().map(RecordedEvent::size_bytes).sum()
}

impl LiftError {
    /// The reason, with where the step is written that says it.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.upcaster {
            Some(upcaster) => format!("{upcaster} says: {}", self.reason),
            None => self.reason.clone(),
        }
    }

    /// Of an event that no step failed at.
    pub(crate) fn of(event: &RecordedEvent, reason: String) -> Self {
        let (position, event_type, from) = (event.position, event.event_type.clone(), event.schema_version);
        Self { position, event_type, from, reason, upcaster: None, evidence: Box::default() }
    }

    /// Of an event that a step failed at.
    fn by(step: &Step, event: &RecordedEvent, NotUpcast { reason, evidence }: NotUpcast) -> Self {
        let upcaster = Some(step.origin.clone());
        Self { upcaster, evidence: Box::new(evidence), ..Self::of(event, reason) }
    }
}

fn too_much() -> String {
    format!("it becomes more than {PARTS_MAX} events, or {PARTS_BYTES_MAX} bytes")
}

fn too_slow() -> String {
    format!("lifting it takes more than {} s", EVENT_TIME_MAX.as_secs())
}

impl Step {
    /// What it makes of an event, held against what it declares. Of the event's own labels and metadata each has a copy.
    fn made(&self, event: &RecordedEvent) -> Result<Vec<RecordedEvent>, NotUpcast> {
        let made = self.upcast.upcast(event)?;
        if made.len() > PARTS_MAX {
            return Err(format!("it made {} events; at most {PARTS_MAX} are allowed", made.len()).into());
        }
        let around = event.size_bytes() - event.data.len();
        if made.iter().map(|made| made.data.len() + around).sum::<usize>() > PARTS_BYTES_MAX {
            return Err(too_much().into());
        }
        Ok(made.into_iter().map(|made| self.replaced(event, made)).collect::<Result<_, String>>()?)
    }

    /// The event with what is made of it in its place, at the version that is declared with its type.
    fn replaced(&self, event: &RecordedEvent, made: Upcasted) -> Result<RecordedEvent, String> {
        check(&made)?;
        let Upcasted { event_type, data, content_type } = made;
        let Some(target) = self.lift.into.iter().find(|target| target.event_type == event_type) else {
            return Err(format!("it made a {event_type}, which it does not declare; it declares {}", self.lift));
        };
        Ok(RecordedEvent { event_type, data, content_type, schema_version: target.version, ..event.clone() })
    }
}

/// Whether an event may be what a step says.
fn check(made: &Upcasted) -> Result<(), String> {
    let Upcasted { event_type, data, content_type } = made;
    if data.len() > DATA_BYTES_MAX {
        return Err(format!("it made {} bytes of data; at most {DATA_BYTES_MAX} are allowed", data.len()));
    }
    match content_type {
        Some(content_type) => check_name("content type", content_type).map_err(|error| error.to_string()),
        None => match serde_json::from_slice::<&serde_json::value::RawValue>(data) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("it made a {event_type} whose data is not JSON: {error}")),
        },
    }
}
