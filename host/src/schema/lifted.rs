//! An event on its way through the chain.

use thiserror::Error;

use super::chain::Chain;
use super::lift::{Step, Upcasted};
use crate::event::{DATA_BYTES_MAX, EventType, Position, RecordedEvent};

/// Metadata key of what was made of an event that became several: its place among them, from 0. They have the
/// position and the id of the stored event in common.
pub const PART_KEY: &str = "$part";

/// Most events that one stored event may become.
const PARTS_MAX: usize = 256;
/// Most data that one stored event may become, in bytes.
const PARTS_BYTES_MAX: usize = 4 << 20;

/// Why an event cannot be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("event {position} cannot be lifted to today's schema: {event_type} {from}: {reason}")]
pub struct LiftError {
    /// The stored event.
    pub position: Position,
    /// The type that was to be lifted.
    pub event_type: EventType,
    /// The schema version that was to be lifted.
    pub from: u32,
    /// Where the step is written, and what it says.
    pub reason: String,
}

impl Chain {
    /// What events are today, in order. Blocks where a step is code.
    ///
    /// # Errors
    /// That of the first event that cannot be lifted.
    pub fn lift_all(&self, events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, LiftError> {
        let mut lifted = Vec::with_capacity(events.len());
        for event in events {
            match self.lift(&event)? {
                None => lifted.push(event),
                Some(parts) => lifted.extend(parts),
            }
        }
        Ok(lifted)
    }

    /// What an event is today: itself (none), or what is made of it, in order; empty if it is dropped. Blocks where
    /// a step is code.
    ///
    /// # Errors
    /// When a step fails, answers what it did not declare, or makes too much.
    pub fn lift(&self, event: &RecordedEvent) -> Result<Option<Vec<RecordedEvent>>, LiftError> {
        if self.step(event).is_none() {
            return Ok(None);
        }
        let (mut open, mut lifted, mut bytes) = (vec![event.clone()], Vec::new(), 0);
        while let Some(next) = open.pop() {
            let failed = |reason| LiftError {
                position: next.position,
                event_type: next.event_type.clone(),
                from: next.schema_version,
                reason,
            };
            match self.step(&next) {
                None => {
                    bytes += next.data.len();
                    lifted.push(next);
                }
                Some(None) => return Err(failed("nothing lifts it; add a lift from this version".into())),
                Some(Some(step)) => {
                    let made = step.run(&next).map_err(|reason| failed(format!("{} says: {reason}", step.origin)))?;
                    // The first of them is lifted on first, so the order stays.
                    open.extend(made.into_iter().rev().map(|made| step.replaced(&next, made)));
                }
            }
            if open.len() + lifted.len() > PARTS_MAX || bytes > PARTS_BYTES_MAX {
                return Err(too_much(event));
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

fn too_much(event: &RecordedEvent) -> LiftError {
    LiftError {
        position: event.position,
        event_type: event.event_type.clone(),
        from: event.schema_version,
        reason: format!("it becomes more than {PARTS_MAX} events, or {PARTS_BYTES_MAX} bytes"),
    }
}

impl Step {
    /// What it makes of an event, held against what it declares.
    fn run(&self, event: &RecordedEvent) -> Result<Vec<Upcasted>, String> {
        let made = self.upcast.upcast(event)?;
        if made.len() > PARTS_MAX {
            return Err(format!("it made {} events; at most {PARTS_MAX} are allowed", made.len()));
        }
        for Upcasted { event_type, data, content_type } in &made {
            if !self.lift.into.contains(event_type) {
                return Err(format!("it made a {event_type}, which it does not declare; it declares {}", self.lift));
            }
            if data.len() > DATA_BYTES_MAX {
                return Err(format!("it made {} bytes of data; at most {DATA_BYTES_MAX} are allowed", data.len()));
            }
            if content_type.is_none()
                && let Err(error) = serde_json::from_slice::<&serde_json::value::RawValue>(data)
            {
                return Err(format!("it made a {event_type} whose data is not JSON: {error}"));
            }
        }
        Ok(made)
    }

    /// The event with what is made of it in its place.
    fn replaced(&self, event: &RecordedEvent, made: Upcasted) -> RecordedEvent {
        let Upcasted { event_type, data, content_type } = made;
        RecordedEvent { event_type, data, content_type, schema_version: self.lift.to, ..event.clone() }
    }
}
