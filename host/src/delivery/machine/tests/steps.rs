//! The machine, step by step.

use super::super::*;
use super::world::event;
use crate::delivery::handler::{EventBatch, Failure, Verdict};
use crate::delivery::policy::{Backoff, KeyMissing, OnExhausted};
use crate::store::{DeadLetter, DeadLetterChange};

fn version(component: &str, manifest: &str, lifts: &str) -> VersionId {
    VersionId { component: component.into(), manifest: manifest.into(), lifts: lifts.into() }
}

pub(super) fn start(policy: Policy) -> Start {
    Start {
        policy,
        version: version("digest", "", ""),
        progress: Progress::default(),
        rows: Vec::new(),
        settled: Vec::new(),
        paused: false,
        rebuilding: false,
        fresh: false,
        seed: 1,
    }
}

/// A machine at rest after the start of the log.
pub(super) fn machine(policy: Policy) -> Machine {
    Machine::new(start(policy))
}

pub(super) fn by_key() -> Policy {
    let backoff = Backoff { initial_ms: 100, max_ms: 1000, jitter: false };
    Policy { key: Some(Key::Stream), backoff, ..Policy::default() }
}

/// A page that ends at the head, of events from 1, each of the stream of its letter; `-` for none.
pub(super) fn page(streams: &str) -> Input {
    let stream = |letter: char| (letter != '-').then(|| letter.to_string());
    let events = streams.chars().enumerate().map(|(index, letter)| event(index as u64 + 1, stream(letter)));
    let through = Position(streams.len() as u64);
    let events = EventBatch::new(events.collect());
    Input::Fetched(Page { events, through, complete: true, head: through, ..Page::default() })
}

/// Feeds a page to a machine at rest.
pub(super) fn feed(machine: &mut Machine, streams: &str) -> Action {
    assert!(matches!(machine.step(Input::GoOn, 0), Action::Wait { until_us: None, .. }));
    assert_eq!(machine.step(Input::Head(Position(streams.len() as u64)), 0), Action::Fetch(Position::START));
    machine.step(page(streams), 0)
}

/// Feeds a page of `count` matching events that ends at the head.
pub(super) fn fetched(machine: &mut Machine, count: usize) -> Action {
    feed(machine, &"-".repeat(count))
}

pub(super) fn put(commit: &Commit) -> Vec<(u64, &str, Option<u64>)> {
    let put = commit.rows.iter().filter_map(|change| match change {
        DeadLetterChange::Put(row) => Some((row.position.0, row.kind.as_str(), row.due_us)),
        DeadLetterChange::Remove(_) => None,
    });
    put.collect()
}

pub(super) fn row(action: &Action) -> DeadLetter {
    match &committed(action).rows[..] {
        [DeadLetterChange::Put(row)] => row.clone(),
        other => panic!("{other:?} is not one row"),
    }
}

pub(super) fn trap() -> Input {
    Input::Failed(HandleError::Fault { fault: Fault::Trap, reason: "x".into() }, Evidence::default())
}

pub(super) fn retry() -> Input {
    failure(0, Verdict::Retry { after_ms: None })
}

pub(super) fn handled() -> Input {
    Input::Handled(Staged::default())
}

pub(super) fn failure(index: usize, verdict: Verdict) -> Input {
    Input::Failed(HandleError::Failure(Failure { index, verdict, reason: "no".into() }), Evidence::default())
}

pub(super) fn committed(action: &Action) -> &Commit {
    match action {
        Action::Commit(commit) => commit,
        other => panic!("{other:?} is not a commit"),
    }
}

#[test]
fn a_failing_event_is_isolated_and_its_prefix_commits() {
    let mut machine = machine(Policy::default());
    assert_eq!(fetched(&mut machine, 10), Action::Handle(0..10));
    assert_eq!(machine.step(failure(4, Verdict::Reject), 0), Action::Handle(0..4));
    assert_eq!(machine.step(Input::Handled(Staged::default()), 0), Action::Handle(4..5), "then it alone");
    let action = machine.step(failure(0, Verdict::Reject), 5);
    let commit = committed(&action);
    assert_eq!((commit.handled, commit.progress.checkpoint), (4, Position(5)));
    assert!(matches!(&commit.rows[..], [DeadLetterChange::Put(letter)]
        if letter.position == Position(5) && letter.attempts == 1 && letter.kind == "reject"));
    assert_eq!(machine.step(Input::Committed, 5), Action::Handle(5..10), "the rest goes on");
}

