//! What one step of the chain is.

use std::fmt;
use std::sync::Arc;

use crate::error::Evidence;
use crate::event::{EventType, RecordedEvent};

/// What a step declares: which events it takes, and what it makes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lift {
    /// The type that it takes.
    pub event_type: EventType,
    /// The schema version that it takes, from 1.
    pub from: u32,
    /// What it may make: the same type, another, several; none where it drops every event. Each type once.
    pub into: Vec<Target>,
}

/// A type that a step may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The type.
    pub event_type: EventType,
    /// The schema version at which it is made, from 1.
    pub version: u32,
}

/// What a step makes of an event. All else stays as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcasted {
    /// One of the types that its lift declares.
    pub event_type: EventType,
    /// The payload.
    pub data: Vec<u8>,
    /// Media type of `data`; none for `application/json`.
    pub content_type: Option<String>,
}

/// Code that lifts events. Pure: the same event always becomes the same.
pub trait Upcast: Send + Sync {
    /// Makes one event, several in this order, or none of an event of the declared type and version. Blocks.
    ///
    /// # Errors
    /// Why it cannot.
    fn upcast(&self, event: &RecordedEvent) -> Result<Vec<Upcasted>, NotUpcast>;

    /// Memory that it has after its last call, in bytes; 0 where it has none of its own.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// Why code did not lift an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotUpcast {
    /// In one line.
    pub reason: String,
    /// What the code left behind, where it failed rather than said so.
    pub evidence: Evidence,
}

impl From<String> for NotUpcast {
    fn from(reason: String) -> Self {
        Self { reason, evidence: Evidence::default() }
    }
}

/// A lift with what carries it out.
#[derive(Clone)]
pub struct Step {
    /// What it declares.
    pub lift: Lift,
    /// Where it is written, as errors name it: a file, and a line where there are lines.
    pub origin: String,
    /// What tells it from another step with the same lift: text that changes when what it does changes.
    pub identity: String,
    /// What carries it out.
    pub upcast: Arc<dyn Upcast>,
}

impl Lift {
    /// The types that it may make.
    pub fn types(&self) -> impl Iterator<Item = &EventType> {
        self.into.iter().map(|target| &target.event_type)
    }
}

impl fmt::Display for Lift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_type, from, into } = self;
        write!(f, "{event_type} {from} → ")?;
        match into.as_slice() {
            [] => f.write_str("nothing"),
            into => {
                let targets: Vec<_> = into.iter().map(ToString::to_string).collect();
                f.write_str(&targets.join(" + "))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.event_type, self.version)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("lift", &self.lift).field("origin", &self.origin).finish_non_exhaustive()
    }
}
