//! The runtime with real components, each with one behaviour: what a call of each ends in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use tidemill::clock::ManualClock;
use tidemill::delivery::{Effects, EventBatch, Fault, HandleError, Handled, Handler, Permit, Verdict};
use tidemill::error::ErrorClass;
use tidemill::event::{EventType, NewEvent, Pattern, PluginName, Position, RecordedEvent, StreamName, Tag, Version};
use tidemill::runtime::{Engine, EngineOptions, InstanceOptions, Limits, LoadError, LoadOptions};
use tidemill::store::memory::MemoryStore;
use tidemill_tests::guests;

/// Microseconds since the Unix epoch of the event at position 0; each is a second after the one before.
const BEGINNING_US: u64 = 1_700_000_000_000_000;

/// One engine for all tests, as in a host.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

/// The usual limits, with time enough for any guest that ends, however busy the machine is.
fn patient() -> Limits {
    Limits { batch_time_ms: 600_000, ..Limits::default() }
}

/// A guest with the effects of its calls.
struct Runner {
    handler: Box<dyn Handler>,
    effects: Option<Effects>,
}

impl Runner {
    fn new(component: &[u8]) -> Self {
        Self::with(component, patient(), &[])
    }

    fn with(component: &[u8], limits: Limits, config: &[(&str, &str)]) -> Self {
        let plugin = PluginName::new("tested").unwrap();
        let config = config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect::<BTreeMap<_, _>>();
        let loaded = ENGINE.load(component).unwrap();
        let handler = loaded.subscriber(InstanceOptions { config, ..InstanceOptions::new(plugin.clone(), limits) });
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(BEGINNING_US))));
        let append = Permit::of([Pattern::new("Echoed").unwrap()]);
        Self { handler, effects: Some(Effects::new(plugin, store, append)) }
    }

    /// Hands events of these types over, from `first` on; takes the call back if it failed.
    fn call(&mut self, first: u64, types: &[&str]) -> Handled {
        self.hand_over((first..).zip(types).map(|(position, event_type)| event(position, event_type)).collect())
    }

    fn hand_over(&mut self, events: Vec<RecordedEvent>) -> Handled {
        let batch = EventBatch::new(events);
        let mut effects = self.effects.take().unwrap();
        effects.begin_call(batch.clone());
        let Handled { mut effects, outcome, evidence } = self.handler.handle(batch, effects);
        if outcome.is_err() {
            effects.discard_call();
        }
        let unused = effects.fresh();
        self.effects = Some(effects);
        Handled { effects: unused, outcome, evidence }
    }

    fn state(&mut self, key: &str) -> Option<String> {
        let value = self.effects.as_mut().unwrap().state_get(key).unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }
}

fn event(position: u64, event_type: &str) -> RecordedEvent {
    let event = NewEvent::json(EventType::new(event_type).unwrap(), "{\"a\":\"ä\"}");
    RecordedEvent::record(event, Position(position), Version(0), BEGINNING_US + position * 1_000_000)
}

fn fault(handled: &Handled) -> (Fault, &str) {
    match &handled.outcome {
        Err(HandleError::Fault { fault, reason }) => (*fault, reason),
        other => panic!("expected a fault, got {other:?}"),
    }
}

