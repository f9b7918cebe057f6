//! A running server as an operator sees it from outside: metrics, health, its service manager, the end.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tidemill_plugins::{ACCOUNT, COUNTER, DASHBOARD, Example};
use tidemill_tests::{Server, guests, install, openmetrics, poll, tidemill};

struct Setting {
    server: Server,
    _directories: (TempDir, TempDir),
}

impl Setting {
    fn start(prepare: impl FnOnce(&Path), configure: impl FnOnce(&mut std::process::Command)) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        prepare(plugins.path());
        let server = Server::try_start_with(data.path(), plugins.path(), configure).unwrap();
        Self { server, _directories: (data, plugins) }
    }

    fn append(&self, event_type: &str, count: usize) {
        let event = json!({ "type": event_type, "stream": "order-1", "data": { "n": 1 } });
        self.server.try_post("/v1/events", &json!({ "events": vec![event; count] })).unwrap();
    }

    fn metrics(&self) -> openmetrics::Families {
        let (status, text) = self.server.try_text("/metrics").unwrap();
        assert_eq!(status, 200, "{text}");
        openmetrics::parse(&text).unwrap_or_else(|error| panic!("{error}\n\n{text}"))
    }
}

/// The value of the only sample whose suffix and labels are these.
fn value(families: &openmetrics::Families, name: &str, suffix: &str, labels: &[(&str, &str)]) -> f64 {
    let family = families.get(name).unwrap_or_else(|| panic!("no family {name}"));
    let wanted =
        |found: &openmetrics::Labels| labels.iter().all(|(key, value)| found.get(*key).is_some_and(|v| v == value));
    let samples: Vec<_> = family.samples.iter().filter(|sample| sample.0 == suffix && wanted(&sample.1)).collect();
    assert_eq!(samples.len(), 1, "{name}{suffix} {labels:?}: {samples:?}");
    samples[0].2
}

#[test]
fn every_stop_has_a_state_a_reason_a_metric_and_a_line_in_the_log() {
    let halts = Example { name: "", component: guests::STOP, manifest: "" };
    let faults = Example { name: "", component: guests::TRAP, manifest: "[delivery]\nmax_faults = 1\n" };
    let setting = Setting::start(
        |plugins| {
            install(plugins, "halts", &halts);
            install(plugins, "faults", &faults);
            install(plugins, "paused", &COUNTER);
        },
        |_| {},
    );
    // Of keys of their own, so that none waits behind another.
    for order in 1..=3 {
        let event = json!({ "type": "Poison", "stream": format!("order-{order}"), "data": {} });
        setting.server.try_post("/v1/events", &json!({ "events": [event] })).unwrap();
    }
    ureq::post(format!("{}/v1/plugins/paused/pause", setting.server.url())).send_empty().unwrap();
    let expected = [
        ("halts", "halted", "stopped before position 1", "delivery halted"),
        ("faults", "quarantined", "poisoned at position", "delivery quarantined"),
        ("paused", "paused", "", "delivery paused"),
    ];
    for (plugin, state, reason, line) in expected {
        let info = poll(&format!("{plugin} to stop"), || {
            let info = setting.server.try_get(&format!("/v1/plugins/{plugin}")).ok()?;
            (info["status"]["state"] == state).then_some(info)
        });
        assert!(info["status"]["reason"].as_str().unwrap_or_default().contains(reason), "{info}");
        let labels = [("plugin", plugin), ("partition", "0"), ("state", state)];
        assert_eq!(value(&setting.metrics(), "tidemill_plugin_state", "", &labels), 1.0);
        let log = setting.server.log();
        let told = log.iter().map(ToString::to_string).find(|told| told.contains(line) && told.contains(plugin));
        assert!(told.is_some_and(|told| told.contains(reason)), "{log:?}");
    }
}

