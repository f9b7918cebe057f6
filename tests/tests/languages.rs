//! Plugins in every language that has an SDK: the template of each is built with its own tools and runs, and
//! the same plugin written in each passes the same fixtures.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidemill::kit::{Fixture, Kit, Then, Written};
use tidemill_plugins::{ACCOUNT, ORDER_TOTALS};
use tidemill_templates::{LANGUAGES, Language};
use tidemill_tests::projects::{Project, can_build};
use tidemill_tests::{decisions, fixtures, tidemill, told};

fn plugin(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins").join(name)
}

fn order_totals() -> PathBuf {
    plugin("order-totals")
}

/// The shared fixtures, and one with more orders than a page of a scan holds.
fn shared_fixtures() -> Vec<(String, Fixture)> {
    let mut all = fixtures::all(&order_totals().join("fixtures"));
    let placed = |customer: &str, order: u32| json!({ "type": "OrderPlaced", "data": { "order": order.to_string(), "customer": customer, "total_cents": 1 } });
    let mut when: Vec<_> = (0..600).map(|order| placed("many", order)).collect();
    when.push(placed("other", 1));
    when.push(json!({ "type": "CustomerLeft", "data": { "customer": "many" } }));
    let state = [
        ("customer/other".to_owned(), json!({ "orders": 1, "cents": 1, "vip": false })),
        ("order/other/1".to_owned(), json!(1)),
    ];
    let then = Then {
        state: Some(state.into()),
        appended: Some(Vec::new()),
        dead_letters: Some(Vec::new()),
        ..Then::default()
    };
    let about = "A scan goes over every page.".to_owned();
    let when = when.into_iter().map(Written::from).collect();
    all.push(("many-orders".to_owned(), Fixture { about, when, then, ..Fixture::default() }));
    all
}

fn example_passes(language: &str) {
    let language = Language::named(language).unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::new(language, "example", "order-totals");
    let file = Path::new(language.source).file_name().unwrap();
    project.replace_source(&order_totals().join(language.name).join(file));
    project.answer_queries();
    says_its_schema(&fixtures::run(&project.build(), ORDER_TOTALS.manifest, &shared_fixtures()));
}

/// The example says which schema its state has, in every language alike.
fn says_its_schema(told: &Value) {
    assert_eq!(told.pointer("/description/state_schema"), Some(&json!("1")), "{told}");
}

/// The account, in a language that has aggregates.
fn account_passes(language: &str) {
    let language = Language::named(language).unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::new(language, "account", "account");
    let file = Path::new(language.source).file_name().unwrap();
    project.replace_source(&plugin("account").join(language.name).join(file));
    project.decide_commands();
    let component = project.build();
    decisions::run(&component, ACCOUNT.manifest, "account", &fixtures::all(&plugin("account").join("fixtures")));
    // What it decides follows from its events alone, and from its snapshot as well.
    fs::write(project.folder().join("account.wasm"), component).unwrap();
    let kit = Kit::open(project.folder().join("account.wasm"), plugin("account").join("plugin.toml")).unwrap();
    kit.check(plugin("account").join("fixtures")).unwrap();
}

/// The template of every role that the language has is built. What handles events is run by the real host on its
/// fixtures; each is tested as its README says.
fn templates_work(language: &str) {
    let language = Language::named(language).unwrap();
    if !can_build(language) {
        return;
    }
    for role in language.roles() {
        let name = format!("a-{}", role.name);
        let project = Project::of_role(language, role.name, "template", &name);
        let component = project.build();
        let manifest = fs::read_to_string(project.folder().join("plugin.toml"));
        if let (Ok(manifest), "subscriber" | "projection") = (&manifest, role.name) {
            fixtures::run(&component, manifest, &fixtures::all(&project.folder().join("fixtures")));
        }
        check_and_test(project.folder(), &component, manifest.is_ok(), role.name);
        let packed = project.pack();
        assert!(packed.status.success(), "{}: {packed:?}", role.name);
    }
}

/// Its handlers answer true, whatever became of what they asked for.
const HEEDLESS: &str = r#"
#include "tidemill.h"

static bool appends(tm_event *e) {
    tm_new_event nameless = {.payload = TM_TEXT("{}")};
    tm_append(e, &nameless);
    return true;
}

static bool writes(tm_event *e) {
    tm_state_set(e, TM_TEXT(""), TM_TEXT("1"));
    return true;
}

static bool counts(tm_event *e) { return tm_state_set(e, TM_TEXT("good"), TM_TEXT("1")); }

static const tm_handler HANDLERS[] = {{"Appends", appends}, {"Writes", writes}, {"Counts", counts}, {0}};

const tm_plugin tidemill_plugin = {.name = "heedless", .handlers = HANDLERS};
"#;

