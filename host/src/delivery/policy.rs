//! What a plugin listens to and how it is driven. The manifest says so; these are its typed form.

use crate::event::{Filter, Position};

/// Where a plugin without a checkpoint begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first event of the log.
    #[default]
    Beginning,
    /// After the head at the moment of installation.
    End,
    /// Strictly after a position.
    After(Position),
    /// At the first event stored at or after a time: microseconds since the Unix epoch.
    Time(u64),
}

/// What a plugin listens to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Which events.
    pub filter: Filter,
    /// From where, while there is no checkpoint.
    pub start: Start,
}

/// What happens when an event's attempts have run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// It becomes a dead letter and the plugin goes on.
    #[default]
    Park,
    /// The plugin stops before it.
    Halt,
}

/// How long to wait before another attempt: `initial * 2^(attempt - 1)`, at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failed attempt, in milliseconds.
    pub initial_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_ms: u64,
    /// Whether a wait is drawn from its upper half, so that plugins do not retry in step.
    pub jitter: bool,
}

/// How a plugin is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most events in one call of the handler.
    pub batch_events_max: usize,
    /// Attempts at one event before it is exhausted; at least 1.
    pub max_attempts: u32,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// What happens then.
    pub on_exhausted: OnExhausted,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial_ms: 100, max_ms: 30_000, jitter: true }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { batch_events_max: 256, max_attempts: 5, backoff: Backoff::default(), on_exhausted: OnExhausted::Park }
    }
}