#[test]
fn a_faulting_batch_is_halved() {
    let mut machine = machine(Policy::default());
    assert_eq!(fetched(&mut machine, 8), Action::Handle(0..8));
    assert_eq!(machine.step(trap(), 0), Action::Handle(0..4));
    assert_eq!(machine.step(Input::Handled(Staged::default()), 0), Action::Handle(4..8));
    assert_eq!(machine.step(trap(), 0), Action::Handle(4..6));
    assert_eq!(machine.step(trap(), 0), Action::Handle(4..5));
    let action = machine.step(trap(), 0);
    assert_eq!(committed(&action).progress.failing.as_ref().map(|failing| failing.faults), Some(1));
    assert_eq!(committed(&action).progress.checkpoint, Position(4));
}

#[test]
fn attempts_wait_with_backoff_and_are_counted_across_restarts() {
    let backoff = Backoff { initial_ms: 100, max_ms: 1000, jitter: false };
    let policy = Policy { max_attempts: 3, backoff, ..Policy::default() };
    let mut machine = machine(policy.clone());
    assert_eq!(fetched(&mut machine, 1), Action::Handle(0..1));
    let action = machine.step(failure(0, Verdict::Retry { after_ms: None }), 1000);
    let progress = committed(&action).progress.clone();
    let wait = machine.step(Input::Committed, 1000);
    assert_eq!(wait, Action::Wait { after: None, until_us: Some(101_000) });
    assert_eq!(machine.step(Input::Due, 101_000), Action::Handle(0..1));

    let mut restarted = Machine::new(Start { progress, ..start(policy) });
    restarted.step(Input::GoOn, 2000);
    restarted.step(Input::Head(Position(1)), 2000);
    assert_eq!(restarted.step(page("-"), 2000), Action::Handle(0..1));
    let action = restarted.step(failure(0, Verdict::Retry { after_ms: Some(7) }), 3000);
    let failing = committed(&action).progress.failing.clone().unwrap();
    assert_eq!((failing.attempts, failing.first_us, failing.last_us), (1, 1000, 3000), "the world was not ready");
    let wait = restarted.step(Input::Committed, 3000);
    assert_eq!(wait, Action::Wait { after: None, until_us: Some(10_000) }, "what the handler asked for");
    assert_eq!(restarted.step(Input::Due, 10_000), Action::Handle(0..1));
    let action = restarted.step(retry(), 10_000);
    assert_eq!(committed(&action).progress.failing.as_ref().map(|failing| failing.attempts), Some(2));
}

#[test]
fn halt_and_stop_stay_before_the_event_until_they_are_resumed() {
    let policies = [
        (
            Policy { max_attempts: 1, on_exhausted: OnExhausted::Halt, ..Policy::default() },
            Verdict::Retry { after_ms: None },
        ),
        (Policy::default(), Verdict::Stop),
    ];
    for (policy, verdict) in policies {
        let mut machine = machine(policy.clone());
        assert_eq!(fetched(&mut machine, 2), Action::Handle(0..2));
        let action = machine.step(failure(0, verdict), 0);
        assert_eq!(committed(&action).progress.checkpoint, Position::START);
        assert_eq!(machine.step(Input::Committed, 0), Action::Wait { after: None, until_us: None });
        assert!(matches!(machine.state(0), State::Halted { .. }));
        assert_eq!(machine.step(Input::Head(Position(3)), 0), Action::Wait { after: None, until_us: None });
        machine.request_yield();
        assert_eq!(machine.step(Input::Due, 0), Action::Yielded);
        let action = machine.step(Input::Resume, 0);
        assert_eq!(committed(&action).progress.stopped, None, "what was written down is taken back");
        assert_eq!(machine.step(Input::Committed, 0), Action::Yielded);
        assert_eq!(machine.state(0), State::Running);
        assert_eq!(machine.step(Input::GoOn, 0), Action::Handle(0..1));
    }
}

#[test]
fn what_stopped_a_component_stops_it_after_a_restart_and_no_other() {
    let mut machine = machine(Policy::default());
    fetched(&mut machine, 2);
    let action = machine.step(failure(0, Verdict::Stop), 0);
    let progress = committed(&action).progress.clone();
    let stopped = progress.stopped.clone().unwrap();
    assert!(!stopped.quarantined && stopped.component == "digest" && stopped.reason.contains("no"), "{stopped:?}");
    let from = |change: fn(Start) -> Start| {
        Machine::new(change(Start { progress: progress.clone(), ..start(Policy::default()) }))
    };
    let mut restarted = from(|start| start);
    assert_eq!(restarted.step(Input::GoOn, 0), Action::Wait { after: None, until_us: None });
    assert!(matches!(restarted.state(0), State::Halted { reason } if reason == stopped.reason));
    for mut other in [
        from(|start| Start { version: version("other", "", ""), ..start }),
        from(|start| Start { version: version("digest", "other", ""), ..start }),
        from(|start| Start { version: version("digest", "", "other"), ..start }),
        from(|start| Start { fresh: true, ..start }),
    ] {
        let action = other.step(Input::GoOn, 0);
        assert_eq!((committed(&action).progress.stopped.clone(), other.state(0)), (None, State::Running));
    }
    // What is broken around it may be mended by the restart.
    assert_eq!(
        machine.step(Input::CommitFailed(CommitFailure::Broken("the disk".into())), 0),
        Action::Wait { after: None, until_us: None }
    );
    assert!(matches!(machine.state(0), State::Halted { reason } if reason == "the disk"));
}

