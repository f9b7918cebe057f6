//! What plugins in TypeScript are told of their mistakes: each is built with its own tools, and tried by the kit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tidemill::kit::Kit;
use tidemill_templates::Language;
use tidemill_tests::projects::{Project, can_build};

/// A project of a role with this source; none where its tools are not there.
fn project(role: &str, name: &str, source: &str) -> Option<Project> {
    let language = Language::named("js").unwrap();
    if !can_build(language) {
        return None;
    }
    let project = Project::of_role(language, role, "mistakes", name);
    fs::write(project.folder().join(language.source), source).unwrap();
    Some(project)
}

/// Builds a project, and holds it to fixtures; an upcaster has no manifest.
fn hold(project: &Project, manifest: Option<&str>, fixtures: &[Value]) {
    let folder = project.folder();
    let component = folder.join("built.wasm");
    fs::write(&component, project.build()).unwrap();
    let kit = match manifest {
        Some(text) => {
            fs::write(folder.join("plugin.toml"), text).unwrap();
            Kit::open(&component, folder.join("plugin.toml"))
        }
        None => Kit::open_upcasters(&component),
    };
    let kit = kit.unwrap();
    for (index, fixture) in fixtures.iter().enumerate() {
        let file = folder.join(format!("{index}.json"));
        fs::write(&file, fixture.to_string()).unwrap();
        kit.check(&file).unwrap_or_else(|error| panic!("{fixture}: {error}"));
    }
}

/// Listens to everything, and has one attempt.
const SUBSCRIBER: &str = "[subscribe]\ntypes = [\"*\"]\n[delivery]\nmax_attempts = 1\n[grants]\nappend = [\"Noted\"]\n";

/// An event of a type with these data, and words of the reason for which it is set aside.
type Bad<'a> = (&'a str, Value, &'a [&'a str]);

