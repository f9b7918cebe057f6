//! State built anew and returned to, by the real binary with real components.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::told::{complains, err};
use tidemill_tests::{Server, another_version, guests, install, poll, replace, tidemill};

const ASKED: &str = "[subscribe]\ntypes = [\"Ticked\"]\n[grants]\nappend = [\"Echoed\"]\n";
const ON_CHANGE: &str = "[subscribe]\ntypes = [\"Ticked\"]\n[delivery]\nrebuild = \"on-change\"\n";

struct Setting {
    server: Option<Server>,
    plugins: TempDir,
    data: TempDir,
}

impl Setting {
    fn start(component: &'static [u8], manifest: &'static str) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        install(plugins.path(), "it", &Example { name: "it", component, manifest });
        let server = Some(Server::start(data.path(), plugins.path()));
        Self { server, plugins, data }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Kills the server at once, and starts it anew.
    fn kill(&mut self) {
        self.server().kill_now();
        self.server = None;
        self.server = Some(Server::start(self.data.path(), self.plugins.path()));
    }

    fn append(&self, count: usize) {
        let event = json!({ "type": "Ticked", "data": { "n": 1 }, "stream": "s-1" });
        for _ in 0..count.div_ceil(500) {
            self.server().try_post("/v1/events", &json!({ "events": vec![event.clone(); count.min(500)] })).unwrap();
        }
    }

    /// Waits until everything is settled and nothing is built.
    fn rest(&self) -> Value {
        poll("the plugin to come to rest", || {
            let info = self.server().try_get("/v1/plugins/it").ok()?;
            let head = self.server().try_get("/v1/events?limit=1").ok()?["head"].clone();
            let built = info["status"]["rebuild"].is_null() && info["generations"]["building"].is_null();
            (info["checkpoint"] == head && info["digest"].is_string() && built).then_some(info)
        })
    }

    /// The live state, by key.
    fn state(&self) -> Vec<(Value, Value)> {
        let page = self.server().get("/v1/plugins/it/state");
        let entries = page["entries"].as_array().unwrap_or_else(|| panic!("{page}"));
        entries.iter().map(|entry| (entry["key"].clone(), entry["value"].clone())).collect()
    }