#[test]
fn a_yield_commits_what_is_staged_first() {
    let mut machine = machine(Policy { batch_events_max: 4, ..Policy::default() });
    assert_eq!(fetched(&mut machine, 10), Action::Handle(0..4));
    machine.request_yield();
    let action = machine.step(Input::Handled(Staged::default()), 0);
    assert_eq!(committed(&action).progress.checkpoint, Position(4));
    assert_eq!(machine.settled(), Position::START, "a commit in flight has settled nothing yet");
    assert_eq!(machine.step(Input::Committed, 0), Action::Yielded);
    assert_eq!(machine.settled(), Position(4));
}

#[test]
fn events_that_do_not_match_move_the_checkpoint_now_and_then() {
    let mut machine = machine(Policy::default());
    machine.step(Input::GoOn, 0);
    let skip = |machine: &mut Machine, to: u64| {
        machine.step(Input::Head(Position(to)), 0);
        machine.step(
            Input::Fetched(Page {
                events: EventBatch::default(),
                through: Position(to),
                complete: true,
                head: Position(to),
                ..Page::default()
            }),
            0,
        )
    };
    assert_eq!(skip(&mut machine, 9999), Action::Wait { after: Some(Position(9999)), until_us: None });
    assert_eq!(machine.settled(), Position(9999), "no lag, though nothing was written");
    assert_eq!(committed(&skip(&mut machine, 10_000)).progress.checkpoint, Position(10_000));
}

#[test]
fn a_failing_event_holds_up_its_own_key_only() {
    let mut machine = machine(by_key());
    assert_eq!(feed(&mut machine, "abab"), Action::Handle(0..4));
    let action = machine.step(retry(), 5);
    assert_eq!(put(committed(&action)), [(1, "retry", Some(100_005))]);
    assert_eq!(committed(&action).progress.checkpoint, Position(1));
    assert_eq!(machine.step(Input::Committed, 5), Action::Handle(1..2), "a waits, b does not");
    assert_eq!(machine.step(handled(), 5), Action::Handle(3..4));
    let action = machine.step(handled(), 5);
    assert_eq!((put(committed(&action)), committed(&action).handled), (vec![(3, "behind", None)], 2));
    assert_eq!(machine.step(Input::Committed, 5), Action::Wait { after: Some(Position(4)), until_us: Some(100_005) });
    assert_eq!(machine.step(Input::Due, 100_005), Action::Recall(Position(1)));
    assert_eq!(machine.step(Input::Recalled(DeadLetter::default()), 100_005), Action::Rehandle);
}

#[test]
fn the_queue_of_a_key_moves_up_in_order_and_attempts_add_up() {
    let mut machine = machine(by_key());
    feed(&mut machine, "aa");
    let first = row(&machine.step(retry(), 0));
    let action = machine.step(Input::Committed, 0);
    let second = row(&action);
    machine.step(Input::Committed, 0);
    machine.step(Input::Due, 100_000);
    machine.step(Input::Recalled(first), 100_000);
    let again = row(&machine.step(retry(), 100_000));
    assert_eq!((again.attempts, again.due_us), (2, Some(300_000)));
    machine.step(Input::Committed, 100_000);
    assert_eq!(machine.step(Input::Due, 300_000), Action::Recall(Position(1)));
    machine.step(Input::Recalled(again), 300_000);
    let action = machine.step(handled(), 300_000);
    assert_eq!(committed(&action).rows, [DeadLetterChange::Remove(Position(1))]);
    assert_eq!(machine.step(Input::Committed, 300_000), Action::Recall(Position(2)), "the next one at once");
    machine.step(Input::Recalled(second), 300_000);
    let action = machine.step(failure(0, Verdict::Reject), 300_000);
    assert_eq!(row(&action).first_us, 300_000, "it was never tried before");
    machine.step(Input::Committed, 300_000);
    assert_eq!(machine.set_aside(), SetAside { parked: 1, waiting: 0, blocked_keys: 1 });
}

#[test]
fn set_aside_events_and_those_of_the_log_take_turns() {
    let mut machine = machine(Policy { batch_events_max: 1, ..by_key() });
    feed(&mut machine, "abbbb");
    let parked = row(&machine.step(failure(0, Verdict::Reject), 0));
    assert_eq!(machine.step(Input::Committed, 0), Action::Handle(1..2));
    machine.request_yield();
    machine.step(handled(), 0);
    assert_eq!(machine.step(Input::Committed, 0), Action::Yielded);
    machine.step(Input::Force(machine.sequences()), 0);
    assert_eq!(machine.step(Input::GoOn, 0), Action::Recall(Position(1)));
    machine.step(Input::Recalled(parked), 0);
    machine.step(retry(), 0);
    assert_eq!(machine.step(Input::Committed, 0), Action::Handle(2..3), "then one of the log");
}

