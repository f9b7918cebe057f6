//! Commands through the real server, decided by real components.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill::runtime::{Engine, EngineOptions, LoadError};
use tidemill_plugins::{ACCOUNT, Example};
use tidemill_tests::{Server, another_version, guests, install, poll, replace, tidemill};

/// Commands of each client.
const COMMANDS: u64 = 60;
const CLIENTS: u64 = 8;

/// A server that decides for accounts.
struct Bank {
    server: Server,
    _data: TempDir,
    plugins: TempDir,
}

impl Bank {
    fn open() -> Self {
        Self::with("account", &ACCOUNT)
    }

    fn with(name: &str, example: &Example) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        install(plugins.path(), name, example);
        let server = Server::start(data.path(), plugins.path());
        Self { server, _data: data, plugins }
    }
}

/// Sends a command; answers the status and the body.
fn send(server: &Server, aggregate: &str, id: &str, body: &Value) -> Option<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/commands/{aggregate}/{id}", server.url());
    let mut answer = agent.post(url).send_json(body).ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.body_mut().read_json().ok()?))
}

fn ask(server: &Server, account: &str, id: &str, what: &str, data: &Value) -> (u16, Value) {
    send(server, "account", account, &json!({ "id": id, "type": what, "data": data })).expect("an answer")
}

fn kind(answer: &Value) -> &str {
    answer["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default()
}

/// The events of a stream.
fn events(server: &Server, stream: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let Ok(page) = server.try_get(&format!("/v1/streams/{stream}?after={after}&limit=1000")) else { return events };
        let found = page["events"].as_array().unwrap();
        let Some(last) = found.last() else { return events };
        after = last["version"].as_u64().unwrap();
        events.extend(found.iter().cloned());
    }
}

/// The balance after each event; none of them may be below zero.
fn balances(events: &[Value]) -> Vec<i64> {
    let mut cents = 0;
    let balance = |event: &Value| {
        let amount = event["data"]["cents"].as_i64().unwrap_or_default();
        cents += if event["type"] == "MoneyDeposited" { amount } else { -amount };
        assert!(cents >= 0, "below zero after {event}");
        cents
    };
    events.iter().map(balance).collect()
}

#[test]
fn an_account_lives_through_its_commands() {
    let Bank { server, plugins, .. } = Bank::open();
    let (status, opened) = ask(&server, "7", "c1", "Open", &json!({ "owner": "ada" }));
    assert_eq!((status, &opened["outcome"], &opened["version"]), (201, &json!("accepted"), &json!(1)), "{opened}");
    let body = json!({ "id": "c2", "type": "Deposit", "data": { "cents": 500 }, "expected": 1,
                       "metadata": { "actor": "ada", "correlation_id": "s" } });
    let (status, paid) = send(&server, "account", "7", &body).unwrap();
    assert_eq!(
        (status, &paid["events"][0]["type"], &paid["stream"]),
        (201, &json!("MoneyDeposited"), &json!("account-7"))
    );
    let stored = server.get(&format!("/v1/events/{}", paid["events"][0]["id"].as_str().unwrap()));
    for (key, value) in [("command_id", "c2"), ("causation_id", "c2"), ("correlation_id", "s"), ("actor", "ada")] {
        assert_eq!(stored["metadata"][key], value, "{stored}");
    }
    let (status, again) = send(&server, "account", "7", &body).unwrap();
    assert_eq!((status, &again["repeated"], &again["events"]), (200, &json!(true), &paid["events"]));
    let (status, refused) = send(&server, "account", "7", &json!({ "id": "c2", "type": "Close" })).unwrap();
    assert_eq!((status, kind(&refused)), (409, "id-conflict"), "{refused}");
    let (status, refused) = ask(&server, "7", "c3", "Withdraw", &json!({ "cents": 501 }));
    assert_eq!((status, kind(&refused), &refused["code"]), (422, "rejected", &json!("InsufficientFunds")), "{refused}");
    assert_eq!(
        (&refused["details"], &refused["detail"]),
        (&json!({ "balance_cents": 500 }), &json!("only 500 cents are on the account"))
    );
    ask(&server, "7", "c4", "Deposit", &json!({ "cents": 100 }));
    let (status, same) = ask(&server, "7", "c3", "Withdraw", &json!({ "cents": 501 }));
    assert_eq!((status, &same["repeated"]), (422, &json!(true)), "as it was decided then: {same}");
    let (status, refused) =
        send(&server, "account", "7", &json!({ "id": "c5", "type": "Deposit", "data": { "cents": 1 }, "expected": 1 }))
            .unwrap();
    assert_eq!((status, kind(&refused), &refused["actual_version"]), (409, "wrong-expected-version", &json!(3)));
    let told = server.get("/v1/commands/c3");
    assert_eq!(
        (&told["outcome"], &told["rejection"]["code"]),
        (&json!("rejected"), &json!("InsufficientFunds")),
        "{told}"
    );
    let told = server.get("/v1/commands/c2");
    assert_eq!((&told["outcome"], &told["events"]), (&json!("accepted"), &paid["events"]), "{told}");
    assert_eq!(server.try_text("/v1/commands/c99").unwrap().0, 404);
    let (status, invalid) = ask(&server, "7", "c6", "Deposit", &json!({ "cents": -1 }));
    assert_eq!((status, &invalid["code"]), (422, &json!("InvalidCommand")), "{invalid}");
    let (status, unknown) = send(&server, "purse", "7", &json!({ "id": "c7", "type": "Open" })).unwrap();
    assert!(status == 404 && unknown["detail"].as_str().unwrap().contains("are for account"), "{unknown}");
    for (bad, what) in [
        (json!({ "type": "Open" }), "`id` is missing"),
        (json!({ "id": "c8" }), "`type` is missing"),
        (json!({ "id": "", "type": "Open" }), "command id is empty"),
        (json!({ "id": "c8", "type": "Open", "dta": 1 }), "`dta`"),
        (json!({ "id": "c8", "type": "Open", "expected": -1 }), "`expected` is -1"),
    ] {
        let (status, answer) = send(&server, "account", "7", &bad).unwrap();
        assert!(status == 400 && answer["detail"].as_str().unwrap().contains(what), "{bad}: {answer}");
    }
    let plugin = server.get("/v1/plugins/account");
    assert_eq!((&plugin["aggregate"], &plugin["roles"]), (&json!("account"), &json!(["aggregate"])), "{plugin}");
    install(plugins.path(), "rival", &ACCOUNT);
    let problem = poll("the rival to be refused", || {
        let problem = server.try_get("/v1/plugins/rival").ok()?["problem"]["reason"].as_str()?.to_owned();
        Some(problem)
    });
    assert!(problem.contains("rival") && problem.contains("plugins rival and account both claim"), "{problem}");
    assert_eq!(ask(&server, "7", "c9", "Deposit", &json!({ "cents": 1 })).0, 201);
    let metrics = server.try_text("/metrics").unwrap().1;
    assert!(metrics.contains("tidemill_commands_total{aggregate=\"account\",result=\"rejected\"} 2"), "{metrics}");
}

