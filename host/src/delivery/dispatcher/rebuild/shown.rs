//! What is shown of a generation that is built.

use super::Builder;
use crate::delivery::record::Building;
use crate::delivery::status::{RebuildStatus, State};
use crate::event::Position;

impl Builder {
    /// How far it is on its way to a position.
    pub(super) fn shown(&self, target: Position, now_us: u64) -> RebuildStatus {
        let status = self.status.borrow().clone();
        let position = if status.partitions.is_empty() { self.building.after } else { status.checkpoint };
        let (since_us, since) = self.since.unwrap_or((now_us, position));
        let passed = position.0.saturating_sub(since.0);
        let elapsed_us = now_us.saturating_sub(since_us).max(1);
        let in_a_second = |count: u64| count.saturating_mul(1_000_000) / elapsed_us;
        let rate = in_a_second(passed);
        let left = target.0.saturating_sub(position.0);
        let state = if self.partitions.is_some() {
            status.state
        } else {
            State::BackingOff { until_us: self.not_before_us, reason: None }
        };
        let held_up = match &state {
            State::Halted { reason } | State::Quarantined { reason } => Some(reason.clone()),
            _ => self.not_started.as_ref().or(self.held_up.as_ref()).cloned(),
        };
        RebuildStatus {
            position,
            target,
            rate,
            events_per_second: in_a_second(status.counters.handled),
            // What stands comes to no end.
            seconds_left: (rate > 0 && !state.stands()).then(|| left.div_ceil(rate)),
            state,
            set_aside: status.set_aside,
            counters: status.counters,
            held_up,
            ..RebuildStatus::of(&self.building)
        }
    }
}

impl RebuildStatus {
    /// Of one whose version does not run yet.
    pub(super) fn of(building: &Building) -> Self {
        Self {
            generation: building.generation,
            component: building.component.clone(),
            reason: building.reason.clone(),
            started_us: building.started_us,
            from: building.after.next(),
            removed_before: building.removed_before,
            position: building.after,
            state: State::Stopped,
            ..Self::default()
        }
    }
}
