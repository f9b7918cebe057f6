//! How long the queue bears an error of a command, before it gives the command up.

use super::error::CommandError;
use crate::event::InvalidEvent;
use crate::store::AppendError;

/// How long an error is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It will be the same for ever.
    None,
    /// Somebody may mend it.
    Some,
    /// It says nothing of the command; only a deadline ends it.
    Endless,
}

impl Patience {
    pub(super) fn with(error: &CommandError) -> Self {
        match error {
            CommandError::Faulted { .. }
            | CommandError::NotGranted { .. }
            | CommandError::Misfit { .. }
            | CommandError::Unlifted { .. }
            | CommandError::ValidatorFailed { .. }
            | CommandError::Contended { .. }
            | CommandError::Append(AppendError::InvalidEvent { reason: InvalidEvent::AgainstSchema { .. }, .. })
            | CommandError::Panicked => Self::Some,
            CommandError::Busy { .. }
            | CommandError::QueueFull { .. }
            | CommandError::ChecksUnknown { .. }
            | CommandError::UnknownAggregate { .. }
            | CommandError::Store(_)
            | CommandError::Append(AppendError::Store(_)) => Self::Endless,
            CommandError::Invalid(_)
            | CommandError::IdTaken { .. }
            | CommandError::Denied(_)
            | CommandError::HistoryGone { .. }
            | CommandError::SnapshotNeeded { .. }
            | CommandError::Backwards { .. }
            | CommandError::NoState { .. }
            | CommandError::NoSuchAggregate { .. }
            | CommandError::StateTooLarge { .. }
            | CommandError::UnknownType { .. }
            | CommandError::Refused { .. }
            | CommandError::Expired { .. }
            | CommandError::GivenUp(_)
            | CommandError::TooMuchToKeep { .. }
            | CommandError::Append(_) => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Category, EventType};

    #[test]
    fn what_an_operator_mends_is_no_end_of_a_command() {
        let unknown = CommandError::ChecksUnknown { what: "schemas".into(), reason: "broken".into() };
        let nobody =
            CommandError::UnknownAggregate { aggregate: Category::new("purse").unwrap(), known: String::new() };
        assert_eq!([unknown, nobody].map(|error| Patience::with(&error)), [Patience::Endless; 2]);
        let event_type = EventType::new("Paid").unwrap();
        let reason = InvalidEvent::AgainstSchema { event_type, version: 1, errors: Vec::new() };
        let refused = |reason| CommandError::Append(AppendError::InvalidEvent { index: 0, reason });
        assert_eq!(Patience::with(&refused(reason)), Patience::Some);
        assert_eq!(Patience::with(&refused(InvalidEvent::SchemaVersionZero)), Patience::None);
    }
}
