//! Tells a world that is not ready from one event whose moment has not come.
//!
//! A handler that asks for time for several events in a row, with no success in between, waits for something that they
//! all need. To go on would set one event after the other aside and call the handler for nothing: the partition is held,
//! and one event at a time is tried, of those set aside and of the log in turns. The first success ends it.

use std::collections::BTreeSet;

use super::mutant::{Rule, broken};
use crate::event::Position;

/// Different events in a row that the handler asks time for until the world is taken not to be ready.
const ASKED_MAX: usize = 3;

/// A run of events that the handler asked time for.
#[derive(Debug, Default)]
pub(super) struct Outage {
    events: BTreeSet<Position>,
    since_us: u64,
    until_us: u64,
    reason: String,
}

impl Outage {
    /// The handler asked to be handed an event again at a time.
    pub(super) fn note(&mut self, position: Position, (now_us, due_us): (u64, u64), reason: &str) {
        if self.events.is_empty() {
            self.since_us = now_us;
        }
        if self.events.len() < ASKED_MAX {
            self.events.insert(position);
        }
        self.until_us = due_us;
        reason.clone_into(&mut self.reason);
    }

    /// An event was handled, or the handler had another word for one.
    pub(super) fn end(&mut self) {
        self.events.clear();
    }

    /// Whether one event at a time is tried.
    pub(super) fn is_on(&self) -> bool {
        self.events.len() >= ASKED_MAX
    }

    /// For how long the handler has asked for time, in microseconds.
    pub(super) fn lasts_us(&self, now_us: u64) -> u64 {
        if self.events.is_empty() { 0 } else { now_us.saturating_sub(self.since_us) }
    }

    /// When the next event is tried, while that is not yet.
    pub(super) fn held_until_us(&self, now_us: u64) -> Option<u64> {
        (self.is_on() && self.until_us > now_us && !broken(Rule::OutageIsHeld)).then_some(self.until_us)
    }

    /// What it waits for and until when, for people; also while an event is tried.
    pub(super) fn told(&self) -> Option<(u64, String)> {
        self.is_on().then(|| (self.until_us, format!("one event after the other asks for time: {}", self.reason)))
    }

    /// No wait lasts beyond a time that nobody can have asked for.
    pub(super) fn cut(&mut self, latest_us: u64, now_us: u64) {
        if self.until_us > latest_us {
            self.until_us = now_us;
        }
    }
}