#[test]
fn three_events_that_fault_out_in_a_row_are_a_quarantine_and_a_success_between_is_none() {
    for success in [false, true] {
        let mut machine = machine(Policy { max_faults: 1, batch_events_max: 1, ..by_key() });
        feed(&mut machine, "abcd");
        machine.step(trap(), 0);
        machine.step(Input::Committed, 0);
        machine.step(trap(), 0);
        machine.step(Input::Committed, 0);
        if success {
            machine.step(handled(), 0);
            assert_eq!(machine.state(0), State::Running);
            continue;
        }
        let action = machine.step(trap(), 0);
        assert_eq!((committed(&action).rows.len(), committed(&action).progress.checkpoint), (0, Position(2)));
        assert!(matches!(machine.state(0), State::Quarantined { .. }));
        assert_eq!(machine.step(Input::Committed, 0), Action::Wait { after: None, until_us: None });
        machine.request_yield();
        machine.step(Input::Due, 0);
        machine.step(Input::Resume, 0);
        machine.step(Input::Committed, 0);
        assert_eq!(machine.step(Input::GoOn, 0), Action::Handle(2..3), "resumed, it is tried again");
    }
}

#[test]
fn too_many_set_aside_events_halt_and_an_operator_can_still_retry() {
    let mut machine = machine(Policy { parked_events_max: 2, ..by_key() });
    feed(&mut machine, "aaa");
    let parked = row(&machine.step(failure(0, Verdict::Reject), 0));
    let action = machine.step(Input::Committed, 0);
    assert_eq!(
        (put(committed(&action)), committed(&action).progress.checkpoint),
        (vec![(2, "behind", None)], Position(2))
    );
    let look_again = Action::Wait { after: None, until_us: Some(1_000_000) };
    assert_eq!(machine.step(Input::Committed, 0), look_again);
    assert!(matches!(machine.state(0), State::Halted { reason } if reason.contains("parked_events_max")));
    machine.request_yield();
    machine.step(Input::Due, 0);
    machine.step(Input::Force(machine.sequences()), 0);
    assert_eq!(machine.step(Input::GoOn, 0), Action::Recall(Position(1)));
    machine.step(Input::Recalled(parked), 0);
    machine.step(handled(), 0);
    let action = machine.step(Input::Committed, 0);
    assert_eq!(put(committed(&action)), [(3, "behind", None)], "there is room, so it goes on");
}

#[test]
fn where_too_many_are_set_aside_while_a_state_is_built_the_way_out_is_one_that_there_is() {
    let start = start(Policy { parked_events_max: 2, ..by_key() });
    let mut machine = Machine::new(Start { rebuilding: true, ..start });
    feed(&mut machine, "aaa");
    machine.step(failure(0, Verdict::Reject), 0);
    machine.step(Input::Committed, 0);
    machine.step(Input::Committed, 0);
    let State::Halted { reason } = machine.state(0) else { panic!("{:?}", machine.state(0)) };
    assert!(reason.contains("parked_events_max") && reason.contains("cancel the rebuild"), "{reason}");
    assert!(!reason.contains("; retry or discard"), "{reason}");
}

#[test]
fn an_event_without_the_key_it_must_have_is_set_aside_or_alone() {
    let mut strict = machine(by_key());
    assert_eq!(feed(&mut strict, "a-b"), Action::Handle(0..1));
    assert_eq!(strict.step(handled(), 0), Action::Handle(2..3));
    let action = strict.step(handled(), 0);
    assert_eq!(put(committed(&action)), [(2, "no_key", None)]);
    assert!(row(&action).reason.contains("key_missing"), "{action:?}");
    let mut lenient = machine(Policy { key_missing: KeyMissing::Alone, ..by_key() });
    assert_eq!(feed(&mut lenient, "a-b"), Action::Handle(0..3));
}

#[test]
fn paused_nothing_is_handed_over() {
    let mut machine = Machine::new(Start { paused: true, ..start(by_key()) });
    machine.step(Input::GoOn, 0);
    assert_eq!(machine.step(Input::Head(Position(9)), 0), Action::Wait { after: None, until_us: None });
    assert_eq!(machine.state(0), State::Paused);
    machine.request_yield();
    machine.step(Input::Due, 0);
    machine.step(Input::Resume, 0);
    assert_eq!(machine.step(Input::GoOn, 0), Action::Fetch(Position::START));
}
