//! The binary as its user meets it: output, errors and exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tidemill::clock::SystemClock;
use tidemill::event::{EventType, NewEvent, StreamName};
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, Store as _};
use tidemill_plugins::GIT_HISTORY;
use tidemill_tests::told::{complains, err, fails};
use tidemill_tests::{Server, install, poll, tidemill};

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

/// Fills a data directory through the library, with journals so small that most of it is sealed.
fn fill(data: &Path) {
    let options = OpenOptions { journal_bytes_max: 64 << 10, ..OpenOptions::new(data) };
    let store = EmbeddedStore::open(&options, Arc::new(SystemClock)).unwrap();
    for _ in 0..60 {
        let event = |n: usize| {
            let data = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(1000));
            NewEvent::json(EventType::new("Noted").unwrap(), data).on(StreamName::new(format!("note-{n}")).unwrap())
        };
        store.append(AppendRequest::unconditional((0..10).map(event).collect())).wait().unwrap();
    }
    // Another thread seals, and may begin late. It ends what it has begun before the store is closed.
    poll("something to be sealed", || files(data, ".index").pop());
}

/// The files whose names end so.
fn files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

/// The one in the middle of them.
fn one_of(data: &Path, ending: &str) -> PathBuf {
    let mut files = files(data, ending);
    assert!(!files.is_empty(), "something is sealed");
    files.swap_remove(files.len() / 2)
}

fn flip_a_bit(file: &Path) -> String {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
    file.file_name().unwrap().to_string_lossy().into_owned()
}

fn on_directory(data: &Path, arguments: &[&str]) -> Output {
    tidemill().args(arguments).arg("--data").arg(data).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_directory_is_verified_measured_and_its_index_made_anew() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path());
    let sound = on_directory(data.path(), &["verify"]);
    assert_eq!(sound.status.code(), Some(0), "{}", err(&sound));
    assert!(out(&sound).starts_with("head         600\nevents       600\n"), "{}", out(&sound));
    let sizes = on_directory(data.path(), &["doctor", "--json"]);
    let sizes: Value = serde_json::from_slice(&sizes.stdout).unwrap();
    assert_eq!((&sizes["events"], &sizes["streams"]), (&600.into(), &10.into()), "{sizes}");
    assert!(sizes["segments"]["files"].as_u64().unwrap() > 0 && sizes["amplification"].as_f64().unwrap() > 1.0);

    let index = flip_a_bit(&one_of(data.path(), ".index"));
    let damaged = on_directory(data.path(), &["verify"]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(err(&damaged).contains(&index) && err(&damaged).contains("--repair-indexes"), "{}", err(&damaged));
    let repaired = on_directory(data.path(), &["verify", "--repair-indexes"]);
    assert_eq!(repaired.status.code(), Some(0), "{}", err(&repaired));
    assert!(out(&repaired).contains(&format!("replaced {index}: ")), "{}", out(&repaired));
    assert_eq!(on_directory(data.path(), &["verify"]).status.code(), Some(0));
}

#[test]
fn a_flipped_bit_in_a_segment_is_found_and_named() {
    let data = tempfile::tempdir().unwrap();
    fill(data.path());
    let segment = flip_a_bit(&one_of(data.path(), ".segment"));
    let damaged = on_directory(data.path(), &["verify", "--json"]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(err(&damaged).contains(&format!("the store is damaged in {segment}: ")), "{}", err(&damaged));
    let lines: Vec<Value> = out(&damaged).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["place"], &lines[0]["repairable"]), (&segment.into(), &false.into()), "{lines:?}");
    assert_eq!((&lines[1]["sound"], &lines[1]["problems"]), (&false.into(), &1.into()), "{lines:?}");
    let repair = on_directory(data.path(), &["verify", "--repair-indexes"]);
    assert_eq!(repair.status.code(), Some(1), "events are not made up: {}", out(&repair));
    assert_eq!(on_directory(data.path(), &["doctor"]).status.code(), Some(0), "sizes are sizes");
}

