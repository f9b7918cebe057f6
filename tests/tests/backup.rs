//! Backing up, restoring, exporting and importing by the real binary: of a server under load, with plugins.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tidemill_plugins::{COUNTER, ORDER_TOTALS};
use tidemill_tests::{Server, install, poll, tidemill};
use uuid::Uuid;

/// Runs the binary; answers what it said.
fn run(args: &[&str]) -> Output {
    tidemill().args(args).output().unwrap()
}

/// Runs it with `--json`, and it must succeed; answers what it printed.
fn json_of(args: &[&str]) -> Value {
    let output = run(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server whose plugins stand in its data directory, where backups take them along.
fn serve(data: &Path) -> Server {
    let plugins = data.join("plugins");
    fs::create_dir_all(&plugins).unwrap();
    Server::start(data, &plugins)
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

/// Waits until no plugin has anything left to do: neither of what was there when that was asked, nor of what another
/// plugin appended since.
fn settle(server: &Server) {
    let head = || server.try_get("/v1/events?limit=1").ok()?["head"].as_u64();
    poll("all plugins to be done", || {
        let before = head()?;
        let plugins = server.try_get("/v1/plugins").ok()?;
        let plugins = plugins["plugins"].as_array()?;
        let done = |plugin: &Value| plugin.pointer("/status/checkpoint").and_then(Value::as_u64) >= Some(before);
        (plugins.len() == 2 && plugins.iter().all(done) && head()? == before).then_some(())
    });
}

fn order(number: u32) -> Value {
    // Each is from another customer, who becomes a VIP by it.
    let body = json!({ "order": format!("{number:06}"), "customer": format!("c-{number:06}"), "total_cents": 200_000 });
    let id = Uuid::from_u128(u128::from(number) + 1);
    json!({ "id": id, "type": "OrderPlaced", "stream": format!("order-{number:06}"), "tags": [format!("order:{number:06}")], "data": body })
}

/// Which types of event followed from each order at once.
fn outcomes(events: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["type"] == "OrderPlaced") {
        outcomes.insert(event["id"].as_str().unwrap().to_owned(), Vec::new());
    }
    for event in events {
        let cause = event["metadata"]["causation_id"].as_str().and_then(|cause| outcomes.get_mut(cause));
        if let Some(followed) = cause {
            followed.push(event["type"].as_str().unwrap().to_owned());
            followed.sort();
        }
    }
    outcomes
}

/// Checks the counter against the log.
fn assert_folded(server: &Server, events: &[Value]) {
    let mut by_type: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events {
        *by_type.entry(event["type"].as_str().unwrap()).or_default() += 1;
    }
    for (event_type, count) in &by_type {
        let entry = server.get(&format!("/v1/plugins/counter/state/{event_type}"));
        assert_eq!(entry["value"], json!(count), "the counter's {event_type}: {entry}");
    }
}

#[test]
fn a_backup_of_a_shop_under_load_restores_to_the_same_shop() {
    let around = tempfile::tempdir().unwrap();
    let data = around.path().join("data");
    fs::create_dir_all(data.join("plugins")).unwrap();
    install(&data.join("plugins"), "counter", &COUNTER);
    install(&data.join("plugins"), "order-totals", &ORDER_TOTALS);
    let server = serve(&data);
    let (stop, tar, copy) = (AtomicBool::new(false), around.path().join("shop.tar"), around.path().join("shop"));
    let (by_tar, by_copy) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for first in (0_u32..).step_by(5).take_while(|_| !stop.load(Ordering::Relaxed)) {
                let events: Vec<_> = (first..first + 5).map(order).collect();
                server.try_post("/v1/events", &json!({ "events": events })).unwrap();
            }
        });
        poll("a log to back up", || (server.get("/v1/events?limit=1")["head"].as_u64()? > 200).then_some(()));
        let by_tar = json_of(&["backup", text(&tar), "--server", server.url()]);
        let by_copy = json_of(&["backup", text(&copy), "--server", server.url()]);
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        (by_tar, by_copy)
    });
    settle(&server);
    let original = read_all(&server);
    for (form, place, backup) in [("tar", &tar, by_tar), ("copy", &copy, by_copy)] {
        let head = backup["head"].as_u64().unwrap();
        assert!(head > 200 && backup["bytes"].as_u64() > Some(0), "{backup}");
        let restored = around.path().join(format!("restored-{form}"));
        let sum = json_of(&["restore", text(place), "--data", text(&restored)]);
        assert_eq!((&sum["head"], &sum["events"]), (&json!(head), &json!(head)));
        json_of(&["verify", "--data", text(&restored)]);
        let second = serve(&restored);
        settle(&second);
        let events = read_all(&second);
        let until = usize::try_from(head).unwrap();
        assert_eq!(events[..until], original[..until], "the log up to the backup");
        assert_folded(&second, &events);
        let expected = outcomes(&original);
        for (id, followed) in outcomes(&events) {
            assert!(!followed.is_empty(), "nothing followed from {id}");
            assert_eq!(followed, expected[&id], "what followed from {id}, once each");
        }
        let refused = run(&["restore", text(place), "--data", text(&restored)]);
        assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    }
    let refused = run(&["backup", text(&tar), "--server", server.url()]);
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    let in_use = run(&["backup", text(&around.path().join("x")), "--data", text(&data)]);
    assert_eq!(in_use.status.code(), Some(5), "{}", String::from_utf8_lossy(&in_use.stderr));
    assert_eq!(server.terminate(), Some(0));
    let closed = json_of(&["backup", text(&around.path().join("closed.tar")), "--data", text(&data)]);
    assert_eq!(closed["head"], json!(original.len()));
    let hidden = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    assert!(
        !fs::read_dir(around.path()).unwrap().any(|entry| hidden(entry.unwrap())),
        "something half-written is left"
    );
}

