//! What handling costs: counted around each call of a handler, live and in rehearsals alike.
//!
//! Time is the host's clock around the call; everything else is what the handler says of itself ([`Usage`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::effects::Effects;
use super::handler::{EventBatch, Handled, Handler, Usage};
use crate::clock::Clock;

/// What a plugin has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Cost {
    /// Events of the batches that were handled, as often as they were.
    pub events: u64,
    /// Batches that were handled.
    pub batches: u64,
    /// Calls of the handler, whether they handled their batch or failed.
    pub attempts: u64,
    /// Time within the handler, in microseconds.
    pub handler_us: u64,
    /// Time of the longest call, in microseconds.
    pub batch_us_max: u64,
    /// What the handler has used.
    #[serde(flatten)]
    pub usage: Usage,
}

/// A call of a handler that has come back.
pub(super) struct Called {
    /// What it answered, or what it panicked with.
    pub(super) handled: thread::Result<Handled>,
    events: u64,
    us: u64,
}

/// Calls a handler with effects that have begun the call, and watches the clock. Blocks.
pub(super) fn call(handler: &mut dyn Handler, batch: EventBatch, effects: Effects, clock: &dyn Clock) -> Called {
    let events = batch.len() as u64;
    let began_us = clock.now_us();
    let handled = catch_unwind(AssertUnwindSafe(|| handler.handle(batch, effects)));
    Called { handled, events, us: clock.now_us().saturating_sub(began_us) }
}

impl Cost {
    /// Counts a call, after which its handler has used so much in all.
    pub(super) fn count(&mut self, called: &Called, usage: Usage) {
        if called.handled.as_ref().is_ok_and(|handled| handled.outcome.is_ok()) {
            self.events += called.events;
            self.batches += 1;
        }
        self.attempts += 1;
        self.handler_us += called.us;
        self.batch_us_max = self.batch_us_max.max(called.us);
        self.usage = usage;
    }

    /// Fuel for each event that was handled; none before the first.
    #[must_use]
    pub const fn fuel_per_event(&self) -> Option<u64> {
        self.usage.fuel.checked_div(self.events)
    }

    /// Both together: what is a maximum of each is the greater one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            batches: self.batches + other.batches,
            attempts: self.attempts + other.attempts,
            handler_us: self.handler_us + other.handler_us,
            batch_us_max: self.batch_us_max.max(other.batch_us_max),
            usage: self.usage.plus(other.usage),
        }
    }

    /// What of it still counts when its handlers are gone: sums, but neither what they had nor their maxima, which
    /// are held against the limits of those that run.
    pub(super) fn ended(self) -> Self {
        Self { batch_us_max: 0, usage: self.usage.ended(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Restarts;

    fn cost(number: u64) -> Cost {
        let usage = Usage {
            memory_bytes: number as usize,
            memory_peak_bytes: 10 * number as usize,
            instance_peak_bytes: 5 * number as usize,
            fuel: 100 * number,
            batch_fuel_max: 20 * number,
            log_bytes: 3 * number,
            batch_log_bytes_max: 2 * number,
            http_requests: number,
            restarts: Restarts { fault: number, recycled: 2 * number },
        };
        Cost { events: 7 * number, batches: number, attempts: 2 * number, handler_us: 9, batch_us_max: number, usage }
    }

    #[test]
    fn partitions_add_up_and_maxima_stay_maxima() {
        let both = cost(1).plus(cost(2));
        assert_eq!((both.events, both.batches, both.attempts, both.handler_us, both.batch_us_max), (21, 3, 6, 18, 2));
        let Usage { memory_bytes, memory_peak_bytes, fuel, batch_fuel_max, .. } = both.usage;
        assert_eq!((memory_bytes, memory_peak_bytes, fuel, batch_fuel_max), (3, 30, 300, 40));
        assert_eq!(both.usage.instance_peak_bytes, 10, "each is held against its limit alone");
        let Usage { log_bytes, batch_log_bytes_max, http_requests, restarts, .. } = both.usage;
        assert_eq!((log_bytes, batch_log_bytes_max, http_requests), (9, 4, 3));
        assert_eq!(restarts, Restarts { fault: 3, recycled: 6 });
        assert_eq!((both.fuel_per_event(), Cost::default().fuel_per_event()), (Some(14), None));
    }

    #[test]
    fn a_handler_that_goes_on_elsewhere_counts_what_it_uses_there() {
        let (before, now) = (cost(1).usage, cost(3).usage);
        let since = now.since(before);
        assert_eq!((since.fuel, since.log_bytes, since.http_requests), (200, 6, 2));
        assert_eq!(since.restarts, Restarts { fault: 2, recycled: 4 });
        assert_eq!((since.memory_bytes, since.batch_fuel_max), (now.memory_bytes, now.batch_fuel_max));
    }

    #[test]
    fn what_has_ended_counts_on_and_has_nothing() {
        let ended = cost(3).ended();
        assert_eq!((ended.events, ended.usage.fuel, ended.usage.restarts.fault), (21, 300, 3));
        assert_eq!((ended.batch_us_max, ended.usage.memory_bytes, ended.usage.memory_peak_bytes), (0, 0, 0));
        assert_eq!((ended.usage.batch_fuel_max, ended.usage.batch_log_bytes_max), (0, 0));
    }
}
