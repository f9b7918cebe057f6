//! Commands against a store in memory, decided by native code.

mod queue;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::delivery::{Evidence, Fault, Permit};
use crate::error::ErrorClass;
use crate::event::{
    Category, EventType, ExpectedVersion, Filter, NewEvent, Pattern, PluginName, Position, Query, RecordedEvent,
    StreamName, Version,
};
use crate::store::memory::MemoryStore;
use crate::store::{AppendCondition, AppendError, AppendRequest, AsyncStore, ReadRequest, Store};

mod advance;
mod again;
mod history;
mod own_ids;
mod points;
mod refused;
mod snapshots;
mod turns;

/// Purses: `Add` puts in, `Take` takes out what is there; other commands misbehave.
#[derive(Default)]
struct Purses {
    schema: u32,
    /// Whether snapshots are given, and taken.
    snapshots: bool,
    /// How many aggregates were made, and of those how many of a snapshot.
    made: AtomicU64,
    restored: AtomicU64,
    /// Decisions so far.
    decided: AtomicU64,
    /// Held while a decision is made, if told.
    gate: Arc<Mutex<()>>,
    refuses_snapshots: AtomicBool,
    dies_of_snapshots: AtomicBool,
    /// Fails at all that is done with what it made of snapshots.
    is_misled_by_snapshots: AtomicBool,
    fails_to_snapshot: AtomicBool,
    /// Wants more memory for events than there is.
    lacks_memory: AtomicBool,
    /// If not 0, states are texts of so many bytes.
    wide: usize,
    is_full: AtomicBool,
    /// How long a call with events takes.
    applies_for_ms: u64,
    /// Bytes of each call with events.
    calls: Mutex<Vec<usize>>,
    /// Held while such a call is made, if told.
    apply_gate: Arc<Mutex<()>>,
}

struct Purse {
    code: Arc<Purses>,
    held: HashMap<u64, i64>,
    /// Those that were made of snapshots.
    restored: HashSet<u64>,
    next: u64,
}

struct Code(Arc<Purses>);

impl AggregateCode for Code {
    fn snapshot_schema(&self) -> u32 {
        self.0.schema
    }

    fn host(&self) -> Box<dyn AggregateHost> {
        Box::new(Purse { code: Arc::clone(&self.0), held: HashMap::new(), restored: HashSet::new(), next: 0 })
    }
}

impl Purse {
    fn hold(&mut self, cents: i64) -> Handle {
        self.next += 1;
        self.held.insert(self.next, cents);
        Handle(self.next)
    }

    fn is_misled(&self, aggregate: Handle) -> bool {
        self.code.is_misled_by_snapshots.load(Ordering::Relaxed) && self.restored.contains(&aggregate.0)
    }
}

fn fault(stage: Stage) -> Faulted {
    let evidence = Evidence { stderr_tail: "last words".into(), backtrace: String::new() };
    Faulted { stage, fault: Fault::Trap, reason: "it trapped".into(), evidence }
}

impl AggregateHost for Purse {
    fn make(&mut self, _: &str) -> Result<Handle, Faulted> {
        self.code.made.fetch_add(1, Ordering::Relaxed);
        Ok(self.hold(0))
    }

    fn restore(&mut self, _: &str, snapshot: &[u8]) -> Result<Result<Handle, String>, Faulted> {
        if self.code.refuses_snapshots.load(Ordering::Relaxed) {
            return Ok(Err("not mine".into()));
        }
        if self.code.dies_of_snapshots.load(Ordering::Relaxed) {
            return Err(fault(Stage::Restore));
        }
        self.code.restored.fetch_add(1, Ordering::Relaxed);
        let cents = std::str::from_utf8(snapshot).unwrap().parse().unwrap();
        let handle = self.hold(cents);
        self.restored.insert(handle.0);
        Ok(Ok(handle))
    }

