//! Events as they come from the log: what is handed over, passed over or put behind.

use std::ops::Range;

use super::failure::{BEHIND, NO_KEY, Next, Tally};
use super::io::{Page, Staged};
use super::mutant::{Rule, broken};
use super::retry::is_twice_as_long;
use super::{Action, Machine, Phase};
use crate::delivery::handler::{Evidence, Fault, HandleError};
use crate::delivery::key::Sequence;
use crate::document::line_in;
use crate::event::{Position, RecordedEvent};
use crate::store::{DeadLetter, DeadLetterChange, Failing};

/// Positions that may pass without a matching event before the checkpoint is committed for them.
const IDLE_ADVANCE_MAX: u64 = 10_000;

/// What is to be done with an event of the page.
enum Place {
    /// It is handed over.
    Live,
    /// It was settled under an earlier layout.
    Settled,
    /// Another generation has set it aside.
    Carried(Box<DeadLetter>),
    /// It waits behind an earlier one.
    Behind(Sequence),
    /// It lacks the key that it must have.
    NoKey,
}

/// How an event is set aside without being tried.
enum Aside {
    /// As another generation has.
    Carried(Box<DeadLetter>),
    /// As one of a sequence, of a kind.
    Untried(Sequence, &'static str),
}

impl Machine {
    /// The next step with events of the log; none when there is nothing to do with them now.
    pub(super) fn live(&mut self, now_us: u64) -> Option<Action> {
        if self.due_us.is_some_and(|due_us| due_us > now_us) || self.outage.held_until_us(now_us).is_some() {
            return (!self.unit.is_empty()).then(|| self.commit());
        }
        self.due_us = None;
        if self.full && !self.has_room() {
            return (!self.unit.is_empty()).then(|| self.commit());
        }
        self.full = false;
        self.hand_over(now_us).or_else(|| self.page_done())
    }

    /// Hands the next events over: a failing, named or suspect one alone, others up to a named one. None when
    /// the page has no more.
    fn hand_over(&mut self, now_us: u64) -> Option<Action> {
        let position = loop {
            let event = self.page.events.get(self.next)?;
            let position = event.position;
            if (position <= self.careful_through && !self.unit.is_empty()) || self.unit.is_full(now_us) {
                return Some(self.commit());
            }
            if self.outage.is_on() && !self.has_spare_room() {
                return Some(self.commit_or(|machine| machine.wait_for_queue(now_us)));
            }
            let quiet = self.page.quiet.covers(event);
            let aside = match self.place(event) {
                Place::Live => break position,
                Place::Settled => None,
                Place::Carried(row) => Some(Aside::Carried(row)),
                Place::Behind(sequence) => Some(Aside::Untried(sequence, BEHIND)),
                Place::NoKey => Some(Aside::Untried(Sequence::Alone(position), NO_KEY)),
            };
            if let Some(aside) = aside {
                if !self.has_room() {
                    self.full = true;
                    return Some(self.commit_or(|machine| machine.wait(now_us)));
                }
                match aside {
                    Aside::Carried(row) => self.take_over(*row),
                    Aside::Untried(sequence, kind) => self.put_untried(sequence, position, (kind, quiet), now_us),
                }
            }
            self.pass(self.next, position);
        };
        let range = self.next..self.next + self.count(position);
        self.phase = Phase::Handling(range.clone());
        Some(Action::Handle(range))
    }

    /// How many events are handed over with the next one, which is at `first`.
    fn count(&self, first: Position) -> usize {
        let failing = self.failing.as_ref().is_some_and(|failing| failing.position == first);
        if failing || first <= self.careful_through || self.named == Some(first) || self.outage.is_on() {
            return 1;
        }
        let rest = self.page.events.get(self.next..).unwrap_or_default();
        let before_named = match self.named {
            Some(named) => rest.partition_point(|event| event.position < named),
            None => 0,
        };
        let most = if before_named == 0 { rest.len() } else { before_named };
        let most = self.batch_limit.min(most);
        if self.settled.is_empty() && self.page.carried.is_empty() && !self.tells_keys_apart() {
            return most;
        }
        let live = rest.iter().take(most).take_while(|event| matches!(self.place(event), Place::Live));
        live.count().max(1)
    }

