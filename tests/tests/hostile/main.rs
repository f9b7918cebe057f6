//! Guests that misbehave in every way there is, beside one that does not.
//!
//! `cases` is the table of them: what each does and how it must end. Most are tried again by themselves in
//! `runtime.rs`, which looks closer at the fault and its evidence. Elsewhere: what is hostile to the compiler
//! (`compile.rs`), to an HTTP client (`grants.rs`); storms of events that a plugin emits for itself (the tests of
//! `delivery`). `reload` replaces a plugin hundreds of times under load.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod raw;
mod reload;
mod usage;

use std::fs;

use cases::{CASES, Case, End, LARGE};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::{Server, another_version, guests, install, poll, replace};
use usage::Usage;

/// Rounds before usage is compared: the allocator settles.
const WARM_UP: usize = 9;
/// Rounds that must not use more.
const ROUNDS: usize = 5;
/// Of these, how many at the end are looked at for memory: the allocator gives back late, and not after each round.
const LATE: usize = 3;
/// What each round appends. Three dead letters in a row would be a quarantine.
const EVENTS: [&str; 7] = ["Ticked", "Poison", "Ticked", "Ticked", "Poison", "Ticked", "Ticked"];

/// A server with the counter, and hostile guests to come and go.
struct Setting {
    server: Server,
    plugins: TempDir,
    staged: TempDir,
    /// Components and manifests, made once.
    guests: Vec<(&'static Case, Vec<u8>, String)>,
    _data: TempDir,
}

impl Setting {
    fn start(cases: &'static [Case]) -> Self {
        let [data, plugins, staged] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        install(plugins.path(), "counter", &COUNTER);
        let server = Server::start(data.path(), plugins.path());
        let guests = cases.iter().map(|case| (case, case.component(), case.manifest())).collect();
        Self { server, plugins, staged, guests, _data: data }
    }

    fn info(&self, plugin: &str) -> Value {
        self.server.get(&format!("/v1/plugins/{plugin}"))
    }

    /// Puts every hostile guest into the directory, each in one step.
    fn install(&self) {
        for (case, component, manifest) in &self.guests {
            let half = self.staged.path().join(case.name);
            fs::create_dir(&half).unwrap();
            fs::write(half.join("plugin.toml"), manifest).unwrap();
            fs::write(half.join("plugin.wasm"), component).unwrap();
            fs::rename(&half, self.plugins.path().join(case.name)).unwrap();
        }
        // One name with two contents.
        install(self.plugins.path(), "is-there-twice", &COUNTER);
        replace(&self.plugins.path().join("is-there-twice.wasm"), &another_version(COUNTER.component, 1));
    }

    /// Takes them out again, and waits until they are gone.
    fn remove(&self) {
        let names = self.guests.iter().map(|(case, ..)| case.name);
        names.chain(["is-there-twice"]).for_each(|name| fs::remove_dir_all(self.plugins.path().join(name)).unwrap());
        fs::remove_file(self.plugins.path().join("is-there-twice.wasm")).unwrap();
        poll("the hostile guests to be gone", || {
            let listed = self.server.try_get("/v1/plugins").ok()?["plugins"].as_array()?.clone();
            (listed.iter().filter(|plugin| plugin["installed"] == true).count() == 1).then_some(())
        });
    }

    /// Appends events; answers the position of the first.
    fn append(&self, types: &[&str]) -> u64 {
        let events: Vec<_> = types.iter().map(|name| json!({ "type": name, "data": {} })).collect();
        let appended = self.server.try_post("/v1/events", &json!({ "events": events })).unwrap();
        appended["first_position"].as_u64().unwrap()
    }

    /// One round: they come, are handed poison, end as they must, and go.
    fn round(&self) {
        self.install();
        let first = self.append(&EVENTS);
        self.server.settle("counter");
        self.all_end(first);
        // The folder may have been taken up before the file came.
        poll("the name that is there twice to be told", || {
            let twice = self.server.try_get("/v1/plugins/is-there-twice").ok()?;
            twice["problem"]["reason"].as_str()?.contains("is-there-twice.wasm").then_some(())
        });
        self.replay();
        self.remove();
        self.append(&["Ticked"]);
        self.server.settle("counter");
    }

    /// Waits until a plugin has come to its end, whatever that is.
    fn rest(&self, plugin: &str) -> Value {
        poll(&format!("{plugin} to come to an end"), || {
            let info = self.server.try_get(&format!("/v1/plugins/{plugin}")).ok()?;
            let head = self.server.try_get("/v1/events?limit=1").ok()?["head"].as_u64()?;
            let (problem, status) = (&info["problem"]["reason"], &info["status"]);
            let stopped = status["state"] == "halted" || status["state"] == "quarantined";
            let through = status["checkpoint"].as_u64() >= Some(head);
            (problem.is_string() || stopped || through).then_some(info)
        })
    }