#[test]
fn metrics_are_strict_openmetrics_and_exactly_those_of_the_page() {
    let rejects = Example { name: "", component: guests::REJECT, manifest: "" };
    let prepare = |plugins: &Path| {
        install(plugins, "counter", &COUNTER);
        install(plugins, "rejects", &rejects);
        install(plugins, "dashboard", &DASHBOARD);
        install(plugins, "account", &ACCOUNT);
    };
    let setting = Setting::start(prepare, |command| {
        command.args(["--retention", "order=1000000events", "--grpc-listen", "127.0.0.1:0"]);
    });
    setting.append("Ticked", 3);
    setting.append("Poison", 1);
    let url = setting.server.url();
    poll("somebody to decide", || {
        let open = json!({ "id": "open-7", "type": "Open", "data": { "owner": "ada" } });
        ureq::post(format!("{url}/v1/commands/account/7")).send_json(open).ok()
    });
    for plugin in ["counter", "rejects", "dashboard"] {
        setting.server.settle(plugin);
    }
    ureq::get(format!("{url}/v1/plugins/dashboard/query/summary")).call().unwrap();
    let read = ["bench", "read", "--grpc-only", "--events", "1", "--grpc"];
    let read = tidemill().args(["--server", setting.server.url()]).args(read).arg(setting.server.grpc()).output();
    assert!(read.unwrap().status.success());
    // Who has all that it asked for may leave before the end of the answer comes: then that is how the read ended.
    let read = |families: &openmetrics::Families| {
        let samples = families.get("tidemill_grpc_requests").into_iter().flat_map(|family| &family.samples);
        samples.filter(|(_, labels, _)| labels["method"] == "Read").map(|(_, _, count)| count).sum::<f64>()
    };
    let families = poll("the first look of retention, and the end of the read", || {
        let families = setting.metrics();
        let looked = families.contains_key("tidemill_retention_removed_before_position");
        (looked && read(&families) > 0.0).then_some(families)
    });
    let page = include_str!("../../host/docs/metrics.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for row in &rows {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect();
        let name = cells[0].strip_suffix("_total").unwrap_or(cells[0]);
        let family = families.get(name).unwrap_or_else(|| panic!("{name} is on the page and not in the metrics"));
        assert_eq!((family.kind.as_str(), family.help.as_str()), (cells[1], cells[3]), "{name}");
        let labels: Vec<_> =
            cells[2].split(", ").map(|label| label.trim_matches('`')).filter(|l| !l.is_empty()).collect();
        for (_, found, _) in &family.samples {
            let found: Vec<_> = found.keys().filter(|label| *label != "le").collect();
            assert!(
                found.len() == labels.len() && found.iter().all(|l| labels.contains(&l.as_str())),
                "{name} {found:?}"
            );
        }
    }
    assert_eq!(families.len(), rows.len(), "every family is on the page");
    let of = |plugin| [("plugin", plugin), ("partition", "0")];
    assert_eq!(value(&families, "tidemill_head_position", "", &[]), 5.0);
    assert!(value(&families, "tidemill_append_seconds", "_count", &[]) >= 2.0);
    assert_eq!(read(&families), 1.0);
    assert_eq!(value(&families, "tidemill_plugin_checkpoint_position", "", &of("counter")), 5.0);
    assert_eq!(value(&families, "tidemill_plugin_lag_events", "", &of("counter")), 0.0);
    assert_eq!(value(&families, "tidemill_plugin_handled_events", "_total", &of("rejects")), 4.0);
    assert_eq!(value(&families, "tidemill_plugin_parked_events", "", &of("rejects")), 1.0);
    let rejected = [("plugin", "rejects"), ("result", "reject")];
    assert!(value(&families, "tidemill_plugin_attempts", "_total", &rejected) >= 1.0);
    let running = [("plugin", "counter"), ("state", "running")];
    assert_eq!(value(&families, "tidemill_plugin_state", "", &running), 1.0);
    assert!(value(&families, "tidemill_plugin_memory_bytes", "", &of("counter")) > 0.0);
    assert!(value(&families, "tidemill_plugin_state_size_bytes", "", &[("plugin", "counter")]) > 0.0);
    assert!(value(&families, "tidemill_retention_removed_before_position", "", &[("category", "order")]) <= 1.0);
}

#[test]
fn lag_grows_while_a_plugin_is_paused() {
    let setting = Setting::start(|plugins| install(plugins, "counter", &COUNTER), |_| {});
    ureq::post(format!("{}/v1/plugins/counter/pause", setting.server.url())).send_empty().unwrap();
    setting.append("Ticked", 5);
    let of = [("plugin", "counter"), ("partition", "0")];
    let families = setting.metrics();
    assert_eq!(value(&families, "tidemill_plugin_lag_events", "", &of), 5.0);
    // It is told in whole milliseconds.
    poll("time to pass", || (value(&setting.metrics(), "tidemill_plugin_lag_seconds", "", &of) > 0.0).then_some(()));
    let paused = [("plugin", "counter"), ("state", "paused")];
    assert_eq!(value(&families, "tidemill_plugin_state", "", &paused), 1.0);
}

/// What a service manager that listens hears next.
fn hear(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let bytes = socket.recv(&mut buffer).expect("a notification before the deadline");
    String::from_utf8(buffer[..bytes].to_vec()).unwrap()
}

#[test]
fn the_service_manager_is_told_ready_alive_and_stopping() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let setting = Setting::start(
        |plugins| install(plugins, "counter", &COUNTER),
        |command| {
            command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
        },
    );
    assert_eq!(hear(&manager), "READY=1");
    assert_eq!(hear(&manager), "WATCHDOG=1");
    assert_eq!(hear(&manager), "WATCHDOG=1");
    setting.server.ask_to_end();
    let last = std::iter::repeat_with(|| hear(&manager)).find(|heard| heard != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(setting.server.terminate(), Some(0));
}

