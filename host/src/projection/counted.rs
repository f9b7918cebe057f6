//! How often a plugin was asked, with what result, and how long that took.

use crate::measure::{Counter, Histogram, TIME_BOUNDS_NS, Times};

/// Every result of a query, by name: an answer, none by the plugin's word, its faults, and what the host refused.
const RESULTS: [&str; 12] = [
    "ok",
    "unknown",
    "invalid",
    "failed",
    "trap",
    "out_of_fuel",
    "deadline",
    "out_of_memory",
    "denied",
    "bad_reply",
    "busy",
    "unavailable",
];

/// Where the queries of one plugin are counted, whichever version answers them.
#[derive(Debug)]
pub struct Counted {
    results: [Counter; RESULTS.len()],
    times: Histogram<17>,
}

/// What that has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryCounts {
    /// Queries by result.
    pub results: Vec<(&'static str, u64)>,
    /// Times from the question to the answer, waiting for an instance included.
    pub times: Times,
}

impl Default for Counted {
    fn default() -> Self {
        Self { results: Default::default(), times: Histogram::new(&TIME_BOUNDS_NS) }
    }
}

impl Counted {
    /// Counts a query.
    pub(super) fn count(&self, result: &str, ns: u64) {
        self.times.record(ns);
        if let Some((_, counter)) = RESULTS.iter().zip(&self.results).find(|(name, _)| **name == result) {
            counter.add(1);
        }
    }

    /// What was counted.
    #[must_use]
    pub fn read(&self) -> QueryCounts {
        let results = RESULTS.into_iter().zip(self.results.iter().map(Counter::get)).collect();
        QueryCounts { results, times: self.times.read() }
    }
}
