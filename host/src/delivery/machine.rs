//! The rules of delivery, as a state machine: one input in, one action out.
//!
//! It owns how far a plugin has come, which events are handed over together, when to commit, and what
//! follows from a failure. It does no IO, reads no clock (the time comes with each input) and holds no
//! events, only their positions; [`super::dispatcher`] carries its actions out.
//!
//! **A unit of work** gathers the calls between two commits. While catching up many calls share a commit;
//! at the head each page is committed at once.
//!
//! **Failures.** A handler that names the failing event has the prefix before it handled again and
//! committed; the event is then handled alone. A call that faults names nobody: its batch is halved until
//! one event is alone. Only an event that failed alone, or first in its batch, has used an attempt.
//!
//! Invariants (held by `machine/tests.rs` over simulated crashes, faults and commits that fail):
//! - events are handed over in position order; none is settled before those in front of it;
//! - a commit's checkpoint never passes an event that is neither handled in this unit nor dead-lettered;
//! - an attempt is counted in the commit that follows it.

mod io;
mod retry;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub(super) use io::{Action, Commit, CommitFailure, Input, Page, Staged};

use super::handler::{Evidence, Fault, HandleError, Verdict};
use super::policy::{OnExhausted, Policy};
use super::status::State;
use crate::event::Position;
use crate::store::{DeadLetter, DeadLetterChange, Failing, Progress};

/// Most events in one unit of work.
const UNIT_EVENTS_MAX: usize = 4096;
/// Staged events after which a unit is committed.
const UNIT_STAGED_EVENTS_MAX: usize = 4096;
/// Staged bytes after which a unit is committed.
const UNIT_STAGED_BYTES_MAX: usize = 8 << 20;
/// Time after its first call at which a unit is committed, in microseconds.
const UNIT_TIME_MAX_US: u64 = 100_000;
/// Positions that may pass without a matching event before the checkpoint is committed for them.
const IDLE_ADVANCE_MAX: u64 = 10_000;
/// Wait after the store could not commit, in microseconds.
const STORE_RETRY_US: u64 = 1_000_000;

/// What the machine waits for.
#[derive(Debug)]
enum Phase {
    Idle,
    Fetching,
    Handling(Range<usize>),
    Committing(Commit),
    Redelivering(DeadLetter),
    Yielded,
}

/// Delivery of one plugin.
#[derive(Debug)]
pub(super) struct Machine {
    policy: Policy,
    component_digest: String,
    phase: Phase,
    yield_wanted: bool,
    halted: Option<String>,
    /// As committed.
    progress: Progress,
    head: Position,
    /// Every matching event up to here is settled or staged.
    through: Position,
    /// Matching events read and not yet handed over: `page.positions[next..]`.
    page: Page,
    next: usize,
    unit: Unit,
    /// The event that keeps failing, with this unit's attempts.
    failing: Option<Failing>,
    /// No attempt before this time.
    due_us: Option<u64>,
    /// Most events in the next call; lowered while a failing event is looked for.
    batch_limit: usize,
    /// Where the batch limit may rise again.
    suspect_through: Position,
    /// The event that a handler named, to be handled alone.
    named: Option<Position>,
    /// Up to here every event is handled and committed alone.
    careful_through: Position,
    rng: fastrand::Rng,
}

/// What is staged since the last commit.
#[derive(Debug, Default)]
struct Unit {
    handled: u64,
    staged: Staged,
    dead_letters: Vec<DeadLetterChange>,
    /// An attempt has to be counted.
    attempted: bool,
    /// When its first call returned.
    since_us: Option<u64>,
}

impl Unit {
    fn is_empty(&self) -> bool {
        self.handled == 0 && !self.attempted && self.dead_letters.is_empty()
    }

