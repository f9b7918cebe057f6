//! The rules of delivery, as a state machine: one input in, one action out.
//!
//! It owns how far one partition of a plugin has come, which events are handed over together, when to commit,
//! and what follows from a failure. It does no IO and reads no clock (the time comes with each input);
//! [`super::dispatcher`] carries its actions out.
//!
//! **A unit of work** (`unit`) gathers the calls between two commits. While catching up many calls share a
//! commit; at the head each page is committed at once.
//!
//! **Events of the log** (`live`) are handed over in order. Those whose key is blocked by a set-aside event are
//! put behind it, untried; those that an earlier layout settled are passed over.
//!
//! **Failures** (`failure`). A handler that names the failing event has the prefix before it handled again and
//! committed; the event is then handled alone. A call that faults names nobody: its batch is halved until one
//! event is alone. Only an event that failed alone, or first in its batch, has used an attempt. It is tried
//! again in place where all events keep one order; where keys keep theirs it is set aside until it is due.
//!
//! **Set-aside events** (`queue`, `recall`) that are due, or that an operator wants, are handed over alone, each
//! in a commit of its own, in turns with the events of the log.
//!
//! **A world that is not ready** (`outage`). Where a handler asks for time for one event after the other, and keys keep
//! their order, the partition is held, and one event at a time is tried until one is handled.
//!
//! Invariants (held by `machine/tests` over simulated crashes, faults, commits that fail, reloads and changes of
//! the layout; each is also broken on purpose there):
//! - events of one key are handled in position order; with one order for all, all events that are not set
//!   aside;
//! - a commit's checkpoint never passes an event that is neither handled in this unit nor set aside;
//! - an attempt is counted in the commit that follows it.

mod commit;
mod failure;
mod io;
mod live;
mod mutant;
mod outage;
mod queue;
mod recall;
mod retry;
mod stop;
#[cfg(test)]
mod tests;
mod unit;

use std::ops::Range;

pub(crate) use failure::{BEHIND, LETTER_KINDS};
pub(super) use io::{Action, Commit, CommitFailure, Elsewhere, Input, Page, Recalled, Staged};
pub(super) use queue::Row;
pub(super) use stop::{FaultRun, VersionId};

use super::handler::{Evidence, Fault, HandleError};
use super::key::{Key, Sequence};
use super::layout::Settled;
use super::policy::Policy;
use super::status::{SetAside, State};
use crate::event::Position;
use crate::store::{Failing, Progress, Stopped};
use mutant::{Rule, broken};
use outage::Outage;
use queue::Queue;
use recall::Recall;
use retry::WAIT_US_MAX;
use stop::Stop;
use unit::Unit;

/// Wait after the store could not read or commit, in microseconds.
const STORE_RETRY_US: u64 = 1_000_000;

/// Wait before looking again whether there is room for set-aside events, in microseconds.
const ROOM_LOOK_US: u64 = 1_000_000;

/// What the machine waits for.
#[derive(Debug)]
enum Phase {
    Idle,
    Fetching,
    Handling(Range<usize>),
    /// A set-aside event is read, then handled.
    Recalling(Recall),
    Committing(Commit),
    Yielded,
}

/// Where a machine begins.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) policy: Policy,
    /// Which version it is.
    pub(super) version: VersionId,
    /// As stored.
    pub(super) progress: Progress,
    /// The partition's set-aside events, in position order.
    pub(super) rows: Vec<Row>,
    /// Layouts of before that still matter.
    pub(super) settled: Vec<Settled>,
    /// Whether to begin paused.
    pub(super) paused: bool,
    /// Whether it builds a generation beside the live one.
    pub(super) rebuilding: bool,
    /// Whether the handler has failed at nothing yet: what waits for a time is tried at once.
    pub(super) fresh: bool,
    /// Drives the jitter.
    pub(super) seed: u64,
}