    fn apply(&mut self, aggregate: Handle, events: &[RecordedEvent]) -> Result<Result<(), Misfit>, Faulted> {
        std::thread::sleep(std::time::Duration::from_millis(self.code.applies_for_ms));
        self.code.calls.lock().unwrap().push(events.iter().map(RecordedEvent::size_bytes).sum());
        drop(self.code.apply_gate.lock());
        if self.is_misled(aggregate) {
            return Ok(Err(Misfit { index: 0, reason: "what is in there?".into() }));
        }
        if self.code.lacks_memory.load(Ordering::Relaxed) {
            return Err(Faulted { fault: Fault::OutOfMemory, ..fault(Stage::Apply) });
        }
        for (index, event) in events.iter().enumerate() {
            let amount: i64 = serde_json::from_slice(&event.data).unwrap();
            let change = match event.event_type.as_str() {
                "Added" => amount,
                "Taken" => -amount,
                other => return Ok(Err(Misfit { index, reason: format!("what is {other}?") })),
            };
            *self.held.get_mut(&aggregate.0).unwrap() += change;
        }
        Ok(Ok(()))
    }

    fn decide(&mut self, aggregate: Handle, asked: &Asked) -> Result<Result<Vec<NewEvent>, Rejection>, Faulted> {
        drop(self.code.gate.lock());
        if self.is_misled(aggregate) {
            return Err(fault(Stage::Decide));
        }
        let before = self.code.decided.fetch_add(1, Ordering::Relaxed);
        let cents = self.held[&aggregate.0];
        let amount: i64 = serde_json::from_slice(&asked.data).unwrap();
        let event = |event_type: &str| NewEvent::json(EventType::new(event_type).unwrap(), amount.to_string());
        Ok(match asked.command_type.as_str() {
            "Add" => Ok(vec![event("Added")]),
            "AddTwice" => Ok(vec![event("Added"), event("Added")]),
            "Take" if amount > cents => Err(Rejection {
                code: "TooLittle".into(),
                reason: format!("only {cents}"),
                details: Some(json!({ "cents": cents })),
            }),
            "Take" => Ok(vec![event("Taken")]),
            "Nothing" => Ok(Vec::new()),
            "Sly" => {
                // As code must not.
                self.held.insert(aggregate.0, if before == 0 { 1000 } else { cents });
                Ok(vec![event("Added")])
            }
            "Falter" if before < 2 => return Err(fault(Stage::Decide)),
            "Falter" => Ok(vec![event("Added")]),
            "Many" => Ok((0..amount).map(|_| event("Added")).collect()),
            "Label" => {
                let metadata = (0..amount).map(|number| (format!("own-{number}"), String::new())).collect();
                Ok(vec![NewEvent { metadata, ..event("Added") }])
            }
            "Steal" => Ok(vec![event("Stolen")]),
            "Flood" => Ok((0..2000).map(|_| event("Added")).collect()),
            "Forge" => Ok(vec![event("$command")]),
            _ => return Err(fault(Stage::Decide)),
        })
    }

    fn snapshot(&mut self, aggregate: Handle) -> Result<Option<Vec<u8>>, Faulted> {
        if self.code.fails_to_snapshot.load(Ordering::Relaxed) || self.is_misled(aggregate) {
            return Err(fault(Stage::Snapshot));
        }
        let cents = self.held[&aggregate.0].to_string();
        let wide = || format!("\"{cents}{}\"", "x".repeat(self.code.wide)).into_bytes();
        Ok(self.code.snapshots.then(|| if self.code.wide > 0 { wide() } else { cents.clone().into_bytes() }))
    }

    fn forget(&mut self, aggregate: Handle) -> Result<(), Faulted> {
        self.held.remove(&aggregate.0);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.code.is_full.load(Ordering::Relaxed)
    }

    fn memory_bytes(&self) -> usize {
        self.held.len()
    }
}

/// Commands over a store in memory.
struct World {
    store: Arc<MemoryStore>,
    code: Arc<Purses>,
    commands: Commands,
    policy: AggregatePolicy,
}