/// Fills a store with events of all kinds, an ended stream among them.
fn fill(server: &Server, events: u32) {
    for first in (0..events).step_by(500) {
        let event = |n: u32| {
            let event = json!({ "type": format!("T{}", n % 3), "stream": format!("s-{}", n % 7), "tags": [format!("n:{n}")],
                "metadata": { "by": "test" }, "schema_version": 1 + n % 2 });
            let data = if n.is_multiple_of(5) {
                json!({ "data_base64": "AP8=", "content_type": "image/png" })
            } else {
                json!({ "data": { "n": n, "text": "line\nline" } })
            };
            let mut event = event;
            event.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
            event
        };
        server
            .try_post("/v1/events", &json!({ "events": (first..first + 500).map(event).collect::<Vec<_>>() }))
            .unwrap();
    }
    ureq::post(format!("{}/v1/events", server.url()))
        .send_json(json!({ "events": [{ "type": "T0", "data_base64": "eyJhIjoKMS41MH0=" }] }))
        .unwrap();
    ureq::delete(format!("{}/v1/streams/s-3", server.url())).call().unwrap();
}

/// The lines of an export, as what an import must keep of them.
fn exported(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap();
    let kept = |line: &str| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let time = event["metadata"].as_object_mut().unwrap().remove("original_time");
        event["timestamp"] = time.unwrap_or_else(|| event["timestamp"].clone());
        if event["type"] == "$stream-deleted" {
            event["timestamp"] = Value::Null;
        }
        event
    };
    lines.lines().map(kept).collect()
}

