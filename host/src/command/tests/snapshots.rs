//! Snapshots where they are all that there is, where a chain changes, and of streams that are deleted.

use futures::FutureExt as _;

use super::history::{every, instead, left_out, lifted, snapshot_at};
use super::queue::{Later, options};
use super::turns::Shut;
use super::*;
use crate::command::counts::Counts;
use crate::command::shard::{Shard, Source};
use crate::command::snapshot::owner;
use crate::command::snapshots::{Wish, removal};
use crate::command::suspects::Unfit;
use crate::delivery::Backoff;
use crate::store::{StateChange, StoreError, StreamDeletion, UnitOfWork};

const OTHER_TYPES: &str = "[[upcast]]\ntype = \"Elsewhere\"\nfrom = 1\nto = 1\nas = \"Added\"\n";
const ITS_TYPE: &str = "[[upcast]]\ntype = \"Added\"\nfrom = 1\nrules = []\n";

fn stream() -> StreamName {
    StreamName::new("purse-1").unwrap()
}

/// An aggregate of three events, of which a snapshot is there and nothing else.
async fn only_a_snapshot() -> World {
    let mut world = World::new(every(3));
    for step in 0..3 {
        world.send(command(&step.to_string(), "Add", 1)).await.unwrap();
    }
    snapshot_at(&world, 3).await;
    world.policy = never();
    world.store.remove(&Category::new("purse").unwrap(), world.store.head().next()).unwrap();
    world.restarted()
}

#[tokio::test]
async fn a_chain_that_lifts_its_events_as_before_leaves_a_snapshot_alone() {
    let world = only_a_snapshot().await;
    let other = lifted(&world, OTHER_TYPES);
    assert_eq!((other.state(Point::Now).await, left_out(&other)), (3, 0));
    other.send(command("a", "Take", 1)).await.unwrap();
    assert_eq!((other.code.restored.load(Ordering::Relaxed), other.code.made.load(Ordering::Relaxed)), (2, 0));
}

#[tokio::test]
async fn what_no_snapshot_stands_for_any_more_is_told_by_the_command_and_of_the_plugin() {
    let world = only_a_snapshot().await;
    let counts = |world: &World| world.commands.claims().list()[0].counts.clone();
    assert_eq!((counts(&world).history_gone, counts(&world).history_gone_last), (0, None));
    let other_schema =
        World { code: Arc::new(Purses { schema: 2, snapshots: true, ..Purses::default() }), ..world.restarted() };
    let renamed = instead(&world, |setup| AggregateSetup { plugin: PluginName::new("renamed").unwrap(), ..setup });
    for other in [lifted(&world, ITS_TYPE), other_schema.reclaimed(), renamed] {
        let error = other.send(command("a", "Add", 1)).await.unwrap_err();
        let known = Some(LeftOut::Unfit(Version(3)));
        assert!(
            matches!(&error, CommandError::HistoryGone { version: Version(0), left_out, .. } if *left_out == known),
            "{error}"
        );
        assert!(error.to_string().contains("that at version 3 is left out"), "{error}");
        assert_eq!((counts(&other).history_gone, counts(&other).history_gone_last), (1, Some(error.to_string())));
    }
    // What made it is put back.
    let back = world.restarted();
    assert_eq!(back.send(command("b", "Take", 3)).await.unwrap().version, Version(4));
}

#[tokio::test]
async fn a_snapshot_of_removed_events_that_does_not_load_is_named_and_counts_again_when_it_does() {
    for (dies, why) in [(false, "not mine"), (true, "trap: it trapped")] {
        let world = only_a_snapshot().await;
        world.code.refuses_snapshots.store(!dies, Ordering::Relaxed);
        world.code.dies_of_snapshots.store(dies, Ordering::Relaxed);
        let known = Some(LeftOut::Unloadable(Version(3), why.into()));
        let is_told = |error: &CommandError, of_command: bool| {
            let told = format!("that at version 3 is there, and the component that runs does not load it: {why};");
            let text = error.to_string();
            matches!(error, CommandError::HistoryGone { left_out, .. } if *left_out == known)
                && text.contains(&told)
                && text.ends_with("it takes no more commands") == of_command
        };
        let refused = world.send(command("a", "Add", 1)).await.unwrap_err();
        assert!(is_told(&refused, true), "{refused}");
        let looked = world.commands.state_at(stream(), None, Point::Now).await.unwrap_err();
        assert!(is_told(&looked, false), "{looked}");
        let counted = world.commands.claims().list()[0].counts.history_gone_last.clone().unwrap();
        assert!(counted.contains("does not load it;") && !counted.contains(why), "{counted}");
        assert_eq!(world.restarted().send(command("b", "Take", 3)).await.unwrap().version, Version(4));
    }
}

