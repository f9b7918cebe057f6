//! `tidemill plugins test`: fixtures run without a server, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill::kit::{CheckError, Kit};
use tidemill_plugins::{ACCOUNT, ORDER_TOTALS};
use tidemill_tests::{guests, tidemill};

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins/order-totals/fixtures")
}

/// A folder with a plugin and a fixture.
struct Folder(TempDir);

impl Folder {
    fn of(component: &[u8], manifest: &str, fixture: &Value) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("plugin.wasm"), component).unwrap();
        fs::write(folder.path("plugin.toml"), manifest).unwrap();
        folder.write(fixture);
        folder
    }

    fn order_totals(fixture: &Value) -> Self {
        Self::of(ORDER_TOTALS.component, ORDER_TOTALS.manifest, fixture)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, fixture: &Value) {
        fs::write(self.path("fixture.json"), fixture.to_string()).unwrap();
    }

    fn fixture(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("fixture.json")).unwrap()).unwrap()
    }

    /// Exit code, stdout and stderr of a run over fixtures at a place.
    fn test(&self, fixtures: &Path, options: &[&str]) -> (Option<i32>, String, String) {
        let mut command = tidemill();
        command.args(["plugins", "test"]).arg(self.path("plugin.wasm")).arg(fixtures).args(options);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn own(&self, options: &[&str]) -> (Option<i32>, String, String) {
        self.test(&self.path("fixture.json"), options)
    }
}

fn placed(cents: u64) -> Value {
    json!({ "type": "OrderPlaced", "data": { "order": "1", "customer": "ada", "total_cents": cents } })
}

#[test]
fn a_plugin_passes_its_fixtures_also_twice_and_after_crashes() {
    let folder = Folder::order_totals(&json!({}));
    for options in [&[][..], &["--twice"], &["--crash"], &["--twice", "--crash"]] {
        let (exit, shown, errors) = folder.test(&shared(), options);
        assert_eq!(exit, Some(0), "{options:?}: {shown}{errors}");
        assert_eq!(shown.lines().filter(|line| line.starts_with("ok ")).count(), 6, "{options:?}: {shown}");
    }
}

#[test]
fn a_plugin_whose_keys_do_not_meet_passes_in_partitions() {
    let placed = |order: u32| {
        let customer = format!("c-{}", order % 5);
        let data = json!({ "order": order.to_string(), "customer": customer, "total_cents": 1 });
        json!({ "type": "OrderPlaced", "stream": customer, "data": data })
    };
    let when: Vec<_> = (0..50).map(placed).collect();
    let folder = Folder::order_totals(&json!({ "when": when, "then": { "state": {}, "dead_letters": [] } }));
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    assert_eq!(folder.fixture()["then"]["state"]["customer/c-3"]["orders"], 10);
    let (exit, shown, errors) = folder.own(&["--shuffle-partitions"]);
    assert_eq!(exit, Some(0), "{shown}{errors}");
}

#[test]
fn a_plugin_whose_keys_meet_is_found_in_partitions() {
    // Of one customer, by two keys: what remains follows from which of them comes last.
    let placed = |order: u32| {
        let data = json!({ "order": order.to_string(), "customer": "ada", "total_cents": 1 });
        json!({ "type": "OrderPlaced", "stream": "orders-1", "data": data })
    };
    let left = json!({ "type": "CustomerLeft", "stream": "customers-1", "data": { "customer": "ada" } });
    let mut when: Vec<_> = (0..10).flat_map(|order| [placed(order), left.clone()]).collect();
    when.push(placed(10));
    let folder = Folder::order_totals(&json!({
        "when": when,
        "then": { "state": { "customer/ada": { "orders": 1, "cents": 1, "vip": false }, "order/ada/10": 1 } }
    }));
    for options in [&[][..], &["--twice"], &["--crash"]] {
        let (exit, shown, errors) = folder.own(options);
        assert_eq!(exit, Some(0), "{options:?}: {shown}{errors}");
    }
    let (exit, shown, errors) = folder.own(&["--shuffle-partitions"]);
    assert_eq!(exit, Some(1), "{shown}{errors}");
    assert!(shown.contains("FAILED   fixture") && shown.contains("  state \"customer/ada\""), "{shown}");
}

