//! Sends spans and metrics to an OTLP receiver, as protobuf over HTTP (OTLP 1.x).
//!
//! A receiver that does not answer costs nobody anything: spans wait in a bounded queue whose surplus is dropped, exports
//! run on threads of their own, failures are counted, and the log says once that it is gone and once that it is back.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use prost::Message;
use tokio_rustls::rustls::crypto::ring;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::metrics::{Family, Kind, Value};
use crate::measure::Counter;

/// What the process calls itself, unless `OTEL_RESOURCE_ATTRIBUTES` says otherwise.
const SERVICE: &str = "tidemill";
/// How long one export may take.
const EXPORT_MAX: Duration = Duration::from_secs(10);
/// Sums since the start, as the protocol numbers it.
const CUMULATIVE: i32 = 2;
/// Nanoseconds in a microsecond.
const NS: u64 = 1000;

/// An exporter that runs.
#[derive(Clone)]
pub struct Otlp {
    receiver: Arc<Receiver>,
    spans: SdkTracerProvider,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").field("endpoint", &self.receiver.endpoint).finish_non_exhaustive()
    }
}

/// Who is sent to.
struct Receiver {
    agent: ureq::Agent,
    /// Without a slash at its end.
    endpoint: String,
    resource: ResourceAttributesWithSchema,
    failures: Counter,
    gone: AtomicBool,
}

impl Otlp {
    /// Begins to send the spans of the process to the receiver at `endpoint`, such as `http://localhost:4318`. One at
    /// `https://` is trusted by these authorities, or without them by the public ones.
    #[must_use]
    pub fn start(endpoint: &str, authorities: Option<&[Certificate<'static>]>) -> Self {
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let named = std::iter::once(version);
        let resource = Resource::builder_empty().with_service_name(SERVICE).with_attributes(named);
        let resource =
            resource.with_detector(Box::new(opentelemetry_sdk::resource::EnvResourceDetector::new())).build();
        let tls = TlsConfig::builder()
            .root_certs(authorities.map_or(RootCerts::WebPki, RootCerts::new_with_certs))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder().timeout_global(Some(EXPORT_MAX)).tls_config(tls).build().into();
        let receiver = Arc::new(Receiver {
            agent,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            resource: ResourceAttributesWithSchema::from(&resource),
            failures: Counter::default(),
            gone: AtomicBool::new(false),
        });
        let exporter = Exporter(Arc::clone(&receiver));
        let spans = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        opentelemetry::global::set_tracer_provider(spans.clone());
        crate::trace::enable();
        Self { receiver, spans }
    }

    /// Exports that the receiver did not take.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.receiver.failures.get()
    }

    /// Sends metrics. Blocks until the receiver has answered, ten seconds at most.
    pub fn send(&self, families: &[Family], (start_us, now_us): (u64, u64)) {
        let times = (start_us.saturating_mul(NS), now_us.saturating_mul(NS));
        let scope = InstrumentationScope { name: SERVICE.into(), ..InstrumentationScope::default() };
        let metrics = families.iter().map(|family| wire(family, times)).collect();
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
        let attributes = self.receiver.resource.attributes.0.clone();
        let resource = Some(WireResource { attributes, ..WireResource::default() });
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        // A failure is counted and told where it happens.
        let _ = self.receiver.post("/v1/metrics", &ExportMetricsServiceRequest { resource_metrics });
    }

    /// Sends the spans that wait, and ends. Blocks, at most as long as is given.
    pub fn close(&self, longest: Duration) {
        // What could not be sent is counted already.
        let _ = self.spans.shutdown_with_timeout(longest);
    }
}

impl Receiver {
    fn post(&self, path: &str, message: &impl Message) -> Result<(), String> {
        let url = format!("{}{path}", self.endpoint);
        let sent =
            self.agent.post(&url).header("content-type", "application/x-protobuf").send(&message.encode_to_vec());
        match sent {
            Ok(_) => {
                if self.gone.swap(false, Ordering::Relaxed) {
                    tracing::info!(endpoint = self.endpoint, "the OTLP receiver answers again");
                }
                Ok(())
            }
            Err(error) => {
                self.failures.add(1);
                if !self.gone.swap(true, Ordering::Relaxed) {
                    tracing::warn!(endpoint = self.endpoint, %error, "the OTLP receiver takes nothing; traces are dropped until it does");
                }
                Err(error.to_string())
            }
        }
    }
}

/// Sends spans, on the thread that gathers them.
#[derive(Clone)]
struct Exporter(Arc<Receiver>);

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exporter").field(&self.0.endpoint).finish()
    }
}

impl SpanExporter for Exporter {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.0.resource);
        let sent = self.0.post("/v1/traces", &ExportTraceServiceRequest { resource_spans });
        ready(sent.map_err(OTelSdkError::InternalFailure))
    }
}

fn wire(family: &Family, times: (u64, u64)) -> Metric {
    let labels = family.metric.labels;
    let numbers = || family.samples.iter().map(|(values, value)| number(attributes(labels, values), value, times));
    let data = match family.metric.kind {
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points: numbers().collect() }),
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers().collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: family
                .samples
                .iter()
                .filter_map(|(values, value)| histogram(attributes(labels, values), value, times))
                .collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: family.metric.name(),
        description: family.metric.help.into(),
        unit: match family.metric.unit.as_str() {
            "seconds" => "s".into(),
            "bytes" => "By".into(),
            _ => "1".into(),
        },
        data: Some(data),
        ..Metric::default()
    }
}

fn number(attributes: Vec<KeyValue>, value: &Value, (start, now): (u64, u64)) -> NumberDataPoint {
    let value = match value {
        Value::Whole(value) => Some(number_data_point::Value::AsInt(i64::try_from(*value).unwrap_or(i64::MAX))),
        Value::Real(value) => Some(number_data_point::Value::AsDouble(*value)),
        Value::Spread(_) => None,
    };
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: now,
        value,
        ..NumberDataPoint::default()
    }
}

fn histogram(attributes: Vec<KeyValue>, value: &Value, (start, now): (u64, u64)) -> Option<HistogramDataPoint> {
    let Value::Spread(spread) = value else { return None };
    Some(HistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: now,
        count: spread.count,
        sum: Some(spread.sum),
        bucket_counts: spread.buckets.iter().map(|(_, count)| *count).collect(),
        explicit_bounds: spread.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(labels: &[&str], values: &[String]) -> Vec<KeyValue> {
    let text = |value: &String| AnyValue { value: Some(any_value::Value::StringValue(value.clone())) };
    let pair = |(label, value): (&&str, &String)| KeyValue { key: (*label).to_owned(), value: Some(text(value)) };
    labels.iter().zip(values).map(pair).collect()
}
