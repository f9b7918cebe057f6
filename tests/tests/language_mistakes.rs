//! What an author does wrong in Python, Go and C is told as what it is, by the build or by the reason of the event's
//! failure; and what is printed is logged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;

use serde_json::{Value, json};
use tidemill::kit::Kit;
use tidemill_templates::Language;
use tidemill_tests::projects::{Project, can_build};
use tidemill_tests::tidemill;

/// A manifest that has each event tried once.
const ONCE: &str = "[subscribe]\ntypes = [\"*\"]\n[delivery]\nmax_attempts = 1\n[grants]\nappend = [\"Seen\"]\n";

/// A project with this source, built, and its manifest beside; nothing where its language cannot be built.
fn built(language: &str, name: &str, source: &str) -> Option<Project> {
    let language = Language::named(language).unwrap();
    can_build(language).then(|| {
        let project = Project::new(language, "mistakes", name);
        fs::write(project.folder().join(language.source), source).unwrap();
        fs::write(project.folder().join("mistaken.wasm"), project.build()).unwrap();
        fs::write(project.folder().join("plugin.toml"), ONCE).unwrap();
        project
    })
}

/// What comes of a plugin in the kit, by fixtures.
fn comes_of(language: &str, name: &str, source: &str, fixtures: &[Value]) {
    let Some(project) = built(language, name, source) else { return };
    let folder = project.folder();
    let kit = Kit::open(folder.join("mistaken.wasm"), folder.join("plugin.toml")).unwrap();
    for fixture in fixtures {
        fs::write(folder.join("mistaken.json"), fixture.to_string()).unwrap();
        kit.check(folder.join("mistaken.json")).unwrap();
    }
}

/// A fixture whose events, of these types and data, each fail in this way, with these words.
fn fails(mistakes: &[(&str, Value, &str, &str)]) -> Value {
    let (mut when, mut dead) = (Vec::new(), Vec::new());
    for (event, (kind, data, verdict, words)) in mistakes.iter().enumerate() {
        when.push(json!({ "type": kind, "data": data }));
        dead.push(json!({ "event": event, "kind": verdict, "attempts": 1, "reason": [words] }));
    }
    json!({ "when": when, "then": { "state": {}, "appended": [], "dead_letters": dead } })
}

/// It prints, also while it is built.
const PRINTING_PYTHON: &str = r#"
import logging
import sys

from tidemill import Context, Plugin, log

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
print("while it is built")
logging.warning("while it is built")
plugin = Plugin("printing")


@plugin.on("Printed")
def printed(ctx: Context):
    print("to", "stdout")
    print()
    print("half a surrogate \ud800, and two\nlines")
    print("to stderr", file=sys.stderr)
    logging.info("logged")
    sys.stdout.buffer.write(b"bytes\n")
    log.warn("half a surrogate \ud800")
    print("no end of a line", end="")


Subscriber, Description = plugin.exports()
"#;

#[test]
fn what_is_printed_in_python_is_logged() {
    let lines = [
        ("info", "to stdout"),
        ("info", "half a surrogate ?, and two"),
        ("info", "lines"),
        ("warn", "to stderr"),
        ("warn", "2026-01-31 12:00:00,000 root: logged"),
        ("info", "bytes"),
        ("warn", "half a surrogate ?"),
        ("info", "no end of a line"),
    ];
    let log: Vec<_> = lines.iter().map(|(level, message)| json!({ "level": level, "message": message })).collect();
    let fixture = json!({
        "when": [{ "type": "Printed", "timestamp": "2026-01-31T12:00:00Z" }],
        "then": { "log": log, "dead_letters": [] }
    });
    comes_of("python", "printing", PRINTING_PYTHON, &[fixture]);
}

/// What has no log prints as well, for nobody.
const PRINTING_RULES: &str = r#"
import logging
import sys

from tidemill import FieldError, Rules

rules = Rules()


@rules.on("*")
def printing(command):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    logging.warning("logged")
    return [FieldError("", "printed", "half a surrogate \ud800")]


Validator = rules.exports()
"#;

#[test]
fn what_is_printed_in_python_where_there_is_no_log_goes_nowhere() {
    let python = Language::named("python").unwrap();
    if !can_build(python) {
        return;
    }
    let project = Project::of_role(python, "validator", "mistakes", "printing-rules");
    let folder = project.folder();
    fs::write(folder.join(python.source), PRINTING_RULES).unwrap();
    fs::write(folder.join("printing.wasm"), project.build()).unwrap();
    let refused = json!({ "errors": [{ "code": "printed", "message": ["half a surrogate ?"] }] });
    let fixture = json!({
        "when": [{ "aggregate": "order", "command": "Place", "data": {} }],
        "then": { "outcomes": [refused] }
    });
    fs::write(folder.join("printing.json"), fixture.to_string()).unwrap();
    let kit = Kit::open(folder.join("printing.wasm"), folder.join("plugin.toml")).unwrap();
    kit.check(folder.join("printing.json")).unwrap();
}

