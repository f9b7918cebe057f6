//! `wasi:clocks`: the time is that of the event.
//!
//! The wall clock stands at the timestamp of the batch's last event. The monotonic clock, too, unless the
//! guest waits: waiting takes no time, and moves this clock to the instant waited for. So a run over the
//! same batches sees the same times, and a sleeping guest does not hold a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration, Instant};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{self, Datetime};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::runtime::guest::Guest;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The clocks of one instance.
#[derive(Debug, Default)]
pub(in crate::runtime) struct EventClock {
    /// Microseconds since the Unix epoch.
    now_us: u64,
    /// Nanoseconds; never goes back.
    monotonic_ns: Arc<AtomicU64>,
}

impl EventClock {
    /// Sets the time to that of an event.
    pub(in crate::runtime) fn set(&mut self, timestamp_us: u64) {
        self.now_us = timestamp_us;
        self.monotonic_ns.fetch_max(timestamp_us.saturating_mul(1_000), Ordering::Relaxed);
    }

    /// Never 0, also before the first event: Go's runtime takes that for a broken clock and ends.
    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::Relaxed).max(1)
    }
}

/// A wait for an instant, over as soon as somebody waits.
struct Timer {
    until_ns: u64,
    clock: Arc<AtomicU64>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        self.clock.fetch_max(self.until_ns, Ordering::Relaxed);
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let nanoseconds = u32::try_from(self.clock.now_us % MICROS_PER_SECOND)? * 1_000;
        Ok(Datetime { seconds: self.clock.now_us / MICROS_PER_SECOND, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        Ok(Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        Ok(self.clock.monotonic_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        Ok(1_000)
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer { until_ns: when, clock: Arc::clone(&self.clock.monotonic_ns) })?;
        subscribe(&mut self.table, timer)
    }

    fn subscribe_duration(&mut self, wait: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let until = self.clock.monotonic_ns().saturating_add(wait);
        self.subscribe_instant(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_is_never_zero_and_never_goes_back() {
        let mut clock = EventClock::default();
        assert_eq!(clock.monotonic_ns(), 1);
        clock.set(5);
        clock.set(3);
        assert_eq!((clock.now_us, clock.monotonic_ns()), (3, 5_000));
    }
}
