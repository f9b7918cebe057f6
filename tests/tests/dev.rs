//! `tidemill dev`: projects built, run and shown, by the real binary.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{ACCOUNT, ORDER_TOTALS};
use tidemill_templates::Language;
use tidemill_tests::projects::{Project, can_build};
use tidemill_tests::told::complains;
use tidemill_tests::{Server, guests, poll, tidemill};

/// Longest wait for a line; only reached by a failure.
const DEADLINE: Duration = Duration::from_secs(120);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A template's project is built, run and shown; one that cannot be built is told in the words of its tool.
fn a_project_is_developed(language: &str) {
    let language = Language::named(language).unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::new(language, "dev", "big-orders");
    let run = project.dev(&["--once"]).output().unwrap();
    let (shown, errors) = (text(&run.stdout), text(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{shown}{errors}");
    for words in [
        &format!("building: {}\n", language.build)[..],
        "listens to OrderPlaced",
        "OrderPlaced order-2",
        "appended   BigOrderSeen order-2 {\"nth\":1,\"order\":\"2\"}",
        "stored     big_orders = 1",
        "reject",
        "because ",
        "  passed\n",
        "3 events, 3 calls, ",
    ] {
        assert!(shown.contains(words), "{words} in: {shown}{errors}");
    }
    let source = project.folder().join(language.source);
    let broken = fs::read_to_string(&source).unwrap() + "\nthis is ( no program\n";
    fs::write(&source, broken).unwrap();
    let run = project.dev(&["--once"]).output().unwrap();
    let errors = text(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{}{errors}", text(&run.stdout));
    let file = source.file_name().unwrap().to_str().unwrap();
    assert!(errors.contains(file) && errors.contains(&format!("`{}` failed: ", language.build)), "{errors}");
}

#[test]
fn a_project_in_rust_is_developed() {
    a_project_is_developed("rust");
}

#[test]
fn a_project_in_typescript_is_developed() {
    a_project_is_developed("js");
}

#[test]
fn a_project_in_python_is_developed() {
    a_project_is_developed("python");
}

#[test]
fn a_project_in_go_is_developed() {
    a_project_is_developed("go");
}

#[test]
fn a_project_in_c_is_developed() {
    a_project_is_developed("c");
}

#[test]
fn what_decides_or_lifts_is_shown_on_its_fixtures_and_gets_no_events_of_others() {
    let decides = json!({ "when": [{ "command": "Open", "data": { "owner": "ada" } }, { "command": "Deposit", "data": { "cents": 0 } }],
        "then": { "outcomes": [{ "events": [{ "type": "AccountOpened", "data": { "owner": "ada" } }] }, { "rejection": "BadAmount" }] } });
    let lifts = json!({ "when": [{ "type": "Bought", "data": 1 }, { "type": "Bought", "data": "poison" }],
        "then": { "refused": [{ "event": 1 }] } });
    let accepted = ["an aggregate", "accepted", "appended   AccountOpened", "rejected", "BadAmount: ", "  passed\n"];
    let lifted = ["an upcaster", "lifted", "appended   Bought 2", "refused", "it is poisoned", "  passed\n"];
    for (component, manifest, fixture, words) in
        [(ACCOUNT.component, ACCOUNT.manifest, decides, accepted), (guests::UPCASTER, "", lifts, lifted)]
    {
        let project = Copied::of(component, manifest);
        project.write("fixtures/a.json", fixture.to_string().as_bytes());
        let run = project.dev(&["--once"]).output().unwrap();
        let (shown, errors) = (text(&run.stdout), text(&run.stderr));
        assert_eq!(run.status.code(), Some(0), "{shown}{errors}");
        assert!(words.iter().all(|words| shown.contains(words)), "{words:?} in: {shown}");
        let told = project.run(&["--once", "--json"]);
        let lines: Vec<Value> = text(&told.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done = lines.iter().find(|line| line["step"] == "done").unwrap();
        assert!(done["handler_us"].as_u64() > Some(0) && done["memory_peak_bytes"].as_u64() > Some(0), "{done}");
        project.write("a.ndjson", b"{\"type\":\"A\"}\n");
        let events = project.path("a.ndjson");
        let refused = project.dev(&["--once", "--events", events.to_str().unwrap()]).output().unwrap();
        complains(&refused, 2, &["handles no events of a server or a file"]);
    }
}

#[test]
fn what_is_set_aside_without_a_call_is_told() {
    let project = Copied::of(guests::OK, "[delivery]\nkey = \"tag:customer:\"\n");
    let fixture = json!({ "when": [{ "type": "Paid", "stream": "till-1" }],
        "then": { "dead_letters": [{ "event": 0, "kind": "no_key", "attempts": 0, "reason": ["tag:customer:"] }] } });
    project.write("fixtures/a.json", fixture.to_string().as_bytes());
    let run = project.dev(&["--once"]).output().unwrap();
    let (shown, errors) = (text(&run.stdout), text(&run.stderr));
    assert_eq!(run.status.code(), Some(0), "{shown}{errors}");
    let words = ["0  Paid till-1", "no_key", "because    it has no key by \"tag:customer:\"", "  passed\n"];
    assert!(words.iter().all(|words| shown.contains(words)), "{shown}");
}

/// A project whose build copies a component.
struct Copied(TempDir);

impl Copied {
    fn of(component: &[u8], manifest: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("source.wasm", component);
        folder.write("plugin.toml", manifest.as_bytes());
        folder.builds_by("mkdir -p build && cp source.wasm build/plugin.wasm");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in one step: nobody sees half of it.
    fn write(&self, name: &str, bytes: &[u8]) {
        let hidden = self.path(&format!(".{}", name.replace('/', "-")));
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(&hidden, bytes).unwrap();
        fs::rename(hidden, self.path(name)).unwrap();
    }

    fn builds_by(&self, command: &str) {
        self.write("dev.toml", format!("build = {command:?}\ncomponent = \"build/plugin.wasm\"\n").as_bytes());
    }

    fn dev(&self, arguments: &[&str]) -> Command {
        let mut command = tidemill();
        command.env("PATH", std::env::var_os("PATH").unwrap()).arg("dev").arg(self.0.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.dev(arguments).output().unwrap()
    }
}

fn placed(order: u32, cents: u64) -> Value {
    let data = json!({ "order": order.to_string(), "customer": "ada", "total_cents": cents });
    json!({ "type": "OrderPlaced", "stream": format!("order-{order}"), "data": data })
}

fn expecting(cents: u64) -> String {
    let stored = json!({ "customer/ada": { "orders": 1, "cents": cents, "vip": false }, "order/ada/1": cents });
    json!({ "when": [placed(1, 7)], "then": { "state": stored } }).to_string()
}

/// A run that goes on, and the lines it prints.
struct Watching {
    process: Child,
    lines: Receiver<Value>,
}

impl Watching {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (tell, lines) = sync_channel(1000);
        let stdout = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let Ok(()) = tell.send(serde_json::from_str(&line).unwrap()) else { return };
            }
        });
        Self { process, lines }
    }

    /// The steps up to one of these, with its line.
    fn until(&self, last: &[&str]) -> (Vec<String>, Value) {
        let mut steps = Vec::new();
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("after {steps:?}"));
            let step = line["step"].as_str().unwrap().to_owned();
            steps.push(step.clone());
            if last.contains(&step.as_str()) {
                return (steps, line);
            }
        }
    }

    fn interrupt(mut self) -> Option<i32> {
        let asked = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()));
        self.process.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_changes_is_built_or_only_run_again_until_an_interruption() {
    let project = Copied::of(ORDER_TOTALS.component, ORDER_TOTALS.manifest);
    project.write("fixtures/one.json", expecting(8).as_bytes());
    let watching = Watching::start(project.dev(&["--json"]));
    let (steps, done) = watching.until(&["done"]);
    assert_eq!(
        (steps, done["failed"].as_u64()),
        (["build", "load", "call", "feed", "done"].map(String::from).into(), Some(1))
    );
    assert_eq!(watching.until(&["error"]).1["what"], "1 of 1 failed");

    project.write("fixtures/one.json", expecting(7).as_bytes());
    let (steps, done) = watching.until(&["done"]);
    assert_eq!((steps, done["failed"].as_u64()), (["call", "feed", "done"].map(String::from).into(), Some(0)));

    project.write("fixtures/one.json", b"{\"wen\": []}");
    let (_, error) = watching.until(&["error"]);
    assert!(error["what"].as_str().unwrap().contains("did you mean `when`?"), "{error}");
    watching.until(&["error"]);

    project.write("source.wasm", b"no component");
    let (steps, error) = watching.until(&["error"]);
    assert_eq!(steps, ["build", "error"], "{error}");

    project.builds_by("echo it is broken; exit 3");
    let (_, build) = watching.until(&["build"]);
    assert_eq!((build["ok"].as_bool(), build["output"].as_str()), (Some(false), Some("it is broken")));
    assert!(watching.until(&["error"]).1["what"].as_str().unwrap().ends_with("failed: exit status: 3"));
    assert_eq!(watching.interrupt(), Some(0));
}

