//! What plugins cost is seen, and chains of events that feed themselves end: the real binary with real components.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::{Server, guests, install, poll, tidemill};

struct Setting {
    server: Server,
    _directories: [TempDir; 2],
}

impl Setting {
    /// A server with these plugins: their names, components and manifests.
    fn start(plugins: &[(&'static str, &'static [u8], &'static str)]) -> Self {
        let [data, folder] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for (name, component, manifest) in plugins.iter().copied() {
            install(folder.path(), name, &Example { name, component, manifest });
        }
        Self { server: Server::start(data.path(), folder.path()), _directories: [data, folder] }
    }

    fn append(&self, event_type: &str, count: usize) {
        let event = json!({ "type": event_type, "data": { "n": 1 }, "metadata": { "correlation_id": "chain-1" } });
        self.server.try_post("/v1/events", &json!({ "events": vec![event; count] })).unwrap();
    }

    fn info(&self, plugin: &str) -> Value {
        self.server.get(&format!("/v1/plugins/{plugin}"))
    }

    /// Waits for a dead letter.
    fn dead_letter(&self, plugin: &str) -> Value {
        poll(&format!("a dead letter of {plugin}"), || {
            let page = self.server.try_get(&format!("/v1/plugins/{plugin}/dead-letters")).ok()?;
            page["dead_letters"].as_array()?.first().cloned()
        })
    }

    /// What a command of `plugins` prints.
    fn plugins(&self, arguments: &[&str]) -> String {
        let output = tidemill().args(["--server", self.server.url(), "plugins"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        self.server.get("/v1/events?limit=1000")["events"].as_array().unwrap().clone()
    }

    /// How far each event says that it is from the first.
    fn depths(&self) -> Vec<Option<u64>> {
        let depth = |event: &Value| event["metadata"]["causation_depth"].as_str().map(|depth| depth.parse().unwrap());
        self.events().iter().map(depth).collect()
    }
}

#[test]
fn what_a_plugin_costs_is_seen_by_who_asks() {
    let setting = Setting::start(&[("counter", COUNTER.component, "[delivery]\npartitions = 2\n")]);
    setting.append("Ticked", 20);
    setting.server.settle("counter");
    let info = poll("everything to be counted", || {
        let info = setting.info("counter");
        (info["status"]["counters"]["handled"] == 20).then_some(info)
    });
    let (cost, number) = (&info["status"]["cost"], |value: &Value| value.as_u64().unwrap());
    assert!(number(&cost["events"]) >= 20 && number(&cost["attempts"]) >= number(&cost["batches"]), "{info}");
    assert!(number(&cost["fuel"]) > number(&cost["events"]) && number(&cost["handler_us"]) > 0, "{info}");
    assert!(number(&cost["memory_peak_bytes"]) > 0 && number(&cost["memory_bytes"]) > 0, "{info}");
    let sum: u64 = (0..2).map(|index| number(&info["status"]["partitions"][index]["cost"]["fuel"])).sum();
    assert_eq!(sum, number(&cost["fuel"]));
    assert_eq!((&info["lag_events"], &info["lag_seconds"]), (&json!(0), &json!(0.0)));
    assert_eq!(info["state_size"], json!({ "keys": 1, "bytes": 8 }));
    let used = &info["used_percent"];
    assert!((1..100).contains(&number(&used["memory"])) && used["fuel"].is_null() && used["state"] == 1, "{used}");
    let shown = setting.plugins(&["inspect", "counter"]);
    for part in ["fuel_per_event: ", "handler_us_per_event: ", "state_size: 1 keys, 8 bytes\n", "used_percent:\n"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let listed = setting.plugins(&["ls", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["status"]["cost"], &listed["used_percent"]), (cost, used));
    assert!(setting.plugins(&["ls"]).contains("FUEL/EVENT"));
}

#[test]
fn fuel_is_a_limit_and_shows_what_uses_it() {
    let manifest = "[delivery]\nmax_faults = 1\n[limits]\nfuel = 10000000\nbatch_time = \"10m\"\n";
    let setting = Setting::start(&[("spins", guests::SPIN, manifest)]);
    setting.append("Poison", 1);
    setting.append("Ticked", 1);
    let letter = setting.dead_letter("spins");
    assert_eq!(letter["kind"], "out_of_fuel");
    assert!(letter["reason"].as_str().unwrap().contains("[limits] fuel"), "{letter}");
    setting.server.settle("spins");
    let info = setting.info("spins");
    let status = &info["status"];
    assert!(status["counters"]["faults"]["out_of_fuel"].as_u64() >= Some(1), "{status}");
    assert!(status["cost"]["restarts"]["fault"].as_u64() >= Some(1), "{status}");
    assert_eq!((&info["used_percent"]["fuel"], &info["limits"]["fuel"]), (&json!(100), &json!(10_000_000)));
    assert_eq!(setting.server.get("/v1/plugins/spins/state/count")["value"], 1, "the other event is handled");
}

#[test]
fn state_is_a_limit_that_stops_who_only_ever_writes_more() {
    let manifest =
        "[delivery]\nmax_attempts = 1\nparked_events_max = 2\n[limits]\nstate = \"2MiB\"\n[config]\nvalues = 1\n";
    let setting = Setting::start(&[("floods", guests::STATE_FLOOD, manifest), ("ok", guests::OK, "")]);
    setting.append("Ticked", 8);
    let info = poll("it to be stopped", || {
        let info = setting.info("floods");
        (info["status"]["state"] == "halted").then_some(info)
    });
    // Three values of 512 KiB fit with their keys and the count, and no fourth.
    let (size, used) = (&info["state_size"], &info["used_percent"]["state"]);
    assert!((1_572_864..2 << 20).contains(&size["bytes"].as_u64().unwrap()), "{size}");
    assert_eq!((&size["keys"], used), (&json!(4), &json!(76)));
    let letter = setting.dead_letter("floods");
    assert_eq!(letter["kind"], "reject");
    assert!(letter["reason"].as_str().unwrap().contains("in [limits]: state = '4MiB'"), "{letter}");
    assert!(info["denied"].as_u64() >= Some(2), "{info}");
    setting.append("Ticked", 1);
    setting.server.settle("ok");
    assert_eq!(setting.server.get("/v1/plugins/ok/state/count")["value"], 9, "others append and handle on");
}

#[test]
fn fuel_is_the_same_whenever_events_are_handed_over() {
    let setting = Setting::start(&[("ok", guests::OK, "")]);
    setting.append("Ticked", 30);
    setting.server.settle("ok");
    let fuel = || -> Value {
        let report = setting.plugins(&["replay", "ok", "--from", "1", "--json"]);
        serde_json::from_str::<Value>(&report).unwrap()["cost"]["fuel"].clone()
    };
    let first = fuel();
    assert!(first.as_u64() > Some(30), "{first}");
    assert_eq!(fuel(), first);
    assert!(setting.plugins(&["replay", "ok", "--from", "1"]).contains(" fuel per event"));
}

#[test]
fn a_flooded_log_is_more_than_all_of_its_limit() {
    let setting = Setting::start(&[("floods", guests::LOG_FLOOD, "[limits]\nbatch_time = \"1m\"\n")]);
    setting.append("Ticked", 1);
    setting.server.settle("floods");
    let info = setting.info("floods");
    assert!(info["status"]["cost"]["log_bytes"].as_u64() >= Some(1_000_000), "{info}");
    assert!(info["used_percent"]["log_bytes_per_batch"].as_u64() >= Some(1_500), "{info}");
}

#[test]
fn what_feeds_itself_ends_at_the_depth_that_its_manifest_allows() {
    const MANIFEST: &str = "[subscribe]\ntypes = [\"Ping\"]\n[delivery]\nmax_attempts = 1\n\
                            [limits]\ncausation_depth = 5\n[grants]\nappend = [\"Ping\"]\n";
    for component in [guests::FEEDBACK, guests::BULK_FEEDBACK, guests::SDK_FEEDBACK] {
        let setting = Setting::start(&[("it", component, MANIFEST)]);
        setting.append("Ping", 1);
        let letter = setting.dead_letter("it");
        assert_eq!(letter["position"], 6);
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.contains("in [limits]: causation_depth = 10") && reason.contains("chain-1"), "{reason}");
        setting.server.settle("it");
        assert_eq!(setting.depths(), [None, Some(1), Some(2), Some(3), Some(4), Some(5)]);
        let info = setting.info("it");
        assert_eq!((&info["status"]["state"], &info["denied"]), (&json!("running"), &json!(1)), "{info}");
        assert_eq!(info["policy"]["causation_depth_max"], 5);
        setting.append("Ping", 1);
        poll("the next chain to end as the first", || (setting.info("it")["dead_letters"] == 2).then_some(()));
        assert_eq!(setting.events().len(), 12);
    }
}

#[test]
fn what_multiplies_halts_at_the_number_that_its_manifest_allows() {
    const MANIFEST: &str =
        "[subscribe]\ntypes = [\"Ping\"]\n[limits]\ncausation_events = 20\n[grants]\nappend = [\"Ping\"]\n";
    // Each answers each with one: together they double at each step.
    let setting = Setting::start(&[("one", guests::FEEDBACK, MANIFEST), ("other", guests::BULK_FEEDBACK, MANIFEST)]);
    setting.append("Ping", 1);
    let first = setting.events()[0]["id"].clone();
    for plugin in ["one", "other"] {
        let reason = poll(&format!("{plugin} to halt"), || {
            let status = &setting.info(plugin)["status"];
            (status["state"] == "halted").then(|| status["reason"].as_str().unwrap().to_owned())
        });
        assert!(reason.contains("in [limits]: causation_events = 40") && reason.contains("chain-1"), "{reason}");
        assert!(reason.contains(first.as_str().unwrap()), "{reason}");
        assert_eq!(setting.info(plugin)["policy"]["causation_events_max"], 20);
    }
    let events = setting.events();
    assert_eq!(events.len(), 41);
    assert!(events[1..].iter().all(|event| event["metadata"]["causation_root"] == first));
}

#[test]
fn two_that_feed_each_other_end_and_do_the_same_when_it_is_replayed() {
    const PING: &str = "[subscribe]\ntypes = [\"Ping\"]\n[grants]\nappend = [\"Pong\"]\n[config]\nemits = \"Pong\"\n";
    const PONG: &str = "[subscribe]\ntypes = [\"Pong\"]\n[grants]\nappend = [\"Ping\"]\n[config]\nemits = \"Ping\"\n";
    let setting = Setting::start(&[("ping", guests::FEEDBACK, PING), ("pong", guests::BULK_FEEDBACK, PONG)]);
    setting.append("Ping", 1);
    assert_eq!(setting.dead_letter("ping")["position"], 33, "the default is 32");
    for plugin in ["ping", "pong"] {
        setting.server.settle(plugin);
    }
    let depths: Vec<_> = std::iter::once(None).chain((1..=32).map(Some)).collect();
    assert_eq!(setting.depths(), depths);
    let report: Value = serde_json::from_str(&setting.plugins(&["replay", "ping", "--from", "1", "--json"])).unwrap();
    assert_eq!((&report["emitted"], &report["failures"]["count"]), (&json!({ "Pong": 16 }), &json!(1)), "{report}");
    let report = setting.plugins(&["rebuild", "ping", "--verify", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["same"], true, "{report}");
}
