//! The machine against a simulated world: one seed makes the log, the handler's moods, the store's failures
//! and the crashes. Time is a number. A failure prints its seed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::delivery::handler::Failure;
use crate::delivery::policy::Backoff;

/// How the handler takes one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fine,
    /// Asks for a retry until it has been tried this often.
    RetryUntil(u32),
    /// Traps until it has been tried this often.
    TrapUntil(u32),
    AlwaysRetries,
    AlwaysTraps,
    Rejects,
    /// Handles it, but what it appends is refused.
    Refused,
    /// Panics the host's side of the call.
    Panics,
}

const MAX_ATTEMPTS: u32 = 4;

/// What survives a crash, and the rules that every commit is held to.
#[derive(Debug, Default)]
struct Durable {
    progress: Progress,
    handled: Vec<Position>,
    parked: BTreeMap<Position, DeadLetter>,
}

struct World {
    rng: fastrand::Rng,
    /// Matching events; other positions do not match.
    matching: BTreeMap<Position, Mood>,
    head: Position,
    end: Position,
    tries: BTreeMap<Position, u32>,
    durable: Durable,
    page: Vec<Position>,
    staged: Vec<Position>,
    now_us: u64,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let end = Position(rng.u64(1..400));
        let trouble = rng.u32(0..40);
        let mut matching = BTreeMap::new();
        for position in 1..=end.0 {
            if rng.u32(0..100) < 60 {
                matching.insert(Position(position), Self::mood(&mut rng, trouble));
            }
        }
        let head = Position(rng.u64(0..=end.0));
        Self {
            rng,
            matching,
            head,
            end,
            tries: BTreeMap::new(),
            durable: Durable::default(),
            page: Vec::new(),
            staged: Vec::new(),
            now_us: 1_000_000,
            trace: Vec::new(),
        }
    }

    fn mood(rng: &mut fastrand::Rng, trouble: u32) -> Mood {
        if rng.u32(0..100) >= trouble {
            return Mood::Fine;
        }
        match rng.u32(0..7) {
            0 => Mood::RetryUntil(rng.u32(1..MAX_ATTEMPTS)),
            1 => Mood::TrapUntil(rng.u32(1..MAX_ATTEMPTS)),
            2 => Mood::AlwaysRetries,
            3 => Mood::AlwaysTraps,
            4 => Mood::Rejects,
            5 => Mood::Refused,
            _ => Mood::Panics,
        }
    }

    fn policy(&mut self) -> Policy {
        Policy {
            batch_events_max: self.rng.usize(1..40),
            max_attempts: MAX_ATTEMPTS,
            backoff: Backoff { initial_ms: 10, max_ms: 100, jitter: true },
            on_exhausted: OnExhausted::Park,
        }
    }

    fn fetch(&mut self, after: Position) -> Input {
        if self.rng.u32(0..50) == 0 {
            return Input::FetchFailed { halt: None };
        }
        let limit = self.rng.usize(1..60);
        let in_range: Vec<_> = self.matching.range(after.next()..=self.head).map(|(position, _)| *position).collect();
        let complete = in_range.len() <= limit;
        self.page = in_range.into_iter().take(limit).collect();
        let through = if complete { self.head } else { *self.page.last().unwrap() };
        Input::Fetched(Page { positions: self.page.clone(), through, complete, head: self.head })
    }

    /// Calls the simulated handler with a range of the page.
    fn handle(&mut self, range: Range<usize>) -> Input {
        let batch = self.page[range].to_vec();
        for (index, position) in batch.iter().enumerate() {
            let tries = self.tries.entry(*position).or_default();
            let alone = batch.len() == 1;
            *tries += u32::from(alone);
            let failure = |verdict| {
                let reason = "no".into();
                Input::Failed(HandleError::Failure(Failure { index, verdict, reason }), Evidence::default())
            };
            let trap = || {
                let (fault, reason) = (Fault::Trap, "trap".into());
                Input::Failed(HandleError::Fault { fault, reason }, Evidence::default())
            };
            match self.matching[position] {
                Mood::RetryUntil(n) if *tries < n || !alone => return failure(Verdict::Retry { after_ms: None }),
                Mood::TrapUntil(n) if *tries < n || !alone => return trap(),
                Mood::AlwaysRetries => return failure(Verdict::Retry { after_ms: Some(3) }),
                Mood::AlwaysTraps => return trap(),
                Mood::Rejects => return failure(Verdict::Reject),
                Mood::Panics => {
                    self.staged.clear();
                    return Input::Lost("panic".into());
                }
                _ => {}
            }
        }
        self.staged.extend(batch);
        Input::Handled(Staged { events: self.staged.len(), bytes: 0 })
    }

    /// Commits, unless the simulated store fails; holds the commit to the promises.
    fn commit(&mut self, commit: &Commit) -> Input {
        let staged = std::mem::take(&mut self.staged);
        if self.rng.u32(0..50) == 0 {
            return Input::CommitFailed(CommitFailure::Unavailable);
        }
        if staged.iter().any(|position| self.matching[position] == Mood::Refused) {
            return Input::CommitFailed(CommitFailure::Refused("refused".into()));
        }
        let before = self.durable.progress.checkpoint;
        assert_eq!(commit.progress.revision, self.durable.progress.revision + 1, "builds on the stored progress");
        assert!(commit.progress.checkpoint >= before, "the checkpoint never goes back");
        assert_eq!(commit.handled as usize, staged.len());
        for change in &commit.dead_letters {
            let DeadLetterChange::Put(letter) = change else { panic!("nobody discards here") };
            assert!(self.durable.parked.insert(letter.position, letter.clone()).is_none(), "parked twice");
        }
        assert!(staged.is_sorted(), "handed over in order");
        self.durable.handled.extend(&staged);
        self.durable.progress = commit.progress.clone();
        self.check_nothing_skipped();
        Input::Committed
    }

    /// Every matching event up to the checkpoint is handled or parked, exactly once; none beyond it is.
    fn check_nothing_skipped(&self) {
        let checkpoint = self.durable.progress.checkpoint;
        let mut settled: Vec<_> = self.durable.handled.clone();
        settled.extend(self.durable.parked.keys());
        settled.sort_unstable();
        let due: Vec<_> = self.matching.range(..=checkpoint).map(|(position, _)| *position).collect();
        assert_eq!(settled, due, "settled events at checkpoint {checkpoint}");
    }

    /// Runs until everything is settled; crashes now and then.
    fn run(&mut self) {
        let policy = self.policy();
        let start = |progress: &Progress| Machine::new(policy, "digest".into(), progress.clone(), 7);
        let mut machine = start(&self.durable.progress);
        let mut input = Input::Resume;
        for _ in 0..100_000 {
            self.now_us += self.rng.u64(0..2000);
            if self.rng.u32(0..100) == 0 {
                self.staged.clear();
                machine = start(&self.durable.progress);
                input = Input::Resume;
            }
            let action = machine.step(input, self.now_us);
            self.trace.push(format!("{action:?}"));
            input = match action {
                Action::Fetch(after) => self.fetch(after),
                Action::Handle(range) => self.handle(range),
                Action::Commit(commit) => self.commit(&commit),
                Action::Wait { after, until_us } => {
                    if after == Some(self.end) {
                        assert!(self.staged.is_empty(), "nothing stays uncommitted at the head");
                        assert_eq!(machine.settled(), self.end);
                        return;
                    }
                    self.now_us = self.now_us.max(until_us.unwrap_or_default());
                    self.head = Position(self.rng.u64(self.head.0..=self.end.0)).max(self.head.next()).min(self.end);
                    Input::Head(self.head)
                }
                other => panic!("unexpected {other:?}"),
            };
        }
        panic!("does not come to rest; the last actions: {:?}", &self.trace[self.trace.len() - 20..]);
    }

    /// What must hold when everything is settled.
    fn check_end(&self) {
        let handled: BTreeSet<_> = self.durable.handled.iter().copied().collect();
        for (position, mood) in &self.matching {
            let must_be_parked = match mood {
                Mood::Fine | Mood::RetryUntil(_) | Mood::TrapUntil(_) => false,
                Mood::AlwaysRetries | Mood::AlwaysTraps | Mood::Rejects | Mood::Refused | Mood::Panics => true,
            };
            let parked = self.durable.parked.get(position);
            // A crash or a failed commit between an attempt and its count lets a mood last longer than its attempts.
            assert!(parked.is_some() || !must_be_parked, "{position} {mood:?} was not parked");
            assert!(parked.is_some() != handled.contains(position), "{position} {mood:?} settled once");
            if let Some(letter) = parked {
                let attempts = if *mood == Mood::Rejects { 1 } else { MAX_ATTEMPTS };
                assert_eq!(letter.attempts, attempts, "{position} {mood:?}: {letter:?}");
                assert_ne!(*mood, Mood::Fine, "{position} was fine");
            }
        }
    }
}