/// Each of these events is set aside, and writes nothing.
fn set_aside(kind: &str, events: &[Bad<'_>]) -> Value {
    let when: Vec<_> = events.iter().map(|event| json!({ "type": event.0, "data": event.1 })).collect();
    let dead = events.iter().enumerate().map(|(index, event)| {
        let reason = event.2;
        json!({ "event": index, "kind": kind, "attempts": 1, "reason": reason })
    });
    let dead: Vec<_> = dead.collect();
    json!({ "when": when, "then": { "state": {}, "appended": [], "dead_letters": dead } })
}

/// Numbers of events that are too large to be exact.
const NUMBERS: &str = r#"
import { integer, on, plugin, whole } from "tidemill-sdk";

export const { subscriber, description } = plugin(
  { name: "numbers" },
  { Whole: on({ n: whole }, () => {}), Integer: on({ n: integer }, () => {}) },
);
"#;

#[test]
fn a_number_that_is_too_large_is_told_what_is_not() {
    let Some(project) = project("subscriber", "numbers", NUMBERS) else { return };
    let large = json!({ "n": 9_007_199_254_740_992_u64 });
    let whole = "n: expected a whole number from 0 to 9007199254740991, but it is 9007199254740992";
    let integer = "n: expected a whole number from -9007199254740991 to 9007199254740991, but it is";
    let events: [Bad<'_>; 2] = [("Whole", large.clone(), &[whole]), ("Integer", large, &[integer])];
    hold(&project, Some(SUBSCRIBER), &[set_aside("reject", &events)]);
}

/// What is written down of it are numbers that JSON has not; then, what is `null` on purpose.
const NO_NUMBERS: &str = r#"
import { on, plugin, state, whole } from "tidemill-sdk";

const nothing: any = undefined;

export const { subscriber, projection, description } = plugin(
  { name: "nan", append: ["Noted"] },
  {
    Update: () => state.update("sum", 5, (sum) => sum + nothing),
    Set: () => state.set("list", { of: [1, -Infinity] }),
    Append: (ctx) => ctx.append({ type: "Noted", data: { v: Number("abc") } }),
    Null: on({ n: whole }, ({ n }) => {
      state.set("none", [null, { of: null }]);
      state.set("last", null);
      state.update("last", n, (last) => last + 1);
    }),
  },
  { half: () => ({ half: nothing / 2 }) },
);
"#;

#[test]
fn a_number_that_json_has_not_is_never_written_as_null() {
    let Some(project) = project("projection", "nan", NO_NUMBERS) else { return };
    let none = "cannot be written as JSON";
    let events: [Bad<'_>; 3] = [
        ("Update", json!({}), &["the value for `sum`", none, "it is NaN", "plugin.js"]),
        ("Set", json!({}), &["the value for `list`", none, "is -Infinity"]),
        ("Append", json!({}), &["the body of Noted", none, "`v` is NaN"]),
    ];
    let on_purpose = json!({
        "when": [{ "type": "Null", "data": { "n": 1 } }],
        "then": {
            "state": { "last": 2, "none": [null, { "of": null }] },
            "queries": [{ "query": "half", "error": "failed", "reason": ["the answer", none, "`half` is NaN"] }]
        }
    });
    hold(&project, Some(SUBSCRIBER), &[set_aside("retry", &events), on_purpose]);
}

/// What it says to the host is no text, or half of a character.
const WORDS: &str = r#"
import { config, log, on, plugin, reject, state, text } from "tidemill-sdk";

const five: any = 5;
const nothing: any = null;
const half = "tea \u{1F375}".slice(0, 5);

export const { subscriber, description } = plugin(
  { name: "words", append: ["Noted"] },
  {
    Key: () => state.set(five, 1),
    HalfKey: () => state.get(half),
    Prefix: () => [...state.scan(five)],
    Bytes: () => state.setBytes("b", five),
    Stream: (ctx) => ctx.append({ type: "Noted", stream: five, data: {} }),
    Tag: (ctx) => ctx.append({ type: "Noted", data: {}, tags: ["a", half] }),
    Label: (ctx) => ctx.append({ type: "Noted", data: {}, metadata: { who: five } }),
    Setting: () => config.text(five),
    Thrown: () => {
      throw { code: 5 };
    },
    Mistake: () => {
      throw new Error(half);
    },
    Reason: () => {
      throw reject(half);
    },
    Logged: on({ n: text }, ({ n }) => {
      log.info(half);
      log.info({ n });
      state.set("logged", n);
    }),
    Noted: () => {},
    Unlabelled: (ctx) => ctx.append({ type: "Noted", data: {}, metadata: nothing, stream: nothing, tags: undefined }),
  },
);
"#;

#[test]
fn what_is_no_text_is_told_with_its_place_and_what_people_read_is_made_text() {
    let Some(project) = project("subscriber", "words", WORDS) else { return };
    let cut = "has half a character";
    let events: [Bad<'_>; 10] = [
        ("Key", json!({}), &["TypeError: state key: expected text, but it is 5", "at Key (", "plugin.js"]),
        ("HalfKey", json!({}), &["state key", cut, "at HalfKey ("]),
        ("Prefix", json!({}), &["state prefix: expected text, but it is 5"]),
        ("Bytes", json!({}), &["the value for `b`: expected bytes, but it is 5"]),
        ("Stream", json!({}), &["the stream of Noted: expected text, but it is 5"]),
        ("Tag", json!({}), &["a tag of Noted", cut]),
        ("Label", json!({}), &["`who` of the metadata of Noted: expected text, but it is 5"]),
        ("Setting", json!({}), &["config key: expected text, but it is 5"]),
        ("Thrown", json!({}), &[r#"thrown: {"code":5}"#]),
        ("Mistake", json!({}), &["Error: tea \u{fffd}"]),
    ];
    let logs = json!({
        "when": [
            { "type": "Reason", "data": {} }, { "type": "Logged", "data": { "n": "1" } },
            { "type": "Unlabelled", "data": {} }
        ],
        "then": {
            "state": { "logged": "1" },
            "appended": [{ "cause": 2, "type": "Noted", "data": {} }],
            "dead_letters": [{ "event": 0, "kind": "reject", "attempts": 1, "reason": ["tea \u{fffd}"] }]
        }
    });
    hold(&project, Some(SUBSCRIBER), &[set_aside("retry", &events), logs]);
}

/// What its functions answer comes later, or is a failure that they return.
const LATER: &str = r#"
import { on, plugin, reject, state, whole } from "tidemill-sdk";

export const { subscriber, projection, description } = plugin(
  { name: "later" },
  {
    Async: on({ n: whole }, async ({ n }) => {
      state.set("before", n);
      await null;
      state.set("after", n);
    }),
    Steps: function* (ctx) {
      yield ctx.event.position;
    },
    Update: () => state.update("n", 0, async (n) => n + 1),
    Set: () => state.set("n", (async () => 1)()),
    Returned: on({ n: whole }, () => reject("it is returned")),
    Fine: () => state.update("fine", 0, (n) => n + 1),
  },
  { late: async () => 5, returned: () => reject("it is returned"), fine: () => ({ then: 5, next: "x" }) },
);
"#;

#[test]
fn what_comes_later_than_its_handler_stops_the_plugin_and_what_is_returned_is_thrown() {
    let Some(project) = project("projection", "later", LATER) else { return };
    let stops = |name: &str, words: &[&str]| {
        let when = [json!({ "type": name, "data": { "n": 1 } })];
        json!({ "when": when, "then": { "state": {}, "stopped": words } })
    };
    let returned: Bad<'_> = ("Returned", json!({ "n": 1 }), &["it is returned"]);
    let set: Bad<'_> = ("Set", json!({}), &["the value for `n`", "it is a promise"]);
    let fine = json!({
        "when": [{ "type": "Fine", "data": {} }],
        "then": {
            "state": { "fine": 1 },
            "queries": [
                { "query": "late", "error": "failed", "reason": ["the query late is called once and not awaited"] },
                { "query": "returned", "error": "failed", "reason": ["it is returned"] },
                { "query": "fine", "answer": { "then": 5, "next": "x" } }
            ]
        }
    });
    let fixtures = [
        stops("Async", &["the handler of Async is called once and not awaited: take the `async` away"]),
        stops("Steps", &["the handler of Steps is called once and not iterated: take the `*` away"]),
        stops("Update", &["the change of `n` is called once and not awaited"]),
        set_aside("reject", &[returned]),
        set_aside("retry", &[set]),
        fine,
    ];
    hold(&project, Some(SUBSCRIBER), &fixtures);
}

/// Lifts that come later, or are a failure that is returned.
const LATE_LIFTS: &str = r#"
import { lift, liftInto, reject, upcasts, whole } from "tidemill-sdk";

const list: any = async () => [];

export const { upcaster } = upcasts(
  lift("Late", 1, { n: whole }, async () => ({})),
  liftInto("List", 1, { List: 2 }, { n: whole }, list),
  lift("Returned", 1, { n: whole }, () => reject("it is returned")),
);
"#;

#[test]
fn an_event_that_is_lifted_later_is_not_lifted_to_nothing() {
    let Some(project) = project("upcaster", "late-lifts", LATE_LIFTS) else { return };
    let event = |name: &str| json!({ "type": name, "schema_version": 1, "data": { "n": 1 } });
    let fixture = json!({
        "when": [event("Late"), event("List"), event("Returned")],
        "then": {
            "lifted": [],
            "refused": [
                { "event": 0, "reason": ["the lift of Late 1 is called once and not awaited: take the `async` away"] },
                { "event": 1, "reason": ["the lift of List 1 is called once and not awaited"] },
                { "event": 2, "reason": ["it is returned"] }
            ]
        }
    });
    hold(&project, None, &[fixture]);
}

/// Rules that answer later, or no list.
const LATE_RULES: &str = r#"
import { check, validates, whole } from "tidemill-sdk";

const late: any = async () => [{ path: "/n", code: "bad", message: "it is late" }];
const one: any = () => ({ path: "/n", code: "bad", message: "it is one" });

export const { validator } = validates({ Late: check({ n: whole }, late), One: one });
"#;

#[test]
fn a_rule_that_answers_later_or_no_list_accepts_nothing() {
    let Some(project) = project("validator", "late-rules", LATE_RULES) else { return };
    let asked = |name: &str| json!({ "aggregate": "order", "command": name, "data": { "n": 1 } });
    let fixture = json!({
        "when": [asked("Late"), asked("One")],
        "then": {
            "outcomes": [
                { "error": "trap", "reason": ["the rule of Late is called once and not awaited"] },
                { "error": "trap", "reason": ["the rule of One answers no list"] }
            ]
        }
    });
    hold(&project, Some(""), &[fixture]);
}

/// An aggregate that decides later, returns its rejection, and applies later.
const LATE_DECISIONS: &str = r#"
import { decider, rejection } from "tidemill-sdk";

const late: any = async () => [];
const returned: any = () => rejection("No", "it is returned");
const apply: any = async () => ({ n: 1 });

export const { aggregate, description } = decider({
  name: "late-decisions",
  events: { Done: {} },
  commands: { Late: {}, Returned: {}, Do: {} },
  fresh: () => ({ n: 0 }),
  apply,
  decide: (_, { type }) => (type === "Late" ? late() : type === "Returned" ? returned() : [{ type: "Done" }]),
});
"#;

#[test]
fn an_aggregate_that_answers_later_fails_and_a_rejection_that_is_returned_is_one() {
    let Some(project) = project("aggregate", "late-decisions", LATE_DECISIONS) else { return };
    let fixture = json!({
        "when": [{ "command": "Late" }, { "command": "Returned" }, { "command": "Do" }, { "command": "Do" }],
        "then": {
            "outcomes": [
                { "error": "trap", "reason": ["`decide` of Late is called once and not awaited"] },
                { "rejection": "No", "reason": ["it is returned"] },
                { "events": [{ "type": "Done" }] },
                { "error": "misfit", "reason": ["`apply` of Done is called once and not awaited"] }
            ]
        }
    });
    hold(&project, Some("[aggregate]\ncategory = \"order\"\n[grants]\nappend = [\"Done\"]\n"), &[fixture]);
}

/// What the compiler takes in the place of `HERE`, and what it refuses.
const TYPED: &str = r#"
import { decider, type Handler, lift, on, plugin, type Query, reject, state, whole } from "tidemill-sdk";

interface Next {
  next: number;
}

const handler: Handler = (ctx) => ctx.event.position > 5 && state.set("a", 1);
const asked = (query: Query) => state.get(query.name);
on({ n: whole }, ({ n }) => state.update<Next>("n", { next: n }, (it) => it));
on({ n: whole }, ({ n }) => (n > 5 ? reject("it is returned") : undefined));
lift("A", 1, { n: whole }, ({ n }) => ({ n, then: 5, next: 1 }));
lift("A", 1, { n: whole }, (): unknown => 5);
lift("A", 1, { n: whole }, () => { throw reject("it is bad"); });
const read: Handler = (ctx) => ctx.event.json();
on({ n: whole }, (_, ctx) => ctx.event.json());
plugin({ name: "untold" }, { A: (ctx) => ctx.event.json(), B: read });
plugin<{ asked: typeof asked }>({ name: "said" }, { A: read }, { asked });
const shape = { n: whole };
on<typeof shape>(shape, ({ n }) => n);
lift<typeof shape>("A", 1, shape, ({ n }) => ({ n }));
function always<T>(value: T) {
  return lift("A", 1, shape, (): unknown => value);
}
always(5);
const fresh = (): Next => ({ next: 0 });
const events = { A: { n: whole } };
decider({ name: "x", events, commands: {}, fresh, apply: (_, { data }) => ({ next: data.n }), decide: () => [] });
export const { subscriber, description } = plugin({ name: "typed" }, { A: handler }, { asked });
HERE
"#;

/// Each promises what is wanted at once.
const PROMISING: [&str; 7] = [
    "on({ n: whole }, async ({ n }) => { state.set('n', n); });",
    "on({ n: whole }, function* ({ n }) { yield n; });",
    "plugin({ name: 'x' }, { A: async () => {} });",
    "plugin({ name: 'x' }, {}, { asked: async () => 5 });",
    "state.update('n', 0, async (n) => n + 1);",
    "lift('A', 1, { n: whole }, async ({ n }) => ({ n }));",
    "decider({ name: 'x', events, commands: {}, fresh: async () => ({}), apply: async (it) => it, decide: () => [] });",
];

#[test]
fn the_compiler_refuses_a_promise_where_nobody_waits_for_it() {
    let Some(project) = project("subscriber", "typed", "") else { return };
    let check = |here: &str| {
        fs::write(project.folder().join("src/plugin.ts"), TYPED.replace("HERE", here)).unwrap();
        project.check_types();
    };
    check("");
    for promising in PROMISING {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(promising)));
        assert!(checked.is_err(), "it is taken: {promising}");
    }
}

/// How a plugin may fail to export what its world asks for, and what is told then.
const EXPORTS: [(&str, &str); 3] = [
    (
        "export const { description } =",
        "must export `subscriber`, for the world described-subscriber-plugin; it exports `description`",
    ),
    (
        "export default",
        "must export `subscriber` and `description`, for the world described-subscriber-plugin; it exports `default`",
    ),
    ("const it =", "it exports nothing"),
];

#[test]
fn a_build_without_an_export_that_its_world_asks_for_fails_and_names_it() {
    let Some(project) = project("subscriber", "exports", "") else { return };
    let build = |exported: &str| {
        let source =
            format!("import {{ plugin }} from \"tidemill-sdk\";\n{exported} plugin({{ name: \"it\" }}, {{}});\n");
        fs::write(project.folder().join("src/plugin.ts"), source).unwrap();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| project.build()))
    };
    for (exported, words) in EXPORTS {
        let told = build(exported).unwrap_err();
        let told = told.downcast_ref::<String>().unwrap();
        assert!(told.contains("src/plugin.ts must export") && told.contains(words), "{told}");
    }
    assert!(build("export const { subscriber, description } =").is_ok(), "it has all");
}