fn setup(plugin: &str, code: &Arc<Purses>, policy: &AggregatePolicy) -> AggregateSetup {
    AggregateSetup {
        plugin: PluginName::new(plugin).unwrap(),
        category: Category::new("purse").unwrap(),
        digest: String::new(),
        append: Permit::of(["Added", "Taken", "$command"].map(|name| Pattern::new(name).unwrap())),
        chain: Arc::default(),
        code: Arc::new(Code(Arc::clone(code))),
        policy: policy.clone(),
    }
}

impl World {
    fn new(policy: AggregatePolicy) -> Self {
        Self::of(Purses { schema: 1, snapshots: true, ..Purses::default() }, policy)
    }

    fn of(code: Purses, policy: AggregatePolicy) -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let claims = Claims::default();
        let code = Arc::new(code);
        claims.claim(setup("purses", &code, &policy)).unwrap();
        let commands = Commands::new(AsyncStore::new(store.clone()), claims, clock);
        Self { store, code, commands, policy }
    }

    /// The same store with nothing in memory, as after a restart.
    fn restarted(&self) -> Self {
        let code = Purses { schema: self.code.schema, snapshots: self.code.snapshots, ..Purses::default() };
        let (code, claims) = (Arc::new(code), Claims::default());
        claims.claim(setup("purses", &code, &self.policy)).unwrap();
        let clock = Arc::new(ManualClock::at(2_000_000));
        let commands = Commands::new(AsyncStore::new(self.store.clone()), claims, clock);
        Self { store: Arc::clone(&self.store), code, commands, policy: self.policy.clone() }
    }

    /// The same with this code, and nothing in memory.
    fn reclaimed(self) -> Self {
        let claims = Claims::default();
        claims.claim(setup("purses", &self.code, &self.policy)).unwrap();
        let commands = Commands::new(AsyncStore::new(self.store.clone()), claims, Arc::new(ManualClock::at(3_000_000)));
        Self { commands, ..self }
    }

    async fn send(&self, command: Command) -> Result<Settled, CommandError> {
        self.commands.send(command, Commands::allow_all()).await
    }

    fn events(&self, stream: &str) -> Vec<RecordedEvent> {
        let stream = StreamName::new(stream).unwrap();
        let request = ReadRequest { query: Filter::stream(&stream).into(), ..ReadRequest::default() };
        self.store.read(&request).unwrap().events
    }

    async fn append(&self, event_type: &str, data: &str) {
        let event = NewEvent::json(EventType::new(event_type).unwrap(), data);
        let event = event.on(StreamName::new("purse-1").unwrap());
        self.store.append(AppendRequest::unconditional(vec![event])).await.unwrap();
    }

    async fn state(&self, point: Point) -> i64 {
        let state = self.commands.state_at(StreamName::new("purse-1").unwrap(), None, point).await.unwrap();
        std::str::from_utf8(&state.state).unwrap().parse().unwrap()
    }
}

fn command(id: &str, command_type: &str, data: i64) -> Command {
    Command {
        aggregate: Category::new("purse").unwrap(),
        key: "1".into(),
        id: id.into(),
        command_type: command_type.into(),
        data: data.to_string().into_bytes(),
        content_type: None,
        metadata: BTreeMap::new(),
        expected: ExpectedVersion::Any,
        condition: None,
        deadline_ms: None,
    }
}

fn never() -> AggregatePolicy {
    AggregatePolicy { snapshot_every: 0, ..AggregatePolicy::default() }
}

