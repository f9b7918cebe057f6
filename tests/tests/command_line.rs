//! The binary as its user meets it: output, errors and exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tidemill_plugins::GIT_HISTORY;
use tidemill_tests::{Server, install, tidemill};

struct Setting {
    server: Server,
    data: TempDir,
    plugins: TempDir,
}

impl Setting {
    fn start() -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Self { server: Server::start(data.path(), plugins.path()), data, plugins }
    }

    /// Runs a command against the server, with text on its stdin.
    fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut process = tidemill()
            .args(["--server", self.server.url()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read its input.
        let _ = process.stdin.take().unwrap().write_all(stdin);
        process.wait_with_output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, b"")
    }

    /// The JSON lines that a command prints.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts an exit code and words on stderr.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let text = err(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
    assert!(output.stdout.is_empty(), "data only on success");
}

#[test]
fn events_go_in_and_come_out() {
    let setting = Setting::start();
    let order = ["append", "--type", "OrderPlaced", "--stream", "order-1", "--data", r#"{"total":1}"#, "--tag", "a:b"];
    assert!(setting.run(&order).status.success());
    let lines = b"{\"type\":\"A\",\"data\":1}\n\n{\"type\":\"B\",\"data\":{\"x\":[1, 2]}}\n";
    assert!(setting.run_with(&["append"], lines).status.success());
    let events = setting.json(&["events", "read", "--json"]);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["stream"], "order-1");
    assert_eq!(
        (&events[0]["position"], &events[0]["version"], &events[0]["tags"][0]),
        (&1.into(), &1.into(), &"a:b".into())
    );
    let backwards = setting.json(&["events", "read", "--json", "--backwards", "--limit", "1"]);
    assert_eq!(backwards[0]["type"], "B");
    assert_eq!(setting.json(&["events", "read", "--json", "--type", "A"]).len(), 1);
}

#[test]
fn errors_say_what_is_wrong_and_exit_codes_follow() {
    let setting = Setting::start();
    let run = |arguments: &[&str]| setting.run(arguments);
    fails(&run(&["append", "--type", "", "--data", "1"]), 2, &["type"]);
    fails(&run(&["append", "--type", "T", "--data", "{"]), 2, &["JSON"]);
    fails(&run(&["append", "--type", "T", "--data", "1", "--id", "nonsense"]), 2, &["nonsense"]);
    fails(
        &run(&["append", "--type", "T", "--data", "1", "--stream", "s-1", "--expect-version", "4"]),
        4,
        &["s-1", "version"],
    );
    fails(&run(&["plugins", "inspect", "nobody"]), 3, &["nobody", "plugins ls"]);
    fails(&run(&["dead-letters", "show", "nobody", "7"]), 3, &["nobody"]);
    fails(&run(&["events", "reed"]), 2, &["reed", "read"]);
    let unreachable = tidemill().args(["--server", "http://127.0.0.1:1", "events", "read"]).output().unwrap();
    fails(&unreachable, 5, &["127.0.0.1:1", "tidemill serve"]);
    let data = setting.data.path().to_str().unwrap();
    let in_use = tidemill().args(["events", "read", "--data", data]).output().unwrap();
    fails(&in_use, 5, &["in use"]);
    let second = Server::try_start(setting.data.path(), setting.plugins.path()).unwrap_err();
    assert!(second.contains("in use by another process"), "{second}");
}

#[test]
fn a_bad_line_is_named_and_what_stood_before_it_is_told() {
    let setting = Setting::start();
    let mut lines: Vec<String> = (0..1500).map(|n| format!("{{\"type\":\"T\",\"data\":{n}}}")).collect();
    lines[1234] = r#"{"type":"T","data":}"#.into();
    let output = setting.run_with(&["append"], lines.join("\n").as_bytes());
    let text = err(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("line 1235"), "{text}");
    let stored = setting.server.get("/v1/events?limit=1")["head"].as_u64().unwrap();
    assert!(text.contains(&stored.to_string()), "{stored} are stored: {text}");
    assert!(stored <= 1234, "nothing after the bad line is stored");
    let invalid = setting.run_with(&["append"], b"{\"type\":\"T\",\"data\":\"\xff\"}\n");
    assert_eq!(invalid.status.code(), Some(2), "{}", err(&invalid));
    assert!(err(&invalid).contains("line 1"), "{}", err(&invalid));
}

#[test]
fn a_directory_can_be_read_while_no_server_runs() {
    let setting = Setting::start();
    assert!(setting.run(&["append", "--type", "T", "--data", "1"]).status.success());
    let Setting { server, data, plugins: _plugins } = setting;
    assert_eq!(server.terminate(), Some(0));
    let read = tidemill().args(["events", "read", "--json", "--data", data.path().to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&read.stdout).contains("\"type\":\"T\""), "{}", err(&read));
    let nowhere = tidemill().args(["events", "read", "--data", "/nowhere/at/all"]).output().unwrap();
    fails(&nowhere, 3, &["/nowhere/at/all"]);
}

#[test]
fn the_demo_proves_itself() {
    let output = tidemill().args(["demo", "--orders", "300"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", err(&output));
    assert!(text.contains("proved from the log") && text.contains("300 orders"), "{text}");
    assert!(err(&output).contains("is set aside after 3 attempts"), "{}", err(&output));
}

/// Runs git on a repository of its own, with nothing of the user's configuration.
fn git(repository: &Path, arguments: &[&str]) {
    let status = std::process::Command::new("git")
        .current_dir(repository)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(["-c", "user.name=Zoë \"Q\" \\ O'Neil", "-c", "user.email=zoe@example.com"])
        .args(arguments)
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "git {arguments:?}");
}

#[test]
fn the_history_of_a_git_repository_is_projected() {
    let setting = Setting::start();
    install(setting.plugins.path(), "git-history", &GIT_HISTORY);
    let repository = tempfile::tempdir().unwrap();
    git(repository.path(), &["init", "-q"]);
    for (number, name) in ["a\tb \"quoted\".txt", "naïve ☃.txt", "plain.txt"].iter().enumerate() {
        std::fs::write(repository.path().join(name), "1").unwrap();
        std::fs::write(repository.path().join("always.txt"), number.to_string()).unwrap();
        git(repository.path(), &["add", "."]);
        git(repository.path(), &["commit", "-q", "-m", "a \\ \"subject\" \u{1} ☃"]);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/git-history/git-events.sh");
    let events = std::process::Command::new("sh").arg(script).arg(repository.path()).output().unwrap();
    assert!(events.status.success(), "{}", err(&events));
    for _import in 0..2 {
        let output = setting.run_with(&["append"], &events.stdout);
        assert!(output.status.success(), "{}", err(&output));
    }
    tidemill_tests::poll("the plugin to run", || setting.server.try_get("/v1/plugins/git-history").ok());
    setting.server.settle("git-history");
    let state = setting.json(&["state", "scan", "git-history", "--json"]);
    let value = |key: &str| state.iter().find(|entry| entry["key"] == key).map(|entry| entry["value"].clone());
    assert_eq!(value("commits"), Some(3.into()), "imported twice, counted once: {state:?}");
    assert_eq!(value("author/Zoë \"Q\" \\ O'Neil"), Some(3.into()), "{state:?}");
    assert_eq!(value("file/a\tb \"quoted\".txt"), Some(1.into()), "{state:?}");
    assert_eq!(value("top_files").unwrap()[0]["path"], "always.txt");
}