#[tokio::test]
async fn a_snapshot_of_which_the_code_dies_is_loaded_ever_less_often() {
    let world = only_a_snapshot().await;
    let dies = |dies: bool| world.code.dies_of_snapshots.store(dies, Ordering::Relaxed);
    // It is the first, the second, the fourth time.
    for (time, is_loaded) in [(1, true), (2, true), (3, false), (4, true), (5, false)] {
        dies(is_loaded);
        let error = world.send(command(&format!("later-{time}"), "Take", 1)).await.unwrap_err();
        let known = Some(LeftOut::Unloadable(Version(3), "trap: it trapped".into()));
        assert!(matches!(&error, CommandError::HistoryGone { left_out, .. } if *left_out == known), "{error}");
    }
    for time in [6, 7] {
        world.send(command(&format!("later-{time}"), "Take", 1)).await.unwrap_err();
    }
    assert_eq!((world.code.restored.load(Ordering::Relaxed), left_out(&world)), (0, 7));
    assert_eq!(world.send(command("later-8", "Take", 1)).await.unwrap().version, Version(4));
}

#[tokio::test]
async fn accepted_commands_wait_while_the_snapshot_of_removed_events_is_left_out() {
    let world = only_a_snapshot().await;
    let other = Purses { schema: 2, snapshots: true, ..Purses::default() };
    let later = Later::over(World { code: Arc::new(other), ..world.restarted() }.reclaimed(), options());
    later.accept(command("patient", "Add", 1)).await.unwrap();
    let _task = later.commands.work(async {});
    while later.commands.queue_counts().retried < 20 {
        tokio::task::yield_now().await;
    }
    later.commands.claims().claim(setup("purses", &world.code, &never())).unwrap();
    assert!(matches!(later.settled("patient").await, Status::Settled(_)));
}

#[tokio::test]
async fn aggregates_whose_snapshots_are_left_out_hold_up_no_other_of_their_kind() {
    // As many as are carried out at a time.
    let (world, old) = (World::new(every(1)), 128);
    let to = |key: &str, id: &str| Command { key: key.into(), ..command(id, "Add", 1) };
    for key in (0..old).map(|number| format!("old{number}")) {
        world.send(to(&key, &key)).await.unwrap();
        while world.store.state_get(&owner(), &format!("purse-{key}")).unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }
    world.store.remove(&Category::new("purse").unwrap(), world.store.head().next()).unwrap();
    let other = Purses { schema: 2, snapshots: true, ..Purses::default() };
    let backoff = Backoff { initial_ms: 20, max_ms: 20, jitter: false };
    let later = Later::over(
        World { code: Arc::new(other), ..world.restarted() }.reclaimed(),
        QueueOptions { backoff, ..options() },
    );
    for key in (0..old).map(|number| format!("old{number}")) {
        later.accept(to(&key, &format!("to-{key}"))).await.unwrap();
    }
    later.accept(to("new", "to-new")).await.unwrap();
    let _task = later.commands.work(async {});
    assert!(matches!(later.settled("to-new").await, Status::Settled(_)));
    assert!(matches!(
        later.commands.status("to-old0").await.unwrap(),
        Some(Status::Queued { .. } | Status::UnderWay(_))
    ));
}

#[tokio::test]
async fn a_snapshot_that_stands_for_removed_events_is_dropped_by_force_only() {
    let world = only_a_snapshot().await;
    let error = world.commands.drop_snapshot(&stream(), false).await.unwrap_err();
    assert!(
        matches!(error, CommandError::SnapshotNeeded { .. }) && error.class() == crate::error::ErrorClass::Conflict
    );
    assert_eq!(world.state(Point::Now).await, 3, "it is still there");
    assert!(world.commands.drop_snapshot(&stream(), true).await.unwrap());
    let error = world.restarted().send(command("a", "Add", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::HistoryGone { left_out: None, .. }), "{error}");
}

