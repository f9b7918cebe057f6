//! What the log says for ever of an accepted command that was given up: what kind of failure it was, and why.
//!
//! The kind is what `POST /v1/commands/…` names the problem when the same befalls a command that is waited for, which
//! `api::tests::commands` holds. The reason has no advice: what helps who waits for an answer is none for one that was given up.

use super::error::CommandError;
use crate::error::ErrorClass;
use crate::store::{AppendError, StoreError};

impl CommandError {
    /// What kind of failure it is, for programs: a fault's name, where code failed, or that of the problem.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if let Some((fault, _)) = self.fault() {
            return fault;
        }
        match self {
            Self::IdTaken { .. } => "id-conflict",
            Self::UnknownType { .. } | Self::Refused { .. } => "invalid-command",
            Self::Expired { .. } => "deadline-passed",
            Self::HistoryGone { .. } | Self::OutcomeGone { .. } | Self::Store(StoreError::Removed { .. }) => "removed",
            Self::GivenUp(_) => "given-up",
            Self::NoState { .. } => "not-supported",
            Self::Busy { .. } => "too-many-requests",
            Self::Append(error) => of_append(error),
            error => of_class(error.class()),
        }
    }

    /// Why, for people.
    pub(super) fn reason(&self) -> String {
        let told = self.to_string();
        let has_advice = match self {
            Self::Expired { .. }
            | Self::Contended { .. }
            | Self::Denied(_)
            | Self::IdTaken { .. }
            | Self::OutcomeGone { .. } => true,
            Self::Append(error) => matches!(
                error,
                AppendError::WrongExpectedVersion { .. }
                    | AppendError::ConditionFailed { .. }
                    | AppendError::ConditionAheadOfLog { .. }
                    | AppendError::StreamDeleted { .. }
            ),
            _ => false,
        };
        match told.rsplit_once("; ") {
            Some((reason, _)) if has_advice => reason.to_owned(),
            _ => told,
        }
    }
}

const fn of_append(error: &AppendError) -> &'static str {
    match error {
        AppendError::WrongExpectedVersion { .. } => "wrong-expected-version",
        AppendError::ConditionFailed { .. } => "condition-failed",
        AppendError::StreamDeleted { .. } => "stream-deleted",
        AppendError::IdConflict { .. } | AppendError::IdTaken { .. } => "id-conflict",
        AppendError::PartlyStored { .. } => "partly-stored",
        AppendError::InvalidEvent { .. } | AppendError::DuplicateId { .. } => "invalid-event",
        AppendError::TooMuchToCheck { .. } => "too-large",
        AppendError::Store(StoreError::Removed { .. }) => "removed",
        error => of_class(error.class()),
    }
}

const fn of_class(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Conflict => "conflict",
        ErrorClass::Invalid => "invalid-request",
        ErrorClass::NotFound => "not-found",
        ErrorClass::Denied => "denied",
        ErrorClass::Unavailable => "unavailable",
        ErrorClass::Corrupted => "corrupted",
        ErrorClass::Bug => "bug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Progress;
    use crate::event::{ExpectedVersion, Position, StreamName, Version};

    #[test]
    fn the_reason_has_no_advice_and_the_kind_is_that_of_the_problem() {
        let stream = StreamName::new("purse-1").unwrap();
        let (expected, actual) = (ExpectedVersion::Exact(Version(9)), Version(1));
        let cases = [
            (
                CommandError::Expired { deadline_ms: 5, progress: Progress::Waiting },
                "deadline-passed",
                "the deadline of 5 ms passed while the command waited for its turn; nothing of it was \
                 appended, nor will be",
            ),
            (
                AppendError::ConditionFailed { position: Position(7), after: Position(3) }.into(),
                "condition-failed",
                "the event at position 7, after position 3, matches the condition",
            ),
            (
                AppendError::WrongExpectedVersion { stream: stream.clone(), expected, actual }.into(),
                "wrong-expected-version",
                "stream purse-1 is at version 1, expected version 9",
            ),
            (
                CommandError::HistoryGone { stream, version: Version(0), left_out: None, is_refused: true },
                "removed",
                "events of stream purse-1 after version 0 were removed, and no snapshot stands for them; its state cannot \
                 be made of events any more, and it takes no more commands",
            ),
        ];
        for (error, named, why) in cases {
            assert_eq!((error.kind(), error.reason().as_str()), (named, why));
        }
    }
}
