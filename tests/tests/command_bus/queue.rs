//! Commands that are accepted first and decided later.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidemill_plugins::{ACCOUNT, Example};
use tidemill_tests::{Server, another_version, guests, install, poll, replace, tidemill};

use crate::{Bank, ask, head, kind, send, send_to};

/// Posts a command to an account that is decided later.
fn later(server: &Server, account: &str, body: &Value) -> Option<(u16, Value)> {
    later_to(server, &format!("account/{account}"), body)
}

fn later_to(server: &Server, aggregate: &str, body: &Value) -> Option<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/commands/{aggregate}", server.url());
    let mut answer = agent.post(url).header("prefer", "respond-async").send_json(body).ok()?;
    let at = answer.headers().get("location").map(|at| at.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body: Value = answer.body_mut().read_json().ok()?;
    if status == 202 {
        assert_eq!(at, Some(format!("/v1/commands/{}", body["id"].as_str().unwrap())));
    }
    Some((status, body))
}

/// What a command has come to for good.
fn settled(server: &Server, id: &str) -> Value {
    poll("the command to be settled", || {
        let told = server.get(&format!("/v1/commands/{id}"));
        (told["outcome"] != "queued" && told["outcome"] != "under_way").then_some(told)
    })
}

#[test]
fn what_is_accepted_is_settled_exactly_once_through_kill_9() {
    const COMMANDS: u64 = 200;
    let bank = Bank::new("");
    let mut server = bank.start();
    for account in 0..4 {
        let body = json!({ "id": format!("open-{account}"), "type": "Open", "data": { "owner": "ada" } });
        assert_eq!(send(&server, &account.to_string(), &body).0, 201);
    }
    let body = |number: u64| json!({ "id": format!("c{number}"), "type": "Deposit", "data": { "cents": number + 1 } });
    for number in 0..COMMANDS {
        let (status, accepted) = later(&server, &(number % 4).to_string(), &body(number)).unwrap();
        assert_eq!((status, &accepted["repeated"]), (202, &json!(false)), "{accepted}");
        if number % 60 == 59 {
            server.kill_now();
            drop(server);
            server = bank.start();
        }
    }
    server.kill_now();
    drop(server);
    let server = bank.start();
    for number in 0..COMMANDS {
        let told = settled(&server, &format!("c{number}"));
        assert_eq!(told["outcome"], "accepted", "{told}");
    }
    for account in 0..4 {
        let page = server.get(&format!("/v1/streams/account-{account}?limit=1000"));
        let found: Vec<_> =
            page["events"].as_array().unwrap().iter().skip(1).map(|event| event["data"]["cents"].clone()).collect();
        let expected: Vec<_> =
            (0..COMMANDS).filter(|number| number % 4 == account).map(|number| json!(number + 1)).collect();
        assert_eq!(found, expected, "each once, in the order in which they were accepted");
    }
    let (status, again) = later(&server, "0", &body(0)).unwrap();
    assert_eq!((status, &again["repeated"]), (200, &json!(true)), "{again}");
    let (status, taken) = later(&server, "0", &json!({ "id": "c0", "type": "Close" })).unwrap();
    assert_eq!((status, kind(&taken)), (409, "id-conflict"), "{taken}");
}

/// The payloads of all events of a stream.
fn payloads(server: &Server, stream: &str) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/v1/streams/{stream}?after={after}&limit=1000"));
        let events = page["events"].as_array().unwrap();
        let Some(last) = events.last() else { return found };
        after = last["version"].as_u64().unwrap();
        found.extend(events.iter().map(|event| event["data"].clone()));
    }
}