/// It runs, so nobody is told to start it: who asks again would ask for ever.
#[test]
fn what_decides_has_nothing_to_retry_to_promote_or_to_roll_back_to() {
    let Bank { server, .. } = Bank::open();
    assert_eq!(ask(&server, "7", "open", "Open", &json!({ "owner": "ada" })).0, 201);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for what in ["dead-letters/retry", "dead-letters/1/retry", "pause", "rollback", "rebuild", "promote", "replay"] {
        let mut answer = agent.post(format!("{}/v1/plugins/account/{what}", server.url())).send_empty().unwrap();
        let problem: Value = answer.body_mut().read_json().unwrap();
        let says = problem["detail"].as_str().unwrap_or_default();
        assert!(answer.status() == 409 && says.contains("plugin account decides commands"), "{what}: {problem}");
    }
}

#[test]
fn an_account_is_seen_as_of_any_point_and_by_its_snapshots() {
    let Bank { server, .. } = Bank::open();
    ask(&server, "7", "open", "Open", &json!({ "owner": "ada" }));
    let mut cents = vec![0, 0];
    for step in 0..120_u64 {
        let (what, amount) = if step % 3 == 2 { ("Withdraw", 3) } else { ("Deposit", 5) };
        assert_eq!(ask(&server, "7", &format!("s{step}"), what, &json!({ "cents": amount })).0, 201);
        let before = cents.last().copied().unwrap_or_default();
        cents.push(if what == "Deposit" { before + amount } else { before - amount });
    }
    let snapshot = poll("a snapshot", || {
        let found = server.get("/v1/snapshots?prefix=account-");
        found["snapshots"].get(0).filter(|snapshot| snapshot["version"].as_u64() >= Some(100)).cloned()
    });
    assert_eq!(snapshot["stream"], "account-7", "{snapshot}");
    let stored = events(&server, "account-7");
    for version in [1, 2, 49, 50, 51, 99, 100, 101, 121] {
        let event = &stored[version - 1];
        let position = event["position"].as_u64().unwrap();
        for point in [format!("at_version={version}"), format!("at_position={position}")] {
            let state = server.get(&format!("/v1/streams/account-7/state?{point}"));
            assert_eq!(
                (&state["version"], &state["state"]["balance_cents"]),
                (&json!(version), &json!(cents[version])),
                "{point}"
            );
        }
    }
    let now = server.get("/v1/streams/account-7/state");
    assert_eq!((&now["state"]["owner"], &now["version"]), (&json!("ada"), &json!(121)));
    let time = stored[60]["timestamp"].as_str().unwrap();
    let then = server.get(&format!("/v1/streams/account-7/state?at_time={time}"));
    let at = |version: &Value| &stored[usize::try_from(version.as_u64().unwrap()).unwrap() - 1]["timestamp"];
    assert!(
        then["version"].as_u64().unwrap() >= 61 && at(&then["version"]) == time,
        "what was stored at it is in: {then}"
    );
    assert_eq!(server.try_text("/v1/streams/account-7/state?at_version=1&at_position=1").unwrap().0, 400);
    assert_eq!(server.try_text("/v1/streams/account-8/state").unwrap().0, 404);
    let diff = server.get("/v1/streams/account-7/diff?from_version=119&to_version=120");
    assert_eq!(
        diff["events"][0]["changes"],
        json!([
            { "path": "/balance_cents", "before": cents[119], "after": cents[120] }
        ]),
        "{diff}"
    );
    for backwards in ["from_version=5&to_version=3", "from_position=9&to_position=2", "from_version=99&to_position=3"] {
        let (status, text) = server.try_text(&format!("/v1/streams/account-7/diff?{backwards}")).unwrap();
        assert!(status == 400 && text.contains("which comes before it"), "{backwards}: {text}");
    }
    let run = |arguments: &[&str]| {
        let output = tidemill().args(["--server", server.url()]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(&["streams", "state", "account-7", "--at-version", "3"]);
    assert!(shown.contains("account-7 (account) at version 3") && shown.contains("\"balance_cents\":10"), "{shown}");
    let shown: Value = serde_json::from_str(&run(&["streams", "state", "account-7", "--json"])).unwrap();
    assert_eq!(shown, now);
    let listed = run(&["snapshots", "ls", "--prefix", "account-"]);
    assert!(listed.starts_with("STREAM") && listed.contains("account-7"), "{listed}");
    assert_eq!(run(&["snapshots", "ls", "--prefix", "purse-", "--json"]), "");
    run(&["snapshots", "drop", "account-7"]);
    assert_eq!(run(&["snapshots", "ls", "--json"]), "");
    ask(&server, "7", "one-more", "Deposit", &json!({ "cents": 1 }));
    let delete = || ureq::delete(format!("{}/v1/snapshots/account-7", server.url())).call();
    assert!(matches!(delete(), Err(ureq::Error::StatusCode(404))));
    let then = server.get("/v1/streams/account-7/state?at_version=121");
    assert_eq!((&then["state"], &then["version"]), (&now["state"], &now["version"]), "made of its events");
}

/// Random histories, with snapshots on the way and the component in memory or not: any version is a fold of its events.
#[test]
fn the_state_at_any_version_is_that_of_a_fold_outside_with_snapshots_and_without() {
    let often: &'static str =
        Box::leak(ACCOUNT.manifest.replace("snapshot_every = 50", "snapshot_every = 3\nhot = 1").into_boxed_str());
    let Bank { server, .. } = Bank::with("account", &Example { manifest: often, ..ACCOUNT });
    let mut rng = fastrand::Rng::with_seed(7);
    for account in ["1", "2", "3", "4"] {
        ask(&server, account, &format!("{account}-open"), "Open", &json!({ "owner": account }));
    }
    for step in 0..160 {
        let account = rng.u8(1..=4).to_string();
        let (what, cents) = if rng.bool() { ("Deposit", rng.i64(1..9)) } else { ("Withdraw", rng.i64(1..9)) };
        let (status, answer) = ask(&server, &account, &step.to_string(), what, &json!({ "cents": cents }));
        assert!(status == 201 || answer["code"] == "InsufficientFunds", "{answer}");
        if rng.u8(0..4) > 0 {
            continue;
        }
        let stream = format!("account-{account}");
        let stored = events(&server, &stream);
        let balances = balances(&stored);
        for _ in 0..3 {
            let version = rng.usize(1..=stored.len());
            let state = server.get(&format!("/v1/streams/{stream}/state?at_version={version}"));
            assert_eq!(
                state["state"]["balance_cents"],
                balances[version - 1],
                "step {step}, {stream} at {version}: {state}"
            );
        }
        if rng.bool() {
            // Whether there is one or not.
            let _ = ureq::delete(format!("{}/v1/snapshots/{stream}", server.url())).call();
        }
    }
    // They are written behind the commands.
    poll("snapshots to be written", || {
        let metrics = server.try_text("/metrics").ok()?.1;
        let written =
            metrics.lines().find(|line| line.starts_with("tidemill_snapshots_written_total{aggregate=\"account\"}"))?;
        (!written.ends_with(" 0") && !written.ends_with(" 0.0")).then_some(())
    });
}

#[test]
fn what_retention_leaves_of_outcomes_and_of_aggregates() {
    let often: &'static str =
        Box::leak(ACCOUNT.manifest.replace("snapshot_every = 50", "snapshot_every = 2").into_boxed_str());
    let Bank { server, _data: data, plugins } = Bank::with("account", &Example { manifest: often, ..ACCOUNT });
    ask(&server, "7", "open", "Open", &json!({ "owner": "ada" }));
    for step in 0..5 {
        assert_eq!(ask(&server, "7", &format!("d{step}"), "Deposit", &json!({ "cents": 1 })).0, 201);
    }
    for id in ["no-1", "no-2"] {
        assert_eq!(ask(&server, "7", id, "Withdraw", &json!({ "cents": 9 })).0, 422);
    }
    poll("a snapshot", || {
        let found = server.get("/v1/snapshots")["snapshots"].clone();
        (found[0]["version"].as_u64() >= Some(5)).then_some(())
    });
    drop(server);
    let keep = ["--retention", "account=1events", "--retention", "$commands=1events"];
    let server = Server::try_start_with(data.path(), plugins.path(), |command| {
        command.args(keep);
    });
    let server = server.unwrap();
    poll("the first outcome to go", || (server.try_text("/v1/commands/no-1").unwrap().0 == 404).then_some(()));
    assert_eq!(server.get("/v1/commands/no-2")["outcome"], "rejected");
    poll("the account's events to go", || (events(&server, "account-7").len() == 1).then_some(()));
    assert_eq!(server.get("/v1/streams/account-7/state")["state"]["balance_cents"], 5);
    assert_eq!(ask(&server, "7", "more", "Deposit", &json!({ "cents": 9 })).0, 201);
    let (status, kept) = ask(&server, "7", "no-2", "Withdraw", &json!({ "cents": 9 }));
    assert_eq!((status, &kept["repeated"]), (422, &json!(true)), "as it was decided then: {kept}");
    let (status, anew) = ask(&server, "7", "no-1", "Withdraw", &json!({ "cents": 9 }));
    assert_eq!((status, &anew["repeated"]), (201, &json!(false)), "nobody knows of it any more: {anew}");

    poll("the last snapshot that is due", || {
        let found = server.get("/v1/snapshots")["snapshots"].clone();
        (found[0]["version"].as_u64() >= Some(7)).then_some(())
    });
    let drop_snapshot = |more: &[&str]| {
        let command = ["--server", server.url(), "snapshots", "drop", "account-7"];
        let output = tidemill().args(command).args(more).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (dropped, said) = drop_snapshot(&[]);
    assert!(!dropped && said.contains("--force"), "{said}");
    assert_eq!(server.try_text("/v1/streams/account-7/state").unwrap().0, 200);
    assert!(drop_snapshot(&["--force"]).0);
    assert_eq!(server.try_text("/v1/streams/account-7/state").unwrap().0, 410);
}

#[test]
fn the_snapshot_of_a_deleted_stream_is_not_kept() {
    let often: &'static str =
        Box::leak(ACCOUNT.manifest.replace("snapshot_every = 50", "snapshot_every = 2").into_boxed_str());
    let Bank { server, .. } = Bank::with("account", &Example { manifest: often, ..ACCOUNT });
    for account in ["7", "8"] {
        ask(&server, account, &format!("open {account}"), "Open", &json!({ "owner": "ada" }));
        ask(&server, account, &format!("pay {account}"), "Deposit", &json!({ "cents": 1 }));
    }
    let streams = || {
        let found = server.get("/v1/snapshots")["snapshots"].clone();
        found.as_array().unwrap().iter().map(|row| row["stream"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    poll("two snapshots", || (streams().len() == 2).then_some(()));
    ureq::delete(format!("{}/v1/streams/account-7", server.url())).call().unwrap();
    poll("its snapshot to go", || (streams() == ["account-8"]).then_some(()));
}

#[test]
fn what_decides_loses_a_grant_that_is_taken_back() {
    let Bank { server, plugins, .. } = Bank::open();
    ask(&server, "1", "open", "Open", &json!({ "owner": "ada" }));
    ask(&server, "1", "deposit", "Deposit", &json!({ "cents": 100_000 }));
    let withdraw = |id: String| ask(&server, "1", &id, "Withdraw", &json!({ "cents": 1 })).0;
    assert_eq!(withdraw("before".into()), 201);
    let narrowed = ACCOUNT.manifest.replace("\"MoneyWithdrawn\", ", "");
    assert_ne!(narrowed, ACCOUNT.manifest);
    replace(&plugins.path().join("account/plugin.toml"), narrowed.as_bytes());
    let mut ids = (0..).map(|number| format!("after-{number}"));
    poll("the grant to be lost", || (withdraw(ids.next().unwrap()) != 201).then_some(()));
    assert_ne!(withdraw("later".into()), 201);
}

#[test]
fn concurrent_clients_never_take_what_is_not_there_while_the_component_is_replaced() {
    let Bank { server, plugins, .. } = Bank::open();
    for account in 0..2 {
        ask(&server, &account.to_string(), &format!("open-{account}"), "Open", &json!({ "owner": "ada" }));
    }
    let (done, replaced, rejected) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::new(0_u64));
    // What was answered: the events that each account must have.
    let ledger: Mutex<HashMap<String, Value>> = Mutex::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (server, ledger, rejected, replaced) = (&server, &ledger, &rejected, &replaced);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(client);
                    for step in (0..).take_while(|step| *step < COMMANDS || !replaced.load(Ordering::Relaxed)) {
                        let (account, id) = (rng.u8(0..2).to_string(), format!("{client}-{step}"));
                        let what = if rng.u8(0..5) < 2 { "Deposit" } else { "Withdraw" };
                        let data = json!({ "cents": rng.u64(1..50) });
                        let (status, answer) = ask(server, &account, &id, what, &data);
                        match status {
                            201 => drop(ledger.lock().unwrap().insert(id.clone(), answer["events"][0]["id"].clone())),
                            422 => *rejected.lock().unwrap() += 1,
                            other => panic!("{other}: {answer}"),
                        }
                        if rng.u8(0..4) == 0 {
                            let (repeated, again) = ask(server, &account, &id, what, &data);
                            assert_eq!((repeated == 422, &again["repeated"]), (status == 422, &json!(true)), "{again}");
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number = (number + 1) % 200;
                let digest = server.get("/v1/plugins/account")["digest"].clone();
                replace(&plugins.path().join("account/plugin.wasm"), &another_version(ACCOUNT.component, number));
                poll("another version to decide, or the end", || {
                    let now = server.get("/v1/plugins/account")["digest"].clone();
                    replaced.fetch_or(now != digest, Ordering::Relaxed);
                    (now != digest || done.load(Ordering::Relaxed)).then_some(())
                });
            }
        });
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        done.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    let ledger = ledger.into_inner().unwrap();
    let mut found = BTreeMap::new();
    for account in 0..2 {
        let stored = events(&server, &format!("account-{account}"));
        let balance = balances(&stored).last().copied().unwrap();
        let state = server.get(&format!("/v1/streams/account-{account}/state"));
        assert_eq!(state["state"]["balance_cents"], json!(balance), "as a fold outside has it");
        for event in stored.iter().skip(1) {
            let command = event["metadata"]["command_id"].as_str().unwrap().to_owned();
            assert!(found.insert(command, event["id"].clone()).is_none(), "twice: {event}");
        }
    }
    assert_eq!(found, ledger.into_iter().collect::<BTreeMap<_, _>>());
    assert!(rejected.into_inner().unwrap() > 0, "some withdrawals were too much");
    assert!(server.get("/v1/plugins/account")["generation"].as_u64() > Some(1), "it was replaced");
}

#[test]
fn what_was_answered_is_there_exactly_once_after_kill_9() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "account", &ACCOUNT);
    // Command to what was answered: whether it was accepted, and the id of its event.
    let ledger: Mutex<HashMap<(String, String), (bool, Value)>> = Mutex::default();
    let unanswered: Mutex<Vec<(String, String, Value)>> = Mutex::default();
    for round in 0..3_u64 {
        let server = Server::start(data.path(), plugins.path());
        // What nobody was answered is sent again, and so is some of what was.
        for (account, id, body) in unanswered.lock().unwrap().drain(..) {
            let (status, answer) = send(&server, "account", &account, &body).unwrap();
            ledger.lock().unwrap().insert((account, id), (status != 422, answer["events"][0]["id"].clone()));
        }
        for ((account, id), (accepted, event)) in ledger.lock().unwrap().iter().take(50) {
            let told = server.get(&format!("/v1/commands/{id}"));
            assert_eq!(told["stream"], json!(format!("account-{account}")), "{told}");
            assert_eq!((&told["outcome"] == "rejected", &told["events"][0]["id"]), (!*accepted, event), "{told}");
        }
        let enough = ledger.lock().unwrap().len() + 400;
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (server, ledger, unanswered) = (&server, &ledger, &unanswered);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(round * 100 + client);
                    for step in 0.. {
                        let (account, id) = (rng.u8(0..6).to_string(), format!("{round}-{client}-{step}"));
                        let what = ["Open", "Deposit", "Deposit", "Withdraw", "Withdraw"][rng.usize(0..5)];
                        let data =
                            if what == "Open" { json!({ "owner": "ada" }) } else { json!({ "cents": rng.u64(1..50) }) };
                        let body = json!({ "id": id, "type": what, "data": data });
                        match send(server, "account", &account, &body) {
                            Some((status, answer)) => {
                                assert!([201, 422].contains(&status), "{status}: {answer}");
                                let event = answer["events"][0]["id"].clone();
                                ledger.lock().unwrap().insert((account, id), (status == 201, event));
                            }
                            None => return unanswered.lock().unwrap().push((account, id, body)),
                        }
                    }
                });
            }
            poll("answered commands", || (ledger.lock().unwrap().len() >= enough).then_some(()));
            server.kill_now();
        });
    }
    let server = Server::start(data.path(), plugins.path());
    let mut found = HashMap::new();
    for account in 0..6 {
        let stored = events(&server, &format!("account-{account}"));
        balances(&stored);
        for event in stored {
            let command = event["metadata"]["command_id"].as_str().unwrap().to_owned();
            assert!(found.insert((account.to_string(), command), event["id"].clone()).is_none(), "twice: {event}");
        }
    }
    let ledger = ledger.into_inner().unwrap();
    for (command, (accepted, event)) in &ledger {
        assert_eq!(found.get(command), accepted.then_some(event), "{command:?}");
    }
    assert!(ledger.len() >= 1200 && ledger.values().any(|(accepted, _)| !accepted));
}