#[test]
fn what_is_said_of_an_appended_event_is_compared() {
    let appended = |more: Value| {
        let mut event = json!({
            "cause": 0, "type": "BigOrderSeen", "stream": "order-7", "tags": ["big"], "data": { "order": "7" }
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let placed = json!({ "type": "OrderPlaced", "data": { "order": "7", "total_cents": 900_000 } });
        json!({ "when": [placed], "then": { "appended": [event] } })
    };
    let manifest = "[grants]\nappend = [\"BigOrderSeen\"]\n";
    let folder = Folder::of(guests::SDK_TYPED, manifest, &appended(json!({})));
    assert_eq!(folder.own(&[]).0, Some(0));
    for (said, passes) in [
        (json!({ "metadata": { "causation_depth": "1" } }), true),
        (json!({ "metadata": { "causation_depth": "2" } }), false),
        (json!({ "metadata": { "why": "big" } }), false),
        (json!({ "schema_version": 1 }), true),
        (json!({ "schema_version": 2 }), false),
    ] {
        folder.write(&appended(said.clone()));
        let (exit, shown, errors) = folder.own(&[]);
        assert_eq!(exit, Some(i32::from(!passes)), "{said}: {shown}{errors}");
        // What nobody asked for is not told: the host says it of every event.
        assert!(!shown.contains("correlation_id"), "{shown}");
    }
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    assert_eq!(folder.fixture()["then"], appended(json!({}))["then"]);
}

#[test]
fn a_key_that_no_state_has_is_no_state_to_begin_with() {
    let folder = Folder::order_totals(&json!({
        "given": { "state": { "": 1 } }, "when": [placed(7)], "then": { "dead_letters": [] }
    }));
    let (exit, _, errors) = folder.own(&[]);
    assert_eq!(exit, Some(2), "{errors}");
    assert!(errors.contains("state of `given`, under \"\": ") && errors.contains("1 to 1024"), "{errors}");
}

#[test]
fn who_forgets_the_manifest_is_told_of_it() {
    let folder = Folder::order_totals(&json!({ "when": [placed(7)], "then": { "dead_letters": [] } }));
    fs::rename(folder.path("plugin.toml"), folder.path("elsewhere.toml")).unwrap();
    let (exit, _, errors) = folder.own(&[]);
    assert_eq!(exit, Some(6), "{errors}");
    assert!(errors.contains("in [grants]: append") && errors.contains("say --manifest FILE"), "{errors}");
    let checked = tidemill().args(["plugins", "check"]).arg(folder.path("plugin.wasm")).output().unwrap();
    assert!(String::from_utf8_lossy(&checked.stderr).contains("say --manifest FILE"), "{checked:?}");
    let given = folder.path("elsewhere.toml");
    assert_eq!(folder.own(&["--manifest", given.to_str().unwrap()]).0, Some(0));
    fs::write(&given, "").unwrap();
    let (_, _, errors) = folder.own(&["--manifest", given.to_str().unwrap()]);
    assert!(!errors.contains("--manifest FILE"), "one was given: {errors}");
}

#[test]
fn what_differs_is_shown_and_reported() {
    let folder = Folder::order_totals(&json!({
        "about": "One that is wrong.",
        "when": [placed(7)],
        "then": { "state": { "customer/ada": 1 }, "appended": [] }
    }));
    let report = folder.path("report.xml");
    let (exit, shown, errors) = folder.own(&["--junit", report.to_str().unwrap()]);
    assert_eq!(exit, Some(1), "{shown}{errors}");
    for words in
        ["FAILED   fixture", "One that is wrong.", "state \"customer/ada\"", "  - 1", "\"cents\":7", "  - nothing"]
    {
        assert!(shown.contains(words), "{words} in: {shown}");
    }
    assert!(errors.contains("1 of 1 fixtures failed"), "{errors}");
    let report = fs::read_to_string(report).unwrap();
    assert!(
        report.contains("failures=\"1\"") && report.contains("<failure message=\"One that is wrong.\">"),
        "{report}"
    );
    let (_, shown, _) = folder.own(&["--json"]);
    let told: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(told["differences"].as_array().unwrap().len(), 2, "{told}");
}

#[test]
fn blessing_writes_down_what_came() {
    let folder = Folder::order_totals(&json!({ "when": [placed(7)], "then": {} }));
    let (exit, _, errors) = folder.own(&[]);
    assert!(exit == Some(2) && errors.contains("it expects nothing"), "{errors}");
    let (exit, shown, errors) = folder.own(&["--bless"]);
    assert_eq!(exit, Some(0), "{shown}{errors}");
    let blessed = folder.fixture();
    assert_eq!(blessed["then"]["state"]["customer/ada"]["cents"], 7, "{blessed}");
    assert_eq!(folder.own(&[]).0, Some(0));
}

#[test]
fn what_was_there_before_is_there() {
    let before = json!({ "customer/ada": { "orders": 1, "cents": 5, "vip": false }, "order/ada/0": 5 });
    let folder = Folder::order_totals(&json!({
        "given": { "state": before, "events": [placed(5)] },
        "when": [placed(7)],
        "then": { "state": {
            "customer/ada": { "orders": 2, "cents": 12, "vip": false }, "order/ada/0": 5, "order/ada/1": 7
        } }
    }));
    let (exit, shown, errors) = folder.own(&[]);
    assert_eq!(exit, Some(0), "{shown}{errors}");
}

#[test]
fn what_is_no_fixture_is_refused_with_the_reason() {
    let refused = |fixture: Value, words: &str| {
        let (exit, _, errors) = Folder::order_totals(&fixture).own(&[]);
        assert!(exit == Some(2) && errors.contains(words), "{exit:?} {words} in: {errors}");
    };
    refused(
        json!({ "when": [placed(1)], "then": { "stat": {} } }),
        "in `then`: unknown field `stat`; did you mean `state`?",
    );
    refused(
        json!({ "when": [{ "type": "A", "timestamp": "noon" }], "then": { "state": {} } }),
        "`timestamp` is \"noon\"",
    );
    refused(json!({ "when": [], "then": { "appended": [] } }), "`when` has no event");
    refused(json!({ "when": [{ "data": 1 }], "then": { "appended": [] } }), "event 0 of `when`: `type` is missing");
    let folder = Folder::order_totals(&json!({}));
    let (exit, _, errors) = folder.test(&folder.path("nowhere"), &[]);
    assert!(exit == Some(3) && errors.contains("nowhere cannot be read"), "{errors}");
    let (exit, _, errors) =
        Folder::of(guests::NO_EXPORTS, "", &json!({ "when": [placed(1)], "then": { "appended": [] } })).own(&[]);
    assert!(exit == Some(2) && errors.contains("which makes it no plugin"), "{errors}");
}

#[test]
fn a_plugin_that_keeps_its_state_to_itself_is_found_out_by_a_crash() {
    let fixture = json!({
        "when": [{ "type": "A" }, { "type": "A" }],
        "then": { "dead_letters": [] }
    });
    let folder = Folder::of(
        guests::INSTANCE_COUNTER,
        "[grants]\nappend = [\"*\"]\n[delivery]\nbatch_events_max = 1\n",
        &fixture,
    );
    let (exit, shown, errors) = folder.own(&["--bless"]);
    assert_eq!(exit, Some(0), "{shown}{errors}");
    // What it counts in its own memory, and writes, is another number when it begins anew.
    let mut all = folder.fixture();
    all["then"]["state"] = json!({});
    folder.write(&all);
    folder.own(&["--bless"]);
    assert_eq!(folder.own(&[]).0, Some(0));
    assert_eq!(folder.own(&["--crash"]).0, Some(1));
}

/// Five events, the third of which is set aside with a warning.
const LOGGED: &str = "\
about: What is logged is told once for each event.   # whatever the batches
when: [{ type: A }, { type: B }, { type: Poison }, { type: C }]
then:
  dead_letters: [{ event: 2, kind: reject, attempts: 1, reason: [poison] }]
  log:
    - { level: info, message: saw A }
    - { level: info, message: saw B }
    - { level: warn, message: it is poison }
    - { level: info, message: saw C }
";

#[test]
fn log_lines_are_compared_once_for_each_event_also_twice_and_after_crashes() {
    let folder = Folder::of(guests::LOG_LINES, "", &json!({}));
    let fixture = folder.path("logged.yaml");
    fs::write(&fixture, LOGGED).unwrap();
    for options in [&[][..], &["--twice"], &["--crash"], &["--twice", "--crash"], &["--shuffle-partitions"]] {
        let (exit, shown, errors) = folder.test(&fixture, options);
        assert_eq!(exit, Some(0), "{options:?}: {shown}{errors}");
    }
    fs::write(&fixture, LOGGED.replace("saw B", "saw it")).unwrap();
    let (exit, shown, _) = folder.test(&fixture, &[]);
    assert_eq!(exit, Some(1), "{shown}");
    let wanted = "log line 1\n    - {\"level\":\"info\",\"message\":\"saw it\"}\n    + {\"level\":\"info\",\"message\":\"saw B\"}";
    assert!(shown.contains(wanted), "{shown}");
}

#[test]
fn a_wait_that_is_asked_for_is_compared_and_takes_no_time() {
    let wait = json!({ "event": 0, "after_ms": 3_600_000, "reason": ["again in 3600000 ms"] });
    let fixture = json!({
        "config": { "after_ms": 3_600_000 },
        "when": [{ "type": "Poison" }, { "type": "A" }],
        "then": {
            "waits": [wait, wait, wait],
            "dead_letters": [{ "event": 0, "kind": "retry", "attempts": 2, "reason": ["again"] }]
        }
    });
    let folder = Folder::of(guests::RETRY_AFTER, "", &fixture);
    for options in [&[][..], &["--twice"], &["--crash"], &["--shuffle-partitions"]] {
        let (exit, shown, errors) = folder.own(options);
        assert_eq!(exit, Some(0), "{options:?}: {shown}{errors}");
    }
    let mut wrong = fixture;
    wrong["then"]["waits"][2]["after_ms"] = json!(1);
    folder.write(&wrong);
    let (exit, shown, _) = folder.own(&[]);
    assert!(exit == Some(1) && shown.contains("  wait 2\n"), "{shown}");
}

#[test]
fn what_is_printed_counts_as_logged() {
    let fixture = json!({
        "config": { "prints": true },
        "when": [{ "type": "A" }],
        "then": { "log": [{ "level": "info", "message": "saw A" }, { "level": "info", "message": "printed A" }] }
    });
    let (exit, shown, errors) = Folder::of(guests::LOG_LINES, "", &fixture).own(&[]);
    assert_eq!(exit, Some(0), "{shown}{errors}");
}

#[test]
fn a_fixture_in_yaml_is_blessed_in_yaml_and_keeps_its_comments() {
    let folder = Folder::of(guests::LOG_LINES, "", &json!({}));
    let fixture = folder.path("logged.yml");
    fs::write(&fixture, LOGGED.replace("saw B", "saw it")).unwrap();
    let (exit, shown, errors) = folder.test(&fixture, &["--bless"]);
    assert!(exit == Some(0) && shown.starts_with("blessed "), "{shown}{errors}");
    let blessed = fs::read_to_string(&fixture).unwrap();
    assert!(blessed.contains("# whatever the batches") && blessed.contains("message: saw B"), "{blessed}");
    assert_eq!(folder.test(&fixture, &[]).0, Some(0), "{blessed}");
    assert_eq!(folder.test(&fixture, &["--bless"]).0, Some(0));
    assert_eq!(fs::read_to_string(&fixture).unwrap(), blessed, "what passes stays as it is written");
}

#[test]
fn an_event_is_of_the_time_that_it_says() {
    let fixture = |first: &str, second: &str| {
        let when = json!([{ "type": "A", "timestamp": first }, { "type": "A", "timestamp": second }]);
        let then = json!({ "state": { "last_us": 1_769_860_800_000_000_u64 } });
        Folder::of(guests::LOG_LINES, "", &json!({ "when": when, "then": then }))
    };
    let (exit, shown, errors) = fixture("2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z").own(&[]);
    assert_eq!(exit, Some(0), "{shown}{errors}");
    let (exit, _, errors) = fixture("2026-02-01T12:00:00Z", "2026-01-31T12:00:00Z").own(&[]);
    assert!(exit == Some(2) && errors.contains("event 1 of `when`: its `timestamp` is before"), "{errors}");
}

/// Rules for orders, and what must come of three of them.
const RULES: &str = "[[upcast]]\ntype = \"Placed\"\nfrom = 1\nrules = [{ rename = \"/qty\", to = \"quantity\" }]\n\
                     [[upcast]]\ntype = \"Placed\"\nfrom = 2\nrules = [{ convert = \"/quantity\", to = \"integer\" }]\n";

#[test]
fn rules_that_lift_events_are_tested_without_a_component() {
    let folder = Folder::of(guests::UPCASTER, "", &json!({}));
    let (rules, fixture) = (folder.path("upcasters/orders.toml"), folder.path("lifted.yaml"));
    fs::create_dir(folder.path("upcasters")).unwrap();
    fs::write(&rules, RULES).unwrap();
    let when = "when:\n  - { type: Placed, schema_version: 1, data: { qty: '2' } }\n  - { type: Placed, schema_version: 2, \
                data: { quantity: many } }\n  - { type: Other, data: 1 }\n";
    fs::write(&fixture, when).unwrap();
    let test = |what: &Path, options: &[&str]| {
        let output = tidemill().args(["plugins", "test"]).arg(what).arg(&fixture).args(options).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert!(test(&rules, &[]).1.contains("it expects nothing"));
    assert_eq!(test(&rules, &["--bless"]).0, Some(0));
    let blessed = fs::read_to_string(&fixture).unwrap();
    for words in ["quantity: 2", "schema_version: 3", "event: 2", "refused:", "/quantity"] {
        assert!(blessed.contains(words), "{words} in: {blessed}");
    }
    for place in ["orders.toml", "cannot be lifted"] {
        assert!(!blessed.contains(place), "{place}, which is another elsewhere, in: {blessed}");
    }
    for options in [&[][..], &["--twice"], &["--crash"]] {
        assert_eq!(test(&rules, options).0, Some(0), "{options:?}");
        assert_eq!(test(&folder.path("upcasters"), options).0, Some(0), "their folder, as one chain");
    }
    Kit::open_upcasters(&rules).unwrap().check(&fixture).unwrap();
    fs::write(&fixture, blessed.replace("quantity: 2", "quantity: 3")).unwrap();
    let (exit, said) = test(&rules, &[]);
    assert!(exit == Some(1) && said.contains("lifted event 0"), "{said}");
    fs::write(folder.path("upcasters/again.toml"), RULES).unwrap();
    let (exit, said) = test(&folder.path("upcasters"), &[]);
    assert!(exit == Some(2) && said.contains("overlap"), "{said}");
    fs::create_dir(folder.path("empty")).unwrap();
    let (exit, said) = test(&folder.path("empty"), &[]);
    assert!(exit == Some(2) && said.contains("holds no lift"), "{said}");
}

#[test]
fn a_component_that_lifts_events_is_tested_with_what_it_refuses() {
    let fixture = json!({
        "when": [
            { "type": "Bought", "data": 1 }, { "type": "Pair", "data": 2 }, { "type": "Bought", "data": "poison" },
            { "type": "Bought", "data": "trap" }, { "type": "Bought", "data": "other" }
        ],
        "then": {
            "lifted": [
                { "event": 0, "type": "Bought", "schema_version": 2, "data": { "was": 1 } },
                { "event": 1, "type": "Left", "schema_version": 3, "data": 2 },
                { "event": 1, "type": "Right", "schema_version": 1, "data": 2 }
            ],
            "refused": [
                { "event": 2, "reason": ["it is poisoned"] }, { "event": 3, "reason": ["trap"] },
                { "event": 4, "reason": ["does not declare"] }
            ]
        }
    });
    let folder = Folder::of(guests::UPCASTER, "", &fixture);
    for options in [&[][..], &["--twice"], &["--crash"]] {
        let (exit, shown, errors) = folder.own(options);
        assert_eq!(exit, Some(0), "{options:?}: {shown}{errors}");
    }
}

#[test]
fn parts_of_another_role_are_refused() {
    let refused = |component: &[u8], manifest: &str, fixture: &Value, words: &str| {
        let (exit, shown, errors) = Folder::of(component, manifest, fixture).own(&[]);
        assert!(exit == Some(2) && errors.contains(words), "{words} in: {shown}{errors}");
    };
    let (event, command) = (json!([{ "type": "A", "data": 1 }]), json!([{ "command": "Close" }]));
    let of = |when: &Value, then: Value| json!({ "when": when, "then": then });
    let words = "`then.appended` is not of an upcaster, for which `then` has `lifted`, `refused`";
    refused(guests::UPCASTER, "", &of(&event, json!({ "appended": [] })), words);
    let account = |fixture: &Value, words| refused(ACCOUNT.component, ACCOUNT.manifest, fixture, words);
    account(&of(&command, json!({ "log": [] })), "`then.log` is not of an aggregate");
    let mut given = of(&event, json!({ "lifted": [] }));
    given["given"] = json!({ "events": event });
    refused(guests::UPCASTER, "", &given, "`given` is not of an upcaster");
    account(&of(&command, json!({ "outcomes": [{ "rejecton": "A" }] })), "did you mean `rejection`?");
    let (component, manifest) = (ORDER_TOTALS.component, ORDER_TOTALS.manifest);
    refused(component, manifest, &of(&event, json!({ "outcomes": [] })), "`then.outcomes` is not of a subscriber");
}

#[test]
fn three_lines_make_a_test_of_cargo_test() -> Result<(), CheckError> {
    let folder = Folder::order_totals(&json!({ "when": [placed(7)], "then": { "state": {} } }));
    let kit = Kit::open(folder.path("plugin.wasm"), folder.path("plugin.toml"))?;
    let failed = kit.check(folder.path("fixture.json")).unwrap_err();
    let told = format!("{failed:?}");
    for words in ["3 of 3 fixtures failed", "fixture (crashing): ", "customer/ada", "  - nothing"] {
        assert!(told.contains(words), "{words} in: {told}");
    }
    kit.check(shared())
}

#[test]
fn commands_that_a_plugin_sends_are_seen_whole() {
    let manifest = "[grants]\ndispatch = [\"account:Deposit\"]\n";
    let sent = json!({ "cause": 0, "aggregate": "account", "key": "7", "type": "Deposit", "data": { "cents": 1 } });
    let fixture = |sent: &Value| json!({ "when": [{ "type": "Tick" }], "then": { "appended": [], "dispatched": [sent], "dead_letters": [] } });
    let folder = Folder::of(guests::DISPATCH, manifest, &fixture(&sent));
    for options in [&[][..], &["--twice"], &["--crash"], &["--shuffle-partitions"]] {
        let (exit, shown, errors) = folder.own(options);
        assert_eq!(exit, Some(0), "{options:?}: {shown}{errors}");
    }
    for (part, other) in [("type", "Withdraw"), ("key", "8"), ("aggregate", "order")] {
        let mut wrong = sent.clone();
        wrong[part] = other.into();
        folder.write(&fixture(&wrong));
        let (exit, shown, _) = folder.own(&[]);
        assert!(exit == Some(1) && shown.contains("dispatched command 0"), "{part}: {shown}");
    }
    folder.write(&json!({ "when": [{ "type": "Tick" }] }));
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    let blessed = folder.fixture();
    assert_eq!((&blessed["then"]["dispatched"], &blessed["then"]["appended"]), (&json!([sent]), &json!([])));
}

#[test]
fn what_a_plugin_does_not_listen_to_is_told_and_alone_it_is_no_test() {
    let ticks = |types: &[&str]| {
        let when: Vec<_> = types.iter().map(|name| json!({ "type": name })).collect();
        let fixture = json!({ "when": when, "then": { "dead_letters": [] } });
        Folder::of(guests::DISPATCH, "[grants]\ndispatch = [\"account:Deposit\"]\n", &fixture).own(&[])
    };
    let told = "event 1 of `when` is of the type Tik, to which it does not listen; did you mean Tick?";
    let (exit, shown, errors) = ticks(&["Tick", "Tik"]);
    assert!(exit == Some(0) && shown.contains(&format!("warning: {told}")), "{shown}{errors}");
    let (exit, _, errors) = ticks(&["Tik", "Elsewhere"]);
    assert!(exit == Some(2) && errors.contains("listens to no event of `when`, so nothing is handled"), "{errors}");
}

#[test]
fn queries_that_nobody_answers_are_refused_and_never_blessed_away() {
    let asked = json!({ "when": [{ "type": "A" }], "then": { "queries": [{ "query": "totals", "answer": 1 }] } });
    let folder = Folder::of(guests::OK, "", &asked);
    for options in [&[][..], &["--bless"]] {
        let (exit, _, errors) = folder.own(options);
        assert!(exit == Some(2) && errors.contains("exports no `projection`"), "{options:?}: {errors}");
    }
    assert_eq!(folder.fixture(), asked);
}

#[test]
fn a_fixture_that_cannot_be_run_keeps_no_other_from_it() {
    let folder = Folder::order_totals(&json!({}));
    let fixtures = folder.path("fixtures");
    fs::create_dir(&fixtures).unwrap();
    let write = |name: &str, text: &str| fs::write(fixtures.join(name), text).unwrap();
    write("a.json", "{ \"when\": [");
    write(
        "b <\"b\">.json",
        &json!({ "about": "1 < 2 & \"so\"", "when": [placed(7)], "then": { "state": {} } }).to_string(),
    );
    write("c.json", &json!({ "when": [placed(7)], "then": { "appended": [] } }).to_string());
    let report = folder.path("report.xml");
    let (exit, shown, errors) = folder.test(&fixtures, &["--junit", report.to_str().unwrap()]);
    assert_eq!(exit, Some(2), "{shown}{errors}");
    for words in ["ERROR    a\n", "a.json is no fixture", "FAILED   b <", "ok       c "] {
        assert!(shown.contains(words), "{words} in: {shown}");
    }
    assert!(errors.contains("1 of 3 fixtures were not run, 1 failed: "), "{errors}");
    let report = fs::read_to_string(report).unwrap();
    for words in [
        "tests=\"3\" failures=\"1\" errors=\"1\"",
        "<testcase name=\"a\" time=\"0\"><error message=\"",
        "<testcase name=\"b &lt;&quot;b&quot;&gt;\"",
        "<failure message=\"1 &lt; 2 &amp; &quot;so&quot;\">",
    ] {
        assert!(report.contains(words), "{words} in: {report}");
    }
    let (_, shown, _) = folder.test(&fixtures, &["--json"]);
    let told: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["name"], told[0]["error"].is_string(), told.len()), (&json!("a"), true, 3), "{shown}");
}