#[test]
fn an_interruption_ends_a_build_with_all_that_it_started() {
    let project = Copied::of(ORDER_TOTALS.component, ORDER_TOTALS.manifest);
    project.builds_by("sleep 1000 & echo $! > build.pid; wait");
    let watching = Watching::start(project.dev(&["--json"]));
    let pid = poll("the build to have begun", || {
        let pid = fs::read_to_string(project.path("build.pid")).ok()?;
        pid.ends_with('\n').then(|| pid.trim().to_owned())
    });
    assert_eq!(watching.interrupt(), Some(0));
    let process = Path::new("/proc").join(pid);
    let is_gone = || fs::read_to_string(process.join("stat")).map_or(true, |stat| stat.contains(") Z "));
    poll("the build to be gone", || is_gone().then_some(()));
}

#[test]
fn a_servers_events_are_handed_over_and_nothing_is_written_to_it() {
    let project = Copied::of(ORDER_TOTALS.component, ORDER_TOTALS.manifest);
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path(), plugins.path());
    let events = json!([placed(1, 5), { "type": "Other" }, placed(2, 6), placed(3, 7), placed(4, 8)]);
    server.try_post("/v1/events", &json!({ "events": events })).unwrap();
    let run = project.run(&["--server", server.url(), "--from", "2", "--limit", "2", "--once", "--json"]);
    let shown = text(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{shown}{}", text(&run.stderr));
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls: Vec<_> = lines.iter().filter(|line| line["step"] == "call").collect();
    assert_eq!(calls.iter().map(|call| &call["positions"][0]).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(calls[1]["call"]["state"]["customer/ada"]["cents"], 13, "{shown}");
    assert!(calls[0]["call"]["fuel"].as_u64() > Some(0) && calls[0]["call"]["memory_bytes"].as_u64() > Some(0));
    assert_eq!(server.get("/v1/events?limit=1")["head"], 5, "nothing was written");
    let plugins = server.get("/v1/plugins");
    assert_eq!(plugins["plugins"].as_array().map(Vec::len), Some(0), "{plugins}");
    let watching = Watching::start(project.dev(&["--server", server.url(), "--from", "4", "--json"]));
    let (steps, _) = watching.until(&["done"]);
    assert_eq!(steps.iter().filter(|step| *step == "call").count(), 2, "{steps:?}");
    server.try_post("/v1/events", &json!({ "events": [placed(5, 9)] })).unwrap();
    let (_, call) = watching.until(&["call"]);
    assert_eq!(call["positions"], json!([6]), "what comes in is handed over, and only that is told");
    assert_eq!(call["call"]["state"]["customer/ada"]["orders"], 3, "{call}");
    assert_eq!(watching.until(&["done"]).0, ["feed", "done"]);
    assert_eq!(watching.interrupt(), Some(0));
    drop(server);
    let run = project.run(&["--server", "http://127.0.0.1:1", "--once"]);
    assert_eq!(run.status.code(), Some(5), "{}", text(&run.stderr));
}

#[test]
fn a_file_of_events_is_handed_over_and_what_fails_is_told() {
    let project = Copied::of(guests::TRAP, "");
    project.write("events.ndjson", b"{\"type\":\"A\",\"position\":70}\n{\"type\":\"Poison\",\"position\":71}\n");
    let file = project.path("events.ndjson");
    let run = project.run(&["--events", file.to_str().unwrap(), "--once"]);
    let (shown, errors) = (text(&run.stdout), text(&run.stderr));
    assert!(run.status.code() == Some(1) && errors.contains("1 of 1 failed"), "{shown}{errors}");
    for words in [
        "      70  A ",
        "stored     count = 1",
        "      71  Poison ",
        "trap",
        "because ",
        "backtrace",
        "2 events, of which 1 were set aside",
    ] {
        assert!(shown.contains(words), "{words} in: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colour into a pipe");
    assert!(
        text(&project.run(&["--events", file.to_str().unwrap(), "--once", "--color", "always"]).stdout)
            .contains("\u{1b}[31mtrap")
    );
}

#[test]
fn a_plugin_with_http_is_not_handed_real_events_unless_that_is_said() {
    let manifest = "[grants]\nhttp = [\"http://127.0.0.1:1\"]\nhttp_private = [\"127.0.0.1\"]\n";
    let project = Copied::of(guests::HTTP_GET, manifest);
    project.write("events.ndjson", b"{\"type\":\"A\"}\n");
    let file = project.path("events.ndjson");
    let run = project.run(&["--events", file.to_str().unwrap(), "--once"]);
    let errors = text(&run.stderr);
    assert!(run.status.code() == Some(6) && errors.contains("--http"), "{errors}");
    let run = project.run(&["--events", file.to_str().unwrap(), "--once", "--http"]);
    assert!(text(&run.stdout).contains("1 calls") || text(&run.stdout).contains("2 calls"), "{}", text(&run.stdout));
}

#[test]
fn what_is_missing_is_told_with_what_brings_it() {
    let nothing = tempfile::tempdir().unwrap();
    let run = tidemill().arg("dev").arg(nothing.path()).arg("--once").output().unwrap();
    let errors = text(&run.stderr);
    assert!(run.status.code() == Some(3) && errors.contains("dev.toml") && errors.contains("tidemill new"), "{errors}");
    let made = tidemill().current_dir(nothing.path()).args(["new", "mine", "--lang", "python"]).output().unwrap();
    assert!(made.status.success());
    let run = tidemill()
        .env("PATH", "/nowhere")
        .current_dir(nothing.path())
        .args(["dev", "mine", "--once"])
        .output()
        .unwrap();
    let errors = text(&run.stderr);
    assert!(run.status.code() == Some(1) && errors.contains("pip install componentize-py"), "{errors}");
    let readme = fs::read_to_string(nothing.path().join("mine/README.md")).unwrap();
    assert!(readme.contains("| `componentize-py` | pip install componentize-py"), "{readme}");
    let project = Copied::of(ORDER_TOTALS.component, ORDER_TOTALS.manifest);
    let run = project.run(&["--once"]);
    let errors = text(&run.stderr);
    assert!(run.status.code() == Some(3) && errors.contains("fixtures"), "{errors}");
}