#[test]
fn a_component_that_misbehaves_leaves_nothing_and_is_told_with_evidence() {
    let manifest = "[aggregate]\ncategory = \"number\"\nsnapshot_every = 2\n[limits]\nbatch_time = \"1s\"\n\
                    [grants]\nappend = [\"Added\", \"Broken\"]\n";
    let example = Example { name: "numbers", component: guests::AGGREGATE_CASES, manifest };
    let Bank { server, .. } = Bank::with("numbers", &example);
    let ask = |id: &str, what: &str| send(&server, "number", "1", &json!({ "id": id, "type": what })).unwrap();
    assert_eq!(ask("first", "Add").0, 201);
    for (what, fault, words) in [
        ("Trap", "trap", "it does not like Trap"),
        ("Spin", "deadline", "1000 ms"),
        ("Grow", "out_of_memory", "[limits] memory"),
        ("Denied", "denied", "'Stolen']"),
        ("Thousands", "bad_reply", "5000 events"),
        ("NoName", "bad_reply", "event type is empty"),
        ("NoVersion", "bad_reply", "schema_version is 0"),
        ("NoDetails", "bad_reply", "the details of its rejection are not JSON"),
        ("BadRejection", "bad_reply", "the code of its rejection"),
    ] {
        let (status, answer) = ask(what, what);
        assert_eq!((status, kind(&answer), &answer["fault"]), (500, "command-failed", &json!(fault)), "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(words), "{answer}");
        assert_eq!(server.try_text(&format!("/v1/commands/{what}")).unwrap().0, 404, "{what} may be sent again");
    }
    let (_, trapped) = ask("Trap", "Trap");
    assert!(trapped["evidence"]["backtrace"].as_str().is_some_and(|trace| !trace.is_empty()), "{trapped}");
    let (status, later) = ask("later", "Later");
    assert_eq!((status, &later["code"], &later["details"]), (422, &json!("Later"), &json!({ "in": 5 })));
    assert_eq!(events(&server, "number-1").len(), 1, "nothing was appended");
    for step in 0..4 {
        assert_eq!(ask(&step.to_string(), if step == 1 { "Break" } else { "Add" }).0, 201);
    }
    // Its snapshots are broken from now on: they are left out, and it goes on.
    let snapshots = poll("a broken snapshot", || {
        let found = server.get("/v1/snapshots")["snapshots"].clone();
        (found[0]["bytes"] == 6).then_some(found)
    });
    assert_eq!(snapshots[0]["stream"], "number-1");
    ask("again", "Trap");
    assert_eq!(ask("last", "Add").0, 201, "made anew of its events");
    let event = json!({ "events": [{ "type": "Foreign", "stream": "number-1" }] });
    server.try_post("/v1/events", &event).unwrap();
    let (status, answer) = ask("more", "Add");
    assert_eq!((status, &answer["fault"], &answer["version"]), (500, &json!("misfit"), &json!(7)), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("Foreign is not known"), "{answer}");
    assert_eq!(send(&server, "number", "2", &json!({ "id": "other", "type": "Add" })).unwrap().0, 201, "others go on");
}

#[test]
fn a_component_that_fails_to_make_to_restore_or_to_show_its_state_costs_that_aggregate_only() {
    let manifest = "[aggregate]\ncategory = \"number\"\nsnapshot_every = 2\n[grants]\nappend = [\"Added\"]\n";
    let example = Example { name: "numbers", component: guests::AGGREGATE_CASES, manifest };
    let Bank { server, .. } = Bank::with("numbers", &example);
    let ask =
        |key: &str, id: &str, what: &str| send(&server, "number", key, &json!({ "id": id, "type": what })).unwrap();
    for _ in 0..2 {
        let (status, answer) = ask("cursed", "c", "Add");
        assert_eq!((status, kind(&answer), &answer["stage"]), (500, "command-failed", &json!("start")), "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains("it is not to be made"), "{answer}");
        assert!(!answer["evidence"]["backtrace"].as_str().unwrap().is_empty(), "{answer}");
    }
    for key in ["shy", "forgetful", "1"] {
        for step in 0..4 {
            assert_eq!(ask(key, &format!("{key}-{step}"), "Add").0, 201, "{key}, {step}");
        }
    }
    let (status, text) = server.try_text("/v1/streams/number-shy/state").unwrap();
    assert!(status == 500 && text.contains("\"snapshot\"") && text.contains("it is not to be shown"), "{text}");
    poll("the failure to be counted", || {
        let metrics = server.try_text("/metrics").unwrap().1;
        let failed =
            metrics.lines().find(|line| line.starts_with("tidemill_snapshots_failed_total{aggregate=\"number\"}"));
        failed.is_some_and(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0")).then_some(())
    });
    poll("a snapshot", || {
        let found = server.get("/v1/snapshots?prefix=number-forgetful")["snapshots"].clone();
        found.get(0).is_some().then_some(())
    });
    // Its instance is thrown away, and it is not made of its snapshot.
    assert_eq!(ask("forgetful", "trap", "Trap").0, 500);
    assert_eq!(ask("forgetful", "last", "Add").1["version"], 5);
    let state = server.get("/v1/streams/number-forgetful/state");
    assert_eq!((&state["version"], &state["state"]), (&json!(5), &json!(5)), "{state}");
    let listed = server.get("/v1/snapshots?prefix=number-shy")["snapshots"].clone();
    assert_eq!(listed, json!([]), "nothing was written of it");
}

#[test]
fn commands_under_way_are_settled_when_the_server_is_asked_to_end() {
    let Bank { server, .. } = Bank::open();
    for account in 0..CLIENTS {
        ask(&server, &account.to_string(), &format!("open-{account}"), "Open", &json!({ "owner": "ada" }));
    }
    let (answers, enough) = (Mutex::new(BTreeMap::<u16, u64>::new()), 40);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (server, answers) = (&server, &answers);
            scope.spawn(move || {
                for step in 0.. {
                    let body = json!({ "id": format!("{client}-{step}"), "type": "Deposit", "data": { "cents": 1 } });
                    let Some((status, answer)) = send(server, "account", &client.to_string(), &body) else { return };
                    assert!([201, 503].contains(&status), "{status}: {answer}");
                    *answers.lock().unwrap().entry(status).or_default() += 1;
                    if status == 503 {
                        return;
                    }
                }
            });
        }
        poll("answered commands", || (answers.lock().unwrap().values().sum::<u64>() >= enough).then_some(()));
        server.ask_to_end();
    });
    assert!(answers.into_inner().unwrap()[&201] >= enough);
}

