//! What stands between a command and its decision, through the real server: schemas, validators, deadlines, the queue.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{ACCOUNT, Example};
use tidemill_tests::{Server, guests, install, poll, replace, tidemill};

/// A plugins directory with an account in it, and the data beside.
struct Bank {
    plugins: TempDir,
    data: TempDir,
}

impl Bank {
    fn new(more: &str) -> Self {
        let bank = Self { plugins: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() };
        let manifest: &'static str =
            Box::leak(ACCOUNT.manifest.replace("[aggregate]", &format!("[aggregate]\n{more}")).into_boxed_str());
        install(bank.plugins.path(), "account", &Example { manifest, ..ACCOUNT });
        bank
    }

    fn start(&self) -> Server {
        Server::start(self.data.path(), self.plugins.path())
    }

    /// Puts a file into the plugins directory in one step.
    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.plugins.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(&path, bytes);
    }
}

fn send(server: &Server, account: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/commands/account/{account}", server.url());
    let mut answer = agent.post(url).send_json(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

fn ask(server: &Server, id: &str, what: &str, data: &Value) -> (u16, Value) {
    send(server, "7", &json!({ "id": id, "type": what, "data": data }))
}

fn kind(answer: &Value) -> &str {
    answer["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default()
}

fn head(server: &Server) -> Value {
    server.get("/v1/events?limit=1")["head"].clone()
}

const AMOUNT: &[u8] = br#"{ "type": "object", "required": ["cents"],
    "properties": { "cents": { "type": "integer", "minimum": 1 } } }"#;

#[test]
fn a_command_is_held_to_the_schema_of_its_type_and_to_the_types_that_there_are() {
    let bank = Bank::new("");
    bank.put("schemas/commands/account/Deposit.json", AMOUNT);
    let server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let before = head(&server);
    let (status, refused) = ask(&server, "c2", "Deposit", &json!({ "cents": 0 }));
    assert_eq!((status, kind(&refused)), (422, "invalid-command"), "{refused}");
    assert_eq!(
        (&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]),
        (&json!("/cents"), &json!("schema")),
        "{refused}"
    );
    assert_eq!(head(&server), before, "nothing is stored of it");
    assert_eq!(ask(&server, "c2", "Deposit", &json!({ "cents": 500 })).0, 201, "and its id is free");

    bank.put("schemas/commands/account/Deposit.json", br#"{ "properties": { "cents": { "maximum": 1 } } }"#);
    let mut ids = (0..).map(|number| format!("d{number}"));
    let mut two = || ask(&server, &ids.next().unwrap(), "Deposit", &json!({ "cents": 2 })).0;
    poll("the other schema to hold", || (two() == 422).then_some(()));
    assert_eq!(ask(&server, "c2", "Deposit", &json!({ "cents": 500 })).0, 200, "what has an outcome is not held to it");
    bank.put("schemas/commands/account/Deposit.json", br#"{ "$ref": "https://example.com/a.json" }"#);
    let problem = poll("the broken schema to be told", || {
        let problems = server.get("/v1/plugins")["problems"].to_string();
        problems.contains("outside the document").then_some(problems)
    });
    assert!(problem.contains("Deposit.json"), "{problem}");
    assert_eq!(two(), 422, "the one before goes on");
    let metrics = server.try_text("/metrics").unwrap().1;
    assert!(metrics.contains("tidemill_commands_total{aggregate=\"account\",result=\"invalid\"}"), "{metrics}");
}

#[test]
fn broken_schemas_from_the_start_let_nothing_pass() {
    let bank = Bank::new("");
    bank.put("schemas/commands/account/Open.json", b"{");
    let server = bank.start();
    let (status, answer) = ask(&server, "c1", "Open", &json!({ "owner": "ada" }));
    assert!(status == 503 && answer["detail"].as_str().unwrap().contains("Open.json"), "{answer}");
    fs::remove_file(bank.plugins.path().join("schemas/commands/account/Open.json")).unwrap();
    poll("the command to pass", || (ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0 == 201).then_some(()));
}

#[test]
fn a_type_that_the_manifest_does_not_list_is_refused_with_the_nearest() {
    let bank = Bank::new("commands = [\"Open\", \"Deposit\"]\ndeadline = \"10m\"");
    let server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let (status, refused) = ask(&server, "c2", "Deposits", &json!({ "cents": 1 }));
    assert_eq!((status, kind(&refused)), (422, "invalid-command"), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("did you mean `Deposit`?"), "{refused}");
    assert_eq!(ask(&server, "c2", "Withdraw", &json!({ "cents": 1 })).0, 422);
}

#[test]
fn validators_are_asked_in_order_and_replaced_while_commands_come() {
    let bank = Bank::new("");
    bank.put("validators/10-limit.wasm", guests::VALIDATOR);
    bank.put("validators/10-limit.toml", b"commands = [\"account:Deposit\"]\n[config]\ncents_max = 100");
    bank.put("validators/20-all.wasm", guests::VALIDATOR);
    bank.put("validators/20-all.toml", b"[config]\ncents_max = 10\n[limits]\nbatch_time = \"200ms\"");
    let server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let before = head(&server);
    let (status, refused) = ask(&server, "c2", "Deposit", &json!({ "cents": 101, "more": 102 }));
    assert_eq!((status, kind(&refused)), (422, "invalid-command"), "{refused}");
    assert!(refused["detail"].as_str().unwrap().starts_with("validator 10-limit refuses the command: "), "{refused}");
    assert_eq!(
        refused["errors"],
        json!([
            { "pointer": "/cents", "code": "too-large", "message": "101 is above 100" },
            { "pointer": "/more", "code": "too-large", "message": "102 is above 100" },
        ]),
        "several of one, and none of the next"
    );
    let (_, refused) = ask(&server, "c2", "Deposit", &json!({ "cents": 50 }));
    assert!(refused["detail"].as_str().unwrap().contains("validator 20-all"), "{refused}");
    let (_, refused) = ask(&server, "c2", "Withdraw", &json!({ "cents": 101 }));
    assert!(refused["detail"].as_str().unwrap().contains("validator 20-all"), "the first is not asked: {refused}");
    for (what, fault) in [("trap", "trap"), ("spin", "deadline")] {
        let (status, failed) = ask(&server, "c2", "Withdraw", &json!({ "do": what }));
        assert_eq!((status, kind(&failed)), (500, "command-failed"), "{failed}");
        assert_eq!(
            (&failed["validator"], &failed["stage"], &failed["fault"]),
            (&json!("20-all"), &json!("validate"), &json!(fault)),
            "{failed}"
        );
    }
    assert_eq!(head(&server), before, "nothing is stored of any of them");
    assert_eq!(ask(&server, "c2", "Deposit", &json!({ "cents": 5 })).0, 201);

    bank.put("validators/20-all.toml", b"[config]\ncents_max = 1000");
    poll("the other configuration", || (ask(&server, "c3", "Deposit", &json!({ "cents": 50 })).0 == 201).then_some(()));
    bank.put("validators/20-all.wasm", guests::OK);
    poll("the wrong component to be told", || {
        server.get("/v1/plugins")["problems"].to_string().contains("which makes no validator").then_some(())
    });
    assert_eq!(ask(&server, "c4", "Deposit", &json!({ "cents": 101 })).0, 422, "those before go on");
}

#[test]
fn a_component_is_checked_as_the_validator_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limit.wasm");
    fs::write(&file, guests::VALIDATOR).unwrap();
    let checked = tidemill().args([Path::new("plugins"), Path::new("check"), &file, Path::new("--json")]).output();
    let checked = checked.unwrap();
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked.status.success() && told["roles"] == json!(["validator"]), "{told}");
    let plugins = tempfile::tempdir().unwrap();
    install(plugins.path(), "limit", &Example { name: "limit", component: guests::VALIDATOR, manifest: "" });
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), plugins.path());
    let problem = server.get("/v1/plugins/limit")["problem"]["reason"].to_string();
    assert!(problem.contains("the folder `validators`"), "{problem}");
}