    fn head(&self) -> u64 {
        self.server().get("/v1/events?limit=1")["head"].as_u64().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        tidemill().args(["--server", self.server().url(), "plugins"]).args(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn installed(&self) -> PathBuf {
        self.plugins.path().join("it/plugin.wasm")
    }
}

#[test]
fn promise_10_a_rebuild_makes_the_same_state_and_appends_nothing() {
    let setting = Setting::start(guests::EMIT, ASKED);
    complains(&setting.run(&["rebuild", "nobody"]), 3, &["nobody", "plugins ls"]);
    complains(&setting.run(&["rollback", "nobody"]), 3, &["nobody", "plugins ls"]);
    setting.append(300);
    setting.rest();
    complains(&setting.run(&["rollback", "it"]), 4, &["nothing to return to"]);
    complains(&setting.run(&["rebuild", "it", "--cancel"]), 3, &["not being rebuilt"]);
    complains(&setting.run(&["rebuild", "it", "--from", "100000"]), 2, &["100000", "positions begin at 1"]);
    let (state, head) = (setting.state(), setting.head());
    assert_eq!(head, 600, "each is echoed");
    let rebuilt: Value = serde_json::from_str(&setting.done(&["rebuild", "it", "--wait", "--json"])).unwrap();
    assert_eq!(rebuilt["state_generation"], 1, "{rebuilt}");
    assert_eq!((setting.state(), setting.head()), (state, head));
    let info = setting.rest();
    assert_eq!((&info["generations"]["live"], &info["generations"]["previous"]["generation"]), (&json!(1), &json!(0)));
    setting.append(10);
    setting.rest();
    let (state, head) = (setting.state(), setting.head());
    assert_eq!(head, 620, "it appends again");
    setting.done(&["rollback", "it"]);
    let info = setting.rest();
    assert_eq!((&info["generations"]["live"], &info["status"]["state_generation"]), (&json!(0), &json!(0)));
    assert_eq!((setting.state(), setting.head()), (state, head), "the former state catches up, and appends nothing");
}

#[test]
fn promise_10_killed_at_any_point_of_rebuild_and_rollback_nothing_is_lost_or_done_twice() {
    let mut setting = Setting::start(guests::EMIT, ASKED);
    setting.append(2000);
    setting.rest();
    let (state, head) = (setting.state(), setting.head());
    for round in 0..6 {
        setting.done(&["rebuild", "it"]);
        // Later each time, up to where it is through.
        let at = round * 900;
        poll("the rebuild to come so far", || {
            let info = setting.server().try_get("/v1/plugins/it").ok()?;
            let position = info["status"]["rebuild"]["position"].as_u64();
            position.is_none_or(|position| position >= at).then_some(())
        });
        setting.kill();
        setting.rest();
        assert_eq!((setting.state(), setting.head()), (state.clone(), head), "round {round}");
    }
    for round in 0..3 {
        let mut rollback =
            tidemill().args(["--server", setting.server().url(), "plugins", "rollback", "it"]).spawn().unwrap();
        setting.kill();
        // It succeeded, or the server went away.
        rollback.wait().unwrap();
        setting.rest();
        assert_eq!((setting.state(), setting.head()), (state.clone(), head), "round {round}");
    }
    setting.append(1);
    setting.rest();
    assert_eq!(setting.head(), head + 2, "it goes on");
}

#[test]
fn a_changed_component_builds_its_state_while_the_one_before_goes_on_and_can_be_undone() {
    let mut setting = Setting::start(COUNTER.component, ON_CHANGE);
    setting.append(400);
    let before = setting.rest();
    assert_eq!(setting.state(), [(json!("Ticked"), json!(400))]);
    replace(&setting.installed(), guests::OK);
    let info = poll("the other component to be live", || {
        let info = setting.server().try_get("/v1/plugins/it").ok()?;
        (info["digest"] != before["digest"]).then_some(info)
    });
    assert_eq!(
        (&info["generations"]["live"], &info["generations"]["previous"]["component"]),
        (&json!(1), &before["digest"])
    );
    let keys: Vec<_> = setting.state().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["count", "last"], "nothing of the state before");
    setting.append(10);
    setting.rest();
    let printed = setting.done(&["rollback", "it"]);
    assert_eq!(printed.trim(), before["digest"]);
    setting.rest();
    assert_eq!(setting.state(), [(json!("Ticked"), json!(410))]);
    setting.kill();
    let info = setting.rest();
    assert_eq!((&info["digest"], &info["generations"]["instead"]["run"]), (&before["digest"], &before["digest"]));
    let listed = setting.run(&["ls"]);
    assert!(String::from_utf8_lossy(&listed.stderr).contains("it was rolled back"), "{listed:?}");
    assert_eq!(fs::read(setting.installed()).unwrap(), guests::OK, "the directory stays as it is");
    let reloaded = setting.run(&["reload", "it"]);
    let said = String::from_utf8_lossy(&reloaded.stderr);
    assert!(said.contains("what runs is reloaded") && said.contains("reload it --installed"), "{said}");
}

#[test]
fn what_is_built_and_halts_is_seen_from_outside_and_goes_on_when_it_may_set_more_aside() {
    const LITTLE_ROOM: &str = "[subscribe]\ntypes = [\"Poison\"]\n\
                               [delivery]\nrebuild = \"on-change\"\nparked_events_max = 3\n";
    let setting = Setting::start(guests::OK, LITTLE_ROOM);
    let event = |number| json!({ "type": "Poison", "data": { "n": 1 }, "stream": format!("s-{number}") });
    let events: Vec<_> = (0..8).map(event).collect();
    setting.server().try_post("/v1/events", &json!({ "events": events })).unwrap();
    setting.rest();
    replace(&setting.installed(), guests::REJECT);
    poll("what is built to halt", || {
        let info = setting.server().try_get("/v1/plugins/it").ok()?;
        (info["status"]["rebuild"]["state"] == "halted" && info["status"]["state"] == "running").then_some(())
    });
    let said = err(&setting.run(&["ls"]));
    assert!(said.contains("or cancel the rebuild") && !said.contains("; retry or discard"), "{said}");
    let ask = |arguments: &[&str]| {
        let output = tidemill().args(["--server", setting.server().url()]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let found = ask(&["doctor", "--json"]);
    assert!(found.contains("plugin it: what is built is not live yet: "), "{found}");
    assert_eq!(ask(&["dead-letters", "ls", "it", "--json"]), "", "the live one has handled them");
    let letters = ask(&["dead-letters", "ls", "it", "--building", "--json"]);
    assert_eq!(letters.lines().count(), 3, "{letters}");
    let shown = ask(&["dead-letters", "show", "it", "1", "--building"]);
    assert!(shown.contains("event 1, set aside by it"), "{shown}");
    let (_, metrics) = setting.server().try_text("/metrics").unwrap();
    for line in [
        "tidemill_plugin_rebuild_state{plugin=\"it\",state=\"halted\"} 1",
        "tidemill_plugin_rebuild_held_up{plugin=\"it\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let log: Vec<_> = setting.server().log().iter().map(ToString::to_string).collect();
    let halted = log.iter().find(|line| line.contains("delivery halted"));
    assert!(halted.is_some_and(|line| line.contains("\"generation\":1")), "{log:?}");
    fs::write(setting.plugins.path().join("it/plugin.toml"), LITTLE_ROOM.replace("= 3", "= 100")).unwrap();
    poll("what is built to be live", || {
        let info = setting.server().try_get("/v1/plugins/it").ok()?;
        (info["generations"]["live"].as_u64() > Some(0) && info["status"]["rebuild"].is_null()).then_some(())
    });
    // Asked anew: one answer looks up whose dead letters it counts before it says what is live.
    let info = setting.server().get("/v1/plugins/it");
    assert_eq!(info["dead_letters"], 8, "{info}");
}

#[test]
fn promise_10_killed_at_any_point_of_a_promotion_one_of_both_versions_runs_whole() {
    let mut setting = Setting::start(COUNTER.component, "[subscribe]\ntypes = [\"Ticked\"]\n");
    setting.append(20);
    let folder = tempfile::tempdir().unwrap();
    let [component, manifest] = ["new.wasm", "new.toml"].map(|name| folder.path().join(name));
    for round in 0..3_u8 {
        let before = setting.rest()["digest"].clone();
        let (old, new) = (fs::read(setting.installed()).unwrap(), another_version(COUNTER.component, round + 1));
        let types = json!(["Ticked", format!("Extra{round}")]);
        let text = format!("[subscribe]\ntypes = {types}\n");
        fs::write(&component, &new).unwrap();
        fs::write(&manifest, &text).unwrap();
        let files = ["--component", component.to_str().unwrap(), "--manifest", manifest.to_str().unwrap(), "--json"];
        let report = setting.done(&[&["shadow", "it"], files.as_slice()].concat());
        let report: Value = serde_json::from_str(&report).unwrap();
        let mut promote =
            tidemill().args(["--server", setting.server().url(), "plugins", "promote", "it"]).spawn().unwrap();
        // At once; when the manifest is replaced; when the component is.
        let said = setting.plugins.path().join("it/plugin.toml");
        poll("the promotion to come so far", || match round {
            0 => Some(()),
            1 => (fs::read_to_string(&said).ok()? == text).then_some(()),
            _ => (fs::read(setting.installed()).ok()? == new).then_some(()),
        });
        setting.kill();
        // It succeeded, or the server went away.
        promote.wait().unwrap();
        let info = setting.rest();
        let found = fs::read(setting.installed()).unwrap();
        assert!(found == new || found == old, "round {round}: the component is whole");
        let expected = if found == new { &report["candidate_digest"] } else { &before };
        assert_eq!(&info["digest"], expected, "round {round}: {info}");
        let manifest_is_new = fs::read_to_string(&said).unwrap() == text;
        assert_eq!(manifest_is_new, found == new, "round {round}: component and manifest belong together");
        assert_eq!(info["subscription"]["types"] == types, found == new, "round {round}: {info}");
        assert_eq!(setting.state(), [(json!("Ticked"), json!(20))], "round {round}");
    }
    setting.append(1);
    setting.rest();
    assert_eq!(setting.state(), [(json!("Ticked"), json!(21))]);
}

#[test]
fn killed_while_dead_letters_are_retried_each_is_handled_once_and_in_the_order_of_its_key() {
    const KEYED: &str = "[subscribe]\ntypes = [\"Poison\"]\n[delivery]\nkey = \"stream\"\n\
                         [grants]\nappend = [\"Echoed\"]\n";
    const EVENTS: u64 = 400;
    const STREAMS: u64 = 8;
    let mut setting = Setting::start(guests::REJECT, KEYED);
    let event =
        |number| json!({ "type": "Poison", "data": { "n": number }, "stream": format!("s-{}", number % STREAMS) });
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    setting.server().try_post("/v1/events", &json!({ "events": events })).unwrap();
    let before = setting.rest();
    assert_eq!(before["dead_letters"], EVENTS, "{before}");
    replace(&setting.installed(), guests::EMIT);
    let left = |setting: &Setting| {
        let info = setting.server().try_get("/v1/plugins/it").ok()?;
        info["dead_letters"].as_u64().filter(|_| info["digest"] != before["digest"])
    };
    poll("the mended version", || left(&setting));
    for fewer_than in [380, 250, 120] {
        let mut retry = tidemill()
            .args(["--server", setting.server().url(), "dead-letters", "retry", "it", "--all"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        poll("some to be handled", || left(&setting).filter(|left| *left < fewer_than));
        setting.kill();
        // It was told how far it came, or that there is nothing, or the server went away.
        retry.wait().unwrap();
    }
    // What had its turn is through; the others of its key follow by themselves.
    poll("all to be handled", || left(&setting).filter(|left| *left == 0));
    setting.rest();
    let log = setting.server().get("/v1/events?limit=1000");
    let echoes = log["events"].as_array().unwrap().iter().filter(|event| event["type"] == "Echoed");
    let of = |echo: &Value| echo["metadata"]["echo_of"].as_str().unwrap().parse::<u64>().unwrap();
    let mut by_key = vec![Vec::new(); STREAMS as usize];
    echoes.map(of).for_each(|position| by_key[((position - 1) % STREAMS) as usize].push(position));
    for (key, positions) in (0..).zip(by_key) {
        let expected: Vec<u64> =
            (0..EVENTS).filter(|number| number % STREAMS == key).map(|number| number + 1).collect();
        assert_eq!(positions, expected, "s-{key}");
    }
    assert_eq!(setting.state(), [(json!("count"), json!(EVENTS))]);
}
