//! Set-aside events that are handed over again: alone, each in a commit of its own.

use super::failure::{Next, Tally};
use super::io::Recalled;
use super::retry::is_twice_as_long;
use super::{Action, Machine, Phase};
use crate::delivery::handler::{Evidence, HandleError};
use crate::delivery::key::Sequence;
use crate::event::Position;
use crate::store::{DeadLetter, DeadLetterChange};

/// The set-aside event that is handed over.
#[derive(Clone, Debug)]
pub(super) struct Recall {
    sequence: Sequence,
    /// Its row; none until it is read.
    row: Option<DeadLetter>,
    /// An operator wants it.
    forced: bool,
}

impl Machine {
    /// The set-aside event that is due, if any. When delivery is stopped or held only those that an operator wants.
    pub(super) fn due_recall(&self, now_us: u64) -> Option<(Position, Recall)> {
        let forced_only = self.stop.is_some() || self.outage.held_until_us(now_us).is_some();
        let (sequence, position, forced) = self.queue.ready(now_us, forced_only)?;
        Some((position, Recall { sequence: sequence.clone(), row: None, forced }))
    }

    /// Hands a set-aside event over, when nothing else is staged.
    pub(super) fn recall(&mut self, (position, recall): (Position, Recall)) -> Action {
        self.commit_or(|machine| {
            machine.phase = Phase::Recalling(recall);
            Action::Recall(position)
        })
    }

    /// The row is read.
    pub(super) fn recalled(&mut self, row: DeadLetter) -> Option<Action> {
        match &mut self.phase {
            Phase::Recalling(recall) => {
                recall.row = Some(row);
                Some(Action::Rehandle)
            }
            _ => None,
        }
    }

    /// It was handled: the row goes, and the next of its sequence is due.
    pub(super) fn rehandled(&mut self, recall: Recall, now_us: u64) -> Option<Action> {
        let row = recall.row.clone()?;
        self.unit.rows.push(DeadLetterChange::Remove(row.position));
        self.unit.handled += 1;
        self.queue.remove(&recall.sequence, row.position, now_us);
        self.unit.recalled = Some(Box::new(Recalled { row, failure: None }));
        self.recalling = Some(recall);
        Some(self.commit())
    }

    /// It failed again: the row says so, where that is worth a commit, and its sequence waits on.
    pub(super) fn refailed(
        &mut self,
        recall: Recall,
        error: &HandleError,
        evidence: Evidence,
        now_us: u64,
    ) -> Option<Action> {
        let Recall { sequence, row: Some(row), forced } = recall else { return None };
        let tally = Tally::from(&row);
        let judged = self.judge(row.position, tally, error, (now_us, forced));
        let due_us = match judged.next {
            Next::Again(due_us) => Some(due_us),
            Next::SetAside => None,
            Next::Stop(stop) => {
                self.stop = Some(stop);
                Some(now_us)
            }
        };
        self.queue.hold(&sequence, due_us);
        let is_told = tally.first_us.is_none_or(|first_us| is_twice_as_long(first_us, row.last_us, now_us));
        if judged.asked && !forced && !is_told {
            // The row says all but the time, which matters to no restart.
            self.queue.settle();
            self.queue_turn = false;
            return None;
        }
        let failure = Some(judged.failing.reason.clone());
        let letter = self.letter(&sequence, judged.failing, judged.kind, evidence);
        let quiet = row.quiet || self.rebuilding;
        self.unit.rows.push(DeadLetterChange::Put(DeadLetter { due_us, quiet, ..letter }));
        self.unit.attempted = true;
        self.unit.recalled = Some(Box::new(Recalled { row, failure }));
        Some(self.commit())
    }
}
