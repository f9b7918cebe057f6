//! What a caller may be told of a command beside what it sent itself: no more than it may read.

use crate::access::Action;
use crate::command::{CommandError, Failure, Outcome, Settled};
use crate::delivery::Evidence;
use crate::event::StreamName;
use crate::gate::Caller;

/// What stands in place of words that come of events.
const WITHHELD: &str = "the reason is shown to keys that may read all of the stream";

/// Whether a caller may see what is made of all events of a stream.
fn sees_all(caller: &Caller, stream: &StreamName) -> bool {
    caller.could(&Action::ReadStream(stream)) && caller.reach().types.is_empty()
}

/// Whether a caller may be told an outcome: the events that followed, where it may read each of them; a rejection, which
/// comes of all events, where it may read all.
pub(super) fn may_learn(caller: &Caller, settled: &Settled) -> bool {
    if sees_all(caller, &settled.stream) {
        return true;
    }
    match &settled.outcome {
        Outcome::Accepted(events) if !events.is_empty() => {
            let reach = caller.reach();
            caller.could(&Action::ReadStream(&settled.stream))
                && events.iter().all(|event| reach.matches_type(event.event_type.as_str()))
        }
        Outcome::Accepted(_) | Outcome::Rejected(_) => false,
    }
}

/// A failure without the words of code that saw events which the caller may not read.
pub(super) fn discreet_failure(caller: &Caller, failure: Failure) -> Failure {
    if sees_all(caller, &failure.stream) {
        return failure;
    }
    Failure { reason: WITHHELD.into(), stderr_tail: String::new(), backtrace: String::new(), ..failure }
}

/// An error without the words of code that saw events which the caller may not read.
pub(super) fn discreet(caller: &Caller, stream: &StreamName, error: CommandError) -> CommandError {
    if sees_all(caller, stream) {
        return error;
    }
    match error {
        CommandError::Faulted { plugin, mut faulted } => {
            faulted.reason = WITHHELD.into();
            faulted.evidence = Evidence::default();
            CommandError::Faulted { plugin, faulted }
        }
        CommandError::Misfit { plugin, stream, version, position, snapshot, .. } => {
            CommandError::Misfit { plugin, stream, version, position, reason: WITHHELD.into(), snapshot }
        }
        CommandError::Unlifted { stream, version, position, upcaster, .. } => {
            let (reason, evidence) = (WITHHELD.into(), Box::default());
            CommandError::Unlifted { stream, version, position, reason, upcaster, evidence }
        }
        CommandError::GivenUp(failure) => CommandError::GivenUp(Box::new(discreet_failure(caller, *failure))),
        error => error.discreet_of_snapshot(WITHHELD),
    }
}
