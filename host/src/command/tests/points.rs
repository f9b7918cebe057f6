//! Points in the life of an aggregate.

use super::history::{chain, lifted};
use super::turns::Shut;
use super::*;

fn stream() -> StreamName {
    StreamName::new("purse-1").unwrap()
}

/// Events at versions 1 to 4, of which 2 and 3 were stored at one time.
async fn filled() -> (World, [u64; 4]) {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let world = World { store, ..World::new(never()) }.reclaimed();
    for advance in [0, 10, 0, 10] {
        clock.advance_us(advance);
        world.append("Added", "1").await;
    }
    let times: Vec<_> = world.events("purse-1").iter().map(|event| event.timestamp_us).collect();
    (world, times.try_into().unwrap())
}

#[tokio::test]
async fn a_time_is_a_point_with_what_was_stored_at_it_as_a_version_and_a_position_are() {
    let (world, times) = filled().await;
    assert_eq!(times[1], times[2]);
    for (time, cents) in [(times[0], 1), (times[1] - 1, 1), (times[1], 3), (times[3] - 1, 3), (times[3], 4)] {
        assert_eq!(world.state(Point::Time(time)).await, cents, "{time}");
        let until = (Point::Version(Version(0)), Point::Time(time));
        let changed = world.commands.changes(stream(), None, until).await.unwrap();
        assert_eq!((changed.to.0, changed.complete), (cents.unsigned_abs(), true), "{time}");
        let since = (Point::Time(time), Point::Now);
        let changed = world.commands.changes(stream(), None, since).await.unwrap();
        assert_eq!((changed.from.0, changed.to.0), (cents.unsigned_abs(), 4), "{time}");
    }
    let before = world.commands.state_at(stream(), None, Point::Time(times[0] - 1)).await.unwrap_err();
    assert!(matches!(before, CommandError::NoSuchAggregate { .. }), "{before}");
}

#[tokio::test]
async fn what_changed_is_not_asked_backwards() {
    let (world, times) = filled().await;
    let (version, position) = (|at| Point::Version(Version(at)), |at| Point::Position(Position(at)));
    let backwards = [
        (version(3), version(2)),
        (version(99), version(9)),
        (position(3), position(2)),
        (Point::Time(times[3]), Point::Time(times[0])),
        (version(3), position(2)),
        (version(4), Point::Time(times[1])),
        (Point::Time(times[3]), version(2)),
        (Point::Now, version(3)),
    ];
    for (from, to) in backwards {
        let error = world.commands.changes(stream(), None, (from, to)).await.unwrap_err();
        assert!(matches!(error, CommandError::Backwards { .. }), "{from:?} {to:?}: {error}");
        assert!([from, to].iter().all(|point| error.to_string().contains(&point.to_string())), "{error}");
    }
    let nothing =
        [(version(3), version(3)), (version(9), version(9)), (version(2), position(2)), (version(9), Point::Now)];
    for (from, to) in nothing {
        let changed = world.commands.changes(stream(), None, (from, to)).await.unwrap();
        assert_eq!((changed.events.len(), changed.complete), (0, true), "{from:?} {to:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_nobody_waits_for_any_more_ends_before_its_next_page() {
    let world = World::new(never());
    for _ in 0..1001 {
        world.append("Added", "1").await;
    }
    let places = world.commands.0.looks.available_permits();
    let shut = Shut::gate(Arc::clone(&world.code.apply_gate)).await;
    let commands = world.commands.clone();
    let look = tokio::spawn(async move { commands.state_at(stream(), None, Point::Now).await });
    while world.code.calls.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.commands.0.looks.available_permits(), places - 1);
    look.abort();
    assert!(look.await.unwrap_err().is_cancelled());
    drop(shut);
    while world.commands.0.looks.available_permits() < places {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.code.calls.lock().unwrap().len(), 1, "the second page is not read");
    assert_eq!(world.state(Point::Now).await, 1001);
}

/// What a stored event is today: three.
const THREE: &str = r#"
[[upcast]]
type = "Three"
from = 1
to = 1
into = [{ type = "Added" }, { type = "Added" }, { type = "Added" }]
"#;

#[tokio::test]
async fn of_an_event_that_became_many_the_last_stands_for_those_that_are_too_much_to_tell() {
    let world = World::new(never());
    world.append("Three", "1").await;
    let widths = [(1, vec![json!("1x"), json!("2x"), json!("3x")]), (3 << 20, Vec::new())];
    for (wide, told) in widths {
        let code = Arc::new(Purses { snapshots: true, wide, ..Purses::default() });
        let next = World { code, ..world.restarted() }.reclaimed();
        next.commands.claims().release(&PluginName::new("purses").unwrap());
        let setup = setup("purses", &next.code, &next.policy);
        next.commands.claims().claim(AggregateSetup { chain: chain(THREE), ..setup }).unwrap();
        let all = (Point::Version(Version(0)), Point::Now);
        let changed = next.commands.changes(stream(), None, all).await.unwrap();
        assert_eq!((changed.to, changed.complete), (Version(1), true));
        let after: Vec<_> = changed.events.iter().filter_map(|change| change.changes[0].after.clone()).collect();
        if !told.is_empty() {
            assert_eq!(after, told);
            continue;
        }
        let [first, last] = &after[..] else { panic!("{} are told", after.len()) };
        assert_eq!(changed.events[1].changes[0].before.as_ref(), Some(first));
        let starts = |value: &Value, with: char| value.as_str().is_some_and(|text| text.starts_with(with));
        assert!(starts(first, '1') && starts(last, '3'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_that_nobody_waits_for_any_more_ends_within_an_event_that_became_many() {
    let world = lifted(&World::new(never()), THREE);
    world.append("Three", "1").await;
    let places = world.commands.0.looks.available_permits();
    let shut = Shut::gate(Arc::clone(&world.code.apply_gate)).await;
    let (commands, all) = (world.commands.clone(), (Point::Version(Version(0)), Point::Now));
    let look = tokio::spawn(async move { commands.changes(stream(), None, all).await });
    while world.code.calls.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    look.abort();
    assert!(look.await.unwrap_err().is_cancelled());
    drop(shut);
    while world.commands.0.looks.available_permits() < places {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.code.calls.lock().unwrap().len(), 1);
}

#[test]
fn a_time_is_told_as_it_was_given() {
    assert_eq!(Point::Time(1_577_836_800_000_000).to_string(), "the time 2020-01-01T00:00:00.000000Z");
}
