//! Counts what a face is asked, and how that was answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::measure::{Counter, Histogram, TIME_BOUNDS_NS, Times};

/// What was asked, and how that was answered. Names of routes and outcomes are the server's own, not a client's.
#[derive(Debug, Default)]
pub struct Requests {
    routes: RwLock<BTreeMap<String, Arc<Route>>>,
    in_flight: Arc<AtomicU64>,
}

/// One thing that can be asked.
#[derive(Debug)]
pub struct Route {
    outcomes: RwLock<BTreeMap<String, Counter>>,
    times: Histogram<17>,
}

/// What a route has come to.
#[derive(Debug)]
pub struct RouteCounts {
    /// What was asked: a method and a path, or a method.
    pub route: String,
    /// Answers by outcome: a status, or a code.
    pub outcomes: Vec<(String, u64)>,
    /// Times until the answer's head.
    pub times: Times,
}

/// A request whose answer has not ended, until it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<AtomicU64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Route {
    fn default() -> Self {
        Self { outcomes: RwLock::default(), times: Histogram::new(&TIME_BOUNDS_NS) }
    }
}

impl Requests {
    /// What was counted, in the order of routes.
    #[must_use]
    pub fn read(&self) -> Vec<RouteCounts> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let counts = |(route, counted): (&String, &Arc<Route>)| {
            let outcomes = counted.outcomes.read().unwrap_or_else(PoisonError::into_inner);
            let outcomes = outcomes.iter().map(|(outcome, count)| (outcome.clone(), count.get())).collect();
            RouteCounts { route: route.clone(), outcomes, times: counted.times.read() }
        };
        routes.iter().map(counts).collect()
    }

    /// The counts of a route.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<Route> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(route);
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(name.to_owned()).or_default())
    }

    /// Counts a request as not ended.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// How many requests have not ended, of those that were said to begin.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Route {
    /// Counts an answer.
    pub fn count(&self, outcome: &str) {
        if let Some(count) = self.outcomes.read().unwrap_or_else(PoisonError::into_inner).get(outcome) {
            count.add(1);
            return;
        }
        let mut outcomes = self.outcomes.write().unwrap_or_else(PoisonError::into_inner);
        outcomes.entry(outcome.to_owned()).or_default().add(1);
    }

    /// Takes in how long it was until an answer's head, in nanoseconds.
    pub fn took(&self, ns: u64) {
        self.times.record(ns);
    }
}
