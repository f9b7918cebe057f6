//! What delivery calls: the trait that the wasm runtime implements, and that native code may.

use std::ops::{Deref, Range};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Effects;
pub use crate::error::Evidence;
use crate::event::RecordedEvent;

/// Some consecutive events of a page that was read once. Cheap to clone and to cut.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    events: Arc<Vec<RecordedEvent>>,
    range: Range<usize>,
}

impl EventBatch {
    /// All events of a page.
    #[must_use]
    pub fn new(events: Vec<RecordedEvent>) -> Self {
        let range = 0..events.len();
        Self { events: Arc::new(events), range }
    }

    /// The events at `range` of this batch. Cut to its bounds.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let start = (self.range.start + range.start).min(self.range.end);
        let end = (self.range.start + range.end).clamp(start, self.range.end);
        Self { events: Arc::clone(&self.events), range: start..end }
    }
}

impl Deref for EventBatch {
    type Target = [RecordedEvent];

    fn deref(&self) -> &[RecordedEvent] {
        self.events.get(self.range.clone()).unwrap_or_default()
    }
}

/// Code that reacts to events.
pub trait Handler: Send + 'static {
    /// Handles a batch of at least one event, in order, and hands `effects` back with what it wants done.
    ///
    /// Blocks; called on a blocking thread, never twice at a time. After a fault the handler must be ready
    /// for the next call as if it were new. A panic costs this call only and counts as [`Fault::Trap`].
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled;

    /// Makes what the first call would make before it handles anything, while another version still runs. Blocks; what
    /// fails is told by that call.
    fn warm_up(&mut self) {}

    /// What it has used so far.
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// What a handler has used since it was made. What it does not measure is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Usage {
    /// Memory that it has, in bytes.
    pub memory_bytes: usize,
    /// The most memory that it had at a time, in bytes; of several, the sum of what each had at most, whenever that was.
    pub memory_peak_bytes: usize,
    /// The most memory that one instance had at a time, in bytes: what `[limits] memory` bounds.
    pub instance_peak_bytes: usize,
    /// Fuel: about one unit for each instruction.
    pub fuel: u64,
    /// Fuel of the dearest call.
    pub batch_fuel_max: u64,
    /// What it wrote to its log, in bytes, 64 for each line beside its text; dropped lines included.
    pub log_bytes: u64,
    /// What it wrote to its log in the loudest call, in bytes.
    pub batch_log_bytes_max: u64,
    /// HTTP requests that it was let send.
    pub http_requests: u64,
    /// How often another instance took over.
    pub restarts: Restarts,
}

/// How often an instance of a handler was thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Restarts {
    /// Because of a fault.
    pub fault: u64,
    /// Because its memory was nearly full, or to begin anew.
    pub recycled: u64,
}

impl Usage {
    pub(super) fn plus(self, other: Self) -> Self {
        let Restarts { fault, recycled } = self.restarts;
        Self {
            memory_bytes: self.memory_bytes + other.memory_bytes,
            memory_peak_bytes: self.memory_peak_bytes + other.memory_peak_bytes,
            instance_peak_bytes: self.instance_peak_bytes.max(other.instance_peak_bytes),
            fuel: self.fuel.saturating_add(other.fuel),
            batch_fuel_max: self.batch_fuel_max.max(other.batch_fuel_max),
            log_bytes: self.log_bytes + other.log_bytes,
            batch_log_bytes_max: self.batch_log_bytes_max.max(other.batch_log_bytes_max),
            http_requests: self.http_requests + other.http_requests,
            restarts: Restarts { fault: fault + other.restarts.fault, recycled: recycled + other.restarts.recycled },
        }
    }

    /// What the same handler has used since it had used `earlier`: sums are less by that, maxima stay.
    pub(super) fn since(self, earlier: Self) -> Self {
        let Restarts { fault, recycled } = self.restarts;
        Self {
            fuel: self.fuel.saturating_sub(earlier.fuel),
            log_bytes: self.log_bytes.saturating_sub(earlier.log_bytes),
            http_requests: self.http_requests.saturating_sub(earlier.http_requests),
            restarts: Restarts {
                fault: fault.saturating_sub(earlier.restarts.fault),
                recycled: recycled.saturating_sub(earlier.restarts.recycled),
            },
            ..self
        }
    }

    /// What of it still counts when the handler is gone.
    pub(super) fn ended(self) -> Self {
        Self {
            memory_bytes: 0,
            memory_peak_bytes: 0,
            instance_peak_bytes: 0,
            batch_fuel_max: 0,
            batch_log_bytes_max: 0,
            ..self
        }
    }
}

/// The outcome of one call.
#[derive(Debug)]
pub struct Handled {
    /// The effects given in. What the call added counts only if `outcome` is ok.
    pub effects: Effects,
    /// Whether the whole batch was handled.
    pub outcome: Result<(), HandleError>,
    /// What is known beside the outcome; used when it is an error.
    pub evidence: Evidence,
}

/// Why a batch was not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandleError {
    /// The handler answered so.
    Failure(Failure),
    /// The handler did not answer.
    Fault {
        /// What went wrong.
        fault: Fault,
        /// Why, in one line.
        reason: String,
    },
}

impl HandleError {
    /// What kind it is, as dead letters say it: `retry`, `reject`, `stop`, or the fault's name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Failure(failure) => match failure.verdict {
                Verdict::Retry { .. } => "retry",
                Verdict::Reject => "reject",
                Verdict::Stop => "stop",
            },
            Self::Fault { fault, .. } => fault.as_str(),
        }
    }

    /// Why, in one line.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Failure(failure) => &failure.reason,
            Self::Fault { reason, .. } => reason,
        }
    }
}

/// A handler's answer about the event it could not handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Index of the event in the batch. One past the end or more is a [`Fault::BadReply`].
    pub index: usize,
    /// What to do with it.
    pub verdict: Verdict,
    /// Why, in one line.
    pub reason: String,
}

/// What to do with an event that was not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, after this many milliseconds if given, else after the policy's backoff.
    Retry {
        /// The wait asked for.
        after_ms: Option<u64>,
    },
    /// Set it aside at once.
    Reject,
    /// Stop the plugin before it.
    Stop,
}

/// What went wrong without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The guest panicked, or did what wasm forbids.
    Trap,
    /// It used up its fuel.
    OutOfFuel,
    /// It ran longer than its batch time.
    Deadline,
    /// It wanted more memory than its limit.
    OutOfMemory,
    /// It insisted on what its grants do not allow.
    Denied,
    /// Its answer makes no sense.
    BadReply,
    /// The event cannot be lifted to today's schema; the handler was not called.
    Upcast,
}

impl Fault {
    /// Its name in dead letters, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::OutOfFuel => "out_of_fuel",
            Self::Deadline => "deadline",
            Self::OutOfMemory => "out_of_memory",
            Self::Denied => "denied",
            Self::BadReply => "bad_reply",
            Self::Upcast => "upcast",
        }
    }
}
