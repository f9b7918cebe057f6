//! Upcasters, validators and plugins that send commands, as the pages of the SDKs show them in TypeScript and Python, run
//! by the real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{ACCOUNT, Example};
use tidemill_templates::Language;
use tidemill_tests::projects::{Project, can_build};
use tidemill_tests::{Server, guests, install, poll, replace};

/// The sample of a page of the SDKs below a heading.
fn sample(language: &str, fence: &str, heading: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("sdk").join(language).join("README.md");
    let page = fs::read_to_string(page).unwrap();
    let below = page.split(&format!("## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{language}: {heading}"));
    below.split(&format!("```{fence}\n")).nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// The component of a source, built by a project of its language for a world.
fn built(language: &str, name: &str, source: &str, world: &str) -> Vec<u8> {
    let project = Project::new(Language::named(language).unwrap(), "role", name);
    project.become_plugin(source, world);
    project.build()
}

fn can_build_both() -> bool {
    ["js", "python"].iter().all(|language| can_build(Language::named(language).unwrap()))
}

struct Setting {
    plugins: TempDir,
    data: TempDir,
}

impl Setting {
    fn new() -> Self {
        Self { plugins: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() }
    }

    /// Puts a file into the plugins directory in one step.
    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.plugins.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(&path, bytes);
    }

    fn start(&self) -> Server {
        Server::start(self.data.path(), self.plugins.path())
    }
}

/// Shapes made of others, in one object with the functions whose types follow from them.
const TRIPS: &str = r#"
import { array, decider, keeping, object, optional, text, whole } from "tidemill-sdk";

export const { aggregate, description } = decider({
  name: "trips",
  events: { Moved: { stops: array(text) }, Met: keeping({ who: object({ name: text }), at: optional(whole) }) },
  commands: { Move: { stops: array(text) }, Meet: { name: text, at: optional(whole) } },
  state: { seen: array(text) },
  fresh: () => ({ seen: [] as string[] }),
  apply({ seen }, { type, data }) {
    switch (type) {
      case "Moved":
        return { seen: [...seen, ...data.stops] };
      case "Met":
        return { seen: [...seen, data.who.name.concat(String(data.at ?? 0))] };
    }
  },
  decide(_, { type, data }) {
    switch (type) {
      case "Move":
        return [{ type: "Moved", data: { stops: data.stops.map((stop) => stop.trim()) } }];
      case "Meet":
        return [{ type: "Met", data: data.at ? { who: { name: data.name }, at: data.at } : { who: { name: data.name } } }];
    }
  },
});
"#;

#[test]
fn types_of_commands_and_events_follow_from_shapes_that_are_made_of_others() {
    let language = Language::named("js").unwrap();
    if !can_build(language) {
        return;
    }
    let project = Project::of_role(language, "aggregate", "types", "trips");
    fs::write(project.folder().join(language.source), TRIPS).unwrap();
    project.check_types();
    for (right, wrong) in [("stop.trim()", "stop.length"), ("state: { seen: array(text) }", "state: {}")] {
        fs::write(project.folder().join(language.source), TRIPS.replace(right, wrong)).unwrap();
        assert!(std::panic::catch_unwind(|| project.check_types()).is_err(), "the types are checked: {wrong}");
    }
}

/// Shows, whose state counts guests, and then names them instead.
const SHOWS: [(&str, &str, [&str; 2]); 2] = [
    (
        "js",
        r#"
import { array, decider, text } from "tidemill-sdk";

export const { aggregate, description } = decider({
  name: "shows",
  events: { Booked: { guest: text } },
  commands: { Book: { guest: text } },
  STATE
  decide: (_, { data }) => [{ type: "Booked", data }],
});
"#,
        [
            "fresh: () => ({ booked: 0 }), apply: ({ booked }) => ({ booked: booked + 1 }),",
            "state: { guests: array(text) }, fresh: () => ({ guests: [] as string[] }), \
             apply: ({ guests }, { data }) => ({ guests: [...guests, data.guest] }),",
        ],
    ),
    (
        "python",
        r#"
from dataclasses import dataclass, field

from tidemill import Decider


@dataclass
class Book:
    guest: str


@dataclass
class Booked:
    guest: str


@dataclass
class Shows:
STATE

    def decide(self, command, asked):
        return [Booked(command.guest)]


Aggregate, Description = Decider(Shows, name="shows", commands=[Book], events=[Booked]).exports()
"#,
        [
            "    booked: int = 0\n\n    def apply(self, event):\n        self.booked += 1\n",
            "    guests: list[str] = field(default_factory=list)\n\n    def apply(self, event):\n        \
             self.guests.append(event.guest)\n",
        ],
    ),
];