    fn place(&self, event: &RecordedEvent) -> Place {
        if let Some(row) = self.page.carried.get(&event.position) {
            return Place::Carried(Box::new(row.clone()));
        }
        if !broken(Rule::SettledIsPassed) && self.settled.iter().any(|settled| settled.covers(event)) {
            return Place::Settled;
        }
        if !self.tells_keys_apart() {
            return Place::Live;
        }
        let sequence = self.key.sequence_of(event);
        match sequence {
            Sequence::Alone(_) if self.policy.needs_key() => Place::NoKey,
            Sequence::Key(_) if !broken(Rule::BlockedKeyWaits) && self.queue.blocks(&sequence) => {
                Place::Behind(sequence)
            }
            Sequence::Key(_) | Sequence::Alone(_) => Place::Live,
        }
    }

    /// Whether what becomes of an event depends on its key.
    fn tells_keys_apart(&self) -> bool {
        self.queue.len() > 0 || self.policy.needs_key()
    }

    /// Whether one more event may be set aside; once there was no room, a tenth must be free.
    fn has_room(&self) -> bool {
        let max = self.policy.parked_events_max;
        let below = if self.full { max - max.div_ceil(10) + 1 } else { max };
        self.queue.len() + self.elsewhere < below
    }

    /// Whether events may be set aside while the world is not ready: that takes half of the room at most, so that what
    /// is nobody's fault halts nobody.
    fn has_spare_room(&self) -> bool {
        (self.queue.len() + self.elsewhere).saturating_mul(2) < self.policy.parked_events_max
    }

    /// Why no event of the log is handed over when too many are set aside.
    pub(super) fn full_reason(&self) -> String {
        let max = self.policy.parked_events_max;
        let way_out = if self.rebuilding {
            "while a state is built none of them is retried or discarded: raise it, install a component that handles \
             more of them, or cancel the rebuild"
        } else {
            "retry or discard some of them, or raise it: delivery goes on when a tenth of the room is free"
        };
        format!("{max} events are set aside, which is all that [delivery] parked_events_max allows; {way_out}")
    }

    /// Sets an event aside as another generation has; one that was discarded there is so here.
    fn take_over(&mut self, row: DeadLetter) {
        if row.is_discarded() {
            self.unit.rows.push(DeadLetterChange::Put(row));
            return;
        }
        let sequence = Sequence::of_row(row.key.as_deref(), row.position);
        self.queue.push_held(sequence, row.position);
        self.unit.rows.push(DeadLetterChange::Put(row));
    }

    /// Sets an event aside that is not tried.
    fn put_untried(&mut self, sequence: Sequence, position: Position, (kind, quiet): (&str, bool), now_us: u64) {
        let reason = match (kind, self.queue.head(&sequence)) {
            (BEHIND, Some(head)) => format!("event {head} of the same key is set aside"),
            _ => format!(
                "it has no key by {:?}; mend what appends such events, or write in the manifest, {}, then \
                 retry it",
                self.key.to_string(),
                line_in("delivery", "key_missing", "'alone'")
            ),
        };
        let failing = Failing { position, attempts: 0, faults: 0, first_us: now_us, last_us: now_us, reason };
        let letter = self.letter(&sequence, failing, kind, Evidence::default());
        self.unit.rows.push(DeadLetterChange::Put(DeadLetter { quiet, ..letter }));
        self.queue.push(sequence, position, None);
    }

    /// A row for an event, waiting for an operator.
    pub(super) fn letter(&self, sequence: &Sequence, failing: Failing, kind: &str, evidence: Evidence) -> DeadLetter {
        DeadLetter {
            position: failing.position,
            key: sequence.key().map(Into::into),
            reason: failing.reason,
            kind: kind.into(),
            attempts: failing.attempts,
            faults: failing.faults,
            due_us: None,
            first_us: failing.first_us,
            last_us: failing.last_us,
            component_digest: self.version.component.clone(),
            stderr_tail: evidence.stderr_tail,
            backtrace: evidence.backtrace,
            quiet: false,
        }
    }

    /// Every event of the page is staged or settled: commit, read on, or nothing.
    fn page_done(&mut self) -> Option<Action> {
        self.through = self.page.through.max(self.through);
        let behind = self.head > self.through;
        if !self.unit.is_empty() && (self.page.complete || !behind) {
            return Some(self.commit());
        }
        if behind {
            self.phase = Phase::Fetching;
            return Some(Action::Fetch(self.through));
        }
        let idle = self.through.0 - self.progress.checkpoint.0 >= IDLE_ADVANCE_MAX;
        idle.then(|| self.commit())
    }