    /// Waits until a guest has come to its end; answers what differs from the end it must come to.
    fn fault(&self, case: &Case, first: u64) -> Option<String> {
        let info = self.rest(case.name);
        let says = |what: &Value, words: &[&str]| {
            what.as_str().is_some_and(|text| words.iter().all(|word| text.contains(word)))
        };
        let (problem, status) = (&info["problem"]["reason"], &info["status"]);
        let letters = match problem {
            Value::Null => self.server.get(&format!("/v1/plugins/{}/dead-letters?limit=1000", case.name)),
            _ => Value::Null,
        };
        let since = |letter: &&Value| letter["position"].as_u64() >= Some(first);
        let letter = letters["dead_letters"].as_array().into_iter().flatten().find(since);
        let as_it_must = match case.end {
            End::Refused(words) => says(problem, words),
            End::Parked(kind, words) => {
                letter.is_some_and(|letter| letter["kind"] == kind && says(&letter["reason"], words))
            }
            End::Halted(words) => status["state"] == "halted" && says(&status["reason"], words),
            End::Quarantined(words) => status["state"] == "quarantined" && says(&status["reason"], words),
            End::Overcome | End::Harmless => {
                let trapped = status["counters"]["faults"]["trap"].as_u64() > Some(0);
                info["dead_letters"] == 0
                    && status["state"] == "running"
                    && trapped == matches!(case.end, End::Overcome)
            }
        };
        let found = [problem, status, letter.unwrap_or(&Value::Null)].map(ToString::to_string).join(" ");
        (!as_it_must).then(|| format!("{} must end as {:?}: {found}", case.name, case.end))
    }

    /// Waits until every guest has come to the end that it must come to.
    fn all_end(&self, first: u64) {
        let faults: Vec<_> = self.guests.iter().filter_map(|(case, ..)| self.fault(case, first)).collect();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    /// What dies of a replay does so there and nowhere else.
    fn replay(&self) {
        let path = "/v1/plugins/traps-on-replay/replay";
        let report = poll("a replay", || self.server.try_post(path, &json!({})).ok());
        let outcomes = &report["outcomes"];
        assert!(outcomes["failed"].as_u64() > Some(0) && outcomes["handled"].is_null(), "{report}");
        let info = self.info("traps-on-replay");
        assert!(info["status"]["state"] == "running" && info["dead_letters"] == 0, "{info}");
    }
}

#[test]
fn promise_7_while_a_guest_spins_for_minutes_others_handle_every_event() {
    let [data, plugins] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let manifest = "[subscribe]\ntypes = [\"Poison\"]\n[limits]\nbatch_time = \"600s\"\n";
    install(plugins.path(), "counter", &COUNTER);
    install(plugins.path(), "spins", &Example { name: "spins", component: guests::SPIN, manifest });
    let server = Server::start(data.path(), plugins.path());
    let append = |event_type: &str, count: usize| {
        let events = vec![json!({ "type": event_type, "data": {} }); count];
        server.try_post("/v1/events", &json!({ "events": events })).unwrap();
    };
    append("Poison", 1);
    for round in 1..=20 {
        append("Ticked", 50);
        server.settle("counter");
        assert_eq!(server.get("/v1/plugins/counter/state/Ticked")["value"], round * 50);
        let status = &server.get("/v1/plugins/spins")["status"];
        let faults = &status["counters"]["faults"]["deadline"];
        assert_eq!((&status["checkpoint"], faults), (&json!(0), &json!(0)), "it spins still: {status}");
    }
}

#[test]
fn promise_7_a_gibibyte_and_a_million_events_that_a_guest_hands_over_are_refused() {
    let setting = Setting::start(LARGE);
    setting.install();
    let first = setting.append(&["Ticked", "Poison", "Ticked"]);
    setting.server.settle("counter");
    setting.all_end(first);
    assert_eq!(setting.server.get("/v1/plugins/counter/state/Ticked")["value"], 2);
}

#[test]
fn promise_7_hostile_guests_hurt_nobody_and_leave_nothing_behind() {
    let setting = Setting::start(CASES);
    (0..WARM_UP).for_each(|_| setting.round());
    let process = setting.server.id();
    let warm = Usage::of(process);
    let mut resident = vec![warm.resident_bytes];
    for round in 1..=ROUNDS {
        setting.round();
        // Threads that wait for work end by themselves, after a while; one may be at work for this look.
        let now = poll(&format!("threads and files of round {round} to be given back, to {warm:?}"), || {
            let now = Usage::of(process);
            (now.threads <= warm.threads + 1 && now.files <= warm.files + 1).then_some(now)
        });
        resident.push(now.resident_bytes);
    }
    let least = resident.iter().rev().take(LATE).min().unwrap();
    assert!(*least <= warm.resident_bytes + Usage::GROWTH_MAX, "memory in use after each round: {resident:?}");
    let ticked = (EVENTS.iter().filter(|name| **name == "Ticked").count() + 1) * (WARM_UP + ROUNDS);
    assert_eq!(setting.server.get("/v1/plugins/counter/state/Ticked")["value"], ticked);
    assert_eq!(setting.server.terminate(), Some(0), "and the server ends in order");
}
