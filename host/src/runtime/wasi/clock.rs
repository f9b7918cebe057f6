//! `wasi:clocks`: the time is that of the event.
//!
//! The wall clock stands at the timestamp of the call's first event; while an instance starts, which is at no
//! event, at the Unix epoch. The monotonic clock begins at 1 in each call and is moved by waiting alone: a guest that
//! waits is answered at once, and this clock stands at the instant waited for. So a run over the same events sees
//! the same times, however old the instance is, and a sleeping guest does not hold a thread. Read before any wait the
//! monotonic clock tells nothing; read after one it tells of the call, as the wall clock does.
//!
//! In the lane of plugins that talk to the outside, which cannot be repeated anyway, waiting takes its time, and the
//! monotonic clock is a stopwatch that runs from when the instance is made, and so through every call: a guest there
//! uses it for time-outs, and to see how long an answer took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as Wait;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration, Instant};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{self, Datetime};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::clock::Stopwatch;
use crate::runtime::guest::Guest;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The clocks of one instance.
#[derive(Debug)]
pub(in crate::runtime) struct EventClock {
    /// Microseconds since the Unix epoch.
    now_us: u64,
    /// Whether a clock told of this call.
    read: bool,
    monotonic: Monotonic,
}

/// A clock that measures time. Clones are the same clock.
#[derive(Clone, Debug)]
enum Monotonic {
    /// Nanoseconds waited in this call: waiting takes no time, and nothing else does.
    Waited(Arc<AtomicU64>),
    /// Time passes, whatever the guest does.
    Passing(Stopwatch),
}

impl EventClock {
    /// The clocks at the Unix epoch; `waits` says whether waiting takes time.
    pub(in crate::runtime) fn new(waits: bool) -> Self {
        let monotonic = if waits { Monotonic::Passing(Stopwatch::start()) } else { Monotonic::Waited(Arc::default()) };
        Self { now_us: 0, read: false, monotonic }
    }

    /// Begins a call: the time is that of an event.
    pub(in crate::runtime) fn set(&mut self, timestamp_us: u64) {
        self.now_us = timestamp_us;
        self.read = false;
        if let Monotonic::Waited(waited_ns) = &self.monotonic {
            waited_ns.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a clock told of this call.
    pub(in crate::runtime) const fn was_read(&self) -> bool {
        self.read
    }
}

impl Monotonic {
    /// Never 0, also before the first wait: Go's runtime takes that for a broken clock and ends.
    fn now_ns(&self) -> u64 {
        match self {
            Self::Waited(waited_ns) => waited_ns.load(Ordering::Relaxed).max(1),
            Self::Passing(since) => since.elapsed_ns().max(1),
        }
    }
}

/// A wait for an instant.
struct Timer {
    until_ns: u64,
    clock: Monotonic,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        if let Monotonic::Waited(waited_ns) = &self.clock {
            waited_ns.fetch_max(self.until_ns, Ordering::Relaxed);
            return;
        }
        // Asked anew at each poll, it is what is left by then: whatever else the guest polls does not put it off.
        let left_ns = self.until_ns.saturating_sub(self.clock.now_ns());
        if left_ns > 0 {
            tokio::time::sleep(Wait::from_nanos(left_ns)).await;
        }
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        self.clock.read = true;
        let nanoseconds = u32::try_from(self.clock.now_us % MICROS_PER_SECOND)? * 1_000;
        Ok(Datetime { seconds: self.clock.now_us / MICROS_PER_SECOND, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        Ok(Datetime { seconds: 0, nanoseconds: 1_000 })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        let now_ns = self.clock.monotonic.now_ns();
        self.clock.read |= now_ns > 1;
        Ok(now_ns)
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        Ok(1_000)
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer { until_ns: when, clock: self.clock.monotonic.clone() })?;
        subscribe(&mut self.table, timer)
    }

    fn subscribe_duration(&mut self, wait: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let until = self.clock.monotonic.now_ns().saturating_add(wait);
        self.subscribe_instant(until)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Waits for the clock, and calls `meanwhile` over and over.
    fn pass(clock: &Monotonic, until_ns: u64, mut meanwhile: impl FnMut()) {
        let since = Stopwatch::start();
        while clock.now_ns() < until_ns {
            assert!(since.elapsed() < Wait::from_secs(60), "the clock stands still");
            meanwhile();
        }
    }

    #[tokio::test]
    async fn monotonic_time_begins_at_1_in_each_call_and_is_moved_by_waiting_alone() {
        let mut clock = EventClock::new(false);
        for call in [5, 6] {
            clock.set(call);
            assert_eq!((clock.now_us, clock.monotonic.now_ns()), (call, 1));
            for until_ns in [3_600_000_000_000, 7] {
                Timer { until_ns, clock: clock.monotonic.clone() }.ready().await;
                assert_eq!(clock.monotonic.now_ns(), 3_600_000_000_000, "an hour passes at once, and none comes back");
            }
        }
    }

    #[tokio::test]
    async fn where_waiting_takes_time_no_call_takes_it_back() {
        let mut clock = EventClock::new(true);
        clock.set(5);
        let until_ns = clock.monotonic.now_ns() + 1_000;
        Timer { until_ns, clock: clock.monotonic.clone() }.ready().await;
        clock.set(6);
        assert!(clock.monotonic.now_ns() >= until_ns);
    }

    #[tokio::test]
    async fn where_waiting_takes_time_it_passes_without_a_timer_too() {
        let mut clock = EventClock::new(true);
        clock.set(5);
        let until_ns = clock.monotonic.now_ns() + 1_000_000;
        let mut timer = Timer { until_ns, clock: clock.monotonic.clone() };
        // As a guest polls it beside a body: each time the body has something, that poll is over.
        pass(&clock.monotonic, until_ns, || {
            let _ = timer.ready().now_or_never();
        });
        assert!(timer.ready().now_or_never().is_some(), "however often it was polled, its time is over");
    }
}
