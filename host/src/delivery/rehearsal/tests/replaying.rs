//! What a replay reports.

use super::*;
use crate::delivery::{Key, KeyMissing};

fn outcomes(report: &ReplayReport) -> Vec<(&str, u64)> {
    report.outcomes.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect()
}

#[test]
fn promise_10_a_replay_reads_live_state_and_leaves_no_trace() {
    let world = World::of("A B A B A");
    world.commit(1, 5, &[("A", "40"), ("B", "2")], &[]);
    let report = world.replay(setup(|event, effects| {
        count(event, effects)?;
        let (seen, _) = (effects.state_get("A").unwrap().unwrap(), effects.state_delete("gone"));
        let event_type = if seen == b"43" { "Reached" } else { "Seen" };
        effects.append(event.position, new_event(event_type)).unwrap();
        Ok(())
    }));
    assert_eq!((report.from, report.to, report.events), (Position(1), Position(5), 5));
    assert_eq!(outcomes(&report), [("handled", 5)]);
    assert_eq!(report.emitted, [("Reached".into(), 1), ("Seen".into(), 4)].into(), "on top of what is stored");
    assert_eq!((report.cost.events, report.cost.attempts, report.failures.count), (5, 1, 0));
}

#[test]
fn a_failing_event_is_found_tried_without_waiting_and_keeps_its_key_behind() {
    let world = World::of("A:s-1 A:s-2 Bad:s-1 A:s-1 A:s-2 A Reject A A:s-1 A:s-1 A:s-2");
    let mut tries = 0;
    let report = world.replay(setup(move |event, effects| {
        // What a failed try wrote must not be seen by the next one.
        count(event, effects)?;
        match event.event_type.as_str() {
            "Bad" => {
                tries += 1;
                assert_eq!(effects.state_get("Bad").unwrap(), Some(b"1".to_vec()), "try {tries}");
                Err(refused(Verdict::Retry { after_ms: Some(86_400_000) }))
            }
            "Reject" => Err(refused(Verdict::Reject)),
            _ => Ok(()),
        }
    }));
    assert_eq!(outcomes(&report), [("behind", 3), ("failed", 2), ("handled", 6)]);
    let failures: Vec<_> =
        report.failures.first.iter().map(|failure| (failure.position.0, &*failure.kind, failure.attempts)).collect();
    assert_eq!(failures, [(3, "retry", 3), (7, "reject", 1)]);
    assert_eq!(report.stopped, None);
}

#[test]
fn a_fault_is_halved_down_to_its_event_and_a_panic_is_a_trap() {
    for panics in [false, true] {
        let world = World::of(&format!("{} Bad {}", "A ".repeat(20), "A ".repeat(20)));
        let report = world.replay(setup(move |event, effects| {
            count(event, effects)?;
            match event.event_type.as_str() {
                "Bad" if panics => panic!("on purpose"),
                "Bad" => Err(trapped()),
                _ => Ok(()),
            }
        }));
        assert_eq!(outcomes(&report), [("failed", 1), ("handled", 40)]);
        let failure = &report.failures.first[0];
        assert_eq!((failure.position, &*failure.kind, failure.attempts), (Position(21), "trap", 3));
    }
}

#[test]
fn a_handler_that_stops_ends_the_rehearsal_there() {
    let world = World::of(&format!("A A Stop {}", "A ".repeat(100)));
    let report = world.replay(setup(|event, _| match event.event_type.as_str() {
        "Stop" => Err(refused(Verdict::Stop)),
        _ => Ok(()),
    }));
    assert_eq!(outcomes(&report), [("handled", 2), ("stopped", 1)]);
    assert_eq!(report.stopped.map(|failure| failure.position), Some(Position(3)));
    assert_eq!(report.events, 3);
}

#[test]
fn failures_are_listed_up_to_a_bound_and_counted_beyond() {
    let world = World::of(&"A ".repeat(250));
    let report = world.replay(setup(|_, _| Err(refused(Verdict::Reject))));
    assert_eq!((report.failures.count, report.failures.first.len()), (250, 100));
}

#[test]
fn an_answer_about_an_event_that_is_not_there_is_a_fault() {
    struct Wrong;
    impl Handler for Wrong {
        fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
            let failure = Failure { index: batch.len(), verdict: Verdict::Reject, reason: "x".into() };
            Handled { effects, outcome: Err(HandleError::Failure(failure)), evidence: Evidence::default() }
        }
    }
    let world = World::of("A A");
    let report = world.replay(Setup { handlers: vec![Box::new(Wrong)], ..setup(count) });
    assert_eq!(outcomes(&report), [("failed", 2)]);
    assert_eq!(report.failures.first[0].kind, "bad_reply");
}

#[test]
fn keys_are_those_of_the_manifest() {
    let world = World::of("Bad:a-1 A:b-1 A:a-1 A");
    let report = |key, key_missing| {
        let version = setup(|event, _| match event.event_type.as_str() {
            "Bad" => Err(refused(Verdict::Reject)),
            _ => Ok(()),
        });
        let policy = Policy { key: Some(key), key_missing, ..version.policy.clone() };
        world.replay(Setup { policy, ..version })
    };
    let expected = [("behind", 1), ("failed", 1), ("handled", 1), ("no_key", 1)];
    assert_eq!(outcomes(&report(Key::Stream, KeyMissing::Park)), expected);
    assert_eq!(outcomes(&report(Key::Stream, KeyMissing::Alone)), [("behind", 1), ("failed", 1), ("handled", 2)]);
    assert_eq!(outcomes(&report(Key::CorrelationId, KeyMissing::Park)), [("failed", 1), ("handled", 3)]);
    assert_eq!(outcomes(&report(Key::Tag("x:".into()), KeyMissing::Park)), [("no_key", 4)]);
}

#[test]
fn one_that_faults_on_everything_ends_where_it_would_be_quarantined() {
    let world = World::of("Bad A Bad Bad Bad A");
    let version = setup(|event, _| if event.event_type.as_str() == "Bad" { Err(trapped()) } else { Ok(()) });
    let policy = Policy { max_faults: 2, ..version.policy.clone() };
    let report = world.replay(Setup { policy, ..version });
    assert_eq!(outcomes(&report), [("failed", 3), ("handled", 1), ("stopped", 1)]);
    assert_eq!(report.stopped.map(|failure| (failure.position, failure.attempts)), Some((Position(5), 2)));
}

#[test]
fn events_that_retention_has_removed_are_told_of() {
    let world = World::of("A:old-1 A:old-1 A:new-1");
    assert_eq!(world.replay(setup(count)).removed_before, None);
    world.store.remove(&Category::new("old").unwrap(), Position(3)).unwrap();
    let report = world.replay(setup(count));
    assert_eq!((report.events, report.removed_before), (1, Some(Position(3))));
}