/// Each type of event is a mistake, but one.
const MISTAKEN_PYTHON: &str = r#"
from enum import IntEnum

from tidemill import Context, Plugin, Reject, Retry, config, state

plugin = Plugin("mistaken", append=("Seen",))


class Version(IntEnum):
    TWO = 2


MISTAKES = {
    "Seen": lambda ctx: None,
    "Stream": lambda ctx: ctx.append("Seen", {}, stream=ctx.event.json()),
    "Tags": lambda ctx: ctx.append("Seen", {}, tags=ctx.event.json()),
    "Metadata": lambda ctx: ctx.append("Seen", {}, metadata=ctx.event.json()),
    "Version": lambda ctx: ctx.append("Seen", {}, schema_version=ctx.event.json()),
    "Named": lambda ctx: ctx.append("Seen", {}, schema_version=Retry("later", after_ms=Version.TWO) and Version.TWO),
    "Data": lambda ctx: ctx.append("Seen", "\ud800"),
    "Key": lambda ctx: state.set(ctx.event.json(), 1),
    "HalfKey": lambda ctx: state.get("k\ud800"),
    "Bytes": lambda ctx: state.set_bytes("k", "text"),
    "Config": lambda ctx: config.text(5),
    "After": lambda ctx: Retry("later", after_ms=ctx.event.json()),
    "Returned": lambda ctx: Reject("it was returned \ud800"),
}


@plugin.on("*")
def mistaken(ctx: Context):
    return MISTAKES[ctx.event.type](ctx)


Subscriber, Description = plugin.exports()
"#;

#[test]
fn a_value_of_another_type_in_python_is_an_error_that_names_it() {
    let mistakes = [
        ("Stream", json!(5), "retry", "TypeError: stream of Seen: expected text, but it is 5\n"),
        ("Tags", json!([1]), "retry", "TypeError: tags of Seen: expected text, but it is 1\n"),
        ("Tags", json!("big"), "retry", "tags of Seen: expected a list of texts, but it is 'big'\n"),
        ("Metadata", json!({ "by": 1 }), "retry", "metadata of Seen, `by`: expected text, but it is 1\n"),
        ("Version", json!("2"), "retry", "schema_version of Seen: expected a whole number from 0 to 4294967295"),
        ("Version", json!(true), "retry", "a whole number from 0 to 4294967295, but it is True\n"),
        ("Data", json!(null), "retry", "data of Seen: it holds half a surrogate"),
        ("Key", json!(5), "retry", "key of the state: expected text, but it is 5\n"),
        ("HalfKey", json!(null), "retry", "ValueError: key of the state: it holds half a surrogate"),
        ("Bytes", json!(null), "retry", "value of k: expected bytes, but it is 'text'\n"),
        ("Config", json!(null), "retry", "key of the configuration: expected text, but it is 5\n"),
        ("After", json!(1.5), "retry", "after_ms: expected a whole number"),
        ("After", json!(-1), "retry", "but it is -1\n"),
        ("Returned", json!(null), "reject", "it was returned ?"),
    ];
    let named = json!({
        "when": [{ "type": "Named", "data": {} }],
        "then": { "appended": [{ "cause": 0, "type": "Seen", "data": {}, "schema_version": 2 }], "dead_letters": [] }
    });
    comes_of("python", "mistaken", MISTAKEN_PYTHON, &[fails(&mistakes), named]);
}

/// Its schema versions have names.
const NAMED_VERSIONS: &str = r#"
from enum import IntEnum

from tidemill import Lifts

lifts = Lifts()


class Version(IntEnum):
    ONE = 1
    TWO = 2


@lifts.lift("A", Version.ONE)
def lifted(old):
    return old


@lifts.lift_into("B", Version.ONE, {"A": Version.TWO})
def renamed(old):
    return [("A", old)]


Upcaster = lifts.exports()
"#;

