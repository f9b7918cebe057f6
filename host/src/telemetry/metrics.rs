//! Metrics as values: what there is ([`catalog`]), and samples of it at a moment ([`Family`]), which are then written
//! as OpenMetrics text or sent by OTLP. Who measures is elsewhere: nothing here counts.

pub mod catalog;
mod openmetrics;

pub use openmetrics::{CONTENT_TYPE, render};

use crate::measure::Distribution;

/// What every name begins with.
pub const PREFIX: &str = "tidemill";

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process ends; samples have the suffix `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How values are spread.
    Histogram,
}

/// What a metric counts in; the last part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    One,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// One metric that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name without prefix, unit and suffix.
    pub stem: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// The names of its labels. Their values are bounded by what is installed or configured, never by events.
    pub labels: &'static [&'static str],
    /// What it says, for people.
    pub help: &'static str,
}

impl Metric {
    /// The name that its family has: with prefix and unit, without the suffix of counters.
    #[must_use]
    pub fn name(&self) -> String {
        match self.unit {
            Unit::One => format!("{PREFIX}_{}", self.stem),
            Unit::Seconds | Unit::Bytes => format!("{PREFIX}_{}_{}", self.stem, self.unit.as_str()),
        }
    }
}

impl Unit {
    /// Its name; empty for things.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric's value for some labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter or gauge of things.
    Whole(u64),
    /// A gauge in parts.
    Real(f64),
    /// A histogram.
    Spread(Spread),
}

/// How values are spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Upper bounds, the last of which is infinite, with how many values are in each bucket and not in those before.
    pub buckets: Vec<(f64, u64)>,
    /// How many values there are.
    pub count: u64,
    /// All values together.
    pub sum: f64,
}

impl Spread {
    /// Of values that are `per_unit` times what is shown.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bounds are small, and a sum is shown to about 16 digits")]
    pub fn of<const N: usize>(values: &Distribution<N>, per_unit: f64) -> Self {
        let bounds = values.buckets().map(|(bound, count)| (bound as f64 / per_unit, count));
        Self {
            buckets: bounds.chain([(f64::INFINITY, values.above())]).collect(),
            count: values.count(),
            sum: values.sum() as f64 / per_unit,
        }
    }
}

/// A metric and its samples.
#[derive(Clone, Debug)]
pub struct Family {
    /// The metric.
    pub metric: &'static Metric,
    /// Label values, in the order of the metric's labels, and the value for them.
    pub samples: Vec<(Vec<String>, Value)>,
}

/// Gathers samples, family by family.
#[derive(Debug, Default)]
pub struct Gathered(Vec<Family>);

impl Gathered {
    /// Adds a sample.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.stem);
        let sample = (labels.iter().map(|&label| label.to_owned()).collect(), value);
        match self.0.iter_mut().find(|family| family.metric == metric) {
            Some(family) => family.samples.push(sample),
            None => self.0.push(Family { metric, samples: vec![sample] }),
        }
    }

    /// Adds a whole number.
    pub fn whole(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.add(metric, labels, Value::Whole(value));
    }

    /// Adds durations that were measured in nanoseconds.
    pub fn times<const N: usize>(&mut self, metric: &'static Metric, labels: &[&str], times: &Distribution<N>) {
        self.add(metric, labels, Value::Spread(Spread::of(times, 1e9)));
    }

    /// All of it, in the order of the catalog.
    #[must_use]
    pub fn finish(mut self) -> Vec<Family> {
        let place = |family: &Family| catalog::ALL.iter().position(|metric| *metric == family.metric);
        self.0.sort_by_key(place);
        self.0
    }
}