#[tokio::test]
async fn what_is_decided_is_appended_and_says_where_it_comes_from() {
    let world = World::new(never());
    let metadata = BTreeMap::from([("correlation_id".to_owned(), "story".to_owned()), ("actor".into(), "ada".into())]);
    let settled = world.send(Command { metadata, ..command("c1", "AddTwice", 5) }).await.unwrap();
    assert_eq!((settled.version, settled.position, settled.repeated), (Version(2), Position(2), false));
    let events = world.events("purse-1");
    assert_eq!(events.len(), 2);
    for event in &events {
        let metadata = |key: &str| event.metadata.get(key).map(String::as_str);
        assert_eq!(
            ["command_id", "causation_id", "correlation_id", "actor"].map(metadata),
            [Some("c1"), Some("c1"), Some("story"), Some("ada")]
        );
    }
    let rejected = world.send(command("c2", "Take", 11)).await.unwrap();
    let Outcome::Rejected(rejection) = &rejected.outcome else { panic!("{rejected:?}") };
    assert_eq!((rejection.code.as_str(), rejection.reason.as_str()), ("TooLittle", "only 10"));
    assert_eq!(world.events("purse-1").len(), 2);
    assert_eq!(world.send(command("c3", "Take", 10)).await.unwrap().version, Version(3));
}