/// Whatever comes of that command, and however long ago the last snapshot was taken.
#[tokio::test]
async fn an_aggregate_in_memory_whose_events_were_removed_has_a_snapshot_with_its_next_command() {
    for (next, amount) in [("Add", 1), ("Take", 100)] {
        let world = World::new(every(100));
        let remove = || world.store.remove(&Category::new("purse").unwrap(), world.store.head().next()).unwrap();
        for round in 0..2 {
            world.send(command(&format!("before-{round}"), "Add", 1)).await.unwrap();
            let version = world.events("purse-1").last().unwrap().version;
            remove();
            world.send(command(&format!("next-{round}"), next, amount)).await.unwrap();
            assert!(snapshot_at(&world, version.0).await.version >= version);
        }
        remove();
        world.restarted().send(command("a", "Add", 1)).await.unwrap();
    }
    let never = World::new(never());
    never.send(command("a", "Add", 1)).await.unwrap();
    never.store.remove(&Category::new("purse").unwrap(), never.store.head().next()).unwrap();
    never.send(command("b", "Add", 1)).await.unwrap();
    let error = never.restarted().send(command("c", "Add", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::HistoryGone { left_out: None, .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_snapshot_is_left_out_listed_as_such_dropped_and_written_over() {
    let mut world = World::new(every(3));
    snapshot_of(&world, "1").await;
    snapshot_of(&world, "2").await;
    world.policy = never();
    world.store.damage(owner(), "purse-1");
    let next = world.restarted();
    assert_eq!((next.state(Point::Now).await, left_out(&next)), (3, 1));
    let changes = next.commands.changes(stream(), None, (Point::Version(Version(3)), Point::Now)).await.unwrap();
    assert_eq!((changes.from, left_out(&next)), (Version(3), 2));
    assert_eq!(next.send(command("a", "Take", 1)).await.unwrap().version, Version(4));
    assert_eq!(next.code.restored.load(Ordering::Relaxed), 0);

    let page = next.commands.snapshots(String::new(), None, 10).await.unwrap();
    let names: Vec<_> = page.snapshots.iter().map(|found| found.stream.as_str()).collect();
    assert_eq!((names, page.damaged.len(), page.next), (vec!["purse-2"], 1, None));
    assert_eq!(page.damaged[0].stream, stream());
    assert!(page.damaged[0].reason.contains("is corrupted"), "{:?}", page.damaged);
    let first = next.commands.snapshots(String::new(), None, 1).await.unwrap();
    assert_eq!((first.snapshots.len(), first.damaged, first.next.as_deref()), (0, page.damaged, Some("purse-1")));

    assert!(next.commands.drop_snapshot(&stream(), false).await.unwrap());
    assert!(!next.commands.drop_snapshot(&stream(), false).await.unwrap());
    world.policy = every(3);
    let writing = world.restarted();
    // It was made of its events, so one is due at once.
    writing.send(command("b", "Add", 1)).await.unwrap();
    assert_eq!(snapshot_at(&writing, 5).await.stream, stream());
    world.store.damage(owner(), "purse-1");
    let over = world.restarted();
    over.send(command("c", "Add", 1)).await.unwrap();
    assert_eq!(snapshot_at(&over, 6).await.stream, stream());
    assert!(over.commands.snapshots(String::new(), None, 10).await.unwrap().damaged.is_empty());
}

#[tokio::test]
async fn a_damaged_snapshot_of_removed_events_is_told_and_dropped_by_force_only() {
    let world = only_a_snapshot().await;
    world.store.damage(owner(), "purse-1");
    let error = world.send(command("a", "Add", 1)).await.unwrap_err();
    let damaged = Some(LeftOut::Damaged);
    assert!(matches!(&error, CommandError::HistoryGone { left_out, .. } if *left_out == damaged), "{error}");
    assert!(error.to_string().contains("is damaged on disk"), "{error}");
    let error = world.commands.drop_snapshot(&stream(), false).await.unwrap_err();
    assert!(matches!(error, CommandError::SnapshotNeeded { .. }), "{error}");
    assert!(world.commands.drop_snapshot(&stream(), true).await.unwrap());
}

#[tokio::test]
async fn a_damaged_snapshot_of_a_deleted_stream_goes_with_it() {
    let world = World::new(every(3));
    snapshot_of(&world, "1").await;
    world.store.damage(owner(), "purse-1");
    world.store.delete_stream(StreamDeletion::of(stream())).await.unwrap();
    let _task = world.commands.follow_deletions();
    while !matches!(world.store.state_get(&owner(), "purse-1"), Ok(None)) {
        tokio::task::yield_now().await;
    }
}

/// A row as a release before wrote it, which did not note the types of events.
#[tokio::test]
async fn a_snapshot_without_types_counts_under_the_very_same_chain() {
    let world = only_a_snapshot().await;
    let row = world.store.state_get(&owner(), "purse-1").unwrap().unwrap();
    let [.., cents] = row[..] else { panic!("{row:?}") };
    // Format 2, then as far as the position, then the state.
    let older = [&[2][..], &row[1..37], &[cents]].concat();
    let change = StateChange { key: "purse-1".into(), value: Some(older) };
    world.commands.0.snapshots.change(vec![change]).await.unwrap();
    assert_eq!(world.restarted().state(Point::Now).await, 3);
    let other = lifted(&world, OTHER_TYPES);
    let error = other.send(command("a", "Add", 1)).await.unwrap_err();
    assert!(matches!(error, CommandError::HistoryGone { .. }), "{error}");
}

/// The same store, decided by code that loads snapshots and fails at what it made of them.
fn misled(world: &World) -> World {
    let next = world.restarted();
    next.code.is_misled_by_snapshots.store(true, Ordering::Relaxed);
    next
}

fn has_snapshot(world: &World) -> bool {
    world.store.state_get(&owner(), "purse-1").unwrap().is_some()
}

#[tokio::test]
async fn a_snapshot_that_loads_and_does_not_fit_is_dropped_and_its_aggregate_made_of_its_events() {
    // Whether it comes to light as an event follows, or as a command is decided.
    for later in 0..2 {
        let mut world = World::new(every(3));
        snapshot_of(&world, "1").await;
        world.policy = never();
        for _ in 0..later {
            world.append("Added", "1").await;
        }
        let next = misled(&world);
        assert_eq!(next.send(command("a", "Take", 3)).await.unwrap().version, Version(4 + later));
        assert!(!has_snapshot(&next));
        let rejected = next.send(command("b", "Take", 3)).await.unwrap();
        assert!(matches!(rejected.outcome, Outcome::Rejected(_)), "{rejected:?}");
        let counts = next.commands.claims().list()[0].counts.clone();
        let told = "the snapshot of stream purse-1 at version 3: it loads, but does not fit";
        assert_eq!((counts.snapshots_left_out, counts.snapshots_left_out_last.as_deref()), (1, Some(told)));
        assert_eq!((next.code.restored.load(Ordering::Relaxed), next.code.made.load(Ordering::Relaxed)), (1, 1));
    }
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_is_dropped_whatever_comes_of_the_command_by_which_that_is_found() {
    let mut world = World::new(every(3));
    snapshot_of(&world, "1").await;
    world.policy = never();
    world.append("Added", "1").await;
    let next = misled(&world);
    let late = Command { expected: ExpectedVersion::Exact(Version(9)), ..command("late", "Add", 1) };
    let error = next.send(late).await.unwrap_err();
    assert!(matches!(error, CommandError::Append(AppendError::WrongExpectedVersion { .. })), "{error}");
    assert_eq!((left_out(&next), has_snapshot(&next)), (1, false));
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_stays_where_its_events_were_removed_before_it_is_dropped() {
    let mut world = World::new(every(3));
    snapshot_of(&world, "1").await;
    world.policy = never();
    world.append("Added", "1").await;
    world.store.remove(&Category::new("purse").unwrap(), Position(4)).unwrap();
    world.commands.0.snapshots.drop_unfit(&stream(), Version(3)).await;
    assert!(has_snapshot(&world), "it is all there is of them");
    assert_eq!(world.restarted().send(command("b", "Add", 1)).await.unwrap().version, Version(5));
}

#[tokio::test]
async fn of_snapshots_only_the_one_that_does_not_fit_is_dropped() {
    let world = World::new(every(3));
    snapshot_of(&world, "1").await;
    for (version, is_left) in [(Version(2), true), (Version(3), false)] {
        world.commands.0.snapshots.drop_unfit(&stream(), version).await;
        assert_eq!(has_snapshot(&world), is_left, "{version}");
    }
}

#[tokio::test]
async fn where_another_one_was_written_since_what_is_to_be_dropped_is_looked_at_again() {
    let world = World::new(every(3));
    snapshot_of(&world, "1").await;
    let (store, looks) = (Arc::clone(&world.store), AtomicU64::new(0));
    let look = move |_: &dyn Store| {
        if looks.fetch_add(1, Ordering::Relaxed) > 0 {
            return Ok(Vec::new());
        }
        let revision = store.progress(&owner(), 0).unwrap().unwrap_or_default().revision + 1;
        let progress = crate::store::Progress { revision, ..crate::store::Progress::default() };
        let state = vec![StateChange { key: "purse-1".into(), value: Some(b"newer".to_vec()) }];
        let (events, dead_letters) = (Vec::new(), Vec::new());
        let newer = UnitOfWork { owner: owner(), partition: 0, progress, state, events, dead_letters };
        store.commit(newer).now_or_never().unwrap().unwrap();
        Ok(vec![removal(&stream())])
    };
    assert!(!world.commands.0.snapshots.change_as(look).await.unwrap());
    assert!(has_snapshot(&world));
}

/// Asks for a snapshot at once.
fn wish(world: &World) {
    let wish = Wish { category: Category::new("purse").unwrap(), key: "1".into(), stream: stream() };
    world.commands.0.snapshots.wish(wish);
}

#[tokio::test]
async fn a_snapshot_of_an_aggregate_that_was_made_of_one_that_does_not_fit_is_dropped_too() {
    let mut world = World::new(every(3));
    snapshot_of(&world, "1").await;
    world.policy = never();
    let next = world.restarted();
    next.send(command("a", "Add", 1)).await.unwrap();
    wish(&next);
    snapshot_at(&next, 4).await;
    next.code.is_misled_by_snapshots.store(true, Ordering::Relaxed);
    assert_eq!(next.send(command("b", "Take", 4)).await.unwrap().version, Version(5));
    assert_eq!((left_out(&next), has_snapshot(&next)), (1, false));
}

#[tokio::test]
async fn a_snapshot_is_written_within_the_turn_in_which_it_is_taken() {
    let world = World::new(never());
    world.append("Added", "1").await;
    let shut = Shut::gate(Arc::clone(&world.code.apply_gate)).await;
    wish(&world);
    while world.code.calls.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut place = world.commands.0.lanes.enter(&stream());
    drop(shut);
    place.turn().await;
    assert!(has_snapshot(&world));
}

#[tokio::test]
async fn who_looks_is_shown_what_the_events_lead_to_where_the_snapshot_does_not_fit_and_drops_nothing() {
    // Whether it comes to light as an event follows, or where the snapshot lies.
    for later in [1, 0] {
        let mut world = World::new(every(3));
        snapshot_of(&world, "1").await;
        world.policy = never();
        for _ in 0..later {
            world.append("Added", "1").await;
        }
        let next = misled(&world);
        assert_eq!((next.state(Point::Now).await, left_out(&next), has_snapshot(&next)), (3 + later, 1, true));
        let since = (Point::Version(Version(3)), Point::Now);
        let changed = next.commands.changes(stream(), None, since).await.unwrap();
        let told = (changed.from, changed.events.len(), changed.complete);
        assert_eq!(told, (Version(3), usize::try_from(later).unwrap(), true));
        assert_eq!((left_out(&next), has_snapshot(&next)), (2, true));
    }
}

#[tokio::test]
async fn a_snapshot_is_not_to_blame_for_what_fails_without_it_too() {
    let mut world = World::new(every(3));
    snapshot_of(&world, "1").await;
    world.policy = never();
    let next = world.restarted();
    for restored in 1..=2 {
        let error = next.send(command("a", "Explode", 1)).await.unwrap_err();
        assert_eq!(error.fault(), Some(("trap", Stage::Decide)));
        let made = next.code.made.load(Ordering::Relaxed);
        assert_eq!((next.code.restored.load(Ordering::Relaxed), made), (restored, 1), "that is found out once");
    }
    assert_eq!((left_out(&next), has_snapshot(&next)), (0, true));
}

#[tokio::test]
async fn a_snapshot_is_looked_into_again_and_ever_less_often_where_what_failed_without_it_says_nothing_of_it() {
    let mut world = World::new(every(3));
    snapshot_of(&world, "1").await;
    world.policy = never();
    let next = misled(&world);
    next.code.lacks_memory.store(true, Ordering::Relaxed);
    // It is the first, the second, the fourth time.
    for made in [1, 2, 2, 3, 3, 3, 3] {
        let error = next.send(command("a", "Add", 1)).await.unwrap_err();
        assert_eq!(error.fault(), Some(("trap", Stage::Decide)));
        assert_eq!(next.code.made.load(Ordering::Relaxed), made);
    }
    assert_eq!((left_out(&next), has_snapshot(&next)), (0, true));
    next.code.lacks_memory.store(false, Ordering::Relaxed);
    assert_eq!(next.send(command("a", "Add", 1)).await.unwrap().version, Version(4), "the eighth");
    assert_eq!((left_out(&next), has_snapshot(&next)), (1, false));
}

#[tokio::test]
async fn a_store_that_fails_where_the_snapshot_is_left_out_says_nothing_of_it() {
    let world = World::new(every(3));
    snapshot_of(&world, "1").await;
    let (counts, unfit) = (Arc::new(Counts::default()), Arc::new(Unfit::default()));
    let mut shard = Shard::new(3, counts, Arc::default(), Arc::clone(&unfit));
    let (setup, stream) = (setup("purses", &world.code, &never()), stream());
    let source = Source { setup: &setup, store: &*world.store, stream: &stream, key: "1", awaited: None };
    let mut run = |breaks: bool| {
        shard.with(&source, |_, hot| match hot.made_of {
            Some(_) => Err(source.faulted(fault(Stage::Decide))),
            None if breaks => Err(StoreError::ReadFailed { reason: "no disk".into() }.into()),
            None => Ok(()),
        })
    };
    let error = run(true).unwrap_err();
    assert!(matches!(error, CommandError::Store(_)), "{error}");
    assert_eq!(unfit.take(&stream), None);
    run(false).unwrap();
    assert_eq!(unfit.take(&stream), Some(Version(3)), "it is looked into again");
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_and_stands_for_removed_events_is_named_and_stays() {
    let world = only_a_snapshot().await;
    world.append("Added", "1").await;
    let next = misled(&world);
    for _ in 0..2 {
        let error = next.send(command("a", "Add", 1)).await.unwrap_err();
        let snapshot = Some(Version(3));
        assert!(matches!(&error, CommandError::Misfit { snapshot: made_of, .. } if *made_of == snapshot), "{error}");
        let told = error.to_string();
        assert!(told.contains("its snapshot at version 3: install a version of it that knows"), "{told}");
        assert!(!told.contains("drop"), "dropped, it would be of no use any more: {told}");
    }
    assert_eq!((left_out(&next), has_snapshot(&next)), (0, true));
    assert_eq!(world.send(command("a", "Take", 4)).await.unwrap().version, Version(5), "what made it knows it");
}

async fn snapshot_of(world: &World, key: &str) {
    for step in 0..3 {
        let command = Command { key: key.into(), ..command(&format!("{key}-{step}"), "Add", 1) };
        world.send(command).await.unwrap();
    }
    let stream = format!("purse-{key}");
    while world.store.state_get(&owner(), &stream).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

async fn gone(world: &World, key: &str) {
    while world.store.state_get(&owner(), &format!("purse-{key}")).unwrap().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_snapshot_of_a_deleted_stream_goes_whether_it_is_deleted_before_or_while_that_is_followed() {
    let world = World::new(every(3));
    for key in ["1", "2", "3"] {
        snapshot_of(&world, key).await;
    }
    let delete = async |key: &str| {
        let stream = StreamName::new(format!("purse-{key}")).unwrap();
        world.store.delete_stream(StreamDeletion::of(stream)).await.unwrap();
    };
    delete("1").await;
    let task = world.commands.follow_deletions();
    gone(&world, "1").await;
    delete("2").await;
    gone(&world, "2").await;
    drop(task);
    let left = world.commands.snapshots(String::new(), None, 10).await.unwrap().snapshots;
    assert_eq!(left.len(), 1, "{left:?}");
    // Where it goes on, it knows how far it has come.
    assert!(world.store.state_get(&owner(), crate::event::TOMBSTONE_TYPE).unwrap().is_some());
    delete("3").await;
    let _task = world.restarted().commands.follow_deletions();
    gone(&world, "3").await;
}

#[tokio::test]
async fn the_snapshot_of_a_deleted_stream_goes_although_its_tombstone_was_removed() {
    let world = World::new(every(3));
    snapshot_of(&world, "1").await;
    snapshot_of(&world, "2").await;
    world.store.delete_stream(StreamDeletion::of(stream())).await.unwrap();
    world.store.remove(&Category::new("purse").unwrap(), world.store.head().next()).unwrap();
    let _task = world.commands.follow_deletions();
    gone(&world, "1").await;
    assert!(world.store.state_get(&owner(), "purse-2").unwrap().is_some());
}