#[test]
fn a_schema_version_in_python_may_be_one_of_an_enum() {
    let python = Language::named("python").unwrap();
    if !can_build(python) {
        return;
    }
    let project = Project::of_role(python, "upcaster", "mistakes", "named-versions");
    let folder = project.folder();
    fs::write(folder.join(python.source), NAMED_VERSIONS).unwrap();
    fs::write(folder.join("named.wasm"), project.build()).unwrap();
    let lifted = |event: u64| json!({ "event": event, "type": "A", "schema_version": 2, "data": { "n": 1 } });
    let stored = |kind: &str| json!({ "type": kind, "schema_version": 1, "data": { "n": 1 } });
    let fixture = json!({ "when": [stored("A"), stored("B")], "then": { "lifted": [lifted(0), lifted(1)] } });
    fs::write(folder.join("named.json"), fixture.to_string()).unwrap();
    Kit::open_upcasters(folder.join("named.wasm")).unwrap().check(folder.join("named.json")).unwrap();
}

/// What a build in Python says of a source for a world.
fn refused_by_the_build(name: &str, source: &str, world: &str) -> String {
    let project = Project::new(Language::named("python").unwrap(), "mistakes", name);
    project.become_plugin(source, world);
    let panic = catch_unwind(|| project.build()).expect_err("the build is to fail");
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a_function_that_would_not_run_in_python_is_refused_by_the_build() {
    if !can_build(Language::named("python").unwrap()) {
        return;
    }
    let handler = "from tidemill import Plugin\nplugin = Plugin(\"p\")\n\n@plugin.on(\"A\")\nFUNCTION\n\n\
                   Subscriber, Description = plugin.exports()\n";
    let rule = "from tidemill import Rules\nrules = Rules()\n\n@rules.on(\"*\")\nFUNCTION\n\n\
                Validator = rules.exports()\n";
    let aggregate = "from dataclasses import dataclass\nfrom tidemill import Decider\n\n@dataclass\nclass A:\n    \
                     def apply(self, event): pass\n    FUNCTION\n\n\
                     Aggregate, Description = Decider(A, name=\"a\", commands=[], events=[]).exports()\n";
    let waiting = ("async def a(*given): pass", "is an `async def`, and nothing waits for it");
    let mistakes = [
        ("handler", handler, "described-subscriber-plugin", waiting),
        ("handler", handler, "described-subscriber-plugin", ("def a(ctx): yield 1", "`a` has a `yield`")),
        ("rule", rule, "validator-plugin", waiting),
        ("aggregate", aggregate, "described-aggregate-plugin", ("async def decide(*given): pass", "`A.decide` is an")),
    ];
    for (name, source, world, (function, words)) in mistakes {
        let said = refused_by_the_build(name, &source.replace("FUNCTION", function), world);
        assert!(said.contains(words), "{function}: {said}");
    }
}

#[test]
fn a_field_that_no_event_can_hold_is_named_by_the_build_in_python() {
    if !can_build(Language::named("python").unwrap()) {
        return;
    }
    let source = "from dataclasses import dataclass\nfrom tidemill import Plugin\nplugin = Plugin(\"p\")\n\n@dataclass\n\
                  class Placed:\n    items: list\n\n@plugin.on(Placed)\ndef placed(event, ctx): pass\n\n\
                  Subscriber, Description = plugin.exports()\n";
    let said = refused_by_the_build("fields", source, "described-subscriber-plugin");
    let words = "field `items` of Placed: events cannot hold `list`: use str, bool, int, float, object, list[str]";
    assert!(said.contains(words), "{said}");
}

/// Each type of event is a mistake, or none.
const MISTAKEN_GO: &str = r#"
package main

import (
	"fmt"
	"net/url"
	"sync"
	"time"

	"tidemill.local/sdk"
)

type Loose struct {
	Product string
	Cents   uint64
	Tags    []string
	At      time.Time
}

type opaque struct{ hidden int }

// Of some fields nothing is read, and some are others' own.
type Cart struct {
	_      struct{}
	Mu     sync.Mutex `json:"-"`
	Opaque opaque     `json:"-"`
	Link   *url.URL
	Lines  []Loose
	Groups map[string][]string
	Next   *Cart
}

type Line struct {
	Product string `json:"product"`
	Count   *int   `json:"count"`
}

type Customer struct {
	Name string `json:"name"`
}

type Placed struct {
	Customer Customer        `json:"customer"`
	Lines    []Line          `json:"lines"`
	Gifts    map[string]Line `json:"gifts,omitempty"`
	At       *time.Time      `json:"at"`
	Note     any             `json:"note"`
}

type Base struct {
	Order string `json:"order"`
}

type Embedded struct {
	Base
	Cents uint64 `json:"cents"`
}

type MaybeEmbedded struct {
	*Base
	Cents uint64 `json:"cents"`
}

func handled[E any](E, *tidemill.Context) error { return nil }

func noText(ctx *tidemill.Context) error {
	var which string
	if err := ctx.Event.Decode(&which); err != nil {
		return err
	}
	fmt.Println("printed \xff")
	tidemill.LogWarn("bad \xff")
	switch which {
	case "key":
		return tidemill.SetState("k\xff", 1)
	case "prefix":
		for _, err := range tidemill.ScanState("p\xff") {
			return err
		}
	case "stream":
		return ctx.Append(tidemill.NewEvent{Type: "Seen", Stream: "s\xff", Data: 1})
	case "tag":
		return ctx.Append(tidemill.NewEvent{Type: "Seen", Tags: []string{"t\xff"}, Data: 1})
	}
	return tidemill.Reject("r\xff")
}

func init() {
	tidemill.Register(tidemill.Plugin{
		Name: "mistaken",
		Handlers: tidemill.Handlers{
			"Cart":          tidemill.On(handled[Cart]),
			"Any":           tidemill.On(handled[map[string]any]),
			"Placed":        tidemill.On(handled[Placed]),
			"Embedded":      tidemill.On(handled[Embedded]),
			"MaybeEmbedded": tidemill.On(handled[MaybeEmbedded]),
			"Pointer":       tidemill.On(handled[*Line]),
			"NoText":        noText,
		},
	})
}
"#;

/// What is missing by names in another case, and what `encoding/json` takes and writes itself.
fn carts() -> [Value; 2] {
    let cents = json!({ "lines": [{ "product": "x", "tags": [], "at": null }], "groups": {} });
    let line = json!({ "lines": [], "groups": {}, "next": { "lines": [null], "groups": {} } });
    let mistakes = [
        ("Cart", cents, "reject", "payload of Cart: Lines[0].Cents is missing"),
        ("Cart", line, "reject", "payload of Cart: Next.Lines[0] is missing"),
        ("Cart", json!({ "lines": [], "groups": null }), "reject", "payload of Cart: Groups is missing"),
    ];
    let whole = json!({
        "lines": [{ "product": "x]\"}", "cents": 1, "tags": null, "at": null }],
        "groups": { "a": null },
        "NEXT": { "lines": null, "groups": null },
        "rest": [{ "more": [null] }]
    });
    let when = json!([{ "type": "Cart", "data": whole }, { "type": "Any", "data": null }]);
    [fails(&mistakes), json!({ "when": when, "then": { "dead_letters": [] } })]
}

#[test]
fn what_is_missing_at_any_depth_in_go_is_named() {
    let customer = json!({ "name": "ada" });
    let placed = |lines: Value| json!({ "customer": { "name": "ada" }, "lines": lines, "note": null });
    let mistakes = [
        (
            "Placed",
            json!({ "customer": {}, "lines": [], "note": 1 }),
            "reject",
            "payload of Placed: customer.name is missing",
        ),
        ("Placed", json!({ "customer": customer, "lines": [] }), "reject", "payload of Placed: note is missing"),
        ("Placed", placed(json!([{ "product": "a" }, {}])), "reject", "payload of Placed: lines[1].product is missing"),
        ("Placed", placed(json!([null])), "reject", "payload of Placed: lines[0] is missing"),
        ("Placed", placed(json!(null)), "reject", "payload of Placed: lines is missing"),
        ("Embedded", json!({ "cents": 5 }), "reject", "payload of Embedded: order is missing"),
        ("MaybeEmbedded", json!({ "order": "1" }), "reject", "payload of MaybeEmbedded: cents is missing"),
        ("Pointer", json!(null), "reject", "payload of Pointer: the whole is missing"),
        ("Pointer", json!({}), "reject", "payload of Pointer: product is missing"),
    ];
    let gifts = json!({ "customer": customer, "lines": [], "gifts": { "b": { "product": "b" } }, "note": {} });
    let whole = [
        ("Placed", placed(json!([{ "product": "a" }]))),
        ("Placed", gifts),
        ("Embedded", json!({ "order": "1", "cents": 5 })),
        ("MaybeEmbedded", json!({ "cents": 5 })),
        ("Pointer", json!({ "product": "a" })),
    ];
    let when = whole.map(|(kind, data)| json!({ "type": kind, "data": data }));
    let whole = json!({ "when": when, "then": { "dead_letters": [] } });
    let [bad_carts, whole_carts] = carts();
    comes_of("go", "missing", MISTAKEN_GO, &[fails(&mistakes), whole, bad_carts, whole_carts]);
}

/// Nothing can be read into its lines.
const UNREADABLE_GO: &str = r#"
package main

import "tidemill.local/sdk"

type line struct{ product, count string }

type Placed struct{ Lines []line }

func placed(Placed, *tidemill.Context) error { return nil }

func init() {
	tidemill.Register(tidemill.Plugin{Name: "unreadable", Handlers: tidemill.Handlers{"Placed": tidemill.On(placed)}})
}
"#;

#[test]
fn a_struct_that_nothing_can_be_read_into_in_go_is_refused_by_the_check() {
    let Some(project) = built("go", "unreadable", UNREADABLE_GO) else { return };
    let mut command = tidemill();
    command.current_dir(project.folder()).args(["plugins", "check", "mistaken.wasm", "--manifest", "plugin.toml"]);
    let checked = command.output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success() && said.contains("no field of main.line is exported"), "{said}");
}