#[test]
fn a_snapshot_of_another_shape_is_left_out_by_the_shape_of_the_state() {
    if !can_build_both() {
        return;
    }
    let setting = Setting::new();
    let projects = SHOWS.map(|(language, source, states)| {
        let with = Language::named(language).unwrap();
        let project = Project::of_role(with, "aggregate", "snapshot", "shows");
        let built = states.map(|state| {
            fs::write(project.folder().join(with.source), source.replace("STATE", state)).unwrap();
            project.build()
        });
        (language, built)
    });
    for (language, [counted, _]) in &projects {
        setting.put(&format!("{language}.wasm"), counted);
        let manifest =
            format!("[aggregate]\ncategory = \"{language}\"\nsnapshot_every = 1\n[grants]\nappend = [\"Booked\"]\n");
        setting.put(&format!("{language}.toml"), manifest.as_bytes());
    }
    let server = setting.start();
    for (language, [_, by_name]) in &projects {
        let book = |guest: &str| {
            let body = json!({ "id": format!("{language}-{guest}"), "type": "Book", "data": { "guest": guest } });
            command(&server, &format!("{language}/1"), &body).0
        };
        assert_eq!((book("ann"), book("bob")), (201, 201), "{language}");
        let snapshots =
            || server.get(&format!("/v1/snapshots?prefix={language}-"))["snapshots"].as_array().map(Vec::len);
        poll("a snapshot of the count", || (snapshots() == Some(1)).then_some(()));
        setting.put(&format!("{language}.wasm"), by_name);
        let state =
            || server.try_get(&format!("/v1/streams/{language}-1/state")).ok().map(|answer| answer["state"].clone());
        poll("a state made of the events", || (state()? == json!({ "guests": ["ann", "bob"] })).then_some(()));
        assert_eq!(book("eve"), 201, "{language}");
    }
}

/// Each decides for half of what it is asked for, which is no whole number of seats.
const HALVES: [(&str, &str); 2] = [
    (
        "js",
        r#"
import { decider, whole } from "tidemill-sdk";

export const { aggregate, description } = decider({
  name: "halves",
  events: { Booked: { seats: whole } },
  commands: { Book: { seats: whole } },
  fresh: () => ({ seats: 0 }),
  apply: ({ seats }, { data }) => ({ seats: seats + data.seats }),
  decide: (_, { data }) => [{ type: "Booked", data: { seats: data.seats / 2 } }],
});
"#,
    ),
    (
        "python",
        r#"
from dataclasses import dataclass

from tidemill import Decider


@dataclass
class Book:
    seats: int


@dataclass
class Booked:
    seats: int


@dataclass
class Halves:
    seats: int = 0

    def apply(self, event):
        self.seats += event.seats

    def decide(self, command, asked):
        half, odd = divmod(command.seats, 2)
        return [Booked(half + odd / 2 if odd else half)]


Aggregate, Description = Decider(Halves, name="halves", commands=[Book], events=[Booked]).exports()
"#,
    ),
];

#[test]
fn what_could_not_be_read_again_is_not_appended() {
    if !can_build_both() {
        return;
    }
    let setting = Setting::new();
    for (language, source) in HALVES {
        let project = Project::of_role(Language::named(language).unwrap(), "aggregate", "role", "halves");
        fs::write(project.folder().join(Language::named(language).unwrap().source), source).unwrap();
        setting.put(&format!("{language}.wasm"), &project.build());
        let manifest = format!("[aggregate]\ncategory = \"{language}\"\n[grants]\nappend = [\"Booked\"]\n");
        setting.put(&format!("{language}.toml"), manifest.as_bytes());
    }
    let server = setting.start();
    for (language, _) in HALVES {
        let book = |id: &str, seats: u32| {
            let body = json!({ "id": format!("{language}-{id}"), "type": "Book", "data": { "seats": seats } });
            command(&server, &format!("{language}/1"), &body)
        };
        assert_eq!(book("a", 4).0, 201, "{language}");
        let (status, answer) = book("b", 3);
        assert_eq!((status, text(&answer, "fault")), (500, "trap"), "{language}: {answer}");
        // Python writes why to stderr, which an aggregate does not have.
        let told = answer.to_string().contains("cannot be read again: payload of Booked: seats");
        assert!(told || language == "python", "{answer}");
        assert_eq!(book("c", 2).0, 201, "{language} goes on");
        assert_eq!(server.get(&format!("/v1/streams/{language}-1/state"))["state"]["seats"], 3);
    }
}