#[test]
fn a_store_in_use_is_verified_and_measured_by_its_server() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(data.path());
    let setting = Setting { server: Server::start(data.path(), plugins.path()), data, plugins };
    for command in ["verify", "doctor"] {
        complains(&on_directory(setting.data.path(), &[command]), 5, &["in use", "--server"]);
        fails(&on_directory(Path::new("/nowhere/at/all"), &[command]), 3, &["/nowhere/at/all"]);
    }
    let unreachable = |command| tidemill().args(["--server", "http://127.0.0.1:1", command]).output().unwrap();
    fails(&unreachable("verify"), 5, &["127.0.0.1:1"]);
    let checked = unreachable("doctor");
    assert_eq!(checked.status.code(), Some(5), "{}", err(&checked));
    assert!(out(&checked).contains("\nwrong:   no server answers at http://127.0.0.1:1\n"), "{}", out(&checked));
    let report = setting.json(&["verify", "--json"]).remove(0);
    assert_eq!((&report["sound"], &report["events"]), (&true.into(), &600.into()), "{report}");
    assert_eq!(setting.json(&["doctor", "--json"])[0]["events"], 600);
    assert!(out(&setting.run(&["doctor"])).contains("\nsegments "));

    let segment = flip_a_bit(&one_of(setting.data.path(), ".segment"));
    let damaged = setting.run(&["verify"]);
    assert_eq!(damaged.status.code(), Some(1), "{}", out(&damaged));
    assert!(err(&damaged).contains(&segment), "{}", err(&damaged));
    assert_eq!(setting.server.try_get("/v1/doctor").unwrap()["events"], 600);
}

#[test]
fn streams_are_listed_shown_and_deleted() {
    let setting = Setting::start();
    for stream in ["order-1", "order-2", "payment-1"] {
        assert!(setting.run(&["append", "--type", "T", "--stream", stream]).status.success());
    }
    let names = |prefix: &str| {
        let streams = setting.json(&["streams", "ls", "--json", "--prefix", prefix]);
        streams.iter().map(|stream| stream["stream"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("order-"), ["order-1", "order-2"]);
    fails(&setting.run(&["streams", "delete", "order-1", "--expected-version", "2"]), 4, &["order-1", "version 1"]);
    let deleted = &setting.json(&["streams", "delete", "order-1", "--expected-version", "1", "--json"])[0];
    assert_eq!((&deleted["version"], &deleted["position"]), (&2.into(), &4.into()));
    let shown = &setting.json(&["streams", "show", "order-1", "--json"])[0];
    assert_eq!((&shown["deleted"], &shown["first"]["position"]), (&true.into(), &1.into()));
    assert_eq!(setting.json(&["events", "read", "--stream", "order-1", "--json"]).len(), 2, "its events stay");
    fails(&setting.run(&["append", "--type", "T", "--stream", "order-1"]), 4, &["order-1", "deleted"]);
    fails(&setting.run(&["streams", "show", "order-9"]), 3, &["order-9"]);
    let types = setting.json(&["types", "ls", "--json"]);
    assert_eq!((&types[1]["type"], &types[1]["events"]), (&"T".into(), &3.into()));
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
#[test]
fn a_server_tells_where_it_listens_for_grpc() {
    let data = tempfile::tempdir().unwrap();
    let mut process = tidemill()
        .args(["serve", "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: Vec<_> = BufReader::new(process.stdout.take().unwrap()).lines().take(2).map(Result::unwrap).collect();
    let [http, grpc] = &lines[..] else { panic!("{lines:?}") };
    assert!(http.starts_with("http://127.0.0.1:"), "{lines:?}");
    let mut connection = TcpStream::connect(grpc.strip_prefix("grpc http://").unwrap()).unwrap();
    // The preface of HTTP/2 and empty settings, and what comes back: the server's settings.
    connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 4];
    connection.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "a frame of settings");
    drop(connection);
    let asked = std::process::Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    assert!(asked.is_ok_and(|status| status.success()));
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

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
    poll("the plugin to run", || setting.server.try_get("/v1/plugins/git-history").ok());
    setting.server.settle("git-history");
    let state = setting.json(&["state", "scan", "git-history", "--json"]);
    let value = |key: &str| state.iter().find(|entry| entry["key"] == key).map(|entry| entry["value"].clone());
    assert_eq!(value("commits"), Some(3.into()), "imported twice, counted once: {state:?}");
    assert_eq!(value("author/Zoë \"Q\" \\ O'Neil"), Some(3.into()), "{state:?}");
    assert_eq!(value("file/a\tb \"quoted\".txt"), Some(1.into()), "{state:?}");
    assert_eq!(value("top_files").unwrap()[0]["path"], "always.txt");
}