#[test]
fn what_is_no_text_in_go_is_replaced_or_named() {
    let bad = "\u{fffd}";
    let no_text = |which: &str, words: &'static str| ("NoText", json!(which), "reject", words);
    let mut fixture = fails(&[
        no_text("key", "key of the state: it is no UTF-8: \"k\\xff\""),
        no_text("prefix", "prefix of a scan: it is no UTF-8: \"p\\xff\""),
        no_text("stream", "stream of Seen: it is no UTF-8: \"s\\xff\""),
        no_text("tag", "tag of Seen: it is no UTF-8: \"t\\xff\""),
        no_text("reason", "r\u{fffd}"),
    ]);
    let lines = [
        json!({ "level": "info", "message": format!("printed {bad}") }),
        json!({ "level": "warn", "message": format!("bad {bad}") }),
    ];
    fixture["then"]["log"] = json!(lines.iter().cycle().take(10).collect::<Vec<_>>());
    comes_of("go", "no-text", MISTAKEN_GO, &[fixture]);
}

/// Each type of event is a mistake.
const MISTAKEN_C: &str = r#"
#include "tidemill.h"

static bool formats(tm_event *e) {
    tm_log(e, TM_INFO, "order %t of %u%% is %d done, %t", e->type, (uint64_t)7, 5, e->type);
    return true;
}

