//! `kill -9` of the real server under load, again and again, with an outside ledger of what it acknowledged.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::{Server, guests, install, poll};
use uuid::Uuid;

const ROUNDS: usize = 5;
const WRITERS: u64 = 8;
/// Acknowledged events in a round before the kill.
const EVENTS_PER_ROUND: usize = 1_500;
/// Most bytes of text in an event, so that journals fill and are sealed in the course of it.
const MEMO_BYTES_MAX: usize = 24 << 10;

/// What the server acknowledged: id to position.
type Ledger = Mutex<HashMap<Uuid, u64>>;

/// Appends until told to stop or the server is gone; writes down what was acknowledged.
fn write(server: &Server, writer: u64, seed: u64, ledger: &Ledger, stop: &AtomicBool) {
    let mut rng = fastrand::Rng::with_seed(seed * 1000 + writer);
    while !stop.load(Ordering::Relaxed) {
        let events: Vec<_> = (0..rng.usize(1..20))
            .map(|_| {
                let stream = format!("account-{}", rng.u32(0..50));
                let event_type = if rng.bool() { "Deposited" } else { "Withdrawn" };
                let data = json!({ "writer": writer, "amount": rng.u32(1..1000), "memo": "m".repeat(rng.usize(..MEMO_BYTES_MAX)) });
                json!({ "id": Uuid::from_u128(rng.u128(..)), "type": event_type, "stream": stream, "data": data })
            })
            .collect();
        let Ok(answer) = server.try_post("/v1/events", &json!({ "events": events })) else { return };
        let acknowledged = answer["events"].as_array().expect("an answer lists its events");
        let mut ledger = ledger.lock().unwrap();
        for event in acknowledged {
            let id = event["id"].as_str().unwrap().parse().unwrap();
            assert!(ledger.insert(id, event["position"].as_u64().unwrap()).is_none(), "one id, one event");
        }
    }
}

/// Every event of the log, by paging.
fn read_all(server: &Server) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/v1/events?after={after}&limit=1000"));
        let found = page["events"].as_array().unwrap();
        let Some(last) = found.last() else { return events };
        after = last["position"].as_u64().unwrap();
        events.extend(found.iter().cloned());
    }
}

fn check_log(events: &[Value], ledger: &HashMap<Uuid, u64>) {
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut positions = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let position = event["position"].as_u64().unwrap();
        assert_eq!(position, index as u64 + 1, "positions are dense");
        let id: Uuid = event["id"].as_str().unwrap().parse().unwrap();
        assert!(positions.insert(id, position).is_none(), "{id} is stored once");
        if let Some(stream) = event["stream"].as_str() {
            let version = versions.entry(stream).or_default();
            *version += 1;
            assert_eq!(event["version"].as_u64(), Some(*version), "versions of {stream} are dense");
        }
    }
    for (id, position) in ledger {
        assert_eq!(positions.get(id), Some(position), "{id} was acknowledged at {position}");
    }
}

/// The plugins' state and what they appended, against a fold over the log.
fn check_plugins(server: &Server, events: &[Value]) {
    let mut by_type: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events {
        *by_type.entry(event["type"].as_str().unwrap()).or_default() += 1;
    }
    for (event_type, count) in &by_type {
        let entry = server.get(&format!("/v1/plugins/counter/state/{event_type}"));
        assert_eq!(entry["value"], json!(count), "the counter's {event_type}: {entry}");
    }
    let mut causes: HashMap<&str, u32> = HashMap::new();
    for echo in events.iter().filter(|event| event["type"] == "Echoed") {
        *causes.entry(echo["metadata"]["causation_id"].as_str().unwrap()).or_default() += 1;
    }
    for event in events.iter().filter(|event| event["type"] == "Deposited") {
        assert_eq!(causes.remove(event["id"].as_str().unwrap()), Some(1), "one echo of {event}");
    }
    assert!(causes.is_empty(), "echoes of nothing");
}

#[test]
fn promise_1_durable_and_promise_5_one_commit_survive_kill_9_under_load() {
    let data = tempfile::tempdir().unwrap();
    let plugins = tempfile::tempdir().unwrap();
    install(plugins.path(), "counter", &COUNTER);
    let echo = Example {
        name: "echo",
        component: guests::EMIT,
        manifest: "[subscribe]\ntypes = [\"Deposited\"]\n[grants]\nappend = [\"Echoed\"]\n",
    };
    install(plugins.path(), "echo", &echo);
    let ledger = Ledger::default();
    for round in 0..ROUNDS {
        let server = Server::start(data.path(), plugins.path());
        let stop = AtomicBool::new(false);
        let enough = ledger.lock().unwrap().len() + EVENTS_PER_ROUND;
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (server, ledger, stop) = (&server, &ledger, &stop);
                scope.spawn(move || write(server, writer, round as u64, ledger, stop));
            }
            poll("acknowledged appends", || (ledger.lock().unwrap().len() >= enough).then_some(()));
            server.kill_now();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let server = Server::start(data.path(), plugins.path());
    server.settle("echo");
    server.settle("counter");
    let events = read_all(&server);
    let ledger = ledger.into_inner().unwrap();
    assert!(ledger.len() >= ROUNDS * EVENTS_PER_ROUND);
    check_log(&events, &ledger);
    check_plugins(&server, &events);
    // They are sealed behind the appends.
    poll("journals to be sealed under way", || {
        let files = std::fs::read_dir(data.path()).unwrap().map(|file| file.unwrap().file_name());
        (files.filter(|name| name.to_string_lossy().ends_with(".segment")).count() >= 2).then_some(())
    });
    assert_eq!(server.terminate(), Some(0), "SIGTERM closes cleanly");
}