fn simulate(seed: u64) -> Vec<String> {
    let mut world = World::new(seed);
    world.run();
    world.check_end();
    world.trace
}

#[test]
fn promise_4_nothing_skipped_in_two_thousand_simulated_histories() {
    for seed in 0..2000 {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn one_seed_makes_one_history() {
    assert_eq!(simulate(42), simulate(42));
}

/// A machine at rest after the start of the log.
fn machine(policy: Policy) -> Machine {
    Machine::new(policy, "digest".into(), Progress::default(), 1)
}

/// Feeds a page of `count` matching events that ends at the head.
fn fetched(machine: &mut Machine, count: u64) -> Action {
    assert_eq!(machine.step(Input::Resume, 0), Action::Wait { after: Some(Position::START), until_us: None });
    assert_eq!(machine.step(Input::Head(Position(count)), 0), Action::Fetch(Position::START));
    let (positions, through) = ((1..=count).map(Position).collect(), Position(count));
    machine.step(Input::Fetched(Page { positions, through, complete: true, head: through }), 0)
}

fn failure(index: usize, verdict: Verdict) -> Input {
    Input::Failed(HandleError::Failure(Failure { index, verdict, reason: "no".into() }), Evidence::default())
}

fn committed(action: &Action) -> &Commit {
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
    assert!(matches!(&commit.dead_letters[..], [DeadLetterChange::Put(letter)]
        if letter.position == Position(5) && letter.attempts == 1 && letter.kind == "reject"));
    assert_eq!(machine.step(Input::Committed, 5), Action::Handle(5..10), "the rest goes on");
}

#[test]
fn a_faulting_batch_is_halved() {
    let mut machine = machine(Policy::default());
    let trap = || Input::Failed(HandleError::Fault { fault: Fault::Trap, reason: "x".into() }, Evidence::default());
    assert_eq!(fetched(&mut machine, 8), Action::Handle(0..8));
    assert_eq!(machine.step(trap(), 0), Action::Handle(0..4));
    assert_eq!(machine.step(Input::Handled(Staged::default()), 0), Action::Handle(4..8));
    assert_eq!(machine.step(trap(), 0), Action::Handle(4..6));
    assert_eq!(machine.step(trap(), 0), Action::Handle(4..5));
    let action = machine.step(trap(), 0);
    assert_eq!(committed(&action).progress.failing.as_ref().map(|failing| failing.attempts), Some(1));
    assert_eq!(committed(&action).progress.checkpoint, Position(4));
}

#[test]
fn attempts_wait_with_backoff_and_are_counted_across_restarts() {
    let backoff = Backoff { initial_ms: 100, max_ms: 1000, jitter: false };
    let policy = Policy { max_attempts: 3, backoff, ..Policy::default() };
    let mut machine = machine(policy);
    assert_eq!(fetched(&mut machine, 1), Action::Handle(0..1));
    let action = machine.step(failure(0, Verdict::Retry { after_ms: None }), 1000);
    let progress = committed(&action).progress.clone();
    let wait = machine.step(Input::Committed, 1000);
    assert_eq!(wait, Action::Wait { after: None, until_us: Some(101_000) });
    assert_eq!(machine.step(Input::Due, 101_000), Action::Handle(0..1));

    let mut restarted = Machine::new(policy, "digest".into(), progress, 1);
    restarted.step(Input::Resume, 2000);
    restarted.step(Input::Head(Position(1)), 2000);
    let page = Page { positions: vec![Position(1)], through: Position(1), complete: true, head: Position(1) };
    assert_eq!(restarted.step(Input::Fetched(page), 2000), Action::Handle(0..1));
    let action = restarted.step(failure(0, Verdict::Retry { after_ms: Some(7) }), 3000);
    let failing = committed(&action).progress.failing.clone().unwrap();
    assert_eq!((failing.attempts, failing.first_us, failing.last_us), (2, 1000, 3000));
    let wait = restarted.step(Input::Committed, 3000);
    assert_eq!(wait, Action::Wait { after: None, until_us: Some(10_000) }, "what the handler asked for");
}

#[test]
fn halt_and_stop_stay_before_the_event_until_the_handler_is_replaced() {
    let policies = [
        (
            Policy { max_attempts: 1, on_exhausted: OnExhausted::Halt, ..Policy::default() },
            Verdict::Retry { after_ms: None },
        ),
        (Policy::default(), Verdict::Stop),
    ];
    for (policy, verdict) in policies {
        let mut machine = machine(policy);
        assert_eq!(fetched(&mut machine, 2), Action::Handle(0..2));
        let action = machine.step(failure(0, verdict), 0);
        assert_eq!(committed(&action).progress.checkpoint, Position::START);
        assert_eq!(machine.step(Input::Committed, 0), Action::Wait { after: None, until_us: None });
        assert!(matches!(machine.state(0), State::Halted { .. }));
        assert_eq!(machine.step(Input::Head(Position(3)), 0), Action::Wait { after: None, until_us: None });
        machine.request_yield();
        assert_eq!(machine.step(Input::Due, 0), Action::Yielded);
        assert_eq!(machine.step(Input::Replaced(policy, "new".into(), None), 0), Action::Yielded);
        assert_eq!(machine.step(Input::Resume, 0), Action::Fetch(Position::START));
    }
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
    machine.step(Input::Resume, 0);
    let skip = |machine: &mut Machine, to: u64| {
        machine.step(Input::Head(Position(to)), 0);
        machine.step(
            Input::Fetched(Page { positions: Vec::new(), through: Position(to), complete: true, head: Position(to) }),
            0,
        )
    };
    assert_eq!(skip(&mut machine, 9999), Action::Wait { after: Some(Position(9999)), until_us: None });
    assert_eq!(machine.settled(), Position(9999), "no lag, though nothing was written");
    assert_eq!(committed(&skip(&mut machine, 10_000)).progress.checkpoint, Position(10_000));
}
