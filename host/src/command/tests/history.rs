//! What an aggregate is made of: events in today's schema, snapshots, and what retention leaves.

use super::*;
use crate::command::shard::Unsaved;
use crate::schema::{Chain, rules};

const LIFTS: &str = r#"
[[upcast]]
type = "PutIn"
from = 1
to = 1
as = "Added"
rules = [{ convert = "/no/such", to = "integer" }]

[[upcast]]
type = "Both"
from = 1
to = 1
into = [{ type = "Added" }, { type = "Taken" }, { type = "Added" }]

[[upcast]]
type = "Noise"
from = 1
drop = true

[[upcast]]
type = "Odd"
from = 2
to = 1
as = "Added"
"#;

pub(super) fn chain(text: &str) -> Arc<Chain> {
    Arc::new(Chain::new(rules::read("u.toml", text).unwrap()).unwrap())
}

/// The same store with nothing in memory, decided by another setup.
pub(super) fn instead(world: &World, change: impl FnOnce(AggregateSetup) -> AggregateSetup) -> World {
    let next = world.restarted();
    next.commands.claims().release(&PluginName::new("purses").unwrap());
    next.commands.claims().claim(change(setup("purses", &next.code, &next.policy))).unwrap();
    next
}

pub(super) fn lifted(world: &World, text: &str) -> World {
    let chain = chain(text);
    instead(world, |setup| AggregateSetup { chain, ..setup })
}

pub(super) fn left_out(world: &World) -> u64 {
    world.commands.claims().list()[0].counts.snapshots_left_out
}

pub(super) async fn snapshot_at(world: &World, version: u64) -> SnapshotInfo {
    loop {
        let found = world.commands.snapshots(String::new(), None, 10).await.unwrap().snapshots;
        match found.into_iter().find(|found| found.version >= Version(version)) {
            Some(found) => return found,
            None => tokio::task::yield_now().await,
        }
    }
}

pub(super) fn every(snapshot_every: u64) -> AggregatePolicy {
    AggregatePolicy { snapshot_every, ..AggregatePolicy::default() }
}

#[tokio::test]
async fn an_aggregate_is_made_of_events_as_they_are_today_and_versions_count_stored_ones() {
    let world = lifted(&World::new(never()), LIFTS);
    for (event_type, data) in [("PutIn", "7"), ("Noise", "1"), ("Both", "3"), ("Added", "1")] {
        world.append(event_type, data).await;
    }
    assert_eq!(world.send(command("a", "Take", 11)).await.unwrap().version, Version(5));
    let rejected = world.send(command("b", "Take", 1)).await.unwrap();
    assert!(matches!(rejected.outcome, Outcome::Rejected(_)), "{rejected:?}");
    for (version, cents) in [(1, 7), (2, 7), (3, 10), (4, 11), (5, 0)] {
        let point = Point::Version(Version(version));
        let state = world.commands.state_at(StreamName::new("purse-1").unwrap(), None, point).await.unwrap();
        assert_eq!((state.version, state.state), (Version(version), cents.to_string().into_bytes()));
    }
    let stream = StreamName::new("purse-1").unwrap();
    let changed = world.commands.changes(stream, None, (Point::Version(Version(1)), Point::Now)).await.unwrap();
    let cents = |change: &Change| change.changes[0].after.as_ref().and_then(Value::as_i64).unwrap();
    let told = changed.events.iter().map(|change| (change.event_type.as_str(), change.version.0, cents(change)));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [("Added", 3, 10), ("Taken", 3, 7), ("Added", 3, 10), ("Added", 4, 11), ("Taken", 5, 0)]);
    assert_eq!((changed.from, changed.to, changed.complete), (Version(1), Version(5), true));
}

