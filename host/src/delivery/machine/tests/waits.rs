//! The machine, step by step: what waits, for how long, and what it costs meanwhile.

use super::super::*;
use super::steps::{by_key, committed, failure, feed, fetched, handled, machine, page, put, row, start, trap};
use crate::delivery::handler::Verdict;
use crate::store::{DeadLetter, DeadLetterChange};

fn ask(ms: u64) -> Input {
    failure(0, Verdict::Retry { after_ms: Some(ms) })
}

/// Whether it waits for the head.
fn rests(action: &Action) -> bool {
    matches!(action, Action::Wait { after: Some(_), .. })
}

#[test]
fn asking_for_no_time_for_ever_is_no_storm_and_burns_no_attempt() {
    for keyed in [false, true] {
        let mut machine = machine(if keyed { by_key() } else { Policy::default() });
        let (mut now_us, mut calls, mut commits) = (1_000_000, 0, 0);
        let mut action = feed(&mut machine, "a");
        let mut letter = DeadLetter::default();
        while now_us < 3_601_000_000 {
            action = match action {
                Action::Handle(_) | Action::Rehandle => {
                    calls += 1;
                    machine.step(ask(0), now_us)
                }
                Action::Commit(commit) => {
                    commits += 1;
                    if let [DeadLetterChange::Put(row)] = &commit.rows[..] {
                        letter = row.clone();
                    }
                    assert!(commit.progress.failing.iter().all(|failing| failing.attempts + failing.faults == 0));
                    machine.step(Input::Committed, now_us)
                }
                Action::Wait { until_us, .. } => {
                    now_us = until_us.expect("it is tried again").max(now_us);
                    machine.step(Input::Due, now_us)
                }
                Action::Recall(_) => machine.step(Input::Recalled(letter.clone()), now_us),
                other => panic!("{other:?}"),
            };
        }
        assert!((100..5_000).contains(&calls) && commits < 30, "keyed {keyed}: {calls} calls, {commits} commits");
        assert_eq!((letter.attempts, letter.faults), (0, 0));
    }
}

#[test]
fn a_world_that_is_not_ready_holds_the_partition_and_one_event_at_a_time_is_tried() {
    let mut machine = machine(by_key());
    assert_eq!(feed(&mut machine, "abcdefghij"), Action::Handle(0..10));
    let mut letters = Vec::new();
    for position in 1..=3 {
        let action = machine.step(ask(50), 1000);
        assert_eq!(put(committed(&action)), [(position, "retry", Some(51_000))]);
        letters.push(row(&action));
        let next = machine.step(Input::Committed, 1000);
        assert_eq!(matches!(next, Action::Handle(_)), position < 3, "{next:?}");
    }
    // Three keys in a row: the others are not called.
    assert_eq!(machine.step(Input::Head(Position(11)), 1000), Action::Wait { after: None, until_us: Some(51_000) });
    let told = |machine: &Machine, now_us| match machine.state(now_us) {
        State::BackingOff { until_us, reason: Some(reason) } => (until_us, reason),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&machine, 1000).0, 51_000);
    assert!(told(&machine, 51_000).1.contains("asks for time: no"), "also while one is tried");
    assert_eq!(machine.step(Input::Due, 51_000), Action::Recall(Position(1)));
    machine.step(Input::Recalled(letters[0].clone()), 51_000);
    let action = machine.step(ask(50), 51_000);
    assert_eq!(row(&action).attempts, 0);
    assert_eq!(machine.step(Input::Committed, 51_000), Action::Wait { after: None, until_us: Some(101_000) });
    // In turns with the log, of which one is tried too.
    assert_eq!(machine.step(Input::Due, 101_000), Action::Handle(3..4));
    assert_eq!(committed(&machine.step(handled(), 101_000)).handled, 1);
    assert_eq!(machine.step(Input::Committed, 101_000), Action::Recall(Position(2)));
    assert_eq!(machine.state(101_000), State::Running);
}

#[test]
fn the_first_success_ends_an_outage_and_all_go_on() {
    let mut machine = machine(by_key());
    feed(&mut machine, "abcdef");
    let mut letter = DeadLetter::default();
    for _ in 0..3 {
        let action = machine.step(ask(50), 0);
        letter = row(&action);
        machine.step(Input::Committed, 0);
    }
    assert_eq!(machine.step(Input::Due, 50_000), Action::Recall(Position(1)));
    machine.step(Input::Recalled(DeadLetter { position: Position(1), key: Some("a".into()), ..letter }), 50_000);
    machine.step(handled(), 50_000);
    assert_eq!(machine.step(Input::Committed, 50_000), Action::Handle(3..6), "many at a time again");
    assert_eq!(machine.state(50_000), State::Running);
}

#[test]
fn an_outage_leaves_room_for_what_has_to_be_set_aside() {
    let mut machine = machine(Policy { parked_events_max: 8, ..by_key() });
    let mut action = feed(&mut machine, "abcabcabcabcdefg");
    let (mut now_us, mut letters) = (0, std::collections::BTreeMap::new());
    for _ in 0..400 {
        assert!(!matches!(machine.state(now_us), State::Halted { .. }), "nobody's fault halts nobody");
        action = match action {
            Action::Handle(_) | Action::Rehandle => machine.step(ask(1), now_us),
            Action::Commit(commit) => {
                for change in &commit.rows {
                    let DeadLetterChange::Put(row) = change else { panic!("{change:?}") };
                    letters.insert(row.position, row.clone());
                }
                machine.step(Input::Committed, now_us)
            }
            Action::Wait { until_us, .. } => {
                now_us = until_us.expect("it is tried again").max(now_us);
                machine.step(Input::Due, now_us)
            }
            Action::Recall(position) => machine.step(Input::Recalled(letters[&position].clone()), now_us),
            other => panic!("{other:?}"),
        };
    }
    assert!(letters.len() <= 4, "half of the room: {letters:?}");
}

