//! How long things took, by quantile, in bounded memory.

use std::time::Duration;

use serde::Serialize;

/// Powers of two are cut into so many buckets: a quantile is at most a 64th too high.
const PARTS_BITS: u32 = 6;
const PARTS: u64 = 1 << PARTS_BITS;
/// Buckets for every time that fits 64 bits of nanoseconds.
const BUCKETS: usize = ((64 - PARTS_BITS as usize) + 1) << PARTS_BITS;

/// Times, counted in buckets that grow with them.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    count: u64,
    max_ns: u64,
}

/// What is told of them, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Latencies {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, max_ns: 0 }
    }

    /// Takes in a time.
    pub(super) fn record(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(ns)) {
            *count += 1;
        }
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Takes in what somebody else measured.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// What there is to tell; none before the first.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let at = |per_mille| us(self.quantile(per_mille));
        (self.count > 0).then(|| Quantiles {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: us(self.max_ns),
        })
    }

    /// The time within which so many of a thousand are, in nanoseconds.
    fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1000);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        });
        reached.map_or(self.max_ns, top).min(self.max_ns)
    }
}

fn us(ns: u64) -> f64 {
    (ns as f64 / 100.0).round() / 10.0
}

/// Where a time is counted.
fn bucket(ns: u64) -> usize {
    let scale = (u64::BITS - ns.leading_zeros()).saturating_sub(PARTS_BITS + 1);
    let part = ns >> scale;
    usize::try_from(u64::from(scale) * PARTS + part).unwrap_or(usize::MAX)
}

/// The longest time that is counted there.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let scale = (bucket / PARTS).saturating_sub(1);
    let part = bucket - scale * PARTS;
    u64::try_from((u128::from(part + 1) << scale) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_a_bucket_that_is_little_wider() {
        let mut last = None;
        for ns in
            (0..300).chain((9..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])).chain([u64::MAX])
        {
            let bucket = bucket(ns);
            assert!(bucket < BUCKETS && last.is_none_or(|last| last <= bucket), "{ns}");
            assert!(top(bucket) >= ns && top(bucket) - ns <= ns / PARTS, "{ns}: {}", top(bucket));
            last = Some(bucket);
        }
    }

    #[test]
    fn quantiles_are_those_of_all() {
        let (mut all, mut others) = (Latencies::new(), Latencies::new());
        assert_eq!(all.quantiles(), None);
        for n in 1..=1000 {
            let half = if n % 2 == 0 { &mut all } else { &mut others };
            half.record(Duration::from_micros(n));
        }
        all.add(&others);
        let told = all.quantiles().unwrap();
        for (quantile, us) in [(told.p50, 500.0), (told.p90, 900.0), (told.p99, 990.0), (told.p999, 999.0)] {
            assert!(quantile >= us && quantile <= us * 1.02, "{told:?}");
        }
        assert_eq!(told.max, 1000.0);
    }
}