fn failure(handled: &Handled) -> (usize, Verdict, &str) {
    match &handled.outcome {
        Err(HandleError::Failure(failure)) => (failure.index, failure.verdict, &failure.reason),
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// What a guest does with a good event, poison, and a good one again: the outcome of the poison.
fn poisoned(component: &[u8], limits: Limits) -> Handled {
    let mut runner = Runner::with(component, limits, &[]);
    assert_eq!(runner.call(1, &["Good"]).outcome, Ok(()));
    let handled = runner.call(2, &["Good", "Poison"]);
    assert!(handled.outcome.is_err());
    assert_eq!(runner.call(4, &["Good"]).outcome, Ok(()), "the next call is as new");
    assert_eq!(runner.state("count").as_deref(), Some("2"), "nothing of the failed call remains");
    handled
}

#[test]
fn a_guest_that_is_well_counts() {
    for guest in [guests::OK, guests::BULK_OK] {
        let mut runner = Runner::new(guest);
        assert_eq!(runner.call(1, &["A"; 256]).outcome, Ok(()));
        assert_eq!(runner.call(257, &["A"]).outcome, Ok(()));
        assert_eq!(runner.state("count").as_deref(), Some("257"));
        assert_eq!(runner.state("last").as_deref(), Some("257"));
    }
}

/// What a component of a release does on this host: counts, echoes, asks for a dead letter.
#[test]
fn components_of_a_release_run_on_later_hosts() {
    for guest in [guests::RELEASED_0_1_0, guests::RELEASED_0_1_0_BULK] {
        let loaded = ENGINE.load(guest).unwrap();
        assert_eq!(loaded.description().unwrap().append, ["Echoed"]);
        let mut runner = Runner::with(guest, patient(), &[("greeting", "hello")]);
        assert_eq!(runner.call(1, &["A", "B"]).outcome, Ok(()));
        assert_eq!(runner.call(3, &["C"]).outcome, Ok(()));
        assert_eq!(runner.state("count").as_deref(), Some("iii"));
        assert_eq!(runner.state("seen").as_deref(), Some("count,seen hello None"));
        assert_eq!(runner.effects.as_ref().unwrap().event_count(), 3);
        let poisoned = runner.call(4, &["D", "Poison"]);
        assert_eq!(failure(&poisoned), (1, Verdict::Reject, "poison"));
    }
}

#[test]
fn of_two_lanes_the_bulk_one_is_taken() {
    let mut runner = Runner::new(guests::BOTH_LANES);
    assert_eq!(runner.call(1, &["A", "B"]).outcome, Ok(()));
    assert_eq!(runner.state("count").as_deref(), Some("2"));
}

#[test]
fn types_are_counted_alike_with_and_without_the_sdk() {
    for guest in [guests::COUNT_TYPES, tidemill_plugins::COUNTER.component] {
        let mut runner = Runner::new(guest);
        assert_eq!(runner.call(1, &["A", "B", "A"]).outcome, Ok(()));
        assert_eq!((runner.state("A").as_deref(), runner.state("B").as_deref()), (Some("2"), Some("1")));
    }
}

#[test]
fn a_panic_arrives_with_its_message_and_backtrace() {
    let handled = poisoned(guests::TRAP, patient());
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::Trap);
    assert!(reason.starts_with("panicked at ") && reason.contains("trap.rs:"), "{reason}");
    assert!(reason.contains("poisoned at position 3 (wasm trap: "), "{reason}");
    let backtrace = &handled.evidence.backtrace;
    assert!(backtrace.contains("!core::panicking::panic_fmt"), "names are demangled: {backtrace}");
    assert!(backtrace.contains("tidemill:plugin/subscriber@0.1.1#handle"), "{backtrace}");
    assert!(backtrace.lines().count() <= 32 && !backtrace.contains("wasmtime"), "{backtrace}");
    assert!(handled.evidence.stderr_tail.contains("poisoned at position 3"));
}

#[test]
fn a_panic_on_the_sdk_arrives_the_same_way() {
    let handled = poisoned(guests::SDK_PANIC, patient());
    let (fault, reason) = fault(&handled);
    assert_eq!(fault, Fault::Trap);
    assert!(reason.starts_with("panicked at ") && reason.contains("poisoned by "), "{reason}");
    assert!(handled.evidence.stderr_tail.contains("at position 3"), "{}", handled.evidence.stderr_tail);
}

#[test]
fn every_other_end_of_a_guest_has_its_name() {
    let within = |component: &[u8], limits: Limits| {
        let handled = poisoned(component, limits);
        let (fault, reason) = fault(&handled);
        (fault, reason.to_owned())
    };
    let (fault, reason) = within(guests::SPIN, Limits { batch_time_ms: 2_000, ..Limits::default() });
    assert!(fault == Fault::Deadline && reason.contains("2000 ms"), "{reason}");
    let of = |component: &[u8]| within(component, Limits { memory_bytes: 8 << 20, ..patient() });
    let (fault, reason) = of(guests::GROW);
    assert!(fault == Fault::OutOfMemory && reason.contains("8.0 MiB"), "{reason}");
    let (fault, reason) = of(guests::EXIT);
    assert!(fault == Fault::Trap && reason.contains("exited with code"), "{reason}");
    assert_eq!(of(guests::RECURSE).0, Fault::Trap);
    let (fault, reason) = of(guests::BAD_REPLY);
    assert!(fault == Fault::BadReply && reason.contains("4294967295"), "{reason}");
}

#[test]
fn verdicts_are_passed_on() {
    let of = |component: &[u8]| {
        let handled = poisoned(component, patient());
        let (index, verdict, _) = failure(&handled);
        assert_eq!(index, 1);
        verdict
    };
    assert_eq!(of(guests::REJECT), Verdict::Reject);
    assert_eq!(of(guests::BULK_REJECT), Verdict::Reject);
    assert_eq!(of(guests::STOP), Verdict::Stop);
    assert_eq!(of(guests::RETRY), Verdict::Retry { after_ms: None });
    assert_eq!(of(guests::RETRY_AFTER), Verdict::Retry { after_ms: Some(50) });
    assert_eq!(of(guests::OTHER_VERDICT), Verdict::Retry { after_ms: None });
    assert_eq!(of(guests::WRITE_THEN_FAIL), Verdict::Reject);
    assert_eq!(of(guests::APPEND_THEN_FAIL), Verdict::Reject);
}

#[test]
fn an_instance_outlives_an_answer_but_no_fault() {
    let mut runner = Runner::new(guests::INSTANCE_COUNTER);
    for (first, calls) in [(1, "1"), (2, "2")] {
        assert_eq!(runner.call(first, &["A"]).outcome, Ok(()));
        assert_eq!(runner.state("instance_calls").as_deref(), Some(calls));
    }
    assert_eq!(fault(&runner.call(3, &["Poison"])).0, Fault::Trap);
    assert_eq!(runner.call(4, &["A"]).outcome, Ok(()));
    assert_eq!(runner.state("instance_calls").as_deref(), Some("1"));
    let mut runner = Runner::new(guests::RETRY_THEN_OK);
    let outcomes: Vec<_> = (0..3).map(|_| runner.call(1, &["Poison"]).outcome.is_ok()).collect();
    assert_eq!(outcomes, [false, false, true], "it counts its attempts in the instance");
}

#[test]
fn a_guest_sees_all_of_an_event() {
    for guest in [guests::EVENT_ECHO, guests::BULK_EVENT_ECHO] {
        sees_all_of_an_event(guest);
    }
}

fn sees_all_of_an_event(guest: &[u8]) {
    let mut runner = Runner::new(guest);
    let mut rich = event(7, "Rich");
    rich.id = "0190a1b2-0000-7000-8000-00000000002a".parse().unwrap();
    rich.stream = Some(StreamName::new("order-1").unwrap());
    rich.version = Version(3);
    rich.tags = vec![Tag::new("order:1").unwrap()];
    rich.metadata.insert("actor".into(), "ä".into());
    rich.content_type = Some("image/png".into());
    rich.data = vec![0, 255];
    assert_eq!(runner.hand_over(vec![event(6, "Plain"), rich]).outcome, Ok(()));
    let plain = runner.state("event/6").unwrap();
    assert!(plain.contains("type=Plain stream=None version=0 timestamp_us=1700000006000000"), "{plain}");
    assert!(plain.ends_with("payload=json {\"a\":\"ä\"} context=None"), "{plain}");
    let rich = runner.state("event/7").unwrap();
    assert!(
        rich.starts_with("id=0190a1b200007000800000000000002a type=Rich stream=Some(\"order-1\") version=3"),
        "{rich}"
    );
    assert!(rich.contains("payload=binary [0, 255]"), "{rich}");
    for part in ["tags", "order:1", "actor", "ä", "content_type", "image/png"] {
        assert!(rich.contains(part), "{part}: {rich}");
    }
}

#[test]
fn appended_events_carry_their_cause() {
    let mut runner = Runner::new(guests::EMIT);
    assert_eq!(runner.call(1, &["A", "B"]).outcome, Ok(()));
    let (_, events) = runner.effects.as_mut().unwrap().take();
    let streams: Vec<_> = events.iter().map(|event| event.stream.as_ref().unwrap().as_str()).collect();
    assert_eq!(streams, ["echo-1", "echo-2"]);
    for event in &events {
        assert!(event.metadata.contains_key("causation_id") && event.metadata.contains_key("correlation_id"));
        assert_eq!(event.data, "{\"a\":\"ä\"}".as_bytes());
    }
}

#[test]
fn what_the_host_refuses_it_refuses_with_a_reason() {
    let handled = Runner::new(guests::ASK_DENIED).call(1, &["A"]);
    let (_, _, reason) = failure(&handled);
    assert!(reason.starts_with("denied: ") && reason.contains("in [grants]: append = "), "{reason}");
    let handled = Runner::with(guests::EMIT_MANY, patient(), &[]).call(1, &["A"]);
    assert!(failure(&handled).2.starts_with("limit-exceeded: "), "{:?}", handled.outcome);
    let handled = Runner::with(guests::STATE_FLOOD, patient(), &[]).call(1, &["A"]);
    assert!(failure(&handled).2.starts_with("limit-exceeded: "), "{:?}", handled.outcome);
    let mut runner = Runner::new(guests::BAD_ARGUMENTS);
    assert_eq!(runner.call(5, &["A"]).outcome, Ok(()));
    let refused = [
        "empty_key",
        "long_key",
        "large_value",
        "get_long_key",
        "empty_type",
        "bad_stream",
        "schema_0",
        "many_tags",
        "cause_0",
        "cause_ahead",
    ];
    for what in refused {
        let answer = runner.state(&format!("answer/{what}")).unwrap();
        assert!(answer.starts_with("invalid: "), "{what}: {answer}");
    }
    assert!(runner.effects.as_mut().unwrap().take().1.is_empty(), "nothing of a refused call takes effect");
}

#[test]
fn state_is_scanned_in_pages() {
    let mut runner = Runner::with(guests::SCAN_PAGES, patient(), &[]);
    assert_eq!(runner.call(1, &["A"]).outcome, Ok(()));
}

#[test]
fn config_is_that_of_the_instance() {
    let config = [("keys", "currency,missing"), ("currency", "EUR")];
    let mut runner = Runner::with(guests::CONFIG_ECHO, patient(), &config);
    assert_eq!(runner.call(1, &["A"]).outcome, Ok(()));
    assert_eq!(runner.state("config/currency").as_deref(), Some("EUR"));
    assert_eq!(runner.state("config/missing").as_deref(), Some("(none)"));
}

#[test]
fn there_is_nothing_outside_and_two_runs_are_equal() {
    let probe = || {
        let mut runner = Runner::new(guests::WASI_PROBE);
        assert_eq!(runner.call(9, &["A"]).outcome, Ok(()));
        let found =
            ["directory", "read", "write", "environment", "arguments", "stdin", "clock_us", "elapsed_ns", "random"];
        found.map(|what| runner.state(&format!("probe/{what}")).unwrap())
    };
    let found = probe();
    let [directory, read, write, environment, arguments, stdin, clock_us, elapsed_ns, _] = &found;
    assert!([directory, read, write].iter().all(|answer| answer.starts_with("error: ")), "{found:?}");
    assert_eq!((&**environment, &**arguments), ("0", "0"));
    assert!(stdin == "ok: 0" || stdin.starts_with("error: "), "{stdin}");
    assert_eq!((&**clock_us, &**elapsed_ns), ("ok: 1700000009000000", "0"), "the time is the event's");
    assert_eq!(probe(), found);
}

/// What a guest that looks at time, chance and floating point saw, when it was handed six events cut so.
fn seen(cuts: &[usize], types: [&str; 6], always: &str) -> Vec<Option<String>> {
    let mut runner = Runner::with(guests::TIME_AND_CHANCE, patient(), &[("always", always)]);
    let mut events = (1..).zip(types).map(|(position, event_type)| event(position, event_type));
    for cut in cuts {
        assert_eq!(runner.hand_over(events.by_ref().take(*cut).collect()).outcome, Ok(()));
    }
    let keys = (1..=6).map(|position| format!("seen/{position}")).chain(["sum".into(), "count".into()]);
    keys.map(|key| runner.state(&key)).collect()
}

#[test]
fn promise_10_two_runs_over_the_same_events_give_the_same_state() {
    let mixed = ["A", "Looked", "A", "A", "Looked", "A"];
    for (types, always) in [(["A"; 6], "true"), (mixed, "false"), (["A"; 6], "false")] {
        let one_by_one = seen(&[1; 6], types, always);
        for cuts in [&[6_usize][..], &[2, 4], &[1, 5], &[3, 3], &[5, 1]] {
            assert_eq!(seen(cuts, types, always), one_by_one, "{cuts:?}");
        }
        assert_eq!(one_by_one[7].as_deref(), Some("6"));
    }
    let seen = seen(&[6], ["Looked"; 6], "false");
    let of = |position: usize| seen[position - 1].as_deref().unwrap().split(' ').collect::<Vec<_>>();
    for position in 1..=6 {
        assert_eq!(of(position)[0], (BEGINNING_US + position as u64 * 1_000_000).to_string(), "the event's own time");
        assert_eq!(of(position)[2], "7ff8000000000000", "the one NaN there is");
    }
    assert_ne!(of(1)[1], of(2)[1], "chance differs from event to event");
}

#[test]
fn what_a_guest_has_waited_before_is_no_matter_to_its_clock() {
    let napped = |cuts: &[usize], first: u64| {
        let mut runner = Runner::new(guests::TIME_AND_CHANCE);
        let mut events = (first..=4).map(|position| event(position, "Napped"));
        for cut in cuts {
            assert_eq!(runner.hand_over(events.by_ref().take(*cut).collect()).outcome, Ok(()));
        }
        (3..=4).map(|position| runner.state(&format!("nap/{position}")).unwrap()).collect::<Vec<_>>()
    };
    // One instance for all, several in a call, and one that begins in the middle.
    let seen = napped(&[1, 1, 1, 1], 1);
    assert_eq!(seen, ["3600000000001", "3600000000001"]);
    for (cuts, first) in [(&[4_usize][..], 1), (&[1, 3], 1), (&[2], 3), (&[1, 1], 3)] {
        assert_eq!(napped(cuts, first), seen, "{cuts:?} from {first}");
    }
}

#[test]
fn the_events_of_a_guest_that_looks_at_the_time_share_what_a_batch_may_use() {
    let spun = |runner: &mut Runner, count: usize| runner.call(1, &vec!["Spun"; count]);
    let mut free = Runner::new(guests::TIME_AND_CHANCE);
    spun(&mut free, 2);
    let before = free.handler.usage().fuel;
    spun(&mut free, 1);
    let fuel = free.handler.usage().fuel - before;
    assert_eq!(spun(&mut free, 5).outcome, Ok(()));
    let usage = free.handler.usage();
    assert!(usage.batch_fuel_max > fuel * 4, "of the batch, not of each: {usage:?}");
    assert_eq!(usage.batch_log_bytes_max, 5 * (100 + 64));
    let limits = Limits { fuel: Some(fuel * 7 / 2), ..patient() };
    let mut limited = Runner::with(guests::TIME_AND_CHANCE, limits, &[]);
    for count in [2, 3, 1, 3] {
        assert_eq!(spun(&mut limited, count).outcome, Ok(()), "{count}");
    }
    assert_eq!(fault(&spun(&mut limited, 6)).0, Fault::OutOfFuel);
    assert_eq!(spun(&mut limited, 3).outcome, Ok(()), "and has all of it again");
}

#[test]
fn a_sleep_takes_no_time() {
    let mut runner = Runner::new(guests::SLEEP);
    assert_eq!(runner.call(1, &["Poison"]).outcome, Ok(()), "an hour passes at once");
}

#[test]
fn floods_of_output_are_bounded() {
    assert_eq!(Runner::with(guests::LOG_FLOOD, patient(), &[]).call(1, &["A"]).outcome, Ok(()));
    let mut runner = Runner::with(guests::STDERR_FLOOD, patient(), &[]);
    let handled = runner.call(1, &["Poison"]);
    assert!(fault(&handled).1.contains("the last words after the flood"), "{:?}", handled.outcome);
    assert!(handled.evidence.stderr_tail.len() <= 4096);
}

#[test]
fn a_typed_guest_describes_itself() {
    let loaded = ENGINE.load(guests::SDK_TYPED).unwrap();
    let description = loaded.description().unwrap();
    assert_eq!(
        (&*description.name, &*description.version, &*description.summary),
        ("sdk-typed", "1.2.3", "Watches orders")
    );
    assert_eq!(description.append, ["BigOrderSeen"]);
    assert!(description.types.contains(&"OrderPlaced".to_owned()), "{description:?}");
}

#[test]
fn what_is_no_plugin_is_refused_with_a_reason() {
    let refused = |component: &[u8], parts: &[&str]| {
        let limits = Limits { batch_time_ms: 2_000, ..Limits::default() };
        let error = ENGINE.load_with(component, &LoadOptions { limits, ..LoadOptions::default() }).unwrap_err();
        let said = error.to_string();
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
        error
    };
    refused(guests::NO_EXPORTS, &["tidemill:plugin/subscriber@0.1.1", "tidemill:plugin/bulk-subscriber@0.1.1"]);
    let other = "built for tidemill:plugin of 0.2.0, and the host has tidemill:plugin@0.1.1, another contract";
    refused(guests::LATER_CONTRACT, &["tidemill:plugin/subscriber@0.2.0", other, "`tidemill new`"]);
    let (has, wanted) = ("list<string>) -> result<_, string>`", "list<event>) -> result<_, failure>`");
    refused(guests::WRONG_EXPORT, &["export tidemill:plugin/subscriber@0.1.0", "`handle`", has, wanted]);
    let (has, wanted) = ("`get: func(key: u32) -> u32`", "`get: func(key: string) -> option<string>`");
    refused(guests::WRONG_IMPORT, &["of config", has, wanted]);
    refused(guests::UNKNOWN_IMPORT, &["test:guests/teleport", "tidemill:plugin/state@0.1.1 (get, set, delete, scan)"]);
    let error = refused(guests::WASI_SOCKETS, &["wasi:sockets/", "no network"]);
    assert_eq!(error.class(), ErrorClass::Denied);
    let error = refused(guests::SLOW_DESCRIBE, &["describe", "deadline", "2000 ms"]);
    assert!(matches!(error, LoadError::Trial { fault: Fault::Deadline, .. }));
}