#[test]
fn one_event_that_asks_for_time_holds_up_its_own_key_only() {
    let mut machine = machine(by_key());
    feed(&mut machine, "abab");
    machine.step(ask(50), 0);
    assert_eq!(machine.step(Input::Committed, 0), Action::Handle(1..2));
    assert_eq!(machine.step(handled(), 0), Action::Handle(3..4));
    machine.step(handled(), 0);
    assert!(rests(&machine.step(Input::Committed, 0)));
    assert_eq!(machine.state(0), State::Running);
}

#[test]
fn what_was_put_off_by_a_clock_that_was_ahead_is_due_at_once() {
    const YEAR_US: u64 = 365 * 24 * 3_600_000_000;
    let queue_row =
        Row { sequence: Sequence::Key("a".into()), position: Position(1), due_us: Some(9 * YEAR_US), held: false };
    let progress = Progress { checkpoint: Position(1), ..Progress::default() };
    let mut keyed = Machine::new(Start { rows: vec![queue_row], progress, ..start(by_key()) });
    assert_eq!(keyed.step(Input::GoOn, YEAR_US), Action::Recall(Position(1)));
    // While it runs, too.
    let mut machine = machine(Policy::default());
    fetched(&mut machine, 1);
    machine.step(failure(0, Verdict::Retry { after_ms: None }), 9 * YEAR_US);
    assert!(matches!(machine.step(Input::Committed, 9 * YEAR_US), Action::Wait { until_us: Some(_), .. }));
    assert_eq!(machine.step(Input::Due, YEAR_US), Action::Handle(0..1));
}

#[test]
fn a_storm_halts_before_its_event_until_it_is_resumed_and_is_written_down() {
    let mut machine = machine(Policy::default());
    fetched(&mut machine, 2);
    machine.step(handled(), 0);
    let storm = || Input::CommitFailed(CommitFailure::Storm("too much".into()));
    assert_eq!(machine.step(storm(), 0), Action::Fetch(Position::START), "which of them is it?");
    assert_eq!(machine.step(page("--"), 0), Action::Handle(0..1));
    machine.step(handled(), 0);
    assert_eq!(machine.step(Input::Committed, 0), Action::Handle(1..2));
    machine.step(handled(), 0);
    let action = machine.step(storm(), 0);
    let commit = committed(&action);
    let stopped = commit.progress.stopped.clone().unwrap();
    assert_eq!((stopped.reason.as_str(), commit.handled, commit.progress.checkpoint), ("too much", 0, Position(1)));
    assert_eq!(machine.step(Input::Committed, 0), Action::Wait { after: None, until_us: None });
    machine.request_yield();
    machine.step(Input::Due, 0);
    machine.step(Input::Resume, 0);
    machine.step(Input::Committed, 0);
    assert_eq!(machine.step(Input::GoOn, 0), Action::Fetch(Position(1)), "it again");
}

#[test]
fn a_batch_that_was_too_much_is_not_tried_again_and_again() {
    // A handler that has time for 150 events in a call.
    let mut machine = machine(Policy::default());
    let mut action = fetched(&mut machine, 60_000);
    let (mut calls, mut faults) = (0, 0);
    loop {
        action = match action {
            Action::Handle(range) => {
                calls += 1;
                let too_many = range.len() > 150;
                faults += u32::from(too_many);
                machine.step(if too_many { trap() } else { handled() }, 0)
            }
            Action::Commit(_) => machine.step(Input::Committed, 0),
            Action::Wait { .. } => break,
            other => panic!("{other:?}"),
        };
    }
    assert!(faults * 40 < calls && faults < 12, "{faults} of {calls} calls were too much");
}

#[test]
fn an_event_that_faults_alone_is_to_blame_and_the_batch_is_not() {
    let policy = Policy { max_faults: 1, batch_events_max: 8, ..Policy::default() };
    let mut machine = machine(policy);
    assert_eq!(fetched(&mut machine, 40), Action::Handle(0..8));
    for range in [0..4, 0..2, 0..1] {
        assert_eq!(machine.step(trap(), 0), Action::Handle(range));
    }
    machine.step(trap(), 0);
    let mut action = machine.step(Input::Committed, 0);
    let mut sizes = Vec::new();
    while let Action::Handle(range) = &action {
        sizes.push(range.len());
        action = machine.step(handled(), 0);
    }
    assert_eq!(sizes[..10], [1, 1, 1, 1, 1, 1, 1, 2, 4, 8], "{sizes:?}");
}

#[test]
fn a_wait_in_place_that_is_not_written_down_keeps_what_is() {
    let failing = Failing {
        position: Position(1),
        attempts: 2,
        faults: 1,
        first_us: 1_000_000,
        last_us: 3_000_000,
        reason: "x".into(),
    };
    let progress = Progress { failing: Some(failing.clone()), ..Progress::default() };
    let mut machine = Machine::new(Start { progress, ..start(Policy::default()) });
    machine.step(Input::GoOn, 3_100_000);
    machine.step(Input::Head(Position(1)), 3_100_000);
    machine.step(page("-"), 3_100_000);
    let wait = machine.step(ask(500), 3_100_000);
    assert_eq!(wait, Action::Wait { after: None, until_us: Some(3_600_000) }, "and no commit");
    assert_eq!(machine.step(Input::Due, 3_600_000), Action::Handle(0..1));
    let action = machine.step(failure(0, Verdict::Retry { after_ms: None }), 3_600_000);
    let written = committed(&action).progress.failing.clone().unwrap();
    assert_eq!((written.attempts, written.faults, written.first_us), (3, 1, failing.first_us));
}