static bool no_text(tm_event *e) {
    tm_text which;
    if (!tm_field_text(e, "which", &which)) return false;
    tm_log(e, TM_WARN, "bad %s, \xc3\xa9, \xed\xa0\x80", "\xff\xfe");
    if (tm_text_equal(which, TM_TEXT("key"))) return tm_state_set(e, TM_TEXT("k\xff"), TM_TEXT("1"));
    if (tm_text_equal(which, TM_TEXT("stream")) || tm_text_equal(which, TM_TEXT("tag"))) {
        tm_text tag = TM_TEXT("t\xff");
        bool is_tag = tm_text_equal(which, TM_TEXT("tag"));
        tm_new_event seen = {.type = TM_TEXT("Seen"), .payload = TM_TEXT("1"), .tags = &tag, .tag_count = is_tag};
        if (!is_tag) seen.stream = TM_TEXT("s\xff");
        return tm_append(e, &seen);
    }
    return tm_reject(e, "r%s", "\xff");
}

static const tm_handler HANDLERS[] = {{"Formats", formats}, {"NoText", no_text}, {0}};

const tm_plugin tidemill_plugin = {.name = "mistaken", .handlers = HANDLERS};
"#;

#[test]
fn what_is_no_text_in_c_is_replaced_or_named_and_an_unknown_directive_fails() {
    let which = |which: &str| json!({ "which": which });
    let mut fixture = fails(&[
        ("NoText", which("key"), "reject", "key of the state: it is no UTF-8: k\u{fffd}"),
        ("NoText", which("stream"), "reject", "stream of Seen: it is no UTF-8: s\u{fffd}"),
        ("NoText", which("tag"), "reject", "tag of Seen: it is no UTF-8: t\u{fffd}"),
        ("NoText", which("reason"), "reject", "r\u{fffd}"),
        ("Formats", json!({}), "retry", "tm_format knows no %d; numbers are %u"),
    ]);
    let bad = json!({ "level": "warn", "message": "bad \u{fffd}, é, \u{fffd}" });
    let begun = json!({ "level": "info", "message": "order Formats of 7% is " });
    fixture["then"]["log"] = json!([bad, bad, bad, bad, begun]);
    comes_of("c", "mistaken", MISTAKEN_C, &[fixture]);
}
