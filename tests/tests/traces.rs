//! Traces and metrics as an OTLP receiver gets them, from a client's request to what a plugin does about it.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use tidemill_plugins::Example;
use tidemill_tests::{Server, guests, install, poll};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// A request that came: its path, its `traceparent`, its body.
type Came = (String, Option<String>, Vec<u8>);

/// An HTTP server that takes everything.
struct Receiver {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, came) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&came);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || answer(&connection, &kept));
            }
        });
        Self { address, came }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        let came = self.came.lock().unwrap();
        came.iter().filter(|came| came.0 == path).map(|came| came.2.clone()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.bodies("/v1/traces").into_iter();
        let requests = requests.map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    fn span(&self, what: &str, is: impl Fn(&Span) -> bool) -> Span {
        poll(what, || self.spans().into_iter().find(&is))
    }
}

/// Answers one request after another on a connection.
fn answer(connection: &TcpStream, came: &Mutex<Vec<Came>>) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let field = |name: &str| {
            let lines = lines.iter().filter_map(|line| line.split_once(": "));
            lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let path = lines[0].split(' ').nth(1).unwrap().to_owned();
        let mut body = vec![0; field("content-length").map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        came.lock().unwrap().push((path, field("traceparent"), body));
        let mut connection = connection;
        if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn start(endpoint: &str, data: &Path, plugins: &Path) -> Server {
    let server = Server::try_start_with(data, plugins, |command| {
        command.args(["--otlp-endpoint", endpoint, "--otlp-interval", "1"]).env("OTEL_BSP_SCHEDULE_DELAY", "50");
    });
    server.unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn append(server: &Server, traceparent: &str) -> Value {
    let event = json!({ "type": "Ticked", "stream": "tick-1", "data": {} });
    let request = ureq::post(format!("{}/v1/events", server.url())).header("traceparent", traceparent);
    request.send_json(json!({ "events": [event] })).unwrap().body_mut().read_json().unwrap()
}

#[test]
fn a_trace_goes_from_the_client_through_the_log_to_what_a_plugin_does() {
    let receiver = Receiver::start();
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let emits = Example {
        name: "",
        component: guests::EMIT,
        manifest: "[subscribe]\ntypes = [\"Ticked\"]\n[grants]\nappend = [\"Echoed\"]\n",
    };
    let url = receiver.url();
    let manifest = format!(
        "[subscribe]\ntypes = [\"Ticked\"]\n[grants]\nhttp = [\"{url}\"]\nhttp_private = [\"localhost\"]\n[config]\nurl = \"{url}/outside\"\n"
    );
    let asks = Example { name: "", component: guests::HTTP_GET, manifest: Box::leak(manifest.into()) };
    install(plugins.path(), "emits", &emits);
    install(plugins.path(), "asks", &asks);
    let server = start(&url, data.path(), plugins.path());
    append(&server, &format!("00-{TRACE}-{CLIENT}-01"));
    server.settle("emits");
    server.settle("asks");

    let appended = receiver.span("the append", |span| span.name == "append" && span.kind == 4);
    assert_eq!((hex(&appended.trace_id), hex(&appended.parent_span_id)), (TRACE.into(), CLIENT.into()));
    let handled = receiver.span("the batch", |span| span.name == "handle emits");
    assert_eq!(handled.kind, 5, "a consumer");
    assert_ne!(handled.trace_id, appended.trace_id, "a batch is a trace of its own");
    assert_eq!(handled.links.len(), 1);
    assert_eq!((&handled.links[0].trace_id, &handled.links[0].span_id), (&appended.trace_id, &appended.span_id));
    let keys: Vec<_> = handled.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    for key in ["messaging.system", "messaging.operation.type", "messaging.batch.message_count", "tidemill.attempt"] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    let is_child = |span: &Span, name: &str, of: &Span| span.name == name && span.parent_span_id == of.span_id;
    receiver.span("the guest's append", |span| is_child(span, "append", &handled));
    receiver.span("the guest's state", |span| is_child(span, "state.set", &handled));

    let batch = receiver.span("the other batch", |span| span.name == "handle asks");
    let asked = receiver.span("the request", |span| is_child(span, "GET", &batch));
    assert_eq!(asked.kind, 3, "a client");
    let outside = receiver.came.lock().unwrap().iter().find(|came| came.0 == "/outside").unwrap().1.clone();
    assert_eq!(outside.unwrap(), format!("00-{}-{}-01", hex(&asked.trace_id), hex(&asked.span_id)));

    let echo = server.get("/v1/events?type=Echoed");
    let carried = echo["events"][0]["metadata"]["traceparent"].as_str().unwrap();
    assert!(carried.contains(&hex(&handled.trace_id)), "{carried}");

    poll("metrics", || {
        let bodies = receiver.bodies("/v1/metrics").into_iter();
        let requests = bodies.map(|body| ExportMetricsServiceRequest::decode(body.as_slice()).unwrap());
        let scopes = requests.flat_map(|request| request.resource_metrics).flat_map(|resource| resource.scope_metrics);
        let names: Vec<_> = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name).collect();
        let wanted = ["tidemill_head_position", "tidemill_append_seconds", "tidemill_plugin_attempts"];
        wanted.iter().all(|wanted| names.iter().any(|name| name == wanted)).then_some(())
    });
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_receiver_that_is_gone_costs_a_count_and_one_line() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A port that was let go may be given to another test; this one is nobody's.
    let server = start("http://127.0.0.1:1", data.path(), plugins.path());
    let failures = || {
        let text = server.try_text("/metrics").ok()?.1;
        let line = text.lines().find(|line| line.starts_with("tidemill_otlp_export_failures_total "))?.to_owned();
        line.rsplit(' ').next()?.parse::<u64>().ok()
    };
    append(&server, &format!("00-{TRACE}-{CLIENT}-01"));
    poll("some failures", || failures().filter(|count| *count >= 3));
    let is_told = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("OTLP"));
    // It is counted before it is told.
    poll("the line", || server.log().iter().any(is_told).then_some(()));
    let log = server.log();
    assert_eq!(log.iter().filter(|line| is_told(line)).count(), 1, "{log:?}");
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn without_a_receiver_a_context_is_passed_on_as_it_came() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manifest = "[subscribe]\ntypes = [\"Ticked\"]\n[grants]\nappend = [\"Echoed\"]\n";
    install(plugins.path(), "emits", &Example { name: "", component: guests::EMIT, manifest });
    let server = Server::start(data.path(), plugins.path());
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    append(&server, &traceparent);
    server.settle("emits");
    for event in server.get("/v1/events")["events"].as_array().unwrap() {
        assert_eq!(event["metadata"]["traceparent"], traceparent.as_str(), "{event}");
    }
}