#[test]
fn an_export_imports_to_the_same_events_though_it_is_killed_and_run_again() {
    let around = tempfile::tempdir().unwrap();
    let (all, part, again) =
        (around.path().join("all.ndjson"), around.path().join("part.ndjson"), around.path().join("again.ndjson"));
    let first = serve(&around.path().join("first"));
    fill(&first, 12_000);
    let sum = json_of(&["export", text(&all), "--server", first.url()]);
    assert_eq!((&sum["events"], &sum["after"]), (&json!(12_002), &json!(12_002)), "{sum}");
    // Part of it, in two steps, of which the second goes on behind a torn line.
    json_of(&["export", text(&part), "--server", first.url(), "--type", "T1", "--before", "6000"]);
    let whole = fs::read_to_string(&part).unwrap();
    fs::write(&part, &whole[..whole.len() - 5]).unwrap();
    let refused = run(&["export", text(&part), "--server", first.url()]);
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    json_of(&["export", text(&part), "--server", first.url(), "--type", "T1", "--append"]);
    let of_type: Vec<_> = exported(&all).into_iter().filter(|event| event["type"] == "T1").collect();
    assert_eq!(exported(&part), of_type);

    let second = serve(&around.path().join("second"));
    let mut import = tidemill()
        .args(["import", text(&all), "--server", second.url()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    poll("a part to be imported", || (second.get("/v1/events?limit=1")["head"].as_u64()? > 2000).then_some(()));
    import.kill().unwrap();
    import.wait().unwrap();
    let stored = second.get("/v1/events?limit=1")["head"].as_u64().unwrap();
    let sum = json_of(&["import", text(&all), "--server", second.url()]);
    assert_eq!((&sum["read"], &sum["refused"]), (&json!(12_002), &json!(0)), "{sum}");
    assert!(sum["known"].as_u64().unwrap() >= stored.min(12_002), "{sum}, {stored} were stored before");
    let sum = json_of(&["import", text(&all), "--server", second.url()]);
    assert_eq!((&sum["appended"], &sum["known"]), (&json!(0), &json!(12_002)), "{sum}");
    json_of(&["export", text(&again), "--server", second.url()]);
    assert_eq!(exported(&again), exported(&all));

    assert_eq!(second.terminate(), Some(0));
    let third = around.path().join("third");
    let sum = json_of(&["import", text(&again), "--data", text(&third)]);
    assert_eq!(sum["appended"], json!(12_002), "{sum}");
    fs::remove_file(&part).unwrap();
    json_of(&["export", text(&part), "--data", text(&third)]);
    assert_eq!(exported(&part), exported(&all), "times are those of the first store");
}

#[test]
fn what_plugins_appended_elsewhere_is_in_the_way_of_none() {
    let around = tempfile::tempdir().unwrap();
    let (file, there) = (around.path().join("all.ndjson"), around.path().join("there"));
    let with_plugins = |data: &Path| {
        fs::create_dir_all(data.join("plugins")).unwrap();
        install(&data.join("plugins"), "counter", &COUNTER);
        install(&data.join("plugins"), "order-totals", &ORDER_TOTALS);
        serve(data)
    };
    let server = with_plugins(&around.path().join("here"));
    server.try_post("/v1/events", &json!({ "events": (0..20).map(order).collect::<Vec<_>>() })).unwrap();
    settle(&server);
    let here = outcomes(&read_all(&server));
    assert!(here.len() == 20 && here.values().all(|followed| followed.len() == 1), "{here:?}");
    json_of(&["export", text(&file), "--server", server.url()]);
    // All at once, so that each event has the position that it had.
    json_of(&["import", text(&file), "--data", text(&there)]);
    let server = with_plugins(&there);
    settle(&server);
    for name in ["counter", "order-totals"] {
        let plugin = server.get(&format!("/v1/plugins/{name}"));
        assert_eq!(plugin["dead_letters"], 0, "{plugin}");
    }
    for (id, followed) in outcomes(&read_all(&server)) {
        assert_eq!(followed, [&here[&id][..], &here[&id][..]].concat(), "what was imported, and what is appended anew");
    }
}

#[test]
fn a_bad_line_is_named_and_stops_the_import_or_is_passed_over() {
    let around = tempfile::tempdir().unwrap();
    let (file, data) = (around.path().join("bad.ndjson"), around.path().join("data"));
    let line = |n: u128, rest: &str| format!("{{\"id\":\"{}\",\"type\":\"T\"{rest}}}\n", Uuid::from_u128(n));
    let bad = line(3, ",\"nonsense\":1");
    fs::write(&file, line(1, "") + &line(2, "") + &bad + "\n" + &line(4, "") + &line(1, ",\"data\":7") + &line(5, ""))
        .unwrap();
    let stopped = run(&["import", text(&file), "--data", text(&data)]);
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(2), "{said}");
    assert!(
        said.contains("line 3: ") && said.contains("`nonsense`") && said.contains("the 2 events before it are stored"),
        "{said}"
    );
    let passed = run(&["import", text(&file), "--data", text(&data), "--skip-refused", "--json"]);
    assert_eq!(passed.status.code(), Some(1), "{}", String::from_utf8_lossy(&passed.stderr));
    let sum: Value = serde_json::from_slice(&passed.stdout).unwrap();
    assert_eq!((&sum["read"], &sum["appended"], &sum["known"]), (&json!(6), &json!(2), &json!(2)), "{sum}");
    assert_eq!(sum["refused_lines"], json!([3, 6]), "{sum}: {}", String::from_utf8_lossy(&passed.stderr));
}

#[test]
fn a_slow_reader_of_a_backup_holds_up_no_append() {
    let around = tempfile::tempdir().unwrap();
    let (data, tar) = (around.path().join("data"), around.path().join("slow.tar"));
    let server = serve(&data);
    let append = |events: usize| {
        let event = json!({ "type": "T", "data": "x".repeat(100_000) });
        server.try_post("/v1/events", &json!({ "events": vec![event; events] })).unwrap();
    };
    (0..10).for_each(|_| append(50));
    let answer = ureq::get(format!("{}/v1/backup", server.url())).call().unwrap();
    let head: u64 = answer.headers()["tidemill-head"].to_str().unwrap().parse().unwrap();
    let mut body = answer.into_body().into_with_config().limit(u64::MAX).reader();
    let mut begun = [0; 512];
    body.read_exact(&mut begun).unwrap();
    // More than journals hold: they are sealed and their slots used again while the backup waits.
    (0..20).for_each(|_| append(50));
    let mut file = fs::File::create(&tar).unwrap();
    file.write_all(&begun).unwrap();
    std::io::copy(&mut body, &mut file).unwrap();
    let sum = json_of(&["restore", text(&tar), "--data", text(&around.path().join("restored"))]);
    assert_eq!((head, &sum["head"]), (500, &json!(500)));
    assert_eq!(server.get("/v1/events?limit=1")["head"], json!(1500));
}
