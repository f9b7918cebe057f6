//! The only place that reads the wall clock, the one that measures how long things take, and how times are written.
//!
//! Everything that needs the time takes a [`Clock`]; tests hand in a [`ManualClock`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

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

/// A time in RFC 3339, UTC, with microseconds.
pub(crate) fn rfc3339(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    format!("{:.6}", time.unwrap_or(jiff::Timestamp::MAX))
}

/// A time that is written as in RFC 3339, in microseconds since the Unix epoch; none if it is not, or is before that. A leap
/// second, which has no number there, is the last microsecond before it ends.
pub(crate) fn rfc3339_us(text: &str) -> Option<u64> {
    let us = u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok()?;
    Some(if is_leap(text) { us - us % SECOND_US + (SECOND_US - 1) } else { us })
}

/// Whether the second of a time is 60.
fn is_leap(text: &str) -> bool {
    let time = text.split(['T', 't', ' ']).nth(1).unwrap_or_default();
    let digits = time.split(|letter: char| !letter.is_ascii_digit() && letter != ':').next().unwrap_or_default();
    let digits = digits.replace(':', "");
    digits.len() == "hhmmss".len() && digits.ends_with("60")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_leap_second_comes_after_all_of_the_one_before() {
        let us = 1_577_836_800_000_001;
        assert_eq!((rfc3339(us).as_str(), rfc3339_us(&rfc3339(us))), ("2020-01-01T00:00:00.000001Z", Some(us)));
        let last = rfc3339_us("2016-12-31T23:59:59.999999Z").unwrap();
        for leap in ["2016-12-31T23:59:60Z", "2016-12-31 23:59:60Z", "2017-01-01T00:59:60+01:00"] {
            assert_eq!(rfc3339_us(leap), Some(last), "{leap}");
        }
        assert_eq!(rfc3339_us("2017-01-01T00:00:00Z"), Some(last + 1));
        for none in ["yesterday", "1969-12-31T23:59:59Z", ""] {
            assert_eq!(rfc3339_us(none), None, "{none}");
        }
    }
}
