//! Keys, partitions and what is set aside, by the real binary with real components.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::bench::resident_bytes;
use tidemill_tests::told::{complains, err};
use tidemill_tests::{Server, guests, install, poll, replace, tidemill};

/// Streams that events are shared among.
const STREAMS: u64 = 7;

struct Setting {
    server: Option<Server>,
    plugins: TempDir,
    data: TempDir,
}

impl Setting {
    fn start(installed: &[(&str, &'static [u8], String)]) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for &(name, component, ref manifest) in installed {
            install(plugins.path(), name, &Example { name: "it", component, manifest: manifest.clone().leak() });
        }
        let server = Some(Server::start(data.path(), plugins.path()));
        Self { server, plugins, data }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Kills the server at once, changes something, and starts it anew.
    fn kill(&mut self, change: impl FnOnce(&Self)) {
        self.server().kill_now();
        self.server = None;
        change(self);
        self.server = Some(Server::start(self.data.path(), self.plugins.path()));
    }

    fn append(&self, events: &[Value]) {
        for events in events.chunks(500) {
            self.server().try_post("/v1/events", &json!({ "events": events })).unwrap();
        }
    }

    fn info(&self, plugin: &str) -> Option<Value> {
        self.server().try_get(&format!("/v1/plugins/{plugin}")).ok()
    }

    /// Waits until a plugin has settled everything that there is, what it appends itself included.
    fn rest(&self, plugin: &str) -> Value {
        poll("the plugin to come to rest", || {
            let info = self.info(plugin)?;
            let head = self.server().try_get("/v1/events?limit=1").ok()?["head"].clone();
            (info["checkpoint"] == head && info["digest"].is_string()).then_some(info)
        })
    }

    fn log(&self) -> Vec<Value> {
        let (mut log, mut after) = (Vec::new(), 0);
        loop {
            let page = self.server().get(&format!("/v1/events?limit=1000&after={after}"));
            let events = page["events"].as_array().unwrap().clone();
            let Some(last) = events.last() else { return log };
            after = last["position"].as_u64().unwrap();
            log.extend(events);
        }
    }

    fn count(&self, plugin: &str) -> Value {
        self.server().get(&format!("/v1/plugins/{plugin}/state/count"))["value"].clone()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        tidemill().args(["--server", self.server().url(), "dead-letters"]).args(arguments).output().unwrap()
    }

    /// What a command that succeeds says on stderr.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
        err(&output)
    }
}

fn echoing(partitions: u32) -> String {
    format!(
        "[subscribe]\ntypes = [\"Ticked\"]\n[grants]\nappend = [\"Echoed\"]\n\
         [delivery]\nkey = \"stream\"\npartitions = {partitions}\nbatch_events_max = 8\n"
    )
}

/// Events of seven streams in turns.
fn ticks(count: u64) -> Vec<Value> {
    (0..count)
        .map(|n| json!({ "type": "Ticked", "data": { "n": n }, "stream": format!("s-{}", n % STREAMS) }))
        .collect()
}

#[test]
fn promise_6_each_key_keeps_its_order_over_kills_and_other_numbers_of_partitions() {
    const EVENTS: u64 = 700;
    let mut setting = Setting::start(&[("it", guests::EMIT, echoing(2))]);
    for partitions in [3, 1, 2] {
        let before = setting.server().get("/v1/events?limit=1")["head"].as_u64().unwrap();
        setting.append(&ticks(EVENTS));
        poll("some of it to be handled", || {
            let checkpoint = setting.info("it")?["checkpoint"].as_u64()?;
            (checkpoint >= before + EVENTS / 3).then_some(())
        });
        setting.kill(|setting| {
            replace(&setting.plugins.path().join("it/plugin.toml"), echoing(partitions).as_bytes());
        });
    }
    let info = setting.rest("it");
    assert_eq!(info["status"]["partitions"].as_array().map(Vec::len), Some(2), "{info}");
    let log = setting.log();
    let mut expected: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for event in log.iter().filter(|event| event["type"] == "Ticked") {
        expected.entry(event["stream"].as_str().unwrap()).or_default().push(event["position"].as_u64().unwrap());
    }
    let stream_of: BTreeMap<u64, &str> =
        expected.iter().flat_map(|(stream, positions)| positions.iter().map(move |at| (*at, *stream))).collect();
    let mut found: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for echo in log.iter().filter(|event| event["type"] == "Echoed") {
        let of: u64 = echo["metadata"]["echo_of"].as_str().unwrap().parse().unwrap();
        found.entry(stream_of[&of]).or_default().push(of);
    }
    assert_eq!(expected.len() as u64, STREAMS);
    assert!(found == expected, "each is echoed once, and in the order of its stream");
    assert_eq!(setting.count("it"), 3 * EVENTS);
}

#[test]
fn every_rule_for_keys_holds_up_its_own_key_only_and_operators_are_told_what_is_not_there() {
    let keyed = |key: &str| {
        format!("[subscribe]\ntypes = [\"Poison\", \"Ticked\"]\n[delivery]\nkey = \"{key}\"\npartitions = 2\n")
    };
    let rules = [("by-tag", "tag:customer:"), ("by-metadata", "metadata:tenant"), ("by-cause", "correlation_id")];
    let mut installed: Vec<_> = rules.iter().map(|(name, key)| (*name, guests::REJECT, keyed(key))).collect();
    installed.push(("counter", COUNTER.component, COUNTER.manifest.to_owned()));
    let setting = Setting::start(&installed);
    let event = |event_type: &str, key: &str| {
        json!({
            "type": event_type, "data": {}, "tags": ["other:1", format!("customer:{key}")],
            "metadata": { "tenant": key, "correlation_id": key },
        })
    };
    setting.append(&[event("Poison", "a"), event("Ticked", "a"), event("Ticked", "b"), event("Ticked", "a")]);
    for (name, key) in [("by-tag", "customer:a"), ("by-metadata", "a"), ("by-cause", "a")] {
        setting.rest(name);
        let letters = setting.server().get(&format!("/v1/plugins/{name}/dead-letters"));
        let letters = letters["dead_letters"].as_array().unwrap().clone();
        let shown: Vec<_> = letters.iter().map(|it| (it["position"].as_u64(), &it["key"], &it["kind"])).collect();
        let (key, reject, behind) = (json!(key), json!("reject"), json!("behind"));
        assert_eq!(shown, [(Some(1), &key, &reject), (Some(2), &key, &behind), (Some(4), &key, &behind)], "{name}");
        assert_eq!(setting.count(name), 1, "{name}: the other key flows");
    }
    complains(&setting.run(&["retry", "counter", "--all"]), 3, &["no dead letters", "nothing to retry"]);
    complains(&setting.run(&["retry", "by-tag", "--key", "customer:z"]), 3, &["no dead letters of key \"customer:z\""]);
    complains(&setting.run(&["retry", "by-tag", "--all"]), 1, &["event 1", "still failing", "1 event still fails"]);
    complains(&setting.run(&["discard", "by-tag", "--key", "customer:z"]), 3, &["customer:z"]);
    complains(&setting.run(&["discard", "counter", "--all"]), 3, &["no dead letters"]);
    assert!(setting.done(&["discard", "by-tag", "1"]).contains("event 1: discarded"));
    poll("what waited behind it", || (setting.count("by-tag") == 3).then_some(()));
    assert!(setting.done(&["discard", "by-metadata", "--key", "a"]).contains("3 events discarded"));
    assert!(setting.done(&["discard", "by-cause", "--all"]).contains("3 events discarded"));
    setting.append(&[event("Ticked", "a")]);
    for (name, count) in [("by-tag", 4), ("by-metadata", 2), ("by-cause", 2)] {
        let info = setting.rest(name);
        assert_eq!((&info["dead_letters"], setting.count(name)), (&json!(0), json!(count)), "{name}");
    }
}

#[test]
fn thousands_of_parked_events_do_not_sit_in_memory() {
    const PARKED: usize = 3000;
    const BYTES: usize = 32 << 10;
    let manifest = "[subscribe]\ntypes = [\"Poison\", \"Ticked\"]\n[delivery]\nkey = \"stream\"\n".to_owned();
    let mut setting = Setting::start(&[("it", guests::REJECT, manifest)]);
    let large = json!({ "type": "Ticked", "stream": "a", "data": { "pad": "x".repeat(BYTES) } });
    setting.append(&[json!({ "type": "Poison", "stream": "a", "data": {} })]);
    for _ in 0..PARKED / 100 {
        setting.append(&vec![large.clone(); 100]);
    }
    assert_eq!(setting.rest("it")["dead_letters"], PARKED + 1);
    // Started anew, so that what handling them took does not count.
    setting.kill(|_| ());
    setting.append(&[json!({ "type": "Ticked", "stream": "a", "data": {} })]);
    assert_eq!(setting.rest("it")["dead_letters"], PARKED + 2);
    let with = resident_bytes(setting.server().id());
    setting.kill(|setting| fs::remove_dir_all(setting.plugins.path().join("it")).unwrap());
    poll("the plugin to be known by what it left only", || {
        let info = setting.info("it")?;
        (info["digest"].is_null() && info["dead_letters"] == PARKED + 2).then_some(())
    });
    let without = resident_bytes(setting.server().id());
    assert!(without > 0 && with < without + (PARKED * BYTES / 2) as u64, "{with} bytes, and {without} without them");
}

#[test]
fn a_quarantine_ends_with_another_file_in_the_plugins_folder() {
    let manifest = "[subscribe]\ntypes = [\"Poison\", \"Ticked\"]\n[delivery]\nmax_faults = 1\n";
    let setting = Setting::start(&[("it", guests::TRAP, manifest.to_owned())]);
    setting.append(&["Poison", "Poison", "Poison", "Ticked"].map(|name| json!({ "type": name, "data": {} })));
    let quarantined = poll("the quarantine", || {
        let info = setting.info("it")?;
        (info["status"]["state"] == "quarantined").then_some(info)
    });
    assert!(quarantined["checkpoint"].as_u64() < Some(3), "{quarantined}");
    let file: PathBuf = setting.plugins.path().join("it/plugin.wasm");
    replace(&file, guests::OK);
    let info = setting.rest("it");
    assert_eq!(info["status"]["state"], "running", "{info}");
    assert_ne!(info["digest"], quarantined["digest"]);
    let set_aside = info["dead_letters"].as_u64().unwrap();
    let handled = setting.done(&["retry", "it", "--all"]);
    assert!(handled.contains(&format!("{set_aside} events handled")), "{handled}");
}
