//! The only place that reads the wall clock, and the one that measures how long things take.
//!
//! Everything that needs the time takes a [`Clock`]; tests hand in a [`ManualClock`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch.
    fn now_us(&self) -> u64;

    /// For how long to sleep until it stands at a time. One that moves on by being waited for is there at once.
    fn sleep_until(&self, us: u64) -> Duration {
        Duration::from_micros(us.saturating_sub(self.now_us()))
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

/// Measures how long something takes. It does not follow changes of the machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since it began.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The same in nanoseconds.
    #[must_use]
    pub fn elapsed_ns(self) -> u64 {
        nanoseconds(self.elapsed())
    }

    /// How long before this one an earlier one began, in nanoseconds.
    #[must_use]
    pub fn since_ns(self, earlier: Self) -> u64 {
        nanoseconds(self.0.saturating_duration_since(earlier.0))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Creates a clock that stands at `now_us` microseconds since the Unix epoch.
    #[must_use]
    pub const fn at(now_us: u64) -> Self {
        Self(AtomicU64::new(now_us))
    }

    /// Moves the clock by `us` microseconds.
    pub fn advance_us(&self, us: u64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }

    /// Moves the clock on to a time, in microseconds since the Unix epoch. One that is there or beyond stays.
    pub fn reach_us(&self, us: u64) {
        self.0.fetch_max(us, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