#[test]
fn what_the_host_refuses_in_c_is_a_failure_whatever_the_handler_answers() {
    let language = Language::named("c").unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::new(language, "heedless", "heedless");
    fs::write(project.folder().join("plugin.c"), HEEDLESS).unwrap();
    let fixture = json!({
        "about": "A refused call is told.",
        "when": [{ "type": "Appends", "data": {} }, { "type": "Writes", "data": {} }, { "type": "Counts", "data": {} }],
        "then": {
            "state": { "good": 1 },
            "appended": [],
            "dead_letters": [
                { "event": 0, "kind": "reject", "attempts": 1, "reason": ["type"] },
                { "event": 1, "kind": "reject", "attempts": 1, "reason": ["key"] }
            ]
        }
    });
    let fixture = Fixture::parse(Path::new("heedless.json"), &fixture.to_string()).unwrap();
    fixtures::run(&project.build(), "[subscribe]\ntypes = [\"*\"]\n", &[("heedless".to_owned(), fixture)]);
}

/// It deletes after a scan what it found in it.
const SWEEPING: &str = r#"
#include "tidemill.h"

typedef struct {
    tm_text keys[8], values[8];
    size_t count;
} found;

static bool note(tm_event *e, tm_text key, tm_text value, void *with) {
    found *all = with;
    if (all->count == 8) return tm_stop(e, "more than were written");
    all->keys[all->count] = key;
    all->values[all->count++] = value;
    return true;
}

static bool sweep(tm_event *e) {
    tm_text prefix, last = TM_TEXT("none");
    if (!tm_config_require(e, "prefix", &prefix)) return false;
    found all = {.count = 0};
    if (!tm_state_scan(e, prefix, note, &all)) return false;
    for (size_t i = 0; i < all.count; i++) {
        if (!tm_state_delete(e, all.keys[i])) return false;
        last = all.values[i];
    }
    return tm_state_set(e, TM_TEXT("last"), last);
}

static const tm_handler HANDLERS[] = {{"Swept", sweep}, {0}};

const tm_plugin tidemill_plugin = {.name = "sweeping", .handlers = HANDLERS};
"#;

#[test]
fn what_a_scan_in_c_hands_out_lives_until_the_handler_returns() {
    let language = Language::named("c").unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::new(language, "sweeping", "sweeping");
    fs::write(project.folder().join("plugin.c"), SWEEPING).unwrap();
    let folder = project.folder();
    fs::write(folder.join("sweeping.wasm"), project.build()).unwrap();
    fs::write(folder.join("plugin.toml"), "").unwrap();
    let run = |config: serde_json::Value, then: serde_json::Value| {
        let fixture = json!({
            "config": config,
            "given": { "state": { "a/1": "first", "a/2": "second", "a/3": "third", "b": "stays" } },
            "when": [{ "type": "Swept", "data": {} }],
            "then": then
        });
        fs::write(folder.join("sweeping.json"), fixture.to_string()).unwrap();
        let kit = Kit::open(folder.join("sweeping.wasm"), folder.join("plugin.toml")).unwrap();
        kit.check(folder.join("sweeping.json")).unwrap();
    };
    run(json!({ "prefix": "a/" }), json!({ "state": { "b": "stays", "last": "third" } }));
    run(json!({}), json!({ "stopped": ["config key `prefix`", "missing; add it under [config]"] }));
}

/// The world of a build in C, Go and Python is what `dev.toml` says, and a comment is no query.
#[test]
fn a_build_is_for_the_world_that_dev_toml_says() {
    for (language, comment) in [("c", "/* .queries = none */\n"), ("go", "// Queries: none\n")] {
        let language = Language::named(language).unwrap();
        if !can_build(language) {
            continue;
        }
        let project = Project::new(language, "world", "world");
        let file = project.folder().join(language.source);
        let source = fs::read_to_string(&file).unwrap();
        let answers = |component: &[u8]| component.windows(27).any(|part| part == b"tidemill:plugin/projection@");
        fs::write(&file, format!("{comment}{source}")).unwrap();
        assert!(!answers(&project.build()), "{}", language.name);
        project.become_plugin(&source, "described-projection-plugin");
        assert!(answers(&project.build()), "{}", language.name);
    }
}