/// Delivery of one partition of a plugin.
#[derive(Debug)]
pub(super) struct Machine {
    policy: Policy,
    key: Key,
    version: VersionId,
    phase: Phase,
    yield_wanted: bool,
    paused: bool,
    rebuilding: bool,
    stop: Option<Stop>,
    fault_run: FaultRun,
    outage: Outage,
    /// As committed.
    progress: Progress,
    head: Position,
    /// Every matching event up to here is settled or staged.
    through: Position,
    /// Events read and not yet handed over: `page.events[next..]`.
    page: Page,
    next: usize,
    settled: Vec<Settled>,
    unit: Unit,
    /// The single event of the unit that is being committed.
    single: Option<Position>,
    /// The set-aside event that the unit being committed handled.
    recalling: Option<Recall>,
    queue: Queue,
    /// Too many events are set aside: those of the log wait.
    full: bool,
    /// Set-aside events of other partitions.
    elsewhere: usize,
    /// Whether set-aside events go before those of the log now.
    queue_turn: bool,
    /// The event that keeps failing, with this unit's attempts.
    failing: Option<Failing>,
    /// The failing event is not tried before this time.
    due_us: Option<u64>,
    /// The store is not asked before this time.
    store_due_us: Option<u64>,
    /// Most events in the next call; lowered while a failing event is looked for.
    batch_limit: usize,
    /// Up to so many it doubles when it rises again: twice as many were too much.
    batch_fine: usize,
    /// Where it may rise again.
    suspect_through: Position,
    /// The event that a handler named, to be handled alone.
    named: Option<Position>,
    /// Up to here every event is handled and committed alone.
    careful_through: Position,
    /// Commits in a row that met another partition's.
    conflicts: u32,
    rng: fastrand::Rng,
}