#[tokio::test]
async fn an_event_that_cannot_be_lifted_fails_its_aggregate_only_and_nothing_is_appended() {
    let world = lifted(&World::new(never()), LIFTS);
    world.append("Added", "1").await;
    world.append("Odd", "1").await;
    for _ in 0..2 {
        let error = world.send(command("a", "Add", 1)).await.unwrap_err();
        assert_eq!(error.fault(), Some(("upcast", Stage::Apply)));
        let says =
            "the event at version 2 of stream purse-1 cannot be lifted to today's schema: Odd 1: nothing lifts it";
        assert!(error.to_string().starts_with(says), "{error}");
    }
    assert_eq!((world.events("purse-1").len(), world.code.decided.load(Ordering::Relaxed)), (2, 0));
    world.send(Command { key: "2".into(), ..command("b", "Add", 1) }).await.unwrap();
    let mended = lifted(&world, &LIFTS.replace("from = 2", "from = 1"));
    assert_eq!(mended.send(command("a", "Take", 2)).await.unwrap().version, Version(3));
}

/// Random histories under two chains: the state is that of a fold outside, with snapshots of either chain about.
#[tokio::test]
async fn the_state_is_that_of_a_fold_whatever_chain_the_snapshot_was_made_by() {
    let doubled = LIFTS.replace(
        "into = [{ type = \"Added\" }, { type = \"Taken\" }, { type = \"Added\" }]",
        "into = [{ type = \"Added\" }, { type = \"Added\" }]",
    );
    assert_ne!(doubled, LIFTS);
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = lifted(&World::new(every(rng.u64(1..6))), LIFTS);
        let mut both = 1;
        let mut history: Vec<(&str, i64)> = Vec::new();
        for step in 0..60 {
            if rng.u8(0..8) == 0 {
                let other = rng.bool();
                both = if other { 2 } else { 1 };
                world = lifted(&world, if other { &doubled } else { LIFTS });
            }
            let amount = rng.i64(1..9);
            let event = ["Added", "PutIn", "Both", "Noise"][rng.usize(0..4)];
            if rng.bool() {
                world.append(event, &amount.to_string()).await;
                history.push((event, amount));
            } else if world.send(command(&step.to_string(), "Add", amount)).await.is_ok() {
                history.push(("Added", amount));
            }
            let fold = |until: usize| -> i64 {
                let cents = |(event, amount): &(&str, i64)| match *event {
                    "Noise" => 0,
                    "Both" => both * amount,
                    _ => *amount,
                };
                history.iter().take(until).map(cents).sum()
            };
            let version = rng.usize(1..=history.len());
            assert_eq!(
                world.state(Point::Version(Version(version as u64))).await,
                fold(version),
                "seed {seed}, step {step}"
            );
            assert_eq!(world.state(Point::Now).await, fold(history.len()), "seed {seed}, step {step}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_another_plugin_category_or_chain_made_is_left_out() {
    let mut world = World::new(every(3));
    for step in 0..3 {
        world.send(command(&step.to_string(), "Add", 1)).await.unwrap();
    }
    snapshot_at(&world, 3).await;
    world.policy = never();
    let same = world.restarted();
    assert_eq!((same.state(Point::Now).await, left_out(&same)), (3, 0));
    assert_eq!(same.code.restored.load(Ordering::Relaxed), 1);
    let plugin = instead(&world, |setup| AggregateSetup { plugin: PluginName::new("others").unwrap(), ..setup });
    // It lifts what is in its history.
    let chain = lifted(&world, "[[upcast]]\ntype = \"Added\"\nfrom = 1\nrules = []\n");
    for other in [chain, plugin] {
        assert_eq!((other.state(Point::Now).await, left_out(&other)), (3, 1));
        assert_eq!(other.code.restored.load(Ordering::Relaxed), 0);
    }
    let category = Category::new("box").unwrap();
    let boxes = instead(&world, |setup| AggregateSetup { category: category.clone(), ..setup });
    let state = boxes.commands.state_at(StreamName::new("purse-1").unwrap(), Some(category), Point::Now).await.unwrap();
    assert_eq!((state.state, boxes.code.restored.load(Ordering::Relaxed)), (b"3".to_vec(), 0));
}

#[tokio::test]
async fn code_that_dies_of_its_snapshot_is_given_the_events() {
    let mut world = World::new(every(3));
    for step in 0..3 {
        world.send(command(&step.to_string(), "Add", 1)).await.unwrap();
    }
    snapshot_at(&world, 3).await;
    world.policy = never();
    let next = world.restarted();
    next.code.dies_of_snapshots.store(true, Ordering::Relaxed);
    assert_eq!(next.send(command("a", "Take", 3)).await.unwrap().version, Version(4));
    assert_eq!((next.state(Point::Now).await, left_out(&next)), (0, 2));
}

#[tokio::test]
async fn a_snapshot_that_fails_is_counted_and_tried_again_when_the_next_is_due() {
    let world = World::new(every(3));
    world.code.fails_to_snapshot.store(true, Ordering::Relaxed);
    let mut sent = 0;
    let failed = || world.commands.claims().list()[0].counts.snapshots_failed;
    while failed() == 0 {
        sent += 1;
        world.send(command(&sent.to_string(), "Add", 1)).await.unwrap();
        tokio::task::yield_now().await;
    }
    world.code.fails_to_snapshot.store(false, Ordering::Relaxed);
    let due = sent + 6;
    while sent < due {
        sent += 1;
        world.send(command(&sent.to_string(), "Add", 1)).await.unwrap();
    }
    assert!(snapshot_at(&world, 3).await.version.0 <= due);
}

#[tokio::test]
async fn a_snapshot_is_due_by_events_by_time_or_never() {
    let policy = AggregatePolicy { snapshot_after_ms: 1, ..never() };
    let slow = Purses { schema: 1, snapshots: true, applies_for_ms: 2, ..Purses::default() };
    let world = World::of(slow, policy);
    for step in 0..3 {
        world.send(command(&step.to_string(), "Add", 1)).await.unwrap();
    }
    assert!(snapshot_at(&world, 2).await.version >= Version(2));
    let (never, by_time) = (never(), AggregatePolicy { snapshot_after_ms: u64::MAX, ..never() });
    for policy in [never, by_time] {
        assert!(!Unsaved::of(Version(1)).is_due(&policy, Version(u64::MAX)));
    }
    let three = every(3);
    assert_eq!([3, 4].map(|version| Unsaved::of(Version(1)).is_due(&three, Version(version))), [false, true]);
}

#[tokio::test]
async fn what_retention_took_behind_a_snapshot_is_told_and_never_passed_over() {
    let mut world = World::new(every(3));
    for step in 0..3 {
        world.send(command(&step.to_string(), "Add", 1)).await.unwrap();
    }
    let snapshot = snapshot_at(&world, 3).await;
    world.policy = never();
    for step in 3..6 {
        world.append("Added", &step.to_string()).await;
    }
    let stream = StreamName::new("purse-1").unwrap();
    world.store.remove(&Category::new("purse").unwrap(), world.store.head().next()).unwrap();
    let next = world.restarted();
    let gone = |error: CommandError| {
        assert!(matches!(error, CommandError::HistoryGone { version, .. } if version == snapshot.version), "{error}");
    };
    gone(next.send(command("a", "Add", 1)).await.unwrap_err());
    for point in [Point::Now, Point::Version(Version(5)), Point::Version(Version(99)), Point::Position(Position(5))] {
        gone(next.commands.state_at(stream.clone(), None, point).await.unwrap_err());
    }
    assert_eq!(next.state(Point::Version(snapshot.version)).await, 3);
    assert_eq!(next.state(Point::Position(snapshot.position)).await, 3);
    let then = next.commands.state_at(stream.clone(), None, Point::Time(2_000_000)).await.unwrap_err();
    assert!(matches!(then, CommandError::HistoryGone { .. }), "{then}");
    let changes = next.commands.changes(stream, None, (Point::Version(snapshot.version), Point::Now)).await;
    gone(changes.unwrap_err());
}

#[tokio::test]
async fn as_many_are_in_memory_as_may_be_and_none_of_a_full_instance() {
    let world = World::new(AggregatePolicy { hot: 16, ..never() });
    let hot = || world.commands.claims().list()[0].counts.hot;
    let to = |key: u32, round: u32| Command { key: key.to_string(), ..command(&format!("{key} {round}"), "Add", 1) };
    for key in 0..100 {
        world.send(to(key, 1)).await.unwrap();
    }
    // Each of at most eight instances holds its part, rounded up.
    assert!((2..=16 + 7).contains(&hot()), "{}", hot());
    world.code.is_full.store(true, Ordering::Relaxed);
    for key in 0..100 {
        assert_eq!(world.send(to(key, 2)).await.unwrap().version, Version(2));
    }
    assert_eq!(hot(), 0);
}

#[tokio::test]
async fn calls_are_cut_by_bytes_as_well_as_by_count() {
    let world = lifted(&World::new(never()), LIFTS);
    let wide = format!("1{}", " ".repeat(900 << 10));
    for _ in 0..10 {
        world.append("Both", &wide).await;
    }
    assert_eq!(world.state(Point::Now).await, 10);
    let calls = world.code.calls.lock().unwrap();
    assert!(calls.len() >= 6 && calls.iter().all(|bytes| *bytes <= 5 << 20), "{calls:?}");
}

#[tokio::test]
async fn changes_come_in_pages_of_bounded_count_and_size() {
    let world = World::new(never());
    let event = || {
        let event = NewEvent::json(EventType::new("Added").unwrap(), "1");
        event.on(StreamName::new("purse-1").unwrap())
    };
    world.store.append(AppendRequest::unconditional((0..1100).map(|_| event()).collect())).await.unwrap();
    let stream = StreamName::new("purse-1").unwrap();
    let from = |version| (Point::Version(Version(version)), Point::Now);
    let first = world.commands.changes(stream.clone(), None, from(0)).await.unwrap();
    assert_eq!((first.from, first.to, first.events.len(), first.complete), (Version(0), Version(1000), 1000, false));
    let last = world.commands.changes(stream.clone(), None, from(1000)).await.unwrap();
    assert_eq!((last.from, last.to, last.events.len(), last.complete), (Version(1000), Version(1100), 100, true));
    let exact = (Point::Version(Version(100)), Point::Version(Version(1100)));
    assert!(world.commands.changes(stream.clone(), None, exact).await.unwrap().complete);

    let wide =
        World { code: Arc::new(Purses { snapshots: true, wide: 600 << 10, ..Purses::default() }), ..world.restarted() };
    let wide = wide.reclaimed();
    let few = wide.commands.changes(stream.clone(), None, from(0)).await.unwrap();
    assert!(!few.complete && (1..=5).contains(&few.events.len()), "{} events", few.events.len());
    let huge =
        World { code: Arc::new(Purses { snapshots: true, wide: 17 << 20, ..Purses::default() }), ..world.restarted() };
    let error = huge.reclaimed().commands.state_at(stream, None, Point::Now).await.unwrap_err();
    assert!(matches!(error, CommandError::StateTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn points_at_the_end_of_numbers_are_points() {
    let world = World::new(never());
    world.send(command("a", "Add", 5)).await.unwrap();
    let ends = [Point::Version(Version(u64::MAX)), Point::Position(Position(u64::MAX)), Point::Time(u64::MAX)];
    for point in ends {
        assert_eq!(world.state(point).await, 5, "{point:?}");
        let stream = StreamName::new("purse-1").unwrap();
        let before = world.commands.changes(stream.clone(), None, (Point::Version(Version(0)), point)).await.unwrap();
        assert_eq!((before.events.len(), before.complete), (1, true));
        let after = world.commands.changes(stream, None, (point, Point::Now)).await.unwrap();
        assert_eq!((after.events.len(), after.complete), (0, true));
    }
    let pinned = Command { expected: ExpectedVersion::Exact(Version(u64::MAX)), ..command("b", "Add", 1) };
    let error = world.send(pinned).await.unwrap_err();
    assert!(matches!(error, CommandError::Append(AppendError::WrongExpectedVersion { .. })), "{error}");
}
