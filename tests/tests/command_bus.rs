//! What stands between a command and its decision, through the real server: schemas, validators, deadlines, the queue.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod command_bus {
    mod queue;
}

use std::fs;
use std::path::Path;

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
    send_to(server, &format!("account/{account}"), body)
}

fn send_to(server: &Server, aggregate: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/commands/{aggregate}", server.url());
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
    bank.put("validators/20-all.toml", b"[config]\ncents_max = 10\n[limits]\nbatch_time = \"1s\"");
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

#[test]
fn what_an_enforced_schema_refuses_is_the_fault_of_who_decided_it() {
    let bank = Bank::new("");
    bank.put(
        "schemas/MoneyDeposited.1.json",
        br#"{ "x-enforce": true, "properties": { "cents": { "type": "integer", "maximum": 10 } } }"#,
    );
    let server = bank.start();
    assert_eq!(ask(&server, "c1", "Open", &json!({ "owner": "ada" })).0, 201);
    let (status, failed) = ask(&server, "c2", "Deposit", &json!({ "cents": 11 }));
    assert_eq!((status, kind(&failed)), (500, "command-failed"), "{failed}");
    assert_eq!(
        (&failed["plugin"], &failed["fault"], &failed["stage"]),
        (&json!("account"), &json!("bad_reply"), &json!("decide")),
        "{failed}"
    );
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.contains("event 0 of its decision") && detail.contains("/cents"), "{failed}");
    assert_eq!(ask(&server, "c2", "Deposit", &json!({ "cents": 10 })).0, 201, "nothing of it is stored");
    let metrics = server.try_text("/metrics").unwrap().1;
    assert!(metrics.contains("tidemill_commands_total{aggregate=\"account\",result=\"faulted\"} 1"), "{metrics}");
}