/// What of the unit file follows from the program is as the program has it.
#[test]
fn the_unit_file_starts_a_server_that_tells_its_manager() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/tidemill.service");
    let unit = std::fs::read_to_string(path).unwrap();
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!(setting("Type"), Some("notify"));
    assert!(setting("WatchdogSec").is_some() && setting("TimeoutStopSec").is_some());
    let files: u64 = setting("LimitNOFILE").unwrap().parse().unwrap();
    let command = setting("ExecStart").unwrap();
    let arguments: Vec<_> = command.split_whitespace().skip(1).collect();
    assert_eq!(arguments.first(), Some(&"serve"));
    let known = tidemill_tests::tidemill().args(arguments).arg("--help").output().unwrap();
    assert!(known.status.success(), "{command}: {}", String::from_utf8_lossy(&known.stderr));
    let shown = tidemill_tests::tidemill().args(["config", "show", "--json"]).output().unwrap();
    let most = String::from_utf8_lossy(&shown.stdout).lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["setting"] == "max_connections").then(|| line["value"].as_u64())?
    });
    assert!(most.is_some_and(|most| 2 * most < files), "both faces have files for their connections: {most:?}");
}

#[test]
fn draining_refuses_writes_answers_reads_and_ends_in_time() {
    let stuck = Example { name: "", component: guests::SPIN, manifest: "[limits]\nbatch_time = \"10m\"\n" };
    let setting = Setting::start(
        |plugins| install(plugins, "stuck", &stuck),
        |command| {
            command.args(["--drain-time", "15"]);
        },
    );
    setting.append("Poison", 1);
    poll("the poison to be read", || {
        let families = setting.metrics();
        (value(&families, "tidemill_read_events", "_total", &[]) >= 1.0).then_some(())
    });
    setting.server.ask_to_end();
    let (_, body) =
        poll("the server to drain", || setting.server.try_text("/readyz").ok().filter(|(status, _)| *status == 503));
    assert!(body.contains("\"serving\":\"the server is shutting down\""), "{body}");
    assert_eq!(setting.server.try_text("/v1/events").unwrap().0, 200, "reads are answered");
    let refused = setting.server.try_post("/v1/events", &json!({ "events": [{ "type": "Late" }] }));
    assert!(matches!(refused, Err(ureq::Error::StatusCode(503))), "{refused:?}");
    assert_eq!(setting.server.terminate(), Some(0), "it does not wait for the handler for ever");
}

#[test]
fn log_lines_of_delivery_and_of_plugins_say_what_they_are_about() {
    let retries = Example {
        name: "",
        component: guests::RETRY,
        manifest: "[delivery]\nmax_attempts = 2\nbackoff = { initial = \"10ms\", max = \"10ms\", jitter = false }\n",
    };
    let says = Example { name: "", component: guests::LOG_FLOOD, manifest: "[limits]\nbatch_time = \"60s\"\n" };
    let prepare = |plugins: &Path| {
        install(plugins, "retries", &retries);
        install(plugins, "says", &says);
    };
    let setting = Setting::start(prepare, |_| {});
    let id = "0193a1b2-0000-7000-8000-000000000001";
    let event = json!({ "type": "Poison", "id": id, "metadata": { "correlation_id": "order 7" } });
    setting.server.try_post("/v1/events", &json!({ "events": [event, { "type": "Poison" }] })).unwrap();
    for plugin in ["retries", "says"] {
        setting.server.settle(plugin);
    }
    let log = setting.server.log();
    let lines = |what: &str| -> Vec<_> { log.iter().filter(|line| line["message"] == what).collect() };
    for what in ["attempt failed", "event set aside"] {
        let line =
            lines(what).into_iter().find(|line| line["position"] == 1).unwrap_or_else(|| panic!("no {what}: {log:?}"));
        assert_eq!((&line["plugin"], &line["partition"]), (&json!("retries"), &json!(0)), "{line}");
        assert_eq!(line["correlation_id"], "order 7", "{line}");
        assert!(line["attempt"].as_u64().is_some_and(|attempt| (1..=2).contains(&attempt)), "{line}");
    }
    let said: Vec<_> = log.iter().filter(|line| line["target"] == "tidemill::plugin").collect();
    assert!(!said.is_empty());
    for line in said {
        let span = &line["span"];
        assert_eq!(
            (&span["plugin"], &span["partition"], &span["attempt"]),
            (&json!("says"), &json!(0), &json!(1)),
            "{line}"
        );
        assert_eq!((&span["position"], &span["correlation_id"]), (&json!(1), &json!("order 7")), "{line}");
    }
}