/// A world as authors write it themselves: a function of its own, and an interface by its whole name.
const OWN_WORLD: &str = "package own:it;\nworld own {\n  export run-it: func();\n  export stop:func();\n  \
                         export tidemill:plugin/batch-subscriber@0.1.1;\n}\n";

#[test]
fn an_export_of_any_form_is_found_in_the_bundle() {
    let Some(project) = project("subscriber", "own-world", "") else { return };
    let own = project.folder().join("own");
    for folder in ["wit", "build"] {
        fs::create_dir_all(own.join(folder)).unwrap();
    }
    fs::write(own.join("wit/own.wit"), OWN_WORLD).unwrap();
    let told = |exports: &[&str]| {
        let outputs = json!({ "plugin.js": { "entryPoint": "plugin.ts", "exports": exports } });
        fs::write(own.join("build/meta.json"), json!({ "outputs": outputs }).to_string()).unwrap();
        let mut node = Command::new("node");
        let ran = node.current_dir(&own).args(["../sdk/js/exports.mjs", "own"]).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    assert_eq!(told(&["runIt", "stop", "batchSubscriber"]), (true, String::new()));
    let (fine, said) = told(&[]);
    assert!(!fine && said.contains("must export `runIt` and `stop` and `batchSubscriber`"), "{said}");
}
