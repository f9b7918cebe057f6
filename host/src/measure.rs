//! Counts and distributions of what happens: atomics where many threads count, plain values where one task does.
//!
//! They are kept where things happen and read by whoever shows them; nothing here knows names, labels or formats.
//! Values are whole numbers: durations in nanoseconds, counts as they are.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds for durations, in nanoseconds: 50 microseconds to 10 seconds.
pub const TIME_BOUNDS_NS: [u64; 17] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds for how many events a commit has.
pub const COUNT_BOUNDS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16_384];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How values were spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution<const N: usize> {
    bounds: &'static [u64; N],
    counts: [u64; N],
    above: u64,
    sum: u64,
}

/// How durations were spread.
pub type Times = Distribution<17>;
/// How many events commits had.
pub type EventCounts = Distribution<12>;

impl Default for Times {
    fn default() -> Self {
        Self::new(&TIME_BOUNDS_NS)
    }
}

impl Default for EventCounts {
    fn default() -> Self {
        Self::new(&COUNT_BOUNDS)
    }
}

impl<const N: usize> Distribution<N> {
    /// Nothing yet.
    #[must_use]
    pub const fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, counts: [0; N], above: 0, sum: 0 }
    }

    /// Takes in a value.
    pub fn record(&mut self, value: u64) {
        *self.counts.get_mut(slot(self.bounds, value)).unwrap_or(&mut self.above) += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        Self { above: self.above + other.above, sum: self.sum.saturating_add(other.sum), ..self }
    }

    /// The upper bounds, with how many values are in each bucket and not in those before.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bounds.iter().copied().zip(self.counts)
    }

    /// How many values are above the last bound.
    #[must_use]
    pub const fn above(&self) -> u64 {
        self.above
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    /// All values together.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }
}

/// A distribution that many threads add to.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// Nothing yet.
    #[must_use]
    pub fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, counts: array::from_fn(|_| AtomicU64::new(0)), above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Takes in a value.
    pub fn record(&self, value: u64) {
        self.counts.get(slot(self.bounds, value)).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What it has come to. A value that is being taken in may be in the counts and not in the sum.
    #[must_use]
    pub fn read(&self) -> Distribution<N> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = array::from_fn(|slot| self.counts.get(slot).map_or(0, read));
        Distribution { bounds: self.bounds, counts, above: read(&self.above), sum: read(&self.sum) }
    }
}

/// Which bucket a value goes to; one past the last when it is above all bounds.
fn slot(bounds: &[u64], value: u64) -> usize {
    bounds.partition_point(|bound| *bound < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_reaches_up_to_it() {
        let histogram = Histogram::new(&COUNT_BOUNDS);
        let mut plain = EventCounts::default();
        for value in [1, 2, 3, 4, 16_384, 16_385, 1_000_000] {
            histogram.record(value);
            plain.record(value);
        }
        let read = histogram.read();
        assert_eq!(read, plain);
        let filled: Vec<_> = read.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (4, 2), (16_384, 1)]);
        assert_eq!((read.above(), read.count(), read.sum()), (2, 7, 1_032_779));
        let twice = read.plus(plain);
        assert_eq!((twice.above(), twice.count(), twice.sum()), (4, 14, 2_065_558));
    }

    #[test]
    fn bounds_grow() {
        assert!(TIME_BOUNDS_NS.is_sorted() && COUNT_BOUNDS.is_sorted());
    }
}
