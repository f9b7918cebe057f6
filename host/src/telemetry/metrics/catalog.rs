//! Every metric that there is. `host/docs/metrics.md` is made from this list and held to it by a test.

use std::fmt::Write as _;

use super::{Kind, Metric, Unit};

const PLUGIN: &[&str] = &["plugin"];
const PARTITION: &[&str] = &["plugin", "partition"];

macro_rules! catalog {
    ($($name:ident = $kind:ident $stem:literal $unit:ident $labels:expr, $help:literal;)*) => {
        $(
            #[doc = concat!($help, ".")]
            pub static $name: Metric =
                Metric { stem: $stem, kind: Kind::$kind, unit: Unit::$unit, labels: $labels, help: $help };
        )*
        /// All of them, in the order in which they are shown.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

catalog! {
    BUILD = Gauge "build" One &["version"], "1 for the version that runs";
    READY = Gauge "ready" One &[], "1 when the server is ready as /readyz says, else 0";
    HEAD_POSITION = Gauge "head_position" One &[], "Position of the last event of the log";
    APPEND = Histogram "append" Seconds &[], "Time from the submission of an append to its durable answer";
    FSYNC = Histogram "fsync" Seconds &[], "Time of a sync of the journal: one for each commit";
    COMMIT_BATCH_EVENTS = Histogram "commit_batch_events" One &[], "Events of each commit that had some";
    READS = Counter "reads" One &[], "Pages of events read, by clients and by delivery";
    READ_EVENTS = Counter "read_events" One &[], "Events on those pages";
    STORE_BYTES = Gauge "store" Bytes &["part"], "Bytes on disk, by part: segments, index, journals, state";
    STORE_FILES = Gauge "store_files" One &["part"], "Files on disk, by part: segments, index, journals";
    RETENTION_REMOVED = Gauge "retention_removed_before_position" One &["category"],
        "Position before which events of a category with a policy are removed";
    RETENTION_WANTED = Gauge "retention_wanted_before_position" One &["category"],
        "Position before which its policy would remove them; ahead of the other while a plugin needs them";
    SUBSCRIBERS = Gauge "sse_subscribers" One &[], "Subscriptions that are open over HTTP";
    CONNECTIONS = Gauge "connections" One &["face"], "Connections that are open, by face: http, grpc";
    CONNECTIONS_REFUSED = Counter "connections_refused" One &["face"],
        "Connections closed at once, because as many were open as `max_connections` allows";
    HTTP_REQUESTS = Counter "http_requests" One &["route", "status"], "Requests answered, by route and status";
    HTTP_REQUEST = Histogram "http_request" Seconds &["route"],
        "Time until the head of the answer, by route; what a subscription sends later is not in it";
    GRPC_REQUESTS = Counter "grpc_requests" One &["method", "code"],
        "Requests over gRPC whose answer has ended, by method and code; CANCELLED where the client left first";
    GRPC_REQUEST = Histogram "grpc_request" Seconds &["method"],
        "Time until the head of an answer over gRPC, by method; what a read or a subscription sends later is not in it";
    GRPC_OPEN = Gauge "grpc_open_requests" One &[],
        "Requests over gRPC whose answer has not ended: reads and subscriptions, above all";
    PLUGIN_STATE = Gauge "plugin_state" One &["plugin", "partition", "state"],
        "1 for the state that delivery is in: running, backing_off, paused, halted, quarantined or stopped";
    PLUGIN_PROBLEM = Gauge "plugin_problem" One PLUGIN, "1 while something is wrong with the plugin's files, else 0";
    PLUGIN_REBUILD_STATE = Gauge "plugin_rebuild_state" One &["plugin", "state"],
        "1 for the state that building its state anew is in, by the same names; 0 for each while nothing is built";
    PLUGIN_REBUILD_HELD_UP = Gauge "plugin_rebuild_held_up" One PLUGIN,
        "1 while what is built does not go on, or could not become live when that was tried last, else 0";
    PLUGIN_REBUILD_LAG = Gauge "plugin_rebuild_lag_events" One PLUGIN,
        "Events of the log that what is built is behind the live state; 0 while nothing is built";
    PLUGIN_CHECKPOINT = Gauge "plugin_checkpoint_position" One PARTITION,
        "Position up to which every event is handled or set aside";
    PLUGIN_LAG_EVENTS = Gauge "plugin_lag_events" One PARTITION,
        "Events of the log after the checkpoint, whether or not the plugin listens to them";
    PLUGIN_LAG_SECONDS = Gauge "plugin_lag" Seconds PARTITION,
        "Age of the first event after the checkpoint; 0 when there is none";
    PLUGIN_ATTEMPTS = Counter "plugin_attempts" One &["plugin", "partition", "result"],
        "Calls of the handler, by result: handled, retry, reject, stop, or the fault";
    PLUGIN_BATCH = Histogram "plugin_batch" Seconds PARTITION, "Time of a call of the handler";
    PLUGIN_QUERIES = Counter "plugin_queries" One &["plugin", "result"],
        "Queries, by result: ok, unknown, invalid, failed, the fault, busy, unavailable";
    PLUGIN_QUERY = Histogram "plugin_query" Seconds &["plugin"], "Time from a query to its answer";
    PLUGIN_HANDLED = Counter "plugin_handled_events" One PARTITION, "Events handled and committed";
    PLUGIN_EMITTED = Counter "plugin_emitted_events" One PARTITION, "Events appended by the handler and committed";
    PLUGIN_CONFLICTS = Counter "plugin_conflicts" One PARTITION,
        "Units of work done again because another partition wrote what they had read";
    PLUGIN_PARKED = Gauge "plugin_parked_events" One PARTITION, "Dead letters: they wait for an operator";
    PLUGIN_WAITING = Gauge "plugin_waiting_events" One PARTITION,
        "Events set aside until a time, or behind an earlier event of their key";
    PLUGIN_RESTARTS = Counter "plugin_restarts" One &["plugin", "reason"],
        "Instances thrown away: by the fault; recycled, as memory was nearly full; replaced, with their version";
    PLUGIN_MEMORY = Gauge "plugin_memory" Bytes PARTITION, "Memory that the handler has";
    PLUGIN_STATE_SIZE = Gauge "plugin_state_size" Bytes PLUGIN, "Keys and values of its live state";
    PLUGIN_FUEL = Counter "plugin_fuel" One PARTITION, "Fuel that the handler used";
    PLUGIN_LOG_BYTES = Counter "plugin_log" Bytes PARTITION, "What the handler wrote to its log";
    COMMANDS = Counter "commands" One &["aggregate", "result"],
        "Commands, by result: accepted, rejected, repeated, invalid (against a schema or a validator), expired, faulted (a component failed), refused (anything else)";
    COMMANDS_QUEUED = Counter "commands_queued" One &["result"],
        "Commands that are decided later, by what became of them: accepted, settled, failed (given up), retried";
    COMMANDS_WAITING = Gauge "commands_waiting" One &[], "Accepted commands that are not settled";
    COMMAND = Histogram "command" Seconds &["aggregate"], "Time from a command to its outcome";
    COMMAND_DECIDE = Histogram "command_decide" Seconds &["aggregate"],
        "Of that, finding the aggregate and deciding, without the append";
    COMMAND_CONFLICTS = Counter "command_conflicts" One &["aggregate"],
        "Decisions that were made again because others had appended to the stream";
    AGGREGATES_HOT = Gauge "aggregates_in_memory" One &["aggregate"], "Aggregates that are in memory";
    AGGREGATES_LOADED = Counter "aggregates_loaded" One &["aggregate"],
        "Aggregates made from a snapshot and their events, because they were not in memory";
    SNAPSHOTS = Counter "snapshots_written" One &["aggregate"], "Snapshots written";
    SNAPSHOTS_FAILED = Counter "snapshots_failed" One &["aggregate"],
        "Snapshots that could not be made or written; the next one is tried when it is due";
    SNAPSHOTS_LEFT_OUT = Counter "snapshots_left_out" One &["aggregate"],
        "Snapshots that did not fit, so that the aggregate was made from its events";
    REFUSALS = Counter "access_refusals" One &["reason"],
        "Requests, or parts of them, not let in: no_key, unknown_key, denied for want of a scope or of reach";
    OTLP_FAILURES = Counter "otlp_export_failures" One &[], "Exports that the OTLP receiver did not take";
    PLUGIN_DENIED = Counter "plugin_denials" One PLUGIN, "What the running version asked for and is not granted";
}

/// The page about them, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `GET /metrics` answers OpenMetrics 1.0 text. With `serve --otlp-endpoint URL` the same metrics are sent by OTLP, under\n\
         the same names. This page is made from the code, by the test that holds it.\n\n\
         Label values are bounded by what is installed or configured: plugins, partitions, routes, categories that have\n\
         a retention policy. No label ever holds a stream, a tag or an id. Counters begin at 0 with the process, those\n\
         with the label `partition` with each version of the plugin that is loaded.\n\n\
         | name | type | labels | what it says |\n|---|---|---|---|\n",
    );
    for metric in ALL {
        let suffix = if metric.kind == Kind::Counter { "_total" } else { "" };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (metric.name(), metric.kind.as_str(), labels.join(", "));
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{name}{suffix}` | {kind} | {labels} | {} |", metric.help);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let page = page();
        if std::env::var_os("TIDEMILL_WRITE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "host/docs/metrics.md is out of date: run this test with TIDEMILL_WRITE_DOCS=1");
    }

    #[test]
    fn names_are_well_formed_and_taken_once() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{name}");
            assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}");
        }
    }
}