#[test]
fn all_that_wait_behind_a_slow_one_when_the_server_is_killed_are_decided_once_in_their_order() {
    const WAITING: usize = 50;
    let manifest = |more: &str| format!("[aggregate]\ncategory = \"number\"\n{more}\n[grants]\nappend = [\"Added\"]\n");
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "numbers", &Example { name: "numbers", component: guests::AGGREGATE_CASES, manifest: "" });
    let file = plugins.path().join("numbers/plugin.toml");
    fs::write(&file, manifest("[limits]\nbatch_time = \"10m\"\nfuel = 1000000000000")).unwrap();
    let mut server = Server::start(data.path(), plugins.path());
    let send = |server: &Server, id: &str, what: &str| {
        let accepted = later_to(server, "number/1", &json!({ "id": id, "type": what })).unwrap();
        assert_eq!(accepted.0, 202, "{accepted:?}");
    };
    send(&server, "slow", "Spin");
    poll("it to be decided", || (server.get("/v1/commands/slow")["outcome"] == "under_way").then_some(()));
    let ids: Vec<_> = (0..WAITING).map(|number| format!("c{number}")).collect();
    ids.iter().for_each(|id| send(&server, id, "Add"));
    for id in &ids {
        assert_eq!(server.get(&format!("/v1/commands/{id}"))["outcome"], "queued", "{id}");
    }
    server.kill_now();
    drop(server);
    fs::write(&file, manifest("retry_on = []\n[limits]\nbatch_time = \"3s\"")).unwrap();
    server = Server::start(data.path(), plugins.path());
    let slow = settled(&server, "slow");
    assert_eq!((&slow["failure"]["kind"], &slow["failure"]["attempts"]), (&json!("deadline"), &json!(1)), "{slow}");
    let versions: Vec<_> = ids.iter().map(|id| settled(&server, id)["version"].clone()).collect();
    assert_eq!(versions, (1..=WAITING).map(|version| json!(version)).collect::<Vec<_>>());
    assert_eq!(server.get("/v1/streams/number-1?limit=1000")["events"].as_array().unwrap().len(), WAITING);
}

#[test]
fn accepted_commands_are_decided_once_while_their_component_is_replaced() {
    let bank = Bank::new("");
    let server = bank.start();
    for account in 0..4 {
        let body = json!({ "id": format!("open-{account}"), "type": "Open", "data": { "owner": "ada" } });
        assert_eq!(send(&server, &account.to_string(), &body).0, 201);
    }
    let generation = || server.get("/v1/plugins/account")["generation"].as_u64().unwrap();
    let (begun, replaced) = (generation(), AtomicBool::new(false));
    let sent = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..3 {
                let before = generation();
                bank.put("account/plugin.wasm", &another_version(ACCOUNT.component, number));
                poll("another version to decide", || (generation() > before).then_some(()));
            }
            replaced.store(true, Ordering::Relaxed);
        });
        let mut sent = 0_u64;
        while sent < 200 || !replaced.load(Ordering::Relaxed) {
            let body = json!({ "id": format!("c{sent}"), "type": "Deposit", "data": { "cents": sent + 1 } });
            let (status, accepted) = later(&server, &(sent % 4).to_string(), &body).unwrap();
            assert_eq!(status, 202, "{accepted}");
            sent += 1;
        }
        sent
    });
    assert!(generation() >= begun + 3);
    for number in 0..sent {
        assert_eq!(settled(&server, &format!("c{number}"))["outcome"], "accepted");
    }
    for account in 0..4 {
        let expected: Vec<_> =
            (0..sent).filter(|number| number % 4 == account).map(|number| json!({ "cents": number + 1 })).collect();
        let found = payloads(&server, &format!("account-{account}"));
        assert_eq!(found[1..], expected, "each once, in the order in which they were accepted");
    }
}

#[test]
fn a_component_that_decides_otherwise_and_has_other_snapshots_takes_over_under_load() {
    let manifest = "[aggregate]\ncategory = \"number\"\nsnapshot_every = 5\n[grants]\nappend = [\"Added\"]\n";
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "numbers", &Example { name: "numbers", component: guests::AGGREGATE_CASES, manifest });
    let server = Server::start(data.path(), plugins.path());
    let is_replaced = || server.get("/v1/plugins/numbers")["generation"].as_u64() > Some(1);
    let sent: Vec<u64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2_u64)
            .map(|key| {
                let (server, is_replaced) = (&server, &is_replaced);
                scope.spawn(move || {
                    let (mut sent, mut since) = (0, 0);
                    while since < 30 {
                        let (id, to) = (format!("{key}-{sent}"), format!("number/{key}"));
                        let body = json!({ "id": id, "type": "Add" });
                        let (status, answer) = match sent % 2 {
                            0 => send_to(server, &to, &body),
                            _ => later_to(server, &to, &body).unwrap(),
                        };
                        assert!([201, 202].contains(&status), "{answer}");
                        sent += 1;
                        since += u64::from(is_replaced());
                    }
                    sent
                })
            })
            .collect();
        poll("a snapshot", || server.get("/v1/snapshots")["snapshots"].get(0).cloned());
        replace(&plugins.path().join("numbers/plugin.wasm"), guests::AGGREGATE_SUCCESSOR);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for (key, sent) in (0..).zip(sent) {
        for number in 0..sent {
            assert_eq!(settled(&server, &format!("{key}-{number}"))["outcome"], "accepted");
        }
        let stream = format!("number-{key}");
        let added: Vec<_> = payloads(&server, &stream).iter().map(|added| added.as_u64().unwrap()).collect();
        assert_eq!(added.len() as u64, sent, "each once");
        assert!(added.is_sorted() && added.contains(&1) && added.contains(&2), "who took over keeps it: {added:?}");
        let state = server.get(&format!("/v1/streams/{stream}/state"));
        let sum: u64 = added.iter().sum();
        assert_eq!((&state["snapshot_schema"], &state["state"]["sum"]), (&json!(2), &json!(sum)), "{state}");
    }
    poll("snapshots of the other schema", || {
        let snapshots = server.get("/v1/snapshots")["snapshots"].clone();
        snapshots.as_array()?.iter().all(|snapshot| snapshot["schema"] == 2).then_some(())
    });
}

