//! How long the queue bears an error of a command, before it gives the command up.

use super::deadline::Progress;
use super::error::CommandError;
use super::transient::Transient;
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
    /// The same for a command that is set aside while it waits for a snapshot: where there is no room for that, it does not
    /// wait.
    pub(super) fn aside(error: &CommandError, named: Option<&[Transient]>, set_aside: impl FnOnce() -> bool) -> Self {
        let is_for_snapshot = matches!(error, CommandError::HistoryGone { left_out: Some(_), .. });
        if is_for_snapshot && !set_aside() { Self::None } else { Self::with(error, named) }
    }

    /// How long an error is borne, where the manifest names these failures as such that may pass.
    pub(super) fn with(error: &CommandError, named: Option<&[Transient]>) -> Self {
        if let Some(class) = Transient::of(error) {
            return if class.is_borne_later(named) { Self::Some } else { Self::None };
        }
        match error {
            CommandError::Faulted { .. }
            | CommandError::NotGranted { .. }
            | CommandError::Misfit { .. }
            | CommandError::Unlifted { .. }
            | CommandError::ValidatorFailed { .. }
            | CommandError::Contended { .. }
            | CommandError::Panicked => Self::Some,
            CommandError::IdTaken { for_now: true, .. }
            | CommandError::Expired { progress: Progress::Joined | Progress::Queued, .. }
            | CommandError::Busy { .. }
            | CommandError::QueueFull { .. }
            | CommandError::ChecksUnknown { .. }
            | CommandError::UnknownAggregate { .. }
            | CommandError::HistoryGone { left_out: Some(_), .. }
            | CommandError::Store(_)
            | CommandError::Append(AppendError::Store(_)) => Self::Endless,
            CommandError::Invalid(_)
            | CommandError::IdTaken { for_now: false, .. }
            | CommandError::Denied(_)
            | CommandError::HistoryGone { left_out: None, .. }
            | CommandError::OutcomeGone { .. }
            | CommandError::SnapshotNeeded { .. }
            | CommandError::Backwards { .. }
            | CommandError::NoState { .. }
            | CommandError::NoSuchAggregate { .. }
            | CommandError::StateTooLarge { .. }
            | CommandError::LooksTaken
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
    use crate::command::LeftOut;
    use crate::event::{Category, StreamName, Version};

    #[test]
    fn what_an_operator_mends_is_no_end_of_a_command() {
        let unknown = CommandError::ChecksUnknown { what: "schemas".into(), reason: "broken".into() };
        let nobody =
            CommandError::UnknownAggregate { aggregate: Category::new("purse").unwrap(), known: String::new() };
        assert_eq!([unknown, nobody].map(|error| Patience::with(&error, Some(&[]))), [Patience::Endless; 2]);
    }

    fn gone(left_out: Option<LeftOut>) -> CommandError {
        let stream = StreamName::new("purse-1").unwrap();
        CommandError::HistoryGone { stream, version: Version(0), left_out, is_refused: true }
    }

    #[test]
    fn a_snapshot_is_waited_for_only_where_there_is_room_aside() {
        let busy = CommandError::Busy { aggregate: Category::new("purse").unwrap(), under_way: 1 };
        let with = |error: &CommandError, has_room| Patience::aside(error, None, || has_room);
        let waits = gone(Some(LeftOut::Damaged));
        assert_eq!([with(&waits, true), with(&waits, false)], [Patience::Endless, Patience::None]);
        assert_eq!(Patience::aside(&busy, None, || panic!("it needs none")), Patience::Endless);
    }

    #[test]
    fn a_snapshot_that_may_count_again_is_waited_for_and_where_there_is_none_nothing_is() {
        let with = |left_out| Patience::with(&gone(left_out), None);
        let (unfit, unloadable) = (LeftOut::Unfit(Version(3)), LeftOut::Unloadable(Version(3), "no".into()));
        assert_eq!([LeftOut::Damaged, unfit, unloadable].map(|one| with(Some(one))), [Patience::Endless; 3]);
        assert_eq!(with(None), Patience::None);
    }

    #[test]
    fn what_others_do_with_an_id_or_wait_for_is_no_end_of_a_command() {
        let taken = |for_now| CommandError::IdTaken { id: "a".into(), for_now };
        let expired = |progress| CommandError::Expired { deadline_ms: 1, progress };
        let with = |error| Patience::with(&error, None);
        assert_eq!([with(taken(true)), with(expired(Progress::Joined))], [Patience::Endless; 2]);
        assert_eq!([with(taken(false)), with(expired(Progress::Appending))], [Patience::None; 2]);
    }

    #[test]
    fn a_manifest_says_what_passes() {
        let contended = CommandError::Contended { stream: StreamName::new("purse-1").unwrap(), attempts: 1 };
        for (named, patience) in [
            (None, Patience::Some),
            (Some(&[Transient::Conflict][..]), Patience::Some),
            (Some(&[Transient::Fault]), Patience::None),
            (Some(&[]), Patience::None),
        ] {
            assert_eq!(Patience::with(&contended, named), patience, "{named:?}");
        }
    }
}
