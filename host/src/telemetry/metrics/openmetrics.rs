//! Families as OpenMetrics 1.0 text.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit as WireUnit};

use super::{Family, Kind, Metric, PREFIX, Unit, Value};

/// Media type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes families as text, its end mark included.
///
/// # Errors
/// Never, unless a value contradicts its metric's kind.
pub fn render(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Samples(families)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Samples(Vec<Family>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { metric, samples } in &self.0 {
            let unit = wire_unit(metric.unit);
            let kind = wire_kind(metric.kind);
            let mut family = encoder.encode_descriptor(metric.stem, metric.help, unit.as_ref(), kind)?;
            for (labels, value) in samples {
                if metric.labels.is_empty() {
                    sample(metric, value, &mut family)?;
                    continue;
                }
                let pairs: Vec<_> = metric.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
                sample(metric, value, &mut family.encode_family(&pairs)?)?;
            }
        }
        Ok(())
    }
}

fn sample(metric: &Metric, value: &Value, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    match (metric.kind, value) {
        (Kind::Counter, Value::Whole(count)) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
        (Kind::Gauge, Value::Whole(value)) => encoder.encode_gauge(value),
        (Kind::Gauge, Value::Real(value)) => encoder.encode_gauge(value),
        (Kind::Histogram, Value::Spread(spread)) => {
            encoder.encode_histogram::<NoLabelSet>(spread.sum, spread.count, &spread.buckets, None)
        }
        (Kind::Counter | Kind::Gauge | Kind::Histogram, _) => Err(fmt::Error),
    }
}

const fn wire_kind(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}

const fn wire_unit(unit: Unit) -> Option<WireUnit> {
    match unit {
        Unit::One => None,
        Unit::Seconds => Some(WireUnit::Seconds),
        Unit::Bytes => Some(WireUnit::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Gathered, Spread, catalog};
    use super::*;
    use crate::measure::EventCounts;

    #[test]
    fn the_text_has_names_types_units_labels_and_an_end() {
        let mut gathered = Gathered::default();
        gathered.whole(&catalog::HEAD_POSITION, &[], u64::MAX);
        let mut counts = EventCounts::default();
        [1, 3, 100_000].into_iter().for_each(|count| counts.record(count));
        gathered.add(&catalog::COMMIT_BATCH_EVENTS, &[], Value::Spread(Spread::of(&counts, 1.0)));
        gathered.whole(&catalog::PLUGIN_ATTEMPTS, &["a\"b\\", "0", "retry"], 7);
        gathered.add(&catalog::PLUGIN_LAG_SECONDS, &["p", "0"], Value::Real(1.5));
        let text = render(gathered.finish()).unwrap();
        for line in [
            "# TYPE tidemill_head_position gauge",
            "tidemill_head_position 18446744073709551615",
            "tidemill_commit_batch_events_bucket{le=\"1.0\"} 1",
            "tidemill_commit_batch_events_bucket{le=\"4.0\"} 2",
            "tidemill_commit_batch_events_bucket{le=\"+Inf\"} 3",
            "tidemill_commit_batch_events_count 3",
            "tidemill_plugin_attempts_total{plugin=\"a\\\"b\\\\\",partition=\"0\",result=\"retry\"} 7",
            "# UNIT tidemill_plugin_lag_seconds seconds",
            "tidemill_plugin_lag_seconds{plugin=\"p\",partition=\"0\"} 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        let mut gathered = Gathered::default();
        gathered.add(&catalog::PLUGIN_ATTEMPTS, &["p", "0", "retry"], Value::Real(0.5));
        assert!(render(gathered.finish()).is_err());
    }
}
