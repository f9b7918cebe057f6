//! Events of older schemas, read and delivered in today's, by the real binary with real components.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{ACCOUNT, Example};
use tidemill_tests::{Server, guests, install, poll, replace, tidemill};

const RULES: &str = r#"
[[upcast]]
type = "OrderPlaced"
from = 1
rules = [{ rename = "/qty", to = "quantity" }, { add = "/currency", value = "EUR" }]

[[upcast]]
type = "OrderPlaced"
from = 2
to = 1
as = "OrderCreated"
rules = [{ convert = "/quantity", to = "integer" }]

[[upcast]]
type = "PaidAndSent"
from = 1
to = 1

[[upcast.into]]
type = "Paid"

[[upcast.into]]
type = "Sent"
"#;

struct Setting {
    plugins: TempDir,
    data: TempDir,
}

impl Setting {
    fn new() -> Self {
        Self { plugins: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() }
    }

    fn start(&self) -> Server {
        Server::start(self.data.path(), self.plugins.path())
    }

    /// Puts a file among the upcasters in one step.
    fn put(&self, name: &str, bytes: &[u8]) {
        let folder = self.plugins.path().join("upcasters");
        fs::create_dir_all(&folder).unwrap();
        replace(&folder.join(name), bytes);
    }

    /// Installs a plugin that keeps what it sees of each event.
    fn listen(&self, types: &str, delivery: &str) {
        let manifest = format!("[subscribe]\ntypes = {types}\n[delivery]\nmax_faults = 1\n{delivery}");
        let manifest: &'static str = Box::leak(manifest.into_boxed_str());
        install(self.plugins.path(), "it", &Example { name: "it", component: guests::EVENT_ECHO, manifest });
    }
}

/// Appends an event outside any stream, so that none waits for another.
fn append(server: &Server, event_type: &str, schema_version: u32, data: &Value) -> u64 {
    append_to(server, None, event_type, schema_version, data)
}

fn append_to(server: &Server, stream: Option<&str>, event_type: &str, schema_version: u32, data: &Value) -> u64 {
    let event = json!({ "type": event_type, "schema_version": schema_version, "data": data, "stream": stream });
    server.try_post("/v1/events", &json!({ "events": [event] })).unwrap()["first_position"].as_u64().unwrap()
}