#[test]
fn a_rival_decides_when_who_decided_goes() {
    let Bank { server, plugins, .. } = Bank::open();
    ask(&server, "1", "open", "Open", &json!({ "owner": "ada" }));
    install(plugins.path(), "rival", &ACCOUNT);
    poll("the rival to be refused", || {
        server.try_get("/v1/plugins/rival").ok()?["problem"]["reason"].as_str().map(str::to_owned)
    });
    fs::remove_dir_all(plugins.path().join("account")).unwrap();
    poll("the rival to decide", || (server.try_get("/v1/plugins/rival").ok()?["aggregate"] == "account").then_some(()));
    assert!(server.get("/v1/plugins/rival")["problem"].is_null());
    let (status, answer) = ask(&server, "1", "deposit", "Deposit", &json!({ "cents": 1 }));
    assert_eq!((status, &answer["version"]), (201, &json!(2)), "{answer}");
}

#[test]
fn numbers_at_their_end_are_points_and_no_mistakes_of_the_server() {
    let Bank { server, .. } = Bank::open();
    ask(&server, "7", "open", "Open", &json!({ "owner": "ada" }));
    let max = u64::MAX;
    for point in [format!("at_version={max}"), format!("at_position={max}"), "at_time=9999-12-30T00:00:00Z".into()] {
        assert_eq!(server.get(&format!("/v1/streams/account-7/state?{point}"))["version"], 1, "{point}");
    }
    for (query, events) in [
        (format!("to_version={max}"), 1),
        (format!("to_position={max}"), 1),
        ("to_time=9999-12-30T00:00:00Z".into(), 1),
        (format!("from_version={max}"), 0),
        (format!("from_position={max}&to_position={max}"), 0),
        ("from_time=9999-12-30T00:00:00Z".into(), 0),
    ] {
        let diff = server.get(&format!("/v1/streams/account-7/diff?{query}"));
        assert_eq!(
            (diff["events"].as_array().unwrap().len(), &diff["next"]),
            (events, &Value::Null),
            "{query}: {diff}"
        );
    }
    let body = json!({ "id": "pinned", "type": "Deposit", "data": { "cents": 1 }, "expected": max });
    let (status, answer) = send(&server, "account", "7", &body).unwrap();
    assert_eq!((status, kind(&answer)), (409, "wrong-expected-version"), "{answer}");
    let condition = json!({ "fail_if_match": { "types": ["AccountClosed"] }, "after": max });
    let body = json!({ "id": "guarded", "type": "Deposit", "data": { "cents": 1 }, "condition": condition });
    let (status, answer) = send(&server, "account", "7", &body).unwrap();
    assert_eq!(status, 400, "{answer}");
}