#[tokio::test]
async fn a_command_sent_again_has_the_outcome_that_it_had_also_after_a_restart() {
    let mut world = World::new(never());
    let sent = [("a", "AddTwice", 5), ("b", "Take", 100), ("c", "Nothing", 0), ("d", "Take", 1)];
    let mut first = Vec::new();
    for (id, command_type, data) in sent {
        first.push(world.send(command(id, command_type, data)).await.unwrap());
    }
    let head = world.store.head();
    for _ in 0..2 {
        for ((id, command_type, data), first) in sent.into_iter().zip(&first) {
            let again = world.send(command(id, command_type, data)).await.unwrap();
            assert_eq!(again, Settled { repeated: true, ..first.clone() });
            let status = world.commands.status(id).await.unwrap();
            assert_eq!(status, Some(Status::Settled(Box::new(again))));
            let other = world.send(command(id, "Add", 7)).await.unwrap_err();
            assert!(matches!(&other, CommandError::IdTaken { id: taken, .. } if taken == id), "{other}");
        }
        world = world.restarted();
    }
    assert_eq!(world.store.head(), head, "nothing was appended for them");
    assert_eq!(world.commands.status("e").await.unwrap(), None);
    let mistyped = Command { aggregate: Category::new("prse").unwrap(), ..command("f", "Add", 1) };
    let unknown = world.send(mistyped).await.unwrap_err().to_string();
    assert!(unknown.contains("did you mean purse? those that do are for purse; `tidemill"), "{unknown}");
    world.commands.claims().release(&PluginName::new("purses").unwrap());
    assert!(world.send(command("a", "AddTwice", 5)).await.unwrap().repeated, "whoever decides by now");
    let unknown = world.send(command("e", "Add", 1)).await.unwrap_err();
    assert!(matches!(unknown, CommandError::UnknownAggregate { .. }), "{unknown}");
    assert!(unknown.to_string().contains("none does for any; `tidemill plugins ls` says"), "{unknown}");
    world.commands.claims().set_unlifted(Some("there is a gap".into()));
    let unlifted = world.send(command("e", "Add", 1)).await.unwrap_err();
    assert_eq!(unlifted.class(), ErrorClass::Unavailable, "{unlifted}");
    assert!(
        unlifted.to_string().contains("upcasters are not known, so nothing is decided: there is a gap"),
        "{unlifted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_command_under_way_is_joined_and_another_of_its_id_is_refused() {
    let world = Arc::new(World::new(never()));
    let gate = Arc::clone(&world.code.gate);
    let (open, opened) = std::sync::mpsc::channel::<()>();
    let (shut, is_shut) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let _held = gate.lock();
        shut.send(()).unwrap();
        let _ = opened.recv();
    });
    is_shut.await.unwrap();
    let mut same = Vec::new();
    for _ in 0..4 {
        let world = Arc::clone(&world);
        same.push(tokio::spawn(async move { world.send(command("a", "Add", 1)).await }));
    }
    let stream = StreamName::new("purse-1").unwrap();
    while world.commands.status("a").await.unwrap() != Some(Status::UnderWay(stream.clone())) {
        tokio::task::yield_now().await;
    }
    let other = world.send(command("a", "Add", 2)).await.unwrap_err();
    assert!(matches!(other, CommandError::IdTaken { .. }), "{other}");
    drop(open);
    thread.join().unwrap();
    let mut fresh = 0;
    for task in same {
        fresh += u32::from(!task.await.unwrap().unwrap().repeated);
    }
    assert!(fresh <= 1, "{fresh} were told that they were first");
    assert_eq!((world.events("purse-1").len(), world.code.decided.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commands_and_appends_of_others_never_take_what_is_not_there() {
    let world =
        Arc::new(World::new(AggregatePolicy { retries: 1000, snapshot_every: 7, ..AggregatePolicy::default() }));
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(task);
                for step in 0..50 {
                    let what = if rng.u8(0..3) == 0 { "Add" } else { "Take" };
                    let id = format!("{task}-{step}");
                    world.send(command(&id, what, rng.i64(1..20))).await.unwrap();
                    if rng.u8(0..10) == 0 {
                        world.append("Added", "3").await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut cents = 0_i64;
    for event in world.events("purse-1") {
        let amount: i64 = serde_json::from_slice(&event.data).unwrap();
        cents += if event.event_type.as_str() == "Added" { amount } else { -amount };
        assert!(cents >= 0, "at version {}", event.version);
    }
    assert_eq!(world.state(Point::Now).await, cents);
}

#[tokio::test]
async fn a_category_is_claimed_by_one_plugin_at_a_time() {
    let world = World::new(never());
    let claims = world.commands.claims();
    let taken = claims.claim(setup("others", &world.code, &world.policy)).unwrap_err().to_string();
    assert!(taken.contains("others") && taken.contains("purses") && taken.contains("aggregate purse"), "{taken}");
    world.send(command("a", "Add", 1)).await.unwrap();
    claims.claim(setup("purses", &world.code, &world.policy)).unwrap();
    world.send(command("b", "Take", 1)).await.unwrap();
    let [claimed] = claims.list().try_into().unwrap();
    assert_eq!((claimed.plugin.as_str(), claimed.counts.results.accepted), ("purses", 2), "counters go on");
    claims.release(&claimed.plugin);
    claims.claim(setup("others", &world.code, &world.policy)).unwrap();
}

/// Random histories: with snapshots, after restarts, and with few aggregates in memory, the state is that of a fold.
#[tokio::test]
async fn the_state_with_a_snapshot_is_the_state_without() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let policy =
            AggregatePolicy { snapshot_every: rng.u64(1..6), hot: rng.usize(1..3), ..AggregatePolicy::default() };
        let mut world = World::new(policy);
        let mut folds: Vec<Vec<i64>> = vec![vec![0]; 4];
        for step in 0..60 {
            if rng.u8(0..12) == 0 {
                world = world.restarted();
            }
            let purse = rng.usize(0..4);
            let (what, amount) = if rng.bool() { ("Add", rng.i64(1..9)) } else { ("Take", rng.i64(1..9)) };
            let sent = Command { key: purse.to_string(), ..command(&step.to_string(), what, amount) };
            let settled = world.send(sent).await.unwrap();
            let cents = *folds[purse].last().unwrap();
            match settled.outcome {
                Outcome::Accepted(_) => folds[purse].push(if what == "Add" { cents + amount } else { cents - amount }),
                Outcome::Rejected(_) => assert!(what == "Take" && amount > cents, "seed {seed}, step {step}"),
            }
        }
        for (purse, fold) in folds.iter().enumerate().filter(|(_, fold)| fold.len() > 1) {
            let stream = StreamName::new(format!("purse-{purse}")).unwrap();
            for (version, cents) in fold.iter().enumerate().skip(1) {
                let point = Point::Version(Version(version as u64));
                let state = world.commands.state_at(stream.clone(), None, point).await.unwrap();
                assert_eq!(
                    (state.version.0, state.state),
                    (version as u64, cents.to_string().into_bytes()),
                    "seed {seed}"
                );
            }
            let changed = world.commands.changes(stream, None, (Point::Version(Version(1)), Point::Now)).await.unwrap();
            let after = changed.events.iter().map(|change| change.changes[0].after.clone().unwrap());
            assert_eq!(after.collect::<Vec<_>>(), fold[2..].iter().map(|cents| json!(cents)).collect::<Vec<Value>>());
        }
    }
}

#[tokio::test]
async fn snapshots_are_used_listed_dropped_and_left_out_when_they_do_not_fit() {
    let mut world = World::new(AggregatePolicy { snapshot_every: 3, ..AggregatePolicy::default() });
    // So many that one is asked for, once: a second one might be written after it is dropped below.
    for step in 0..3 {
        world.send(command(&step.to_string(), "Add", 1)).await.unwrap();
    }
    let stream = StreamName::new("purse-1").unwrap();
    let infos = async |world: &World| world.commands.snapshots("purse-".into(), None, 10).await.unwrap().snapshots;
    let mut found = infos(&world).await;
    while found.is_empty() {
        tokio::task::yield_now().await;
        found = infos(&world).await;
    }
    assert!(found[0].stream == stream && found[0].version >= Version(3) && found[0].schema == 1, "{found:?}");
    // From here on none is written.
    world.policy = never();
    let restarted = world.restarted();
    restarted.send(command("r", "Take", 3)).await.unwrap();
    let counted =
        |world: &World| (world.code.made.load(Ordering::Relaxed), world.code.restored.load(Ordering::Relaxed));
    assert_eq!(counted(&restarted), (0, 1), "made of the snapshot");
    let refusing = world.restarted();
    refusing.code.refuses_snapshots.store(true, Ordering::Relaxed);
    refusing.send(command("s", "Add", 1)).await.unwrap();
    assert_eq!(counted(&refusing), (1, 0), "made of its events");
    let other = Purses { schema: 2, snapshots: true, ..Purses::default() };
    let other = World { code: Arc::new(other), ..world.restarted() }.restarted();
    other.send(command("t", "Take", 1)).await.unwrap();
    assert_eq!(counted(&other), (1, 0), "another schema is not even tried");
    assert!(world.commands.drop_snapshot(&stream, false).await.unwrap());
    assert!(!world.commands.drop_snapshot(&stream, false).await.unwrap() && infos(&world).await.is_empty());
    let none = World::of(Purses { schema: 1, ..Purses::default() }, never());
    none.send(command("a", "Add", 1)).await.unwrap();
    let error = none.commands.state_at(stream.clone(), None, Point::Now).await.unwrap_err();
    assert!(matches!(error, CommandError::NoState { .. }), "{error}");
    let nobody = none.commands.state_at(StreamName::new("purse-9").unwrap(), None, Point::Now).await;
    assert!(matches!(nobody, Err(CommandError::NoSuchAggregate { .. })));
}

#[tokio::test]
async fn a_stream_that_was_deleted_or_removed_takes_no_commands() {
    let world = World::new(never());
    world.send(command("a", "Add", 1)).await.unwrap();
    world.send(command("b", "Add", 1)).await.unwrap();
    world.store.remove(&Category::new("purse").unwrap(), Position(2)).unwrap();
    let error = world.restarted().send(command("c", "Add", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::HistoryGone { version: Version(0), .. }), "{error}");
    world.send(command("c", "Add", 1)).await.expect("it is in memory");
    let stream = StreamName::new("purse-1").unwrap();
    world.store.delete_stream(crate::store::StreamDeletion::of(stream)).await.unwrap();
    let error = world.send(command("d", "Add", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::Append(AppendError::StreamDeleted { .. })), "{error}");
}