impl Machine {
    /// A machine that goes on from where `start` says.
    pub(super) fn new(start: Start) -> Self {
        let Start { policy, version, mut progress, rows, settled, paused, rebuilding, fresh, seed } = start;
        let mut queue = Queue::load(rows);
        let mut stop = progress.stopped.as_ref().and_then(|stopped| Stop::load(stopped, &version));
        if fresh || broken(Rule::StopIsKept) {
            (progress.failing, stop) = (progress.failing.filter(|_| !fresh), None);
        }
        if fresh {
            queue.hasten();
        }
        Self {
            key: policy.key(),
            version,
            phase: Phase::Yielded,
            yield_wanted: false,
            paused,
            rebuilding,
            stop,
            fault_run: FaultRun::default(),
            outage: Outage::default(),
            head: progress.checkpoint,
            through: progress.checkpoint,
            page: Page::empty(progress.checkpoint),
            next: 0,
            settled,
            unit: Unit::default(),
            single: None,
            recalling: None,
            queue,
            full: false,
            elsewhere: 0,
            queue_turn: false,
            failing: progress.failing.clone(),
            progress,
            due_us: None,
            store_due_us: None,
            batch_limit: policy.batch_events_max.max(1),
            policy,
            batch_fine: usize::MAX,
            suspect_through: Position::START,
            named: None,
            careful_through: Position::START,
            conflicts: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes an input at a time, and says what to do next.
    pub(super) fn step(&mut self, input: Input, now_us: u64) -> Action {
        self.believe(now_us);
        self.take(input, now_us).unwrap_or_else(|| self.decide(now_us))
    }

    /// Ends waits that are longer than any can be: the clock was ahead when they began.
    fn believe(&mut self, now_us: u64) {
        let latest_us = now_us.saturating_add(WAIT_US_MAX);
        self.queue.cut(latest_us, now_us);
        self.outage.cut(latest_us, now_us);
        for due_us in [&mut self.due_us, &mut self.store_due_us] {
            *due_us = due_us.filter(|due_us| *due_us <= latest_us);
        }
    }

    fn take(&mut self, input: Input, now_us: u64) -> Option<Action> {
        match input {
            Input::Head(head) => self.head = self.head.max(head),
            Input::Due => {}
            Input::Lost(reason) => return self.lost(reason, now_us),
            Input::HandlerGone => {
                self.phase = Phase::Idle;
                self.rewind();
                self.halt(Stop::Broken("the handler's thread is gone; replace the component".into()));
            }
            Input::Fetched(page) => self.fetched(page),
            Input::Recalled(row) => return self.recalled(row),
            Input::ReadFailed { halt } => {
                self.phase = Phase::Idle;
                self.store_due_us = Some(now_us.saturating_add(STORE_RETRY_US));
                if let Some(reason) = halt {
                    self.halt(Stop::Broken(reason));
                }
            }
            Input::Handled(staged) => return self.handled(staged, now_us),
            Input::Failed(error, evidence) => return self.failed(error, evidence, now_us),
            Input::Committed => self.committed(),
            Input::CommitFailed(failure) => return self.commit_failed(failure, now_us),
            Input::GoOn => {
                self.yield_wanted = false;
                self.phase = Phase::Idle;
            }
            Input::Force(sequences) => {
                sequences.iter().for_each(|sequence| self.queue.force(sequence, now_us));
                self.queue.settle();
            }
            Input::Release(elsewhere) => {
                self.queue.release(&elsewhere, now_us);
                self.queue.settle();
            }
            Input::Discard(given_up) => return Some(self.discard(&given_up, now_us)),
            Input::Pause => {
                self.paused = true;
                self.queue.calm();
            }
            Input::Resume => return self.resume(),
        }
        None
    }

    /// Asks for a batch boundary with nothing staged: [`Action::Yielded`] comes as soon as what is in flight is
    /// settled, and stays until [`Input::GoOn`].
    pub(super) const fn request_yield(&mut self) {
        self.yield_wanted = true;
    }

    /// Takes in how many events the plugin's other partitions have set aside.
    pub(super) const fn note_elsewhere(&mut self, rows: usize) {
        self.elsewhere = rows;
    }

    /// What delivery is doing, for people.
    pub(super) fn state(&self, now_us: u64) -> State {
        if self.paused {
            return State::Paused;
        }
        if let Some(stop) = &self.stop {
            return stop.state();
        }
        if self.full {
            return State::Halted { reason: self.full_reason() };
        }
        if let Some((until_us, reason)) = self.outage.told() {
            return State::BackingOff { until_us, reason: Some(reason) };
        }
        match self.due_us.max(self.store_due_us) {
            Some(until_us) if until_us > now_us => State::BackingOff { until_us, reason: None },
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

    /// How many events are set aside.
    pub(super) fn set_aside(&self) -> SetAside {
        let parked = self.queue.parked();
        SetAside { parked, waiting: self.queue.len() - parked, blocked_keys: self.queue.blocked_keys() }
    }

    /// The set-aside event that those of a sequence wait for.
    pub(super) fn head_of(&self, sequence: &Sequence) -> Option<Position> {
        self.queue.head(sequence)
    }

    /// Whether an event of a sequence is set aside.
    pub(super) fn holds(&self, sequence: &Sequence, position: Position) -> bool {
        self.queue.holds(sequence, position)
    }

    /// The set-aside events of a sequence, in position order.
    pub(super) fn rows_of(&self, sequence: &Sequence) -> impl Iterator<Item = Position> {
        self.queue.rows_of(sequence)
    }

    /// Sequences that were wanted and may have come to a rest since this was asked last.
    pub(super) fn take_rested(&mut self) -> Vec<Sequence> {
        self.queue.take_rested()
    }

    /// Every sequence with a set-aside event.
    pub(super) fn sequences(&self) -> Vec<Sequence> {
        self.queue.sequences().cloned().collect()
    }

    /// Every sequence that is wanted handled and has not come to a rest.
    pub(super) fn forced(&self) -> Vec<Sequence> {
        self.queue.sequences().filter(|sequence| self.queue.is_forced(sequence)).cloned().collect()
    }

    /// Whether an operator wants a sequence handled, and it has not come to a rest.
    pub(super) fn is_forced(&self, sequence: &Sequence) -> bool {
        self.queue.is_forced(sequence)
    }

    /// The next action, when nothing is in flight.
    fn decide(&mut self, now_us: u64) -> Action {
        match self.phase {
            Phase::Idle => {}
            Phase::Yielded => return Action::Yielded,
            // Something is in flight: its answer is the next input that matters.
            Phase::Fetching | Phase::Handling(_) | Phase::Committing(_) | Phase::Recalling(_) => {
                return Action::Wait { after: None, until_us: None };
            }
        }
        if self.yield_wanted {
            return self.commit_or(|machine| {
                machine.phase = Phase::Yielded;
                Action::Yielded
            });
        }
        if self.unit.is_due(now_us) {
            return self.commit();
        }
        let store_due_us = self.store_due_us.filter(|due_us| *due_us > now_us);
        if store_due_us.is_none() && self.stopped() != self.progress.stopped {
            return self.commit();
        }
        if self.paused || store_due_us.is_some() {
            return self.commit_or(|_| Action::Wait { after: None, until_us: store_due_us });
        }
        self.store_due_us = None;
        self.next_work(now_us)
    }

    /// Events of the log and set-aside ones, in turns.
    fn next_work(&mut self, now_us: u64) -> Action {
        let recall = self.due_recall(now_us);
        match recall {
            Some(recall) if self.queue_turn || self.stop.is_some() => self.recall(recall),
            None if self.stop.is_some() => self.commit_or(|_| Action::Wait { after: None, until_us: None }),
            recall => match (self.live(now_us), recall) {
                (Some(action), _) => {
                    self.queue_turn = true;
                    action
                }
                (None, Some(recall)) => self.recall(recall),
                (None, None) => self.wait(now_us),
            },
        }
    }

    /// Nothing to do: waits for the head, or for what is due next.
    fn wait(&self, now_us: u64) -> Action {
        if let Some(until_us) = self.outage.held_until_us(now_us) {
            return Action::Wait { after: None, until_us: Some(until_us) };
        }
        let after = (self.due_us.is_none() && !self.full).then_some(self.through);
        // Another partition may have made room.
        let room_us = self.full.then(|| now_us.saturating_add(ROOM_LOOK_US));
        let until_us = self.due_us.into_iter().chain(self.queue.next_due_us()).chain(room_us).min();
        Action::Wait { after, until_us }
    }

    /// Nothing to do but with set-aside events: waits for the next of them.
    fn wait_for_queue(&self, now_us: u64) -> Action {
        let look_us = now_us.saturating_add(ROOM_LOOK_US);
        Action::Wait {
            after: None,
            until_us: Some(self.queue.next_due_us().map_or(look_us, |due_us| due_us.min(look_us))),
        }
    }

    fn handled(&mut self, staged: Staged, now_us: u64) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Handling(range) => self.handled_range(&range, staged, now_us),
            Phase::Recalling(recall) => self.rehandled(recall, now_us),
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn failed(&mut self, error: HandleError, evidence: Evidence, now_us: u64) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Handling(range) => {
                self.failed_range(&range, error, evidence, now_us);
                None
            }
            Phase::Recalling(recall) => self.refailed(recall, &error, evidence, now_us),
            other => {
                self.phase = other;
                None
            }
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
            Phase::Recalling(recall) => return self.refailed(recall, &error, Evidence::default(), now_us),
            Phase::Idle | Phase::Fetching | Phase::Committing(_) | Phase::Yielded => self.rewind(),
        }
        None
    }

    /// Nothing can be done from here, what an operator wants neither.
    fn halt(&mut self, stop: Stop) {
        self.stop = Some(stop);
        self.queue.calm();
    }

    /// Goes on, whatever had stopped delivery. What was written down of that is taken back at once, if it can be.
    fn resume(&mut self) -> Option<Action> {
        self.paused = false;
        self.stop = None;
        self.due_us = None;
        self.store_due_us = None;
        self.fault_run.end();
        self.outage.end();
        self.progress.stopped.is_some().then(|| self.commit())
    }

    /// What is to be written down of a stop.
    fn stopped(&self) -> Option<Stopped> {
        match &self.stop {
            // It ends with the process, and shows nothing of what was before.
            Some(Stop::Broken(_)) => self.progress.stopped.clone(),
            stop => stop.as_ref().and_then(|stop| stop.stored(&self.version)),
        }
    }
}