#[test]
fn what_changed_comes_in_pages_that_the_command_line_follows() {
    let Bank { server, .. } = Bank::open();
    ask(&server, "7", "open", "Open", &json!({ "owner": "ada" }));
    let event = json!({ "type": "MoneyDeposited", "stream": "account-7", "data": { "cents": 1 } });
    server.try_post("/v1/events", &json!({ "events": vec![event; 1100] })).unwrap();
    let first = server.get("/v1/streams/account-7/diff?to_version=1101");
    assert_eq!((first["events"].as_array().unwrap().len(), &first["to_version"]), (1000, &json!(1000)));
    let next = first["next"].as_str().unwrap();
    assert_eq!(next, "/v1/streams/account-7/diff?from_version=1000&to_version=1101");
    let rest = server.get(next);
    assert_eq!((rest["events"].as_array().unwrap().len(), &rest["next"]), (101, &Value::Null));
    let output = tidemill().args(["--server", server.url(), "streams", "diff", "account-7"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("\n1101  MoneyDeposited") && shown.contains("/balance_cents: 1099 -> 1100"),
        "{}",
        shown.len()
    );
}

#[test]
fn a_component_that_decides_may_import_nothing_by_which_it_could_act() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let refused = engine.load(guests::IMPURE_AGGREGATE).unwrap_err();
    assert!(matches!(&refused, LoadError::NotPure { import } if import.contains("/state@")), "{refused}");
    engine.load(guests::AGGREGATE_CASES).unwrap();
}