    fn is_full(&self, now_us: u64) -> bool {
        self.handled >= UNIT_EVENTS_MAX as u64
            || self.since_us.is_some_and(|since_us| now_us.saturating_sub(since_us) >= UNIT_TIME_MAX_US)
            || self.staged.events >= UNIT_STAGED_EVENTS_MAX
            || self.staged.bytes >= UNIT_STAGED_BYTES_MAX
    }
}

impl Machine {
    /// A machine that goes on after `progress`. `seed` drives the jitter.
    pub(super) fn new(policy: Policy, component_digest: String, progress: Progress, seed: u64) -> Self {
        Self {
            policy,
            component_digest,
            phase: Phase::Yielded,
            yield_wanted: false,
            halted: None,
            head: progress.checkpoint,
            through: progress.checkpoint,
            page: Page::empty(progress.checkpoint),
            next: 0,
            unit: Unit::default(),
            failing: progress.failing.clone(),
            progress,
            due_us: None,
            batch_limit: policy.batch_events_max.max(1),
            suspect_through: Position::START,
            named: None,
            careful_through: Position::START,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes an input at a time, and says what to do next.
    pub(super) fn step(&mut self, input: Input, now_us: u64) -> Action {
        match input {
            Input::Head(head) => self.head = self.head.max(head),
            Input::Due => {}
            Input::Lost(reason) => {
                if let Some(action) = self.lost(reason, now_us) {
                    return action;
                }
            }
            Input::HandlerGone => {
                self.phase = Phase::Idle;
                self.rewind();
                self.halted = Some("the handler's thread is gone".into());
            }
            Input::Fetched(page) => self.fetched(page),
            Input::FetchFailed { halt } => {
                self.phase = Phase::Idle;
                self.due_us = Some(now_us.saturating_add(STORE_RETRY_US));
                self.halted = halt;
            }
            Input::Handled(staged) => {
                if let Some(action) = self.handled(staged, now_us) {
                    return action;
                }
            }
            Input::Failed(error, evidence) => {
                if let Some(action) = self.failed(error, evidence, now_us) {
                    return action;
                }
            }
            Input::Committed => self.committed(),
            Input::CommitFailed(failure) => self.commit_failed(failure, now_us),
            Input::Resume => {
                self.yield_wanted = false;
                self.phase = Phase::Idle;
            }
            Input::Redeliver(letter) => self.phase = Phase::Redelivering(letter),
            Input::Discard(position) => {
                self.unit.dead_letters.push(DeadLetterChange::Remove(position));
                return self.commit();
            }
            Input::Replaced(policy, component_digest, stored) => self.replaced(policy, component_digest, stored),
        }
        self.decide(now_us)
    }

    /// Asks for a batch boundary with nothing staged: [`Action::Yielded`] comes as soon as what is in flight is
    /// settled, and stays until [`Input::Resume`].
    pub(super) const fn request_yield(&mut self) {
        self.yield_wanted = true;
    }

    /// What delivery is doing, for people.
    pub(super) fn state(&self, now_us: u64) -> State {
        match (&self.halted, self.due_us) {
            (Some(reason), _) => State::Halted { reason: reason.clone() },
            (None, Some(until_us)) if until_us > now_us => State::BackingOff { until_us },
            _ => State::Running,
        }
    }

    /// Every matching event up to here is settled; may be ahead of the durable checkpoint.
    pub(super) fn settled(&self) -> Position {
        let durable = self.unit.is_empty() && !matches!(self.phase, Phase::Committing(_));
        if durable { self.through } else { self.progress.checkpoint }
    }

    /// The durable progress.
    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The next action, when nothing is in flight.
    fn decide(&mut self, now_us: u64) -> Action {
        match self.phase {
            Phase::Idle => {}
            Phase::Yielded => return Action::Yielded,
            // Something is in flight: its answer is the next input that matters.
            Phase::Fetching | Phase::Handling(_) | Phase::Committing(_) | Phase::Redelivering(_) => {
                return Action::Wait { after: None, until_us: None };
            }
        }
        if self.yield_wanted {
            return self.commit_or(|machine| {
                machine.phase = Phase::Yielded;
                Action::Yielded
            });
        }
        if self.halted.is_some() {
            return self.commit_or(|_| Action::Wait { after: None, until_us: None });
        }
        if let Some(until_us) = self.due_us.filter(|until_us| *until_us > now_us) {
            return self.commit_or(|_| Action::Wait { after: None, until_us: Some(until_us) });
        }
        self.due_us = None;
        if self.unit.attempted || self.unit.is_full(now_us) {
            return self.commit();
        }
        if self.next < self.page.positions.len() {
            return self.hand_over();
        }
        self.page_done()
    }

    /// Commits what is staged, or does something else when nothing is.
    fn commit_or(&mut self, otherwise: impl FnOnce(&mut Self) -> Action) -> Action {
        if self.unit.is_empty() { otherwise(self) } else { self.commit() }
    }

    fn commit(&mut self) -> Action {
        let unit = std::mem::take(&mut self.unit);
        let progress =
            Progress { revision: self.progress.revision + 1, checkpoint: self.through, failing: self.failing.clone() };
        let Unit { handled, dead_letters, attempted, .. } = unit;
        let commit = Commit { progress, dead_letters, handled, attempted };
        self.phase = Phase::Committing(commit.clone());
        Action::Commit(commit)
    }

    /// Hands the next events over: a failing, named or suspect one alone, others up to a named one.
    fn hand_over(&mut self) -> Action {
        let rest = self.page.positions.get(self.next..).unwrap_or_default();
        let first = rest.first().copied().unwrap_or_default();
        let failing = self.failing.as_ref().is_some_and(|failing| failing.position == first);
        let before_named = match self.named {
            Some(named) => rest.partition_point(|position| *position < named),
            None => 0,
        };
        let count = match before_named {
            _ if failing || first <= self.careful_through || self.named == Some(first) => 1,
            0 => self.batch_limit.min(rest.len()),
            before_named => self.batch_limit.min(before_named),
        };
        let range = self.next..self.next + count;
        self.phase = Phase::Handling(range.clone());
        Action::Handle(range)
    }

    /// Every event of the page is staged or settled: commit, read on, or wait.
    fn page_done(&mut self) -> Action {
        self.through = self.page.through.max(self.through);
        let behind = self.head > self.through;
        if !self.unit.is_empty() && (self.page.complete || !behind) {
            return self.commit();
        }
        if behind {
            self.phase = Phase::Fetching;
            return Action::Fetch(self.through);
        }
        if self.through.0 - self.progress.checkpoint.0 >= IDLE_ADVANCE_MAX {
            return self.commit();
        }
        Action::Wait { after: Some(self.through), until_us: None }
    }

    fn fetched(&mut self, page: Page) {
        self.phase = Phase::Idle;
        self.head = self.head.max(page.head);
        self.page = page;
        self.next = 0;
    }

    fn handled(&mut self, staged: Staged, now_us: u64) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Handling(range) => {
                self.settle_range(&range);
                self.unit.handled += range.len() as u64;
                self.unit.staged = staged;
                self.unit.since_us.get_or_insert(now_us);
                let careful = self.through <= self.careful_through;
                careful.then(|| self.commit())
            }
            Phase::Redelivering(letter) => {
                self.unit.dead_letters.push(DeadLetterChange::Remove(letter.position));
                Some(self.commit())
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Moves past a range of the page whose events were all handled or set aside.
    fn settle_range(&mut self, range: &Range<usize>) {
        self.next = range.end;
        self.through = self.through.max(self.last_of(range));
        self.failing = None;
        self.named = self.named.filter(|named| *named > self.through);
        if self.through >= self.suspect_through {
            self.batch_limit = (self.batch_limit * 2).min(self.policy.batch_events_max.max(1));
        }
    }

    fn failed(&mut self, error: HandleError, evidence: Evidence, now_us: u64) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Handling(range) => {
                self.failed_range(&range, error, evidence, now_us);
                None
            }
            Phase::Redelivering(letter) => Some(self.failed_again(letter, &error, evidence, now_us)),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Writes down that a dead letter failed again.
    fn failed_again(&mut self, letter: DeadLetter, error: &HandleError, evidence: Evidence, now_us: u64) -> Action {
        let (kind, reason) = describe(error);
        let letter = DeadLetter {
            attempts: letter.attempts.saturating_add(1),
            last_us: now_us,
            kind: kind.into(),
            reason,
            component_digest: self.component_digest.clone(),
            stderr_tail: evidence.stderr_tail,
            backtrace: evidence.backtrace,
            ..letter
        };
        self.unit.dead_letters.push(DeadLetterChange::Put(letter));
        self.commit()
    }

    fn failed_range(&mut self, range: &Range<usize>, error: HandleError, evidence: Evidence, now_us: u64) {
        match error {
            // The handler named an event behind others: handle those again, then it alone.
            HandleError::Failure(failure) if (1..range.len()).contains(&failure.index) => {
                self.named = self.page.positions.get(range.start + failure.index).copied();
            }
            HandleError::Failure(failure) if failure.index == 0 => {
                self.attempt(range.start, HandleError::Failure(failure), evidence, now_us);
            }
            HandleError::Failure(failure) => {
                let reason =
                    format!("it named event {} of a batch of {}: {}", failure.index, range.len(), failure.reason);
                self.failed_range(range, HandleError::Fault { fault: Fault::BadReply, reason }, evidence, now_us);
            }
            fault @ HandleError::Fault { .. } if range.len() == 1 => {
                self.attempt(range.start, fault, evidence, now_us);
            }
            HandleError::Fault { .. } => {
                self.batch_limit = range.len() / 2;
                self.suspect_through = self.suspect_through.max(self.last_of(range));
            }
        }
    }

    /// Position of the last event of a range of the page.
    fn last_of(&self, range: &Range<usize>) -> Position {
        let last = range.end.checked_sub(1).and_then(|index| self.page.positions.get(index));
        last.copied().unwrap_or_default()
    }

    /// Counts a failed attempt at the event at `index` of the page, and decides what follows.
    fn attempt(&mut self, index: usize, error: HandleError, evidence: Evidence, now_us: u64) {
        let Some(position) = self.page.positions.get(index).copied() else { return };
        let (kind, reason) = describe(&error);
        let before = self.failing.take().filter(|failing| failing.position == position);
        let failing = Failing {
            position,
            attempts: before.as_ref().map_or(0, |failing| failing.attempts).saturating_add(1),
            first_us: before.map_or(now_us, |failing| failing.first_us),
            last_us: now_us,
            reason: reason.clone(),
        };
        self.unit.attempted = true;
        let attempts = failing.attempts;
        let exhausted = attempts >= self.policy.max_attempts;
        match verdict(&error) {
            Verdict::Reject => self.park(index, failing, kind, evidence),
            Verdict::Stop => {
                self.halted = Some(format!("the handler stopped at event {position}: {reason}"));
                self.failing = Some(failing);
            }
            Verdict::Retry { .. } if exhausted && self.policy.on_exhausted == OnExhausted::Park => {
                self.park(index, failing, kind, evidence);
            }
            Verdict::Retry { .. } if exhausted => {
                self.halted = Some(format!("event {position} failed {attempts} times: {reason}"));
                self.failing = Some(failing);
            }
            Verdict::Retry { after_ms } => {
                let wait_us = retry::wait_us(&self.policy.backoff, attempts, after_ms, &mut self.rng);
                self.due_us = Some(now_us.saturating_add(wait_us));
                self.failing = Some(failing);
            }
        }
    }

    /// Sets the event at `index` of the page aside and moves past it.
    fn park(&mut self, index: usize, failing: Failing, kind: &str, evidence: Evidence) {
        self.unit.dead_letters.push(DeadLetterChange::Put(DeadLetter {
            position: failing.position,
            key: None,
            reason: failing.reason,
            kind: kind.into(),
            attempts: failing.attempts,
            faults: 0,
            due_us: None,
            first_us: failing.first_us,
            last_us: failing.last_us,
            component_digest: self.component_digest.clone(),
            stderr_tail: evidence.stderr_tail,
            backtrace: evidence.backtrace,
        }));
        self.settle_range(&(index..index + 1));
    }

    fn committed(&mut self) {
        if let Phase::Committing(commit) = std::mem::replace(&mut self.phase, Phase::Idle) {
            self.progress = commit.progress;
        }
    }

    fn commit_failed(&mut self, failure: CommitFailure, now_us: u64) {
        let committing = std::mem::replace(&mut self.phase, Phase::Idle);
        let single = match &committing {
            Phase::Committing(commit) if commit.handled == 1 && commit.dead_letters.is_empty() => {
                self.next.checked_sub(1)
            }
            _ => None,
        };
        let tried_through = self.through;
        match failure {
            CommitFailure::Unavailable => {
                self.rewind();
                self.due_us = Some(now_us.saturating_add(STORE_RETRY_US));
            }
            CommitFailure::Broken(reason) => {
                self.rewind();
                self.halted = Some(reason);
            }
            // What was staged cannot be appended. One event alone is to blame for it; else find out which.
            CommitFailure::Refused(reason) => match single {
                Some(index) => {
                    let page = std::mem::replace(&mut self.page, Page::empty(Position::START));
                    self.rewind();
                    (self.page, self.next) = (page, index);
                    let error = HandleError::Fault { fault: Fault::BadReply, reason };
                    self.attempt(index, error, Evidence::default(), now_us);
                }
                None => {
                    self.rewind();
                    self.careful_through = tried_through;
                }
            },
        }
    }

    /// What follows from a call that took all that was staged with it. One event alone, with nothing before it
    /// in the unit, is to blame; else the unit is done again in single steps.
    fn lost(&mut self, reason: String, now_us: u64) -> Option<Action> {
        let error = HandleError::Fault { fault: Fault::Trap, reason };
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Handling(range) if range.len() == 1 && self.unit.is_empty() => {
                self.attempt(range.start, error, Evidence::default(), now_us);
            }
            Phase::Handling(range) => {
                let last = self.last_of(&range);
                self.rewind();
                self.careful_through = last;
            }
            Phase::Redelivering(letter) => return Some(self.failed_again(letter, &error, Evidence::default(), now_us)),
            Phase::Idle | Phase::Fetching | Phase::Committing(_) | Phase::Yielded => self.rewind(),
        }
        None
    }

    /// Goes back to the durable progress.
    fn rewind(&mut self) {
        self.unit = Unit::default();
        self.through = self.progress.checkpoint;
        self.failing = self.progress.failing.clone();
        self.page = Page::empty(self.through);
        self.next = 0;
    }

    /// Begins anew after the durable progress, with a handler that has failed at nothing yet.
    fn replaced(&mut self, policy: Policy, component_digest: String, stored: Option<Progress>) {
        self.progress = stored.unwrap_or_else(|| self.progress.clone());
        self.progress.failing = None;
        self.rewind();
        self.policy = policy;
        self.component_digest = component_digest;
        self.halted = None;
        self.due_us = None;
        self.batch_limit = policy.batch_events_max.max(1);
        self.suspect_through = Position::START;
        self.named = None;
        self.careful_through = Position::START;
    }
}

/// The verdict that an error comes to: a fault is tried again.
const fn verdict(error: &HandleError) -> Verdict {
    match error {
        HandleError::Failure(failure) => failure.verdict,
        HandleError::Fault { .. } => Verdict::Retry { after_ms: None },
    }
}

/// Kind and reason of an error, for the dead letter.
fn describe(error: &HandleError) -> (&'static str, String) {
    (error.kind(), error.reason().to_owned())
}
