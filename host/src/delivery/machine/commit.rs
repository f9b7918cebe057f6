//! What a commit holds, and what follows from its answer.

use super::io::{Commit, CommitFailure, Page};
use super::mutant::{Rule, broken};
use super::stop::Stop;
use super::unit::Unit;
use super::{Action, Machine, Phase, STORE_RETRY_US};
use crate::delivery::handler::{Evidence, Fault, HandleError};
use crate::delivery::key::Sequence;
use crate::event::Position;
use crate::store::{DeadLetter, DeadLetterChange, Failing, Progress};

/// Commits in a row that meet another partition's before events are committed one by one. Partitions take turns long
/// before; units that began without are through by then.
const CONFLICTS_MAX: u32 = 8;

impl Machine {
    /// Commits what is staged, or does something else when nothing is.
    pub(super) fn commit_or(&mut self, otherwise: impl FnOnce(&mut Self) -> Action) -> Action {
        if self.unit.is_empty() { otherwise(self) } else { self.commit() }
    }

    pub(super) fn commit(&mut self) -> Action {
        let Unit { handled, single, rows, attempted, recalled, .. } = std::mem::take(&mut self.unit);
        self.single = single.filter(|_| rows.is_empty());
        let checkpoint = if broken(Rule::CheckpointAfterEffect) { self.page.through } else { self.through };
        let progress = Progress {
            revision: self.progress.revision + 1,
            checkpoint: checkpoint.max(self.through),
            failing: self.failing.clone(),
            stopped: self.stopped(),
        };
        let commit = Commit { progress, rows, handled, attempted, recalled };
        self.phase = Phase::Committing(commit.clone());
        Action::Commit(commit)
    }

    /// Gives set-aside events up, and remembers that: no generation that is built later handles them.
    pub(super) fn discard(&mut self, given_up: &[(Sequence, Position)], now_us: u64) -> Action {
        for (sequence, position) in given_up {
            let (position, reason) = (*position, "an operator discarded it".to_owned());
            let failing = Failing { position, attempts: 0, faults: 0, first_us: now_us, last_us: now_us, reason };
            let letter = self.letter(sequence, failing, DeadLetter::DISCARDED, Evidence::default());
            self.unit.rows.push(DeadLetterChange::Put(letter));
            self.queue.remove(sequence, position, now_us);
        }
        self.commit()
    }

    pub(super) fn committed(&mut self) {
        let Phase::Committing(commit) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        self.queue.settle();
        self.recalling = None;
        self.conflicts = 0;
        if commit.handled > 0 {
            self.fault_run.end();
            self.outage.end();
        }
        if commit.recalled.is_some() {
            self.queue_turn = false;
        }
        self.progress = commit.progress;
        let checkpoint = self.progress.checkpoint;
        self.settled.retain(|settled| settled.reach() > checkpoint);
    }

    pub(super) fn commit_failed(&mut self, failure: CommitFailure, now_us: u64) -> Option<Action> {
        self.phase = Phase::Idle;
        let tried_through = self.through;
        match failure {
            CommitFailure::Unavailable => {
                self.rewind();
                self.store_due_us = Some(now_us.saturating_add(STORE_RETRY_US));
            }
            CommitFailure::Conflict => {
                self.rewind();
                self.conflicts += 1;
                if self.conflicts >= CONFLICTS_MAX {
                    self.careful_through = tried_through;
                }
            }
            CommitFailure::Broken(reason) => {
                self.rewind();
                self.halt(Stop::Broken(reason));
            }
            CommitFailure::Storm(reason) => {
                let alone = self.single.is_some() || self.recalling.is_some();
                self.rewind();
                if alone {
                    self.halt(Stop::Halted(reason));
                } else {
                    self.careful_through = tried_through;
                }
            }
            CommitFailure::Refused(reason) => return self.refused(reason, now_us),
        }
        None
    }

    /// What was staged cannot be appended. One event alone is to blame for it; else find out which.
    fn refused(&mut self, reason: String, now_us: u64) -> Option<Action> {
        let (single, recalling, tried_through) = (self.single.take(), self.recalling.take(), self.through);
        let error = HandleError::Fault { fault: Fault::BadReply, reason };
        let page = std::mem::replace(&mut self.page, Page::empty(Position::START));
        self.rewind();
        if let Some(recall) = recalling {
            return self.refailed(recall, &error, Evidence::default(), now_us);
        }
        match page.events.iter().position(|event| Some(event.position) == single) {
            Some(index) => {
                (self.page, self.next) = (page, index);
                self.attempt(index, error, Evidence::default(), now_us);
            }
            None => self.careful_through = tried_through,
        }
        None
    }

    /// Goes back to the durable progress.
    pub(super) fn rewind(&mut self) {
        self.unit = Unit::default();
        (self.single, self.recalling) = (None, None);
        self.queue.rewind();
        self.through = self.progress.checkpoint;
        self.failing = self.progress.failing.clone();
        self.page = Page::empty(self.through);
        self.next = 0;
    }
}