    pub(super) fn fetched(&mut self, page: Page) {
        self.phase = Phase::Idle;
        self.head = self.head.max(page.head);
        self.page = page;
        self.next = 0;
    }

    pub(super) fn handled_range(&mut self, range: &Range<usize>, staged: Staged, now_us: u64) -> Option<Action> {
        let last = self.last_of(range);
        self.pass(range.end.saturating_sub(1), last);
        self.grow(range.len());
        self.unit.handled(range.len(), last, staged, now_us);
        (last <= self.careful_through).then(|| self.commit())
    }

    /// Moves past the event at `index` of the page: it and all before are settled or staged.
    fn pass(&mut self, index: usize, position: Position) {
        self.next = index + 1;
        self.through = self.through.max(position);
        let through = self.through;
        self.failing = self.failing.take().filter(|failing| failing.position > through);
        self.named = self.named.filter(|named| *named > through);
    }

    /// After a call with as many events as allowed, which was fine: the next may have more. Twice as many, up to half of
    /// what was too much; then one more at a time.
    fn grow(&mut self, handed_over: usize) {
        if handed_over < self.batch_limit || self.through < self.suspect_through {
            return;
        }
        let next = (self.batch_limit * 2).min(self.batch_fine).max(self.batch_limit + 1);
        self.batch_limit = next.min(self.policy.batch_events_max.max(1));
    }

    pub(super) fn failed_range(&mut self, range: &Range<usize>, error: HandleError, evidence: Evidence, now_us: u64) {
        match error {
            // The handler named an event behind others: handle those again, then it alone.
            HandleError::Failure(failure) if (1..range.len()).contains(&failure.index) => {
                self.named = self.page.events.get(range.start + failure.index).map(|event| event.position);
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
                // The event is to blame, and no number of them.
                self.batch_fine = usize::MAX;
                self.attempt(range.start, fault, evidence, now_us);
            }
            HandleError::Fault { .. } => {
                self.batch_limit = range.len() / 2;
                self.batch_fine = self.batch_limit;
                self.suspect_through = self.suspect_through.max(self.last_of(range));
            }
        }
    }

    /// Position of the last event of a range of the page.
    pub(super) fn last_of(&self, range: &Range<usize>) -> Position {
        let last = range.end.checked_sub(1).and_then(|index| self.page.events.get(index));
        last.map(|event| event.position).unwrap_or_default()
    }

    /// Counts a failed attempt at the event at `index` of the page, and does what follows.
    pub(super) fn attempt(&mut self, index: usize, error: HandleError, evidence: Evidence, now_us: u64) {
        let Some(event) = self.page.events.get(index) else { return };
        let (position, sequence) = (event.position, self.key.sequence_of(event));
        let quiet = self.page.quiet.covers(event);
        let before = self.failing.take().filter(|failing| failing.position == position);
        let tally = before.as_ref().map(Tally::from).unwrap_or_default();
        let judged = self.judge(position, tally, &error, (now_us, false));
        let written = self.progress.failing.as_ref().filter(|failing| failing.position == position);
        let is_told = written.is_none_or(|written| is_twice_as_long(written.first_us, written.last_us, now_us));
        self.unit.attempted = !judged.asked || self.policy.is_ordered_by_key() || is_told;
        let due_us = match judged.next {
            Next::Stop(stop) => {
                self.stop = Some(stop);
                self.failing = Some(judged.failing);
                return;
            }
            // All events wait for it.
            Next::Again(due_us) if !self.policy.is_ordered_by_key() => {
                self.due_us = Some(due_us);
                self.failing = Some(judged.failing);
                return;
            }
            Next::Again(due_us) => Some(due_us),
            Next::SetAside => None,
        };
        if !self.has_room() {
            self.full = true;
            self.failing = Some(judged.failing);
            return;
        }
        if !broken(Rule::ParkedIsKept) {
            let letter = self.letter(&sequence, judged.failing, judged.kind, evidence);
            self.unit.rows.push(DeadLetterChange::Put(DeadLetter { due_us, quiet, ..letter }));
        }
        self.queue.push(sequence, position, due_us);
        self.pass(index, position);
    }
}