#[test]
fn a_condition_of_a_command_is_held_now_and_later() {
    let bank = Bank::new("");
    let server = bank.start();
    assert_eq!(ask(&server, "open", "Open", &json!({ "owner": "ada" })).0, 201);
    server.try_post("/v1/events", &json!({ "events": [{ "type": "Frozen" }] })).unwrap();
    let guarded = |id: &str, after: &Value| {
        json!({ "id": id, "type": "Deposit", "data": { "cents": 1 },
                "condition": { "fail_if_match": [{ "types": ["Frozen"], "tags": [] }], "after": after } })
    };
    let now = head(&server);
    let (status, failed) = send(&server, "7", &guarded("c1", &json!(0)));
    assert_eq!((status, kind(&failed)), (409, "condition-failed"), "{failed}");
    assert_eq!((&failed["command_id"], &failed["stream"]), (&json!("c1"), &json!("account-7")), "{failed}");
    assert_eq!(head(&server), now, "nothing is stored of it");
    assert_eq!(send(&server, "7", &guarded("c1", &now)).0, 201, "and its id is free");
    assert_eq!(later(&server, "7", &guarded("c2", &json!(0))).unwrap().0, 202);
    assert_eq!(later(&server, "7", &guarded("c3", &now)).unwrap().0, 202);
    let told = settled(&server, "c2");
    assert_eq!((&told["outcome"], &told["failure"]["kind"]), (&json!("failed"), &json!("condition-failed")), "{told}");
    assert_eq!(settled(&server, "c3")["version"], 3);
    let (status, given_up) = send(&server, "7", &guarded("c2", &json!(0)));
    assert_eq!((status, kind(&given_up)), (409, "given-up"), "{given_up}");
}

#[test]
fn outcomes_are_logged_with_what_they_come_of_where_that_is_asked_for() {
    let bank = Bank::new("");
    let debug = ["--log", "info,tidemill::commands=debug"];
    let server = Server::try_start_with(bank.data.path(), bank.plugins.path(), |command| {
        command.args(debug);
    });
    let server = server.unwrap();
    let metadata = json!({ "correlation_id": "story", "causation_id": "click" });
    let data = |what: &str| if what == "Open" { json!({ "owner": "ada" }) } else { json!({ "cents": 1 }) };
    let body = |id: &str, what: &str| json!({ "id": id, "type": what, "data": data(what), "metadata": metadata });
    assert_eq!(send(&server, "7", &body("c1", "Open")).0, 201);
    assert_eq!(send(&server, "7", &body("c2", "Withdraw")).0, 422);
    assert_eq!(later(&server, "7", &body("c3", "Deposit")).unwrap().0, 202);
    settled(&server, "c3");
    for (id, words) in
        [("c1", "command accepted"), ("c2", "command rejected"), ("c3", "command queued"), ("c3", "command accepted")]
    {
        let is_it = |line: &Value| line["command"] == id && line["message"] == words;
        let line = poll("the line", || server.log().into_iter().find(is_it));
        assert_eq!((&line["correlation_id"], &line["causation_id"]), (&json!("story"), &json!("click")), "{line}");
    }
}

