//! What a plugin listens to and how it is driven. The manifest says so; these are its typed form.

use super::key::Key;
use super::permit::Permit;
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
    /// What tells the lifts that its events may go through from others; empty for none. See [`lifting`](super::lifting()).
    pub lifts: String,
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

impl Backoff {
    /// Wait after the `attempts`-th failed attempt, in microseconds.
    pub(crate) fn wait_us(&self, attempts: u32, rng: &mut fastrand::Rng) -> u64 {
        let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
        let full_us = self.initial_ms.saturating_mul(doubled).min(self.max_ms).saturating_mul(1000);
        if self.jitter { rng.u64(full_us / 2..=full_us) } else { full_us }
    }
}

/// What happens to an event that lacks the key that the manifest asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyMissing {
    /// It is set aside.
    #[default]
    Park,
    /// It is handled, in no order with any other.
    Alone,
}

/// How far from its first cause an event that a plugin appends may be, unless its manifest says otherwise.
pub(super) const CAUSATION_DEPTH_MAX: u32 = 32;

/// How many events a plugin may append because of one first cause, unless its manifest says otherwise.
const CAUSATION_EVENTS_MAX: u64 = 10_000;
/// What a plugin's state may come to, unless its manifest says otherwise.
const STATE_BYTES_MAX: u64 = 1 << 30;

/// How a plugin is driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many partitions handle side by side; at least 1.
    pub partitions: u32,
    /// What keeps the order of events, where the manifest says so.
    pub key: Option<Key>,
    /// What happens to events without that key.
    pub key_missing: KeyMissing,
    /// Most events in one call of the handler.
    pub batch_events_max: usize,
    /// Attempts at one event before it is exhausted; at least 1.
    pub max_attempts: u32,
    /// Faults at one event before it is exhausted; at least 1.
    pub max_faults: u32,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// What happens then.
    pub on_exhausted: OnExhausted,
    /// Set-aside events of the plugin beyond which it halts.
    pub parked_events_max: usize,
    /// How many appends by plugins, one because of the other, may lead to an event that it appends; at least 1.
    pub causation_depth_max: u32,
    /// How many events it may append that follow from one first cause; at least 1.
    pub causation_events_max: u64,
    /// What each generation of its state may come to, in bytes of keys and values.
    pub state_bytes_max: u64,
    /// Commands that it may send.
    pub dispatch: Permit,
}

impl Policy {
    /// What keeps the order of events.
    pub(super) fn key(&self) -> Key {
        self.key.clone().unwrap_or_default()
    }

    /// Whether an event without a key is set aside.
    pub(super) fn needs_key(&self) -> bool {
        self.key.is_some() && self.key_missing == KeyMissing::Park
    }

    /// Whether an event that was tried so often is not tried again.
    pub(super) const fn is_exhausted(&self, attempts: u32, faults: u32) -> bool {
        attempts >= self.max_attempts || faults >= self.max_faults
    }

    /// What keeps the order of events; none where all events keep one order.
    #[must_use]
    pub fn order_key(&self) -> Option<Key> {
        self.is_ordered_by_key().then(|| self.key())
    }

    /// Whether keys keep their order, and not all events theirs: a failing event is then waited for by its own
    /// key only.
    pub(super) const fn is_ordered_by_key(&self) -> bool {
        self.key.is_some() || self.partitions > 1
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial_ms: 100, max_ms: 30_000, jitter: true }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            partitions: 1,
            key: None,
            key_missing: KeyMissing::Park,
            batch_events_max: 256,
            max_attempts: 5,
            max_faults: 3,
            backoff: Backoff::default(),
            on_exhausted: OnExhausted::Park,
            parked_events_max: 10_000,
            causation_depth_max: CAUSATION_DEPTH_MAX,
            causation_events_max: CAUSATION_EVENTS_MAX,
            state_bytes_max: STATE_BYTES_MAX,
            dispatch: Permit::default(),
        }
    }
}