/// What the plugin saw of the event at a position.
fn seen(server: &Server, position: u64) -> Option<String> {
    let entries = server.get("/v1/plugins/it/state?prefix=event/")["entries"].clone();
    let key = format!("event/{position}");
    let entry = entries.as_array().unwrap().iter().find(|entry| entry["key"] == key.as_str())?;
    let bytes = STANDARD.decode(entry["value_base64"].as_str().unwrap()).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

/// Type, schema version and data of each event.
fn read(server: &Server, query: &str) -> Vec<(String, u64, Value)> {
    let page = server.get(&format!("/v1/events?{query}"));
    let row = |event: &Value| {
        (event["type"].as_str().unwrap().to_owned(), event["schema_version"].as_u64().unwrap(), event["data"].clone())
    };
    page["events"].as_array().unwrap().iter().map(row).collect()
}

fn problems(server: &Server) -> String {
    server.get("/v1/plugins")["problems"].to_string()
}

#[test]
fn declared_lifts_reach_plugins_and_readers_and_nothing_stored_changes() {
    let setting = Setting::new();
    setting.put("shop.toml", RULES.as_bytes());
    setting.listen("[\"OrderCreated\", \"Sent\"]", "");
    let server = setting.start();
    let old = append_to(&server, Some("s-1"), "OrderPlaced", 1, &json!({ "qty": "2" }));
    let split = append(&server, "PaidAndSent", 1, &json!({ "n": 1 }));
    append(&server, "Other", 1, &json!(1));
    server.settle("it");
    let saw = seen(&server, old).unwrap();
    assert!(saw.contains("type=OrderCreated") && saw.contains("schema=1"), "{saw}");
    assert!(saw.contains(r#"{"quantity":2,"currency":"EUR"}"#), "{saw}");
    assert!(seen(&server, split).unwrap().contains("type=Sent"), "only the part that it listens to");

    let lifted = ("OrderCreated".to_owned(), 1, json!({ "quantity": 2, "currency": "EUR" }));
    assert_eq!(read(&server, "type=OrderCreated"), [lifted], "an event is found by its name of today");
    assert_eq!(read(&server, "type=OrderPlaced"), []);
    assert_eq!(read(&server, "type=OrderPlaced&schema=stored"), [("OrderPlaced".into(), 1, json!({ "qty": "2" }))]);
    let types: Vec<_> = read(&server, "").into_iter().map(|(name, ..)| name).collect();
    assert_eq!(types, ["OrderCreated", "Paid", "Sent", "Other"]);
    let back: Vec<_> = read(&server, "direction=backwards").into_iter().map(|(name, ..)| name).collect();
    assert_eq!(back, ["Other", "Sent", "Paid", "OrderCreated"]);
    let stream = server.get("/v1/streams/s-1?limit=1");
    assert_eq!((&stream["events"][0]["type"], &stream["events"][0]["version"]), (&json!("OrderCreated"), &json!(1)));
    let id = |position: u64| {
        server.get(&format!("/v1/events?after={}&limit=1&schema=stored", position - 1))["events"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(server.get(&format!("/v1/events/{}", id(old)))["type"], "OrderCreated");
    let whole = server.get(&format!("/v1/events/{}", id(split)));
    assert_eq!(whole["type"], "PaidAndSent");
    assert!(whole["metadata"]["$unlifted"].as_str().unwrap().contains("2 events in today's schema"), "{whole}");

    let run = |arguments: &[&str]| {
        let output = tidemill().args(["--server", server.url()]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let exported = run(&["export"]);
    assert!(exported.contains("\"OrderPlaced\"") && !exported.contains("OrderCreated"), "{exported}");
    assert!(run(&["events", "read", "--json"]).contains("OrderCreated"));
    assert!(run(&["events", "read", "--json", "--schema", "stored"]).contains("OrderPlaced"));
    let (status, text) = server.try_text("/v1/events?schema=newest").unwrap();
    assert!(status == 400 && text.contains("`current` or `stored`"), "{text}");
}

#[test]
fn a_broken_change_is_refused_and_a_good_one_is_taken_up_while_all_goes_on() {
    let setting = Setting::new();
    setting.listen("[\"OrderCreated\", \"OrderPlaced\"]", "rebuild = \"on-change\"\n");
    let server = setting.start();
    let old = append(&server, "OrderPlaced", 1, &json!({ "qty": "2" }));
    server.settle("it");
    assert!(seen(&server, old).unwrap().contains("type=OrderPlaced"), "nothing lifts it yet");

    setting.put("shop.toml", RULES.as_bytes());
    poll("the state to be built anew", || seen(&server, old).filter(|saw| saw.contains("type=OrderCreated")));
    poll("the rebuild to be over", || server.get("/v1/plugins/it")["status"]["rebuild_due"].is_null().then_some(()));

    for (text, says, path) in [
        ("type = \"OrderPlaced\"\nfrom = 2\n", "overlap: OrderPlaced 2 is lifted by", "more.toml:1"),
        ("type = \"OrderCreated\"\nfrom = 2\n", "gap: nothing lifts OrderCreated 1", "OrderPlaced 2 → OrderCreated 1"),
    ] {
        setting.put("more.toml", format!("[[upcast]]\n{text}rules = [{{ rename = \"/a\", to = \"b\" }}]\n").as_bytes());
        let told = poll("the problem to be told", || Some(problems(&server)).filter(|told| told.contains(says)));
        assert!(told.contains(path), "{told}");
    }
    setting.put("more.toml", b"[[upcast]]\ntype = \"OrderCreated\"\nfrom = 1\nto = 1\nas = \"OrderPlaced\"\n");
    let told = poll("the problem to be told", || Some(problems(&server)).filter(|told| told.contains("cycle")));
    assert!(told.contains("OrderCreated 1 → OrderPlaced 1 → OrderPlaced 2 → OrderCreated 1"), "{told}");
    let later = append(&server, "OrderPlaced", 1, &json!({ "qty": "5" }));
    server.settle("it");
    assert!(seen(&server, later).unwrap().contains("type=OrderCreated"), "the old chain goes on");
    assert_eq!(read(&server, "").len(), 2);
    fs::remove_file(setting.plugins.path().join("upcasters/more.toml")).unwrap();
    poll("the problem to be gone", || (problems(&server) == "[]").then_some(()));
}

#[test]
fn upcasters_that_are_broken_from_the_start_hold_events_back_until_they_are_mended() {
    let setting = Setting::new();
    setting
        .put("shop.toml", b"[[upcast]]\ntype = \"OrderPlaced\"\nfrom = 1\nrules = [{ renam = \"/a\", to = \"b\" }]\n");
    setting.listen("[\"OrderCreated\"]", "");
    let server = setting.start();
    let old = append(&server, "OrderPlaced", 1, &json!({ "qty": 2 }));
    let info = poll("the plugin to be held back", || {
        Some(server.get("/v1/plugins/it")).filter(|info| !info["problem"].is_null())
    });
    let problem = info["problem"].to_string();
    assert!(problem.contains("shop.toml:4") && problem.contains("rename"), "{problem}");
    let (status, text) = server.try_text("/v1/events").unwrap();
    assert!(status == 503 && text.contains("schema=stored reads them as they are"), "{text}");
    assert_eq!(read(&server, "schema=stored").len(), 1);
    // Whoever decides is held back, too: nobody is to take that for an end.
    let (status, text) = server.try_text("/v1/streams/account-1/state").unwrap();
    assert!(status == 503 && text.contains("upcasters are not known") && text.contains("shop.toml:4"), "{text}");
    let (status, problem) = command(&server, "c", "Open", &json!({}));
    assert!(status == 503 && problem["detail"].as_str().unwrap().contains("shop.toml:4"), "{problem}");

    setting.put("shop.toml", RULES.as_bytes());
    poll("the plugin to run", || server.get("/v1/plugins/it")["problem"].is_null().then_some(()));
    server.settle("it");
    assert!(seen(&server, old).unwrap().contains("type=OrderCreated"));
    assert_eq!(read(&server, "")[0].0, "OrderCreated");
}

#[test]
fn a_component_lifts_and_what_it_fails_at_is_set_aside() {
    let setting = Setting::new();
    setting.put("bought.wasm", guests::UPCASTER);
    setting.listen("[\"Bought\", \"Right\"]", "parked_events_max = 10\n");
    let server = setting.start();
    let good = append(&server, "Bought", 1, &json!({ "n": 1 }));
    let failing = ["poison", "trap"].map(|data| append(&server, "Bought", 1, &json!(data)));
    let pair = append(&server, "Pair", 1, &json!(5));
    let today = append(&server, "Bought", 2, &json!({ "was": 1 }));
    server.settle("it");
    // Whoever sent it wrote it in several lines, and its bytes are kept.
    let saw: String = seen(&server, good).unwrap().split_whitespace().collect();
    assert!(saw.contains(r#"json{"was":{"n":1}}"#), "{saw}");
    assert!(seen(&server, pair).unwrap().contains("type=Right") && seen(&server, pair).unwrap().contains("$part"));
    let saw: String = seen(&server, today).unwrap().split_whitespace().collect();
    assert!(saw.contains(r#"json{"was":1}"#), "what is of today is not lifted: {saw}");
    let letters = server.get("/v1/plugins/it/dead-letters")["dead_letters"].clone();
    let row =
        |position: u64| letters.as_array().unwrap().iter().find(|row| row["position"] == position).unwrap().clone();
    for (position, words) in failing.into_iter().zip(["it is poisoned", "no way to lift this"]) {
        let letter = row(position);
        assert_eq!(letter["kind"], "upcast");
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.contains("bought.wasm") && reason.contains(words), "{reason}");
    }
    let trapped = server.get(&format!("/v1/plugins/it/dead-letters/{}", failing[1]))["evidence"].clone();
    assert!(trapped["stderr_tail"].as_str().unwrap().contains("no way to lift this"), "{trapped}");
    assert!(!trapped["backtrace"].as_str().unwrap().is_empty(), "{trapped}");
    let marked = server.get(&format!("/v1/events?after={}&limit=1", failing[0] - 1))["events"][0].clone();
    assert_eq!(marked["data"], "poison");
    assert!(marked["metadata"]["$unlifted"].as_str().unwrap().contains("it is poisoned"), "{marked}");
}

#[test]
fn an_upcaster_that_never_ends_or_makes_what_it_does_not_declare_costs_its_event_only() {
    let setting = Setting::new();
    setting.put("bought.wasm", guests::UPCASTER);
    setting.listen("[\"Bought\"]", "");
    let server = setting.start();
    let bad = ["spin", "other"].map(|data| append(&server, "Bought", 1, &json!(data)));
    let good = append(&server, "Bought", 1, &json!(1));
    server.settle("it");
    assert!(seen(&server, good).is_some());
    let letters = server.get("/v1/plugins/it/dead-letters")["dead_letters"].to_string();
    assert!(letters.contains("deadline: it ran longer than") && letters.contains("it made a Undeclared"), "{letters}");
    assert_eq!(bad.map(|position| seen(&server, position)), [None, None]);
}

#[test]
fn what_is_no_upcaster_and_an_upcaster_among_plugins_are_refused_by_name() {
    let setting = Setting::new();
    let server = setting.start();
    setting.put("count.wasm", guests::OK);
    let told = poll("the problem to be told", || Some(problems(&server)).filter(|told| told.contains("count.wasm")));
    assert!(told.contains("which makes no upcaster"), "{told}");
    replace(&setting.plugins.path().join("lost.wasm"), guests::UPCASTER);
    let info = poll("the plugin to be refused", || {
        Some(server.try_get("/v1/plugins/lost").ok()?).filter(|info| !info["problem"].is_null())
    });
    assert!(info["problem"].to_string().contains("put it into the folder `upcasters`"), "{info}");
}

#[test]
fn types_are_listed_with_what_is_known_of_them_and_appends_are_held_to_enforced_schemas() {
    let setting = Setting::new();
    setting.put("shop.toml", RULES.as_bytes());
    let schemas = setting.plugins.path().join("schemas");
    fs::create_dir_all(&schemas).unwrap();
    let paid = r#"{ "x-enforce": true, "type": "object", "required": ["sum"], "properties": { "sum": { "type": "integer" } } }"#;
    replace(&schemas.join("Paid.1.json"), paid.as_bytes());
    let manifest = "[subscribe]\ntypes = [\"Asked\"]\n[delivery]\nmax_attempts = 1\n[config]\nemits = \"Paid\"\n[grants]\nappend = [\"Paid\"]\n";
    install(setting.plugins.path(), "it", &Example { name: "it", component: guests::FEEDBACK, manifest });
    let server = setting.start();
    append(&server, "Paid", 1, &json!({ "sum": 1 }));
    append(&server, "OrderPlaced", 1, &json!({ "qty": 1 }));
    append(&server, "OrderPlaced", 2, &json!({ "quantity": 1 }));
    append(&server, "OrderPlaced", 7, &json!({ "quantity": 1 }));
    append(&server, "OrderPlaced", 2, &json!({ "quantity": 2 }));

    let refused = |data: Value| {
        let events = json!({ "events": [{ "type": "Other", "data": 1 }, { "type": "Paid", "data": data }] });
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(format!("{}/v1/events", server.url())).send_json(events).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    };
    let (status, problem) = refused(json!({ "sum": "1" }));
    assert_eq!(
        (status, &problem["type"], &problem["index"]),
        (400, &json!("urn:tidemill:problem:invalid-event"), &json!(1))
    );
    let wrong = &problem["errors"][0];
    assert_eq!((&wrong["path"], &wrong["pointer"]), (&json!("/sum"), &json!("/sum")), "{problem}");
    assert_eq!((&wrong["reason"], wrong["message"].is_string()), (&wrong["message"], true), "{problem}");
    assert_eq!(read(&server, "type=Other"), [], "nothing of it is stored");

    append(&server, "Asked", 1, &json!(1));
    server.settle("it");
    let letters = server.get("/v1/plugins/it/dead-letters")["dead_letters"].to_string();
    assert!(letters.contains("data is not what the schema of Paid 1 asks for"), "{letters}");

    let types = server.get("/v1/types")["types"].clone();
    let row = |name: &str| types.as_array().unwrap().iter().find(|row| row["type"] == name).unwrap().clone();
    let paid = json!({ "type": "Paid", "events": 1, "lifted": false, "schemas": [1], "enforced": true });
    assert_eq!(row("Paid"), paid);
    assert_eq!((row("OrderPlaced")["lifted"].clone(), row("OrderCreated")["events"].clone()), (json!(true), json!(0)));
    let order = server.get("/v1/types/OrderPlaced");
    assert_eq!((&order["first"]["schema_version"], &order["last"]["schema_version"]), (&json!(1), &json!(2)));
    assert_eq!(order["lifts"].as_array().unwrap().len(), 2);
    let versions = json!([{ "version": 1, "events": 1 }, { "version": 2, "events": 2 }, { "version": 7, "events": 1 }]);
    assert_eq!((&order["versions"], &order["next"], &order["events"]), (&versions, &Value::Null, &json!(4)));
    let rest = server.get(&format!("/v1/types/OrderPlaced?after={}", order["first"]["position"]));
    assert_eq!(rest["versions"][0], json!({ "version": 2, "events": 2 }), "those behind it: {rest}");
    let run =
        |arguments: &[&str]| tidemill().args(["--server", server.url(), "types"]).args(arguments).output().unwrap();
    let listed = String::from_utf8(run(&["ls"]).stdout).unwrap();
    assert!(listed.contains("OrderCreated") && listed.contains("ENFORCED"), "{listed}");
    let shown = String::from_utf8(run(&["show", "OrderPlaced"]).stdout).unwrap();
    assert!(shown.contains("lift     OrderPlaced 2 to OrderCreated 1"), "{shown}");
    assert!(shown.contains("version  2: 2 events\nversion  7: 1 events"), "{shown}");
    let shown: Value = serde_json::from_slice(&run(&["show", "OrderPlaced", "--json"]).stdout).unwrap();
    assert_eq!((&shown["versions"], &shown["lifts"]), (&versions, &order["lifts"]));
    let listed = String::from_utf8(run(&["ls", "--versions", "--json"]).stdout).unwrap();
    let mut rows = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(rows.any(|row| row == json!({ "type": "OrderPlaced", "version": 7, "events": 1 })), "{listed}");
    assert_eq!(run(&["show", "Nothing"]).status.code(), Some(3));

    replace(&schemas.join("Paid.1.json"), b"{ \"$ref\": \"https://example.com/paid.json\" }");
    let told = poll("the problem to be told", || Some(problems(&server)).filter(|told| told.contains("Paid.1.json")));
    assert!(told.contains("outside the document"), "{told}");
    assert_eq!(refused(json!({ "sum": "1" })).0, 400, "what held before goes on");
    replace(&schemas.join("Paid.1.json"), b"{ \"type\": \"object\" }");
    poll("the schema to be taken", || (refused(json!({ "sum": "1" })).0 == 201).then_some(()));
}

/// Sends a command to account 1; answers the status and the body.
fn command(server: &Server, id: &str, what: &str, data: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let body = json!({ "id": id, "type": what, "data": data });
    let mut answer = agent.post(format!("{}/v1/commands/account/1", server.url())).send_json(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

fn balance(server: &Server) -> Value {
    server.get("/v1/streams/account-1/state")["state"]["balance_cents"].clone()
}

#[test]
fn aggregates_are_made_of_events_as_they_are_today_and_anew_when_the_chain_changes() {
    let setting = Setting::new();
    let lift = |rule: &str| {
        format!("[[upcast]]\ntype = \"PaidIn\"\nfrom = 1\nto = 1\nas = \"MoneyDeposited\"\nrules = [{rule}]\n")
    };
    setting.put("bank.toml", lift("{ rename = \"/amount\", to = \"cents\" }").as_bytes());
    install(setting.plugins.path(), "account", &ACCOUNT);
    let server = setting.start();
    assert_eq!(command(&server, "open", "Open", &json!({ "owner": "ada" })).0, 201);
    append_to(&server, Some("account-1"), "PaidIn", 1, &json!({ "amount": 5, "low": 2 }));
    let (status, answer) = command(&server, "all", "Withdraw", &json!({ "cents": 6 }));
    assert_eq!((status, &answer["details"]["balance_cents"]), (422, &json!(5)), "{answer}");
    assert_eq!(command(&server, "some", "Withdraw", &json!({ "cents": 1 })).1["version"], 3);
    assert_eq!(balance(&server), 4);

    setting.put("bank.toml", lift("{ rename = \"/low\", to = \"cents\" }").as_bytes());
    poll("the aggregate to be made anew", || (balance(&server) == 1).then_some(()));
    let (status, answer) = command(&server, "later", "Withdraw", &json!({ "cents": 2 }));
    assert_eq!((status, &answer["details"]["balance_cents"]), (422, &json!(1)), "what was in memory, too: {answer}");

    setting.put("bank.toml", lift("{ rename = \"/low\", to = \"amount\" }").as_bytes());
    let mut tried = 0;
    let failed = poll("the lift to fail", || {
        tried += 1;
        let (status, answer) = command(&server, &format!("failing-{tried}"), "Deposit", &json!({ "cents": 1 }));
        (status == 500).then_some(answer)
    });
    assert_eq!((&failed["type"], &failed["fault"]), (&json!("urn:tidemill:problem:command-failed"), &json!("upcast")));
    assert!(failed["detail"].as_str().unwrap().contains("bank.toml:1 says: beside /low there is"), "{failed}");
    assert_eq!(failed["version"], 2, "{failed}");
    assert!(failed["upcaster"].as_str().unwrap().ends_with("bank.toml:1"), "{failed}");
    assert_eq!(failed["evidence"], json!({ "stderr_tail": "", "backtrace": "" }), "rules leave nothing behind");
    assert_eq!(server.try_text("/v1/streams/account-1/state").unwrap().0, 500);
}

#[test]
fn a_broken_schema_at_the_start_holds_back_its_own_type_only() {
    let setting = Setting::new();
    let schemas = setting.plugins.path().join("schemas");
    fs::create_dir_all(schemas.join("Folder.1.json")).unwrap();
    replace(&schemas.join("Paid.1.json"), br#"{ "x-enforce": true, "type": "object" }"#);
    replace(&schemas.join("Sent.1.json"), b"{");
    let server = setting.start();
    let sent = |event_type: &str, data: Value| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let body = json!({ "events": [{ "type": event_type, "data": data }] });
        let mut answer = agent.post(format!("{}/v1/events", server.url())).send_json(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    for event_type in ["Sent", "Folder"] {
        let (status, text) = sent(event_type, json!({}));
        assert!(
            status == 400 && text.contains("until that is mended") && text.contains(&format!("{event_type}.1.json")),
            "{text}"
        );
    }
    assert_eq!((sent("Paid", json!(1)).0, sent("Paid", json!({})).0, sent("Other", json!(1)).0), (400, 201, 201));
    let told = poll("the problem to be told", || Some(problems(&server)).filter(|told| told.contains("Sent.1.json")));
    assert!(told.contains("Folder.1.json"), "{told}");
    replace(&schemas.join("Sent.1.json"), b"{}");
    poll("the schema to be taken", || (sent("Sent", json!({})).0 == 201).then_some(()));
}

#[test]
fn an_append_that_is_stored_is_answered_again_whatever_its_schema_asks_for_by_now() {
    let setting = Setting::new();
    let schemas = setting.plugins.path().join("schemas");
    fs::create_dir_all(&schemas).unwrap();
    let server = setting.start();
    let id = |last: u64| format!("0199a0a0-0000-7000-8000-{last:012}");
    let sent = |last: u64, data: Value| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let body = json!({ "events": [{ "id": id(last), "type": "Paid", "data": data }] });
        let mut answer = agent.post(format!("{}/v1/events", server.url())).send_json(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    };
    let (_, first) = sent(1, json!(1));
    replace(&schemas.join("Paid.1.json"), br#"{ "x-enforce": true, "type": "object" }"#);
    let mut number = 1;
    poll("the schema to be taken", || {
        number += 1;
        (sent(number, json!(2)).0 == 400).then_some(())
    });
    let (status, again) = sent(1, json!(1));
    assert_eq!((status, &again["first_position"]), (201, &first["first_position"]), "{again}");
    let (status, other) = sent(1, json!(3));
    assert_eq!((status, &other["type"]), (409, &json!("urn:tidemill:problem:id-conflict")), "{other}");
}
