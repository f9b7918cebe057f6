//! Versions tried over real history, by the real binary with real components.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::told::{complains, err};
use tidemill_tests::{Server, another_version, guests, install, poll, replace, tidemill};

const EVERYTHING: &str = "[subscribe]\ntypes = [\"Ticked\", \"Poison\"]\n[grants]\nappend = [\"Echoed\"]\n";

struct Setting {
    server: Server,
    plugins: TempDir,
    data: TempDir,
}

impl Setting {
    /// A server with one plugin, `it`, that has settled ten `Ticked` and whatever `more` names.
    fn start(component: &'static [u8], more: &[&str]) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        install(plugins.path(), "it", &Example { name: "it", component, manifest: EVERYTHING });
        let setting = Self { server: Server::start(data.path(), plugins.path()), plugins, data };
        let types = std::iter::repeat_n(&"Ticked", 10).chain(more);
        let events: Vec<_> = types.map(|name| json!({ "type": name, "data": { "n": 1 }, "stream": "s-1" })).collect();
        setting.server.try_post("/v1/events", &json!({ "events": events })).unwrap();
        setting.rest();
        setting
    }

    /// Waits until everything is settled, what the plugin appends itself included.
    fn rest(&self) {
        poll("the plugin to come to rest", || {
            let info = self.server.try_get("/v1/plugins/it").ok()?;
            let head = self.server.try_get("/v1/events?limit=1").ok()?["head"].clone();
            (info["checkpoint"] == head && head != 0).then_some(())
        });
    }

    fn run(&self, arguments: &[&str]) -> Output {
        tidemill().args(["--server", self.server.url(), "plugins"]).args(arguments).output().unwrap()
    }

    /// The report that a command prints, and how it ends.
    fn report(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let report = serde_json::from_slice(&output.stdout);
        (report.unwrap_or_else(|_| panic!("{arguments:?}: {}", err(&output))), output.status.code())
    }

    /// A file to give to a command.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.data.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What the log and the plugin's rows hold.
    fn everything(&self) -> [Value; 4] {
        let info = self.server.get("/v1/plugins/it");
        let paths = ["/v1/events?limit=1000", "/v1/plugins/it/state", "/v1/plugins/it/dead-letters"];
        let [events, state, letters] = paths.map(|path| self.server.get(path));
        [events, state, letters, info["checkpoint"].clone()]
    }

    fn digest(&self) -> Value {
        self.server.get("/v1/plugins/it")["digest"].clone()
    }

    fn installed(&self) -> PathBuf {
        self.plugins.path().join("it/plugin.wasm")
    }
}