#[test]
fn an_aggregate_must_say_for_which_streams() {
    let manifest = "[grants]\nappend = [\"Account*\", \"Money*\"]\n";
    let plugin = Example { name: "my-bank", component: ACCOUNT.component, manifest };
    let Bank { server, plugins, .. } = Bank::with("my-bank", &plugin);
    let reason = || server.get("/v1/plugins/my-bank")["problem"]["reason"].as_str().map(str::to_owned);
    let problem = poll("the problem", reason);
    assert!(problem.contains("[aggregate] category") && problem.contains("plugin.toml"), "{problem}");
    let cured = format!("[aggregate]\ncategory = \"konto\"\n{manifest}");
    fs::write(plugins.path().join("my-bank/plugin.toml"), cured).unwrap();
    poll("it to decide", || (server.get("/v1/plugins/my-bank")["aggregate"] == "konto").then_some(()));
    assert_eq!(
        send(&server, "konto", "1", &json!({ "id": "a", "type": "Open", "data": { "owner": "b" } })).unwrap().0,
        201
    );
    fs::remove_dir_all(plugins.path().join("my-bank")).unwrap();
    let mut asked = 0;
    poll("it to be gone", || {
        // One that has an outcome keeps it, whoever decides.
        asked += 1;
        let command = json!({ "id": format!("gone-{asked}"), "type": "Close" });
        (send(&server, "konto", "1", &command).unwrap().0 == 404).then_some(())
    });
    let open = json!({ "id": "a", "type": "Open", "data": { "owner": "b" } });
    assert_eq!(send(&server, "konto", "1", &open).unwrap().0, 200, "its outcome is in the log");
}
