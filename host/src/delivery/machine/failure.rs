//! What follows from a failed attempt at one event, wherever the event stands.

use super::Machine;
use super::mutant::{Rule, broken};
use super::retry;
use super::stop::Stop;
use crate::delivery::handler::{Fault, HandleError, Verdict};
use crate::delivery::policy::OnExhausted;
use crate::event::Position;
use crate::store::{DeadLetter, Failing};

/// Kind of a set-aside event that was never tried: an earlier one of its key is set aside.
pub(crate) const BEHIND: &str = "behind";
/// Kind of a set-aside event that lacks the key that the manifest asks for.
pub(in crate::delivery) const NO_KEY: &str = "no_key";
/// Every kind that the rules set an event aside for: a verdict, a fault, or that it was not tried.
pub(crate) const LETTER_KINDS: [&str; 11] = [
    "reject",
    "retry",
    Fault::Trap.as_str(),
    Fault::OutOfFuel.as_str(),
    Fault::Deadline.as_str(),
    Fault::OutOfMemory.as_str(),
    Fault::Denied.as_str(),
    Fault::BadReply.as_str(),
    Fault::Upcast.as_str(),
    BEHIND,
    NO_KEY,
];

/// Failed attempts at one event so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) attempts: u32,
    pub(super) faults: u32,
    /// When the first failed; none before.
    pub(super) first_us: Option<u64>,
}

/// A failed attempt, judged.
pub(super) struct Judged {
    pub(super) failing: Failing,
    pub(super) kind: &'static str,
    pub(super) next: Next,
    /// The handler said when to come back.
    pub(super) asked: bool,
}

/// What follows for the event.
#[derive(Debug)]
pub(super) enum Next {
    /// It is tried again at this time.
    Again(u64),
    /// It waits for an operator.
    SetAside,
    /// Delivery stops before it.
    Stop(Stop),
}

impl From<&Failing> for Tally {
    fn from(failing: &Failing) -> Self {
        Self { attempts: failing.attempts, faults: failing.faults, first_us: Some(failing.first_us) }
    }
}

impl From<&DeadLetter> for Tally {
    fn from(row: &DeadLetter) -> Self {
        let tried = row.kind != BEHIND && row.kind != NO_KEY;
        Self { attempts: row.attempts, faults: row.faults, first_us: tried.then_some(row.first_us) }
    }
}

impl Machine {
    /// Judges a failed attempt at an event. One that an operator `forced` stops nobody.
    ///
    /// A handler that says when to come back is not at fault and nor is the event: that counts no attempt. Said of one
    /// event after the other, the world is not ready.
    pub(super) fn judge(
        &mut self,
        position: Position,
        tally: Tally,
        error: &HandleError,
        (now_us, forced): (u64, bool),
    ) -> Judged {
        let (kind, reason) = describe(error);
        let tally = if broken(Rule::AttemptsAddUp) { Tally::default() } else { tally };
        let (attempt, fault, asked) = match error {
            HandleError::Fault { .. } => (0, 1, false),
            HandleError::Failure(failure) => match failure.verdict {
                Verdict::Retry { after_ms: Some(_) } => (0, 0, true),
                Verdict::Retry { after_ms: None } | Verdict::Reject | Verdict::Stop => (1, 0, false),
            },
        };
        let failing = Failing {
            position,
            attempts: tally.attempts.saturating_add(attempt),
            faults: tally.faults.saturating_add(fault),
            first_us: tally.first_us.unwrap_or(now_us),
            last_us: now_us,
            reason,
        };
        let next = match self.next(&failing, error, now_us) {
            Next::Stop(_) if forced => Next::SetAside,
            next => next,
        };
        match next {
            Next::Again(due_us) if asked => self.outage.note(position, (now_us, due_us), &failing.reason),
            _ => self.outage.end(),
        }
        Judged { failing, kind, next, asked }
    }

    fn next(&mut self, failing: &Failing, error: &HandleError, now_us: u64) -> Next {
        let Failing { position, attempts, faults, reason, first_us, .. } = failing;
        let after_ms = match error {
            HandleError::Fault { .. } => None,
            HandleError::Failure(failure) => match failure.verdict {
                Verdict::Reject => return Next::SetAside,
                Verdict::Stop => {
                    return Next::Stop(Stop::Halted(format!("the handler stopped at event {position}: {reason}")));
                }
                Verdict::Retry { after_ms } => after_ms,
            },
        };
        if let Some(after_ms) = after_ms {
            let failing_us = now_us.saturating_sub(*first_us).max(self.outage.lasts_us(now_us));
            return Next::Again(now_us.saturating_add(retry::asked_us(&self.policy.backoff, after_ms, failing_us)));
        }
        if !self.policy.is_exhausted(*attempts, *faults) {
            let wait_us = self.policy.backoff.wait_us(attempts.saturating_add(*faults), &mut self.rng);
            return Next::Again(now_us.saturating_add(wait_us));
        }
        let tries = match (attempts, faults) {
            (attempts, 0) => format!("failed {attempts} times"),
            (0, faults) => format!("faulted {faults} times"),
            (attempts, faults) => format!("failed {attempts} and faulted {faults} times"),
        };
        if self.policy.on_exhausted == OnExhausted::Halt {
            return Next::Stop(Stop::Halted(format!("event {position} {tries}: {reason}")));
        }
        if matches!(error, HandleError::Fault { .. }) && self.fault_run.note(*position) {
            return Next::Stop(Stop::Quarantined(format!(
                "one event after the other faults; the last, {position}, {tries}: {reason}"
            )));
        }
        Next::SetAside
    }
}

/// Kind and reason of an error, for the dead letter.
fn describe(error: &HandleError) -> (&'static str, String) {
    (error.kind(), error.reason().to_owned())
}