/// Queries that are written, in a component that nobody can ask: nothing else tells of it.
#[test]
fn a_plugin_with_queries_that_is_built_for_a_world_without_is_warned_of() {
    let language = Language::named("js").unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::of_role(language, "projection", "worldless", "worldless");
    let check = || {
        fs::write(project.folder().join("built.wasm"), project.build()).unwrap();
        let mut command = tidemill();
        command.current_dir(project.folder()).args(["plugins", "check", "built.wasm", "--manifest", "plugin.toml"]);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(!check().contains("exports no `projection`"));
    let package = project.folder().join("package.json");
    let told = fs::read_to_string(&package).unwrap();
    fs::write(&package, told.replace("described-projection-plugin", "described-subscriber-plugin")).unwrap();
    let warned = check();
    for words in ["it answers queries (", "exports no `projection`", "described-projection-plugin"] {
        assert!(warned.contains(words), "{words} in: {warned}");
    }
}

/// Most bytes of the first plugin in Rust, 100 KiB: a change that makes every plugin larger is seen here.
const RUST_BYTES_MAX: usize = 102_400;

#[test]
fn a_plugin_in_rust_is_small() {
    let rust = Language::named("rust").unwrap();
    if can_build(rust) {
        let bytes = Project::new(rust, "size", "big-orders").build().len();
        assert!(bytes <= RUST_BYTES_MAX, "{bytes} bytes");
    }
}

fn check_and_test(folder: &Path, component: &[u8], has_manifest: bool, role: &str) {
    fs::write(folder.join("built.wasm"), component).unwrap();
    let manifest: &[&str] = if has_manifest { &["--manifest", "plugin.toml"] } else { &[] };
    let checked = tidemill().current_dir(folder).args(["plugins", "check", "built.wasm"]).args(manifest).output();
    let checked = checked.unwrap();
    let shown = String::from_utf8_lossy(&checked.stdout);
    let has_role = shown.lines().any(|line| line.starts_with("roles ") && line.contains(role));
    assert!(checked.status.success() && has_role, "{shown}{checked:?}");
    for disturbed in [&[][..], &["--twice"], &["--crash"]] {
        let mut command = tidemill();
        command.current_dir(folder).args(["plugins", "test", "built.wasm", "fixtures"]).args(manifest).args(disturbed);
        let tested = command.output().unwrap();
        let said = String::from_utf8_lossy(&tested.stdout);
        assert!(tested.status.success(), "{disturbed:?}: {said}{}", String::from_utf8_lossy(&tested.stderr));
    }
}

#[test]
fn the_example_in_rust_passes_the_shared_fixtures() {
    says_its_schema(&fixtures::run(ORDER_TOTALS.component, ORDER_TOTALS.manifest, &shared_fixtures()));
}

#[test]
fn the_account_in_rust_passes_the_shared_fixtures() {
    let folder = plugin("account");
    decisions::run(ACCOUNT.component, ACCOUNT.manifest, "account", &fixtures::all(&folder.join("fixtures")));
    let component = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
    fs::write(component.path(), ACCOUNT.component).unwrap();
    Kit::open(component.path(), folder.join("plugin.toml")).unwrap().check(folder.join("fixtures")).unwrap();
}

#[test]
fn the_account_in_typescript_passes_the_shared_fixtures() {
    account_passes("js");
}

#[test]
fn the_account_in_python_passes_the_shared_fixtures() {
    account_passes("python");
}

#[test]
fn the_example_in_typescript_passes_the_shared_fixtures() {
    example_passes("js");
}

#[test]
fn the_example_in_python_passes_the_shared_fixtures() {
    example_passes("python");
}

#[test]
fn the_example_in_go_passes_the_shared_fixtures() {
    example_passes("go");
}

#[test]
fn the_example_in_c_passes_the_shared_fixtures() {
    example_passes("c");
}

#[test]
fn the_templates_in_rust_work() {
    templates_work("rust");
}

#[test]
fn the_templates_in_typescript_work() {
    templates_work("js");
}

#[test]
fn the_templates_in_python_work() {
    templates_work("python");
}

#[test]
fn the_templates_in_go_work() {
    templates_work("go");
}

#[test]
fn the_templates_in_c_work() {
    templates_work("c");
}

#[test]
fn a_project_says_what_to_install_next_and_is_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let new =
        |arguments: &[&str]| tidemill().current_dir(directory.path()).arg("new").args(arguments).output().unwrap();
    for language in LANGUAGES {
        let name = format!("mine-{}", language.name);
        let made = new(&[&name, "--lang", language.name, "--role", "subscriber"]);
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(made.status.success() && said.contains(language.build), "{said}");
        assert!(language.install.iter().all(|command| said.contains(command)), "{said}");
        let again = new(&[&name, "--lang", language.name]);
        assert_eq!(again.status.code(), Some(4), "a folder that is there is a conflict");
    }
    for bad in [
        &["Big Orders"][..],
        &["../up"],
        &["upcasters"],
        &["validators"],
        &["schemas"],
        &["tidemill-sdk"],
        &["ok", "--lang", "cobol"],
        &["ok", "--role", "mill"],
        &["ok", "--lang", "c", "--role", "upcaster"],
    ] {
        assert_eq!(new(bad).status.code(), Some(2), "{bad:?}");
    }
    for (called, source) in [("typescript", "src/plugin.ts"), ("py", "plugin.py"), ("golang", "plugin.go")] {
        let name = format!("called-{called}");
        assert!(new(&[&name, "--lang", called]).status.success(), "{called}");
        assert!(directory.path().join(name).join(source).exists(), "{called}");
    }
    let lacks = new(&["ok", "--lang", "go", "--role", "upcaster"]);
    told::complains(&lacks, 2, &["no template of an upcaster in Go", "--lang rust", "--role projection"]);
    assert!(!directory.path().join("ok").exists() && !directory.path().parent().unwrap().join("up").exists());
}