#[test]
fn a_command_whose_deadline_passes_is_not_appended_and_is_told_so() {
    let bank = Bank::new("");
    bank.put("validators/slow.wasm", guests::VALIDATOR);
    bank.put("validators/slow.toml", b"[limits]\nbatch_time = \"1m\"\nfuel = 1000000000000");
    let server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let before = head(&server);
    let body = json!({ "id": "c2", "type": "Deposit", "data": { "do": "spin" }, "deadline_ms": 100 });
    let (status, late) = send(&server, "7", &body);
    assert_eq!((status, kind(&late)), (504, "deadline-passed"), "{late}");
    assert_eq!(
        (&late["decided"], &late["appended"], &late["deadline_ms"]),
        (&json!(false), &json!(false), &json!(100)),
        "{late}"
    );
    assert_eq!(server.try_text("/v1/commands/c2").unwrap().0, 404);
    assert_eq!(head(&server), before);
    assert_eq!(ask(&server, "c2", "Deposit", &json!({ "cents": 5 })).0, 201, "its id is free");
    let (status, bad) = send(&server, "7", &json!({ "id": "c3", "type": "Deposit", "deadline_ms": 0 }));
    assert!(status == 400 && bad["detail"].as_str().unwrap().contains("deadline_ms is 0"), "{bad}");
}

/// Posts a command that is decided later.
fn later(server: &Server, account: &str, body: &Value) -> Option<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/commands/account/{account}", server.url());
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
    assert_eq!((&told["outcome"], &told["failure"]["kind"]), (&json!("failed"), &json!("conflict")), "{told}");
    let shown = run(&["command", "status", "c4"]);
    assert!(shown.1.contains("failed") && shown.1.contains("given up after 1 attempts (conflict)"), "{shown:?}");
    let metrics = server.try_text("/metrics").unwrap().1;
    assert!(metrics.contains("tidemill_commands_queued_total{result=\"failed\"} 1"), "{metrics}");
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