fn files_below(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[test]
fn promise_10_rehearsals_leave_no_trace() {
    let setting = Setting::start(guests::EMIT, &[]);
    let before = setting.everything();
    let (report, code) = setting.report(&["replay", "it", "--from", "3", "--to", "8"]);
    assert_eq!(
        (code, &report["events"], &report["emitted"]),
        (Some(0), &json!(6), &json!({ "Echoed": 6 })),
        "{report}"
    );
    assert!(report["cost"]["memory_peak_bytes"].as_u64().unwrap() > 0, "{report}");
    let same = setting.file("same.wasm", &another_version(guests::EMIT, 1));
    let (report, code) = setting.report(&["shadow", "it", "--component", &same]);
    assert_eq!((code, &report["clean"], &report["to"]), (Some(0), &json!(true), &json!(20)), "{report}");
    let (report, code) = setting.report(&["rebuild", "it", "--verify"]);
    assert_eq!((code, &report["same"], &report["keys"]), (Some(0), &json!(true), &json!(1)), "{report}");
    assert_eq!(setting.everything(), before);
    let text = String::from_utf8(setting.run(&["inspect", "it"]).stdout).unwrap();
    assert!(text.contains("A candidate was compared") && text.contains("clean: nothing differs"), "{text}");
}

#[test]
fn a_clean_candidate_is_promoted_and_goes_on_where_the_former_was() {
    let setting = Setting::start(COUNTER.component, &[]);
    let component = another_version(COUNTER.component, 7);
    let (before, file) = (setting.digest(), setting.file("new.wasm", &component));
    complains(&setting.run(&["promote", "it"]), 3, &["no candidate", "plugins shadow it --component FILE"]);
    let manifest = setting.file("new.toml", format!("{EVERYTHING}[delivery]\nbatch_events_max = 3\n").as_bytes());
    let (report, _) = setting.report(&["shadow", "it", "--component", &file, "--manifest", &manifest]);
    assert_eq!((&report["clean"], &report["live_digest"]), (&json!(true), &before), "{report}");
    let (promoted, code) = setting.report(&["promote", "it"]);
    assert_eq!((code, &promoted["previous_digest"]), (Some(0), &before), "{promoted}");
    assert_eq!((setting.digest(), &report["candidate_digest"]), (promoted["digest"].clone(), &promoted["digest"]));
    assert_eq!(std::fs::read(setting.installed()).unwrap(), component);
    assert_eq!(setting.server.get("/v1/plugins/it")["policy"]["batch_events_max"], 3);
    setting.server.try_post("/v1/events", &json!({ "events": [{ "type": "Ticked", "data": 1 }] })).unwrap();
    setting.server.settle("it");
    assert_eq!(setting.server.get("/v1/plugins/it/state/Ticked")["value"], 11);
    complains(&setting.run(&["promote", "it"]), 3, &["no candidate"]);
    assert_eq!(files_below(&setting.data.path().join("candidates")), 0);
}

#[test]
fn a_candidate_that_differs_is_told_event_by_event_and_needs_force() {
    let setting = Setting::start(guests::OK, &["Poison", "Ticked"]);
    let file = setting.file("new.wasm", guests::EMIT);
    let (report, code) = setting.report(&["shadow", "it", "--component", &file]);
    assert_eq!(
        (code, &report["clean"], &report["emissions"]["count"]),
        (Some(1), &json!(false), &json!(12)),
        "{report}"
    );
    let first = &report["emissions"]["first"][0];
    assert_eq!((&first["position"], &first["live"]), (&json!(1), &Value::Null));
    assert_eq!((&first["candidate"]["type"], &first["candidate"]["stream"]), (&json!("Echoed"), &json!("echo-1")));
    let rejecting = setting.file("rejecting.wasm", guests::REJECT);
    let (report, _) = setting.report(&["shadow", "it", "--component", &rejecting]);
    let ended: Vec<_> = report["outcomes"]["first"].as_array().unwrap().iter().map(|it| &it["candidate"]).collect();
    assert_eq!((&ended[0]["kind"], &ended[1]["outcome"]), (&json!("reject"), &json!("behind")), "{report}");
    let trapping = setting.file("trapping.wasm", guests::TRAP);
    let (report, _) = setting.report(&["shadow", "it", "--component", &trapping]);
    assert_eq!(report["outcomes"]["first"][0]["candidate"]["kind"], "trap", "{report}");
    assert_ne!(report["state"]["count"], 0, "it counts fewer");
    complains(&setting.run(&["promote", "it"]), 4, &["differs from the live version", "--force"]);
    let before = setting.digest();
    let (promoted, code) = setting.report(&["promote", "it", "--force"]);
    assert_eq!((code, &promoted["previous_digest"]), (Some(0), &before), "{promoted}");
    assert_ne!(setting.digest(), before);
}

#[test]
fn what_cannot_be_rehearsed_says_why() {
    let setting = Setting::start(COUNTER.component, &[]);
    let shadow = |bytes: &[u8], more: &[&str]| {
        let file = setting.file("candidate.wasm", bytes);
        setting.run(&[&["shadow", "it", "--component", &file], more].concat())
    };
    complains(&setting.run(&["replay", "nobody", "--from", "1"]), 3, &["nobody", "plugins ls"]);
    complains(&setting.run(&["rebuild", "nobody", "--verify"]), 3, &["nobody"]);
    complains(&setting.run(&["promote", ".."]), 3, &["no plugin called .."]);
    complains(&setting.run(&["replay", "it", "--from", "7", "--to", "3"]), 2, &["from 7 to 3"]);
    complains(&setting.run(&["replay", "it", "--from", "5", "--to", "500"]), 2, &["500", "the log to 10"]);
    complains(&setting.run(&["replay", "it", "--from", "0"]), 2, &["positions begin at 1"]);
    complains(&setting.run(&["rebuild", "it", "--verify", "--wait"]), 2, &["--wait"]);
    complains(&shadow(b"garbage", &[]), 2, &["cannot be loaded", "WebAssembly"]);
    complains(&shadow(b"", &[]), 2, &["empty"]);
    complains(&shadow(guests::NO_EXPORTS, &[]), 2, &["subscriber"]);
    let typo = setting.file("typo.toml", b"[subscribe]\ntipes = []\n");
    complains(&shadow(COUNTER.component, &["--manifest", &typo]), 2, &["plugin.toml:2", "types"]);
    let acting = setting.file("acting.toml", format!("{EVERYTHING}http = [\"https://a.example.com\"]\n").as_bytes());
    complains(&shadow(guests::HTTP_GET, &["--manifest", &acting]), 2, &["the candidate can send HTTP requests"]);
    complains(&shadow(COUNTER.component, &["--from", "9", "--to", "2"]), 2, &["from 9 to 2"]);
    complains(&setting.run(&["shadow", "it", "--component", "/no/such/file"]), 2, &["/no/such/file"]);
    complains(&setting.run(&["promote", "it"]), 3, &["no candidate"]);
    // Something else is installed between shadow and promote.
    assert!(shadow(&another_version(COUNTER.component, 1), &[]).status.success());
    let before = setting.digest();
    replace(&setting.installed(), &another_version(COUNTER.component, 2));
    poll("another version", || {
        let info = setting.server.try_get("/v1/plugins/it").ok()?;
        (info["generation"] == 2).then_some(())
    });
    assert_ne!(setting.digest(), before);
    complains(&setting.run(&["promote", "it", "--force"]), 4, &["shadow it again"]);
}

#[test]
fn state_that_its_events_do_not_explain_is_named_by_key_and_position() {
    let setting = Setting::start(COUNTER.component, &["Poison", "Ticked", "Poison"]);
    replace(&setting.installed(), guests::OK);
    poll("another version", || {
        let info = setting.server.try_get("/v1/plugins/it").ok()?;
        (info["generation"] == 2).then_some(())
    });
    let before = setting.everything();
    let (report, code) = setting.report(&["rebuild", "it", "--verify"]);
    assert_eq!((code, &report["same"], &report["state"]["count"]), (Some(1), &json!(false), &json!(4)), "{report}");
    let keys: Vec<_> = report["state"]["first"].as_array().unwrap().iter().map(|it| it["key"].clone()).collect();
    assert_eq!(keys, ["Poison", "Ticked", "count", "last"]);
    assert_eq!((&report["first"]["key"], &report["first"]["live"]), (&json!("Poison"), &json!("2")));
    complains(
        &setting.run(&["rebuild", "it", "--verify"]),
        1,
        &["4 state keys differ, first \"Poison\"", "no event writes"],
    );
    assert_eq!(setting.everything(), before);
}
