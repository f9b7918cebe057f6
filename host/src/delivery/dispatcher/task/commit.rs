//! Submits units of work, and tells what they say about failures.

use std::sync::Arc;

use tracing::{info, warn};

use super::Task;
use crate::delivery::machine::{BEHIND, Commit, CommitFailure, Input};
use crate::delivery::shared_state::Reads;
use crate::error::{ErrorClass, with_sources};
use crate::store::{CommitError, Committed, DeadLetter, DeadLetterChange, StoreError, UnitOfWork};

impl Task {
    /// Commits what is staged, with what the machine decided.
    pub(super) async fn commit(&mut self, commit: Commit) -> (Input, Option<CommitError>) {
        let read = self.effects.take_reads();
        let (state, events) = self.effects.take();
        let (emitted, suppressed) = (events.len() as u64, self.effects.take_suppressed());
        let admitted = match self.common.storms.admit(&events) {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.effects.reset();
                self.turn = None;
                return (Input::CommitFailed(CommitFailure::Storm(reason)), None);
            }
        };
        let work = UnitOfWork {
            owner: self.common.owner.clone(),
            partition: self.share.partition,
            progress: commit.progress.clone(),
            state,
            events,
            dead_letters: commit.rows.clone(),
        };
        let submitted = self.submit(work, read).await;
        // What it wrote is durable, so whoever has the turn next sees it.
        self.turn = None;
        if !matches!(submitted, Some(Ok(_))) {
            self.common.storms.give_back(admitted);
        }
        match submitted {
            None => {
                self.effects.reset();
                self.counters.conflicts += 1;
                (Input::CommitFailed(CommitFailure::Conflict), None)
            }
            Some(Ok(_)) => {
                self.counters.handled += commit.handled;
                self.counters.emitted += emitted;
                self.counters.suppressed += suppressed;
                self.counters.commits += 1;
                self.report(&commit);
                (Input::Committed, None)
            }
            Some(Err(error)) => {
                self.effects.reset();
                let reason = with_sources(&error);
                warn!(
                    plugin = %self.common.plugin, generation = self.common.building(),
                    partition = self.share.partition, error = reason, "nothing of a unit of work was committed"
                );
                (Input::CommitFailed(commit_failure(&error, reason)), Some(error))
            }
        }
    }

    /// Commits a unit of work; none when another partition has written what it had read.
    async fn submit(&mut self, work: UnitOfWork, read: Option<(u64, Reads)>) -> Option<Result<Committed, CommitError>> {
        let Some(shared) = &self.common.shared else { return Some(self.common.writes.commit(work).await) };
        let (began, reads) = read.unwrap_or_default();
        let (sharing, store, partition) = (Arc::clone(shared), Arc::clone(&self.common.store), self.share.partition);
        // The state's changes are in the order of their keys.
        let keys = work.state.iter().map(|change| change.key.clone()).collect();
        let submit = move || sharing.submit(partition, (began, &reads), keys, || store.commit(work));
        let (pending, ticket) = match tokio::task::spawn_blocking(submit).await {
            Ok(submitted) => submitted.ok()?,
            Err(_) => return Some(Err(StoreError::ShuttingDown.into())),
        };
        let answer = pending.await;
        shared.answered(ticket);
        Some(answer)
    }

    /// Logs and counts what a commit says about failures.
    fn report(&mut self, commit: &Commit) {
        self.counters.retried += u64::from(commit.attempted);
        let was_parked = commit.recalled.as_ref().is_some_and(|recalled| is_parked(&recalled.row));
        for change in &commit.rows {
            let DeadLetterChange::Put(letter) = change else { continue };
            if letter.kind == BEHIND {
                self.counters.behind += 1;
                continue;
            }
            if letter.is_discarded() {
                self.counters.discarded += 1;
                continue;
            }
            self.counters.parked += u64::from(is_parked(letter) && !was_parked);
            let (attempts, faults, due_us) = (letter.attempts, letter.faults, letter.due_us);
            let correlation_id = self.correlation_of(letter.position);
            warn!(
                plugin = %self.common.plugin, generation = self.common.building(),
                partition = self.share.partition, position = letter.position.0,
                attempt = attempts.saturating_add(faults), correlation_id, attempts, faults, due_us, kind = letter.kind, reason = letter.reason, "event set aside"
            );
        }
        if let Some(failing) = commit.progress.failing.as_ref().filter(|_| commit.attempted) {
            let attempt = failing.attempts.saturating_add(failing.faults);
            let correlation_id = self.correlation_of(failing.position);
            warn!(
                plugin = %self.common.plugin, generation = self.common.building(),
                partition = self.share.partition, position = failing.position.0,
                attempt, correlation_id, attempts = failing.attempts, faults = failing.faults, reason = failing.reason, "attempt failed"
            );
        }
        if let Some(recalled) = &commit.recalled {
            let (position, failure) = (recalled.row.position.0, recalled.failure.as_deref());
            let correlation_id = self.correlation_of(recalled.row.position);
            let attempt = self.recalled_tries.saturating_add(1);
            info!(
                plugin = %self.common.plugin, generation = self.common.building(),
                partition = self.share.partition, position, attempt, correlation_id, failure,
                "set-aside event handed over again"
            );
            self.redrives.note(recalled);
        }
    }
}

/// Whether a set-aside event waits for an operator.
fn is_parked(letter: &DeadLetter) -> bool {
    letter.due_us.is_none() && letter.kind != BEHIND
}

fn commit_failure(error: &CommitError, reason: String) -> CommitFailure {
    match (error, error.class()) {
        (CommitError::Fenced { .. }, _) => CommitFailure::Broken(reason),
        // A store that failed to write takes nothing more until it is opened again.
        (CommitError::Store(StoreError::WriteFailed { .. }), _) => CommitFailure::Broken(reason),
        (_, ErrorClass::Conflict | ErrorClass::Invalid | ErrorClass::NotFound | ErrorClass::Denied) => {
            CommitFailure::Refused(reason)
        }
        (_, ErrorClass::Corrupted | ErrorClass::Bug) => CommitFailure::Broken(reason),
        (_, ErrorClass::Unavailable) => CommitFailure::Unavailable,
    }
}
