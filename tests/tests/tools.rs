//! `bench`, `doctor` and `top`, as their user meets them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tidemill_plugins::COUNTER;
use tidemill_tests::{Server, install, poll, tidemill};

fn run(arguments: &[&str]) -> Output {
    tidemill().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a benchmark prints: a row for each measurement.
fn rows(arguments: &[&str], disk: &Path) -> Vec<Value> {
    let disk = disk.to_str().unwrap();
    let output = run(&[&["bench"], arguments, &["--json", "--disk", disk]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The protocol, the number of clients and that of events.
fn keys(rows: &[Value]) -> Vec<(&str, u64, u64)> {
    let number = |value: &Value| value.as_u64().unwrap();
    rows.iter()
        .map(|row| (row["protocol"].as_str().unwrap(), number(&row["clients"]), number(&row["events"])))
        .collect()
}

#[test]
fn a_scratch_store_is_measured_over_both_protocols_and_removed() {
    let disk = tempfile::tempdir().unwrap();
    // What began before the time that counts, or ended after it, does not count: on a slow machine that may be all.
    let appended = poll("appends in each turn's time", || {
        let appended = rows(&["append", "--scratch", "--clients", "1,4", "--seconds", "1"], disk.path());
        appended.iter().all(|row| row["events"].as_u64() > Some(0)).then_some(appended)
    });
    let turns: Vec<_> = keys(&appended).into_iter().map(|(protocol, clients, _)| (protocol, clients)).collect();
    assert_eq!(turns, [("http", 1), ("grpc", 1), ("http", 4), ("grpc", 4)]);
    for row in &appended {
        assert!(row["latency_us"]["p99"].as_f64() > Some(0.0), "{row}");
        assert!(row["fsyncs"].as_u64() > Some(0) && row["times_disk"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["times_first"].is_number(), row["protocol"] == "grpc", "{row}");
    }
    let imported = rows(&["append", "--scratch", "--import", "--events", "2500"], disk.path());
    assert_eq!(keys(&imported), [("http", 1, 2500), ("grpc", 1, 2500)]);
    let read = rows(&["read", "--scratch", "--events", "1700", "--clients", "2"], disk.path());
    assert_eq!(keys(&read), [("http", 2, 3400), ("grpc", 2, 3400)]);
    let delivered = rows(&["deliver", "--scratch", "--clients", "5", "--events", "3"], disk.path());
    assert_eq!(keys(&delivered), [("http", 5, 15), ("grpc", 5, 15)]);
    assert!(delivered.iter().all(|row| row["latency_us"]["max"].as_f64() > Some(0.0)), "{delivered:?}");
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_log_that_is_somebodys_is_not_written_to() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path(), plugins.path());
    server.try_post("/v1/events", &json!({ "events": [{ "type": "A" }, { "type": "B" }] })).unwrap();
    let at = ["--server", server.url()];
    for benchmark in ["append", "deliver"] {
        let refused = run(&[&at[..], &["bench", benchmark]].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
        let said = text(&refused.stderr);
        assert!(said.contains("holds 2 events") && said.contains("--scratch") && said.contains("--yes"), "{said}");
    }
}

#[test]
fn a_server_with_events_is_measured_when_that_is_said() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path(), plugins.path());
    server.try_post("/v1/events", &json!({ "events": [{ "type": "A" }, { "type": "B" }] })).unwrap();
    let bench = |arguments: &[&str]| run(&[&["--server", server.url(), "bench"], arguments].concat());
    let read = bench(&["read", "--json"]);
    let row: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(keys(&[row]), [("http", 1, 2)]);
    let appended = bench(&["append", "--yes", "--clients", "2", "--seconds", "0.1"]);
    assert!(appended.status.success(), "{}", text(&appended.stderr));
    let table = text(&appended.stdout);
    assert!(table.starts_with("disk: ") && table.contains("EVENTS/S") && table.contains(", http"), "{table}");
    let head = server.try_get("/v1/events?limit=1").unwrap()["head"].as_u64().unwrap();
    assert!(head > 2, "{head}");
    assert_eq!(run(&["--server", "http://127.0.0.1:1", "bench", "append"]).status.code(), Some(5));
    assert_eq!(bench(&["append", "--grpc-only"]).status.code(), Some(2), "nothing to measure");
}

#[test]
fn what_is_wrong_is_told_with_a_server_and_without() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "counter", &COUNTER);
    let server = Server::start(data.path(), plugins.path());
    poll("the counter to run", || {
        let plugins = server.try_get("/v1/plugins").ok()?;
        (plugins.pointer("/plugins/0/status/state")? == "running").then_some(())
    });
    let with = || run(&["--server", server.url(), "doctor"]);
    let sound = with();
    assert!(sound.status.success(), "{}{}", text(&sound.stdout), text(&sound.stderr));
    assert!(text(&sound.stdout).contains("ok:      the server is ready\n"), "{}", text(&sound.stdout));
    std::fs::write(plugins.path().join("junk.wasm"), "no component").unwrap();
    let ill = poll("the junk to be refused", || Some(with()).filter(|output| !output.status.success()));
    assert_eq!(ill.status.code(), Some(1));
    assert!(text(&ill.stdout).contains("\nwrong:   plugin junk is refused: "), "{}", text(&ill.stdout));

    drop(server);
    let directories = ["--data", data.path().to_str().unwrap(), "--plugins", plugins.path().to_str().unwrap()];
    let without = run(&[&["doctor", "--json"], &directories[..]].concat());
    assert_eq!(without.status.code(), Some(1), "{}", text(&without.stderr));
    let found: Value = serde_json::from_slice(&without.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let about = |area: &str| checks.iter().filter(move |check| check["area"] == area).collect::<Vec<_>>();
    for area in ["store", "data", "disk", "configuration", "ports"] {
        assert!(
            !about(area).is_empty() && about(area).iter().all(|check| check["state"] != "wrong"),
            "{area}: {found}"
        );
    }
    let about_plugins = about("plugins");
    let [counter, junk] = &about_plugins[..] else { panic!("{found}") };
    assert!(counter["what"].as_str().unwrap().ends_with("that can be loaded: 1"), "{counter}");
    assert!(junk["state"] == "wrong" && junk["advice"].as_str().unwrap().contains("junk.wasm"), "{junk}");
}

#[test]
fn one_frame_shows_the_head_and_the_plugins() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "counter", &COUNTER);
    let server = Server::start(data.path(), plugins.path());
    server.try_post("/v1/events", &json!({ "events": [{ "type": "A" }] })).unwrap();
    let top = |arguments: &[&str]| run(&[&["--server", server.url(), "top"], arguments].concat());
    let frame = top(&["--once", "--sort", "name"]);
    assert!(frame.status.success(), "{}", text(&frame.stderr));
    let frame = text(&frame.stdout);
    let lines: Vec<_> = frame.lines().collect();
    assert_eq!(lines[0], format!("tidemill at {}", server.url()));
    assert!(lines[1].starts_with("head ") && lines[1].ends_with("plugins 1, by name"), "{frame}");
    assert!(lines[3].starts_with("PLUGIN ") && lines[4].starts_with("counter "), "{frame}");
    let refused = top(&[]);
    assert_eq!(refused.status.code(), Some(2), "no terminal");
    assert!(text(&refused.stderr).contains("--once"), "{}", text(&refused.stderr));
    assert_eq!(run(&["--server", "http://127.0.0.1:1", "top"]).status.code(), Some(5));
}
