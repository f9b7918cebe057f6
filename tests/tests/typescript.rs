//! What plugins in TypeScript are told of their mistakes: each is built with its own tools, and tried by the kit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

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
      state.update<number | null>("last", n, (last) => last);
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
            "state": { "last": null, "none": [null, { "of": null }] },
            "queries": [{ "query": "half", "error": "failed", "reason": ["the answer", none, "`half` is NaN"] }]
        }
    });
    hold(&project, Some(SUBSCRIBER), &[set_aside("retry", &events), on_purpose]);
}

/// What it says to the host is no text, or half of a character.
const WORDS: &str = r#"
import { config, log, on, plugin, reject, state, text } from "tidemill-sdk";

const five: any = 5;
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
        "when": [{ "type": "Reason", "data": {} }, { "type": "Logged", "data": { "n": "1" } }],
        "then": {
            "state": { "logged": "1" },
            "dead_letters": [{ "event": 0, "kind": "reject", "attempts": 1, "reason": ["tea \u{fffd}"] }]
        }
    });
    hold(&project, Some(SUBSCRIBER), &[set_aside("retry", &events), logs]);
}
