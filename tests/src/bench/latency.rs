//! How long things took: a histogram whose buckets are 1/16 of a power of two, from a nanosecond up.

use std::time::Duration;

/// Buckets for each power of two.
const PER_OCTAVE: u64 = 16;

/// Many durations, in little memory.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    total: Duration,
    max: Duration,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        let bucket = bucket_of(latency);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.total += latency;
        self.max = self.max.max(latency);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(ours, theirs)| *ours += theirs);
        self.count += other.count;
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// Their average; 0 when there are none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        self.total.div_f64(self.count.max(1) as f64)
    }

    /// The longest.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// The duration that this share of them does not exceed, to within 1/16 of it.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= rank
        };
        self.buckets.iter().position(reaches).map_or(Duration::ZERO, end_of).min(self.max)
    }
}

fn bucket_of(latency: Duration) -> usize {
    let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).max(1);
    let octave = u64::from(nanos.ilog2());
    let step = ((u128::from(nanos) * u128::from(PER_OCTAVE)) >> octave) as u64 - PER_OCTAVE;
    (octave * PER_OCTAVE + step) as usize
}

/// The end of a bucket, which its durations stay below.
fn end_of(bucket: usize) -> Duration {
    let (octave, step) = (bucket as u64 / PER_OCTAVE, bucket as u64 % PER_OCTAVE);
    let nanos = u128::from(PER_OCTAVE + step + 1) << octave;
    Duration::from_nanos(u64::try_from(nanos / u128::from(PER_OCTAVE)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let (mut low, mut high) = (Latencies::default(), Latencies::default());
        (1..=500).for_each(|us| low.add(Duration::from_micros(us)));
        (501..=1000).for_each(|us| high.add(Duration::from_micros(us)));
        low.merge(&high);
        for (share, us) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = low.quantile(share).as_secs_f64() * 1e6;
            assert!(found >= us && found <= us * (1.0 + 1.0 / 16.0), "{share}: {found}");
        }
        assert_eq!((low.count(), low.max()), (1000, Duration::from_millis(1)));
        assert_eq!(low.mean(), Duration::from_nanos(500_500));
    }

    #[test]
    fn extremes_have_buckets() {
        let mut latencies = Latencies::default();
        assert_eq!((latencies.quantile(0.5), latencies.mean()), (Duration::ZERO, Duration::ZERO));
        latencies.add(Duration::ZERO);
        assert!(latencies.quantile(1.0) <= Duration::from_nanos(2));
        assert!(bucket_of(Duration::MAX) < 64 * PER_OCTAVE as usize);
    }
}