const RULES: &[u8] = br#"
[[upcast]]
type = "Shipped"
from = 2
rules = [{ add = "/carrier", value = "post" }]

[[upcast]]
type = "Purchase"
from = 1
to = 1
as = "Bought"
"#;

#[test]
fn a_chain_of_typescript_python_rust_and_rules_lifts() {
    if !can_build_both() {
        return;
    }
    let setting = Setting::new();
    let lifting = "One that lifts events";
    setting.put("upcasters/js.wasm", &built("js", "lifts", &sample("js", "ts", lifting), "upcaster-plugin"));
    let python = Project::new(Language::named("python").unwrap(), "role", "lifts");
    fs::write(python.folder().join("plugin.py"), sample("python", "python", lifting)).unwrap();
    setting.put("upcasters/python.wasm", &python.build());
    setting.put("upcasters/rust.wasm", guests::UPCASTER);
    setting.put("upcasters/rules.toml", RULES);
    let server = setting.start();
    let stored = [
        ("PriceSet", 1, json!({ "product": "tea", "price": 7 })),
        ("PriceSet", 2, json!({ "product": "rum", "price_cents": 50 })),
        ("PaidAndSent", 1, json!({ "cents": 5, "parcel": "p-1" })),
        ("HeartbeatSeen", 1, json!({})),
        ("TickSeen", 1, json!(null)),
        ("Purchase", 1, json!({ "n": 1 })),
        ("PriceSet", 1, json!({ "price": "dear" })),
        ("PriceSet", 1, json!({ "price": 2_000_000 })),
        ("PriceSet", 2, json!({})),
        ("Sent", 1, json!({ "parcel": 5 })),
    ];
    for (event_type, schema_version, data) in &stored {
        let event = json!({ "type": event_type, "schema_version": schema_version, "data": data });
        server.try_post("/v1/events", &json!({ "events": [event] })).unwrap();
    }
    let page = server.get("/v1/events?limit=100");
    let events = page["events"].as_array().unwrap();
    let is: Vec<_> =
        events.iter().map(|event| (text(event, "type"), &event["schema_version"], &event["data"])).collect();
    let wanted = [
        ("PriceSet", json!(3), json!({ "product": "tea", "price_cents": 700, "currency": "EUR" })),
        ("PriceSet", json!(3), json!({ "product": "rum", "price_cents": 50, "currency": "EUR" })),
        ("Paid", json!(3), json!({ "cents": 5 })),
        ("Packed", json!(1), json!({ "parcel": "p-1" })),
        ("Shipped", json!(3), json!({ "parcel": "p-1", "grams": null, "carrier": "post" })),
        ("Bought", json!(2), json!({ "was": { "n": 1 } })),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(name, version, data)| (*name, version, data)).collect();
    assert_eq!(is[..wanted.len()], wanted, "{page}");
    let unlifted: Vec<_> = events[wanted.len()..].iter().map(|event| text(&event["metadata"], "$unlifted")).collect();
    let reasons = [
        "payload of PriceSet: price: expected a whole number from 0",
        "that is no price",
        "price_cents is missing",
        "payload of Sent: parcel: expected text, but it is 5",
    ];
    assert_eq!(unlifted.len(), reasons.len(), "{page}");
    for (is, reason) in unlifted.iter().zip(reasons) {
        assert!(is.contains(reason), "{reason}: {is}");
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Sends a deposit under an id of its own, and for 3 cents also what it may not send.
const PYTHON_SENDER: &str = r#"
from dataclasses import dataclass

from tidemill import Context, Plugin, state

plugin = Plugin("sender", dispatch=("account:Deposit",))


@dataclass
class Paid:
    account: str
    cents: int


@plugin.on(Paid)
def paid(event: Paid, ctx: Context):
    send = ctx.dispatch
    state.set("id", send("account", event.account, "Deposit", {"cents": event.cents}, id=f"paid-{event.account}"))
    if event.cents == 3:
        send("account", event.account, "Close")


Subscriber, Description = plugin.exports()
"#;

/// A server with the account, and an account 7 that is open.
fn bank(setting: &Setting) -> Server {
    install(setting.plugins.path(), "account", &ACCOUNT);
    let server = setting.start();
    let (status, answer) = ask(&server, "open", "Open", json!({ "owner": "ada" }));
    assert_eq!(status, 201, "{answer}");
    server
}

/// Sends a command to account 7.
fn ask(server: &Server, id: &str, what: &str, data: Value) -> (u16, Value) {
    command(server, "account/7", &json!({ "id": id, "type": what, "data": data }))
}

/// Sends a command to an aggregate.
fn command(server: &Server, to: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.post(format!("{}/v1/commands/{to}", server.url())).send_json(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

#[test]
fn typescript_and_python_hold_commands_against_rules() {
    if !can_build_both() {
        return;
    }
    let setting = Setting::new();
    let rules = "One that holds commands against rules";
    setting.put("validators/10-js.wasm", &built("js", "rules", &sample("js", "ts", rules), "validator-plugin"));
    setting.put("validators/10-js.toml", b"[config]\ncents_max = 10");
    let python = built("python", "rules", &sample("python", "python", rules), "validator-plugin");
    let server = bank(&setting);
    let withdraw = |id: &str, cents: Value| {
        let (status, answer) = ask(&server, id, "Withdraw", json!({ "cents": cents }));
        assert_eq!(status, 422, "there is nothing on the account: {answer}");
        answer
    };
    let first = |answer: &Value, key: &str| text(&answer["errors"][0], key).to_owned();
    let malformed = withdraw("w1", json!("all"));
    assert_eq!([first(&malformed, "code"), first(&malformed, "pointer")], ["malformed", "/cents"], "{malformed}");
    let bytes = json!({ "id": "w1", "type": "Withdraw", "data_base64": "/////w==" });
    let (status, no_text) = command(&server, "account/7", &bytes);
    assert_eq!((status, first(&no_text, "code")), (422, "malformed".to_owned()), "{no_text}");
    let large = withdraw("w1", json!(11));
    assert_eq!(first(&large, "code"), "too-large", "{large}");
    assert!(first(&large, "message").contains("at most 10"), "{large}");
    assert_eq!(withdraw("w1", json!(6))["code"], "InsufficientFunds", "the rule lets it pass");

    setting.put("validators/20-python.toml", b"[config]\ncents_max = 5\n[limits]\nbatch_time = \"5s\"");
    setting.put("validators/20-python.wasm", &python);
    let mut number = 0;
    poll("the rule in Python to hold", || {
        number += 1;
        let answer = withdraw(&format!("p{number}"), json!(6));
        (first(&answer, "message").contains("at most 5")).then_some(())
    });
    assert!(first(&withdraw("w2", json!(11)), "message").contains("at most 10"), "the first one is asked first");
    assert_eq!(withdraw("w2", json!(5))["code"], "InsufficientFunds");
}

#[test]
fn typescript_and_python_send_commands() {
    if !can_build_both() {
        return;
    }
    let setting = Setting::new();
    let world = "described-dispatching-subscriber-plugin";
    let sends = [
        ("js", "OrderPlaced", built("js", "sender", &sample("js", "ts", "One that sends commands"), world)),
        ("python", "Paid", built("python", "sender", PYTHON_SENDER, world)),
    ];
    for (name, listens, component) in sends {
        let manifest = format!(
            "[subscribe]\ntypes = [\"{listens}\"]\n[delivery]\nmax_faults = 1\n[grants]\ndispatch = [\"account:Deposit\"]"
        );
        let (manifest, component) = (Box::leak(manifest.into_boxed_str()), Box::leak(component.into_boxed_slice()));
        install(setting.plugins.path(), name, &Example { name, component, manifest });
    }
    let server = bank(&setting);
    let event = |event_type: &str, data: Value| json!({ "type": event_type, "data": data });
    let deposits =
        [event("OrderPlaced", json!({ "account": "7" })), event("Paid", json!({ "account": "7", "cents": 40 }))];
    server.try_post("/v1/events", &json!({ "events": deposits })).unwrap();
    let balance = || server.try_get("/v1/streams/account-7/state").ok()?["state"]["balance_cents"].as_u64();
    poll("both deposits", || (balance()? == 41).then_some(()));
    assert_eq!(server.get("/v1/commands/paid-7")["outcome"], "accepted");

    let refused = event("Paid", json!({ "account": "8", "cents": 3 }));
    server.try_post("/v1/events", &json!({ "events": [refused] })).unwrap();
    let info = poll("the sender to stop", || {
        Some(server.get("/v1/plugins/python")).filter(|info| info.to_string().contains("account:Close"))
    });
    assert!(info.to_string().contains("may not send"), "{info}");
    assert_eq!(server.try_text("/v1/commands/paid-8").unwrap().0, 404, "nothing of a failed handler is sent");
}