#[test]
fn a_queued_command_is_rejected_or_given_up_as_others_are_told() {
    let bank = Bank::new("deadline = \"10m\"");
    bank.put("validators/v.wasm", guests::VALIDATOR);
    bank.put("validators/v.toml", b"[config]\ncents_max = 10");
    let server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let (status, refused) =
        later(&server, "7", &json!({ "id": "c2", "type": "Deposit", "data": { "cents": 11 } })).unwrap();
    assert_eq!((status, kind(&refused)), (422, "invalid-command"), "what cannot be decided is not accepted: {refused}");
    assert_eq!(server.try_text("/v1/commands/c2").unwrap().0, 404);
    let run = |args: &[&str]| {
        let done = tidemill().args(["--server", server.url()]).args(args).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let sent =
        run(&["command", "send", "account", "7", "Withdraw", "--data", "{\"cents\":5}", "--id", "c3", "--async"]);
    assert!(sent.0 == Some(0) && sent.1.contains("command c3 on account-7: queued"), "{sent:?}");
    assert_eq!(settled(&server, "c3")["rejection"]["code"], "InsufficientFunds");
    let shown = run(&["command", "status", "c3"]);
    assert!(shown.0 == Some(0) && shown.1.contains("InsufficientFunds"), "{shown:?}");
    let off = json!({ "id": "c4", "type": "Deposit", "data": { "cents": 1 }, "expected": 9 });
    assert_eq!(later(&server, "7", &off).unwrap().0, 202);
    let told = settled(&server, "c4");
    assert_eq!(
        (&told["outcome"], &told["failure"]["kind"]),
        (&json!("failed"), &json!("wrong-expected-version")),
        "{told}"
    );
    let shown = run(&["command", "status", "c4"]);
    assert!(
        shown.1.contains("failed") && shown.1.contains("given up after 1 attempt (wrong-expected-version)"),
        "{shown:?}"
    );
    let counted = "tidemill_commands_queued_total{result=\"failed\"} 1";
    poll("it to be counted", || server.try_text("/metrics").ok()?.1.contains(counted).then_some(()));
}

#[test]
fn a_subscriber_sends_commands_exactly_once_through_kill_9_and_not_again_when_it_is_rebuilt() {
    const TICKS: usize = 200;
    let bank = Bank::new("");
    let manifest = "[grants]\ndispatch = [\"account:Deposit\"]\n[delivery]\nbatch_events_max = 7";
    install(bank.plugins.path(), "sender", &Example { name: "sender", component: guests::DISPATCH, manifest });
    let mut server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let ticks: Vec<_> = (0..TICKS).map(|_| json!({ "type": "Tick" })).collect();
    server.try_post("/v1/events", &json!({ "events": ticks })).unwrap();
    let balance = |server: &Server| {
        server.try_get("/v1/streams/account-7/state").ok().and_then(|state| state["state"]["balance_cents"].as_u64())
    };
    for wanted in [20, 60] {
        poll("some commands to be decided", || (balance(&server)? >= wanted).then_some(()));
        server.kill_now();
        drop(server);
        server = bank.start();
    }
    poll("all of them", || (balance(&server)? == TICKS as u64).then_some(()));
    let ids = |server: &Server| {
        let page = server.get("/v1/streams/account-7?limit=1000");
        let id = |event: &Value| event["metadata"]["command_id"].as_str().unwrap().to_owned();
        page["events"].as_array().unwrap().iter().skip(1).map(id).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ids(&server).len(), TICKS, "each by a command of its own");
    let one = server.get("/v1/streams/account-7?limit=2")["events"][1]["metadata"].clone();
    assert!(one["command_id"].as_str().unwrap().starts_with("$sender/") && one["causation_depth"] == "1", "{one}");
    assert_eq!(server.get(&format!("/v1/commands/{}", "%24sender%2F2%2F0"))["outcome"], "accepted");

    let before = head(&server);
    let rebuilt =
        tidemill().args(["--server", server.url(), "plugins", "rebuild", "sender", "--wait"]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert_eq!(head(&server), before, "a rebuild sends nothing");
    server.try_post("/v1/events", &json!({ "events": [{ "type": "denied" }] })).unwrap();
    server.settle("sender");
    let told = server.get("/v1/plugins/sender/state/told")["value_base64"].as_str().unwrap().to_owned();
    let told = String::from_utf8(STANDARD.decode(told).unwrap()).unwrap();
    assert!(told.contains("may not send") && told.contains("account:Close"), "{told}");
}
