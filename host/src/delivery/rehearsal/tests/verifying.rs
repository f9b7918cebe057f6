//! State that is built anew beside the one that is stored.

use super::*;
use crate::delivery::Key;
use crate::delivery::rehearsal::snapshot::Snapshot;
use crate::store::{PluginChange, PluginRecord};

fn verify(world: &World, version: fn() -> Setup) -> VerifyStateReport {
    world.unchanged(|stage| verify_state(stage, &version, None, &mut on).unwrap())
}

#[test]
fn the_state_that_delivery_left_is_the_state_that_is_built() {
    let world = World::of("A B A Bad A B");
    let version = || {
        setup(|event, effects| {
            count(event, effects)?;
            if event.event_type.as_str() == "Bad" { Err(refused(Verdict::Reject)) } else { Ok(()) }
        })
    };
    // Up to the checkpoint only; what was set aside is left out.
    world.commit(1, 5, &[("A", "3"), ("B", "1")], &[4]);
    let report = verify(&world, version);
    assert!(report.same, "{report:?}");
    assert_eq!((report.to, report.events, report.left_out, report.keys), (Position(5), 5, 1, 2));
    assert_eq!((report.failures.count, report.first), (0, None));
}

#[test]
fn promise_10_the_first_key_that_differs_is_named_with_the_event_that_wrote_it() {
    let world = World::of(&"A B C B A A A B D ".repeat(5));
    world.commit(1, 45, &[("A", "20"), ("B", "14"), ("C", "5"), ("E", "1")], &[]);
    let report = verify(&world, || setup(count));
    assert!(!report.same);
    let first = report.first.unwrap();
    assert_eq!((&*first.difference.key, first.difference.live.as_deref()), ("B", Some("14")));
    assert_eq!((first.difference.rehearsed.as_deref(), first.written_at), (Some("15"), Some(Position(44))));
    let keys: Vec<_> = report.state.first.iter().map(|it| &*it.key).collect();
    assert_eq!((keys, report.state.count), (vec!["B", "D", "E"], 3));
}

#[test]
fn a_key_that_was_removed_is_written_too_and_one_never_written_by_nobody() {
    let world = World::of("Set A A Remove A A A A A A A A");
    world.commit(1, 12, &[("k", "stays")], &[]);
    let report = verify(&world, || {
        setup(|event, effects| {
            match event.event_type.as_str() {
                "Set" => effects.state_set("k", b"v".into()).unwrap(),
                "Remove" => effects.state_delete("k").unwrap(),
                _ => {}
            }
            Ok(())
        })
    });
    assert_eq!(report.first.unwrap().written_at, Some(Position(4)));
    let report = verify(&world, || setup(|_, _| Ok(())));
    assert_eq!(report.first.unwrap().written_at, None);
}

#[test]
fn a_handler_that_stops_on_the_way_is_told_from_state_that_differs() {
    let world = World::of("A:s-1 A:s-2 A:s-3 A:s-4 A:s-5");
    world.commit(1, 5, &[("A", "5")], &[]);
    let report = verify(&world, || setup(|_, _| Err(trapped())));
    let stopped = report.stopped.unwrap();
    assert_eq!((stopped.position, &*stopped.kind), (Position(3), "trap"));
    assert_eq!((report.events, report.failures.count, report.same), (3, 3, false));
    assert_eq!(verify(&world, || setup(count)).stopped, None);
}

#[test]
fn state_and_checkpoint_are_of_one_moment_while_the_plugin_commits() {
    let world = World::of(&"A ".repeat(300));
    let filler: Vec<String> = (0..1500).map(|n| format!("k{n:04}")).collect();
    let filler: Vec<_> = filler.iter().map(|key| (key.as_str(), "")).collect();
    world.commit(1, 1, &filler, &[]);
    std::thread::scope(|scope| {
        let commits = scope.spawn(|| {
            for revision in 2..=300_u64 {
                let value = revision.to_string();
                world.commit(revision, revision, &[("a", &value), ("z", &value)], &[]);
            }
        });
        loop {
            let over = commits.is_finished();
            match Snapshot::take(&world.stage, &plugin()) {
                Ok(snapshot) => {
                    let of =
                        |key: &str| snapshot.state.get(key).map_or("1".into(), |bytes| String::from_utf8_lossy(bytes));
                    let checkpoint = snapshot.settlement.reach().to_string();
                    assert_eq!((&*of("a"), &*of("z")), (&*checkpoint, &*checkpoint));
                }
                Err(error) => assert!(!over && matches!(error, RehearsalError::Moving { .. }), "{error}"),
            }
            if over {
                break;
            }
        }
    });
}

#[test]
fn each_partition_is_compared_at_its_own_checkpoint() {
    let world = World::of("A:s-1 A:s-2 A:s-3 A:s-4 A:s-5 A:s-6 A:s-7 A:s-8 A:s-9");
    let at = |checkpoint| Progress { revision: 1, checkpoint: Position(checkpoint), ..Progress::default() };
    let checkpoints = [at(8), at(3)];
    let request = ReadRequest { limit: 100, ..ReadRequest::default() };
    let events = world.store.read(&request).unwrap().events;
    let settled = |event: &&RecordedEvent| {
        let partition = usize::try_from(Key::Stream.partition_of(event, 2)).unwrap();
        event.position <= checkpoints[partition].checkpoint
    };
    let settled = events.iter().filter(settled).count();
    assert!((4..8).contains(&settled), "both partitions have some after 3: {settled}");
    let content = r#"{"layout":{"partitions":2,"key":"stream"}}"#.into();
    let [first, second] = checkpoints.clone();
    let change = PluginChange {
        plugin: plugin(),
        record: PluginRecord { revision: 1, content },
        progress: vec![(0, 0, first), (0, 1, second)],
        progress_removed: Vec::new(),
        generations_dropped: Vec::new(),
    };
    world.store.change_plugin(change).wait().unwrap();
    // One of them is set aside.
    world.commit(2, 8, &[("A", &(settled - 1).to_string())], &[1]);
    let report = verify(&world, || setup(count));
    assert!(report.same, "{report:?}");
    assert_eq!((report.to, report.left_out, report.cost.events), (Position(8), 1, settled as u64 - 1));
}

#[test]
fn state_of_events_that_are_gone_is_not_compared() {
    let world = World::of("A:old-1 A:old-1 A:new-1");
    world.commit(1, 3, &[("A", "3")], &[]);
    world.store.remove(&Category::new("old").unwrap(), Position(3)).unwrap();
    let error = verify_state(&world.stage, &|| setup(count), None, &mut on).unwrap_err();
    assert!(error.to_string().starts_with("events before position 3 "), "{error}");
}
