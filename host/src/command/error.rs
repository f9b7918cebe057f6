//! Why a command has no outcome.

use thiserror::Error;

use super::aggregate::{Faulted, Stage};
use super::checks::FieldFault;
use super::deadline::Progress;
use super::request::InvalidCommand;
use super::waiting::Failure;
use crate::access::Denied;
use crate::delivery::{Evidence, Fault};
use crate::error::ErrorClass;
use crate::event::{
    Category, EventType, METADATA_VALUE_BYTES_MAX, NameError, PluginName, Position, StreamName, Version,
};
use crate::store::{AppendError, StoreError};

/// A snapshot that is left out when its aggregate is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Something else made it, at this version.
    Unfit(Version),
    /// Its row is damaged.
    Damaged,
    /// The code that runs does not load the one at this version, and says why, or how it failed; in no words where those are
    /// withheld.
    Unloadable(Version, String),
}

/// Why a command has no outcome. Nothing of it is stored, unless the store says otherwise; it may be sent again.
#[derive(Clone, Debug, Error)]
pub enum CommandError {
    /// It is no command.
    #[error(transparent)]
    Invalid(#[from] InvalidCommand),
    /// Nobody decides for such aggregates.
    #[error(
        "no component that runs decides for aggregate {aggregate}; {known}; `tidemill plugins ls` says which are \
         installed, and why one does not run"
    )]
    UnknownAggregate {
        /// The aggregate.
        aggregate: Category,
        /// Which there are, in words.
        known: String,
    },
    /// The id is that of another command.
    #[error(
        "command id {id:?} is that of another command; give each command its own id, and send one again only as it was"
    )]
    IdTaken {
        /// The id.
        id: String,
        /// Whether that one is only being sent, and may leave the id free.
        for_now: bool,
    },
    /// Who asks may not append what was decided.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The code did not answer, or its answer makes no sense.
    #[error("plugin {plugin} failed on the command ({}): {}: {}", .faulted.stage.as_str(), .faulted.fault.as_str(), .faulted.reason)]
    Faulted {
        /// The plugin.
        plugin: PluginName,
        /// What it did.
        faulted: Box<Faulted>,
    },
    /// The code decided on an event that it is not granted.
    #[error("plugin {plugin} may not append {:?}; {cure}", .event_type.as_str())]
    NotGranted {
        /// The plugin.
        plugin: PluginName,
        /// The event's type.
        event_type: EventType,
        /// What would allow it.
        cure: String,
    },
    /// The code cannot take in an event of the aggregate's history.
    #[error(
        "plugin {plugin} cannot take in the event at version {version} of stream {stream}: {reason}; {}",
        what_to_do(*.snapshot)
    )]
    Misfit {
        /// The plugin.
        plugin: PluginName,
        /// The stream.
        stream: StreamName,
        /// The event's version.
        version: Version,
        /// The event's position.
        position: Position,
        /// What the code says.
        reason: String,
        /// The version of the snapshot that the aggregate was made of, if it was.
        snapshot: Option<Version>,
    },
    /// An event of the aggregate's history cannot be lifted to today's schema.
    #[error(
        "the event at version {version} of stream {stream} cannot be lifted to today's schema: {reason}; mend the \
         upcasters"
    )]
    Unlifted {
        /// The stream.
        stream: StreamName,
        /// The event's version.
        version: Version,
        /// The event's position.
        position: Position,
        /// What lifts it, and what that says.
        reason: String,
        /// Where what lifts it is written; none where nothing does.
        upcaster: Option<String>,
        /// What it left behind.
        evidence: Box<Evidence>,
    },
    /// Events of the aggregate's history are not there any more.
    #[error(
        "events of stream {stream} after version {version} were removed, and no snapshot stands for them{}; its state \
         cannot be made of events any more{}", unfit(.left_out.as_ref()),
        what_ends(*.is_refused)
    )]
    HistoryGone {
        /// The stream.
        stream: StreamName,
        /// The last version that is known.
        version: Version,
        /// The snapshot that is left out, if there is one.
        left_out: Option<LeftOut>,
        /// Whether a command is refused for it, and not only a look.
        is_refused: bool,
    },
    /// A snapshot stands for events that are not there any more.
    #[error(
        "the snapshot of stream {stream} is all there is of events that were removed: without it the aggregate takes no \
         more commands; to drop it all the same, say `force=true` (`--force`)"
    )]
    SnapshotNeeded {
        /// The stream.
        stream: StreamName,
    },
    /// The stream moved each time that the command was decided.
    #[error("stream {stream} moved {attempts} times while the command was decided; send it again")]
    Contended {
        /// The stream.
        stream: StreamName,
        /// How often it was decided.
        attempts: u32,
    },
    /// The state is not to be had: the code has no snapshots.
    #[error("plugin {plugin} gives no snapshots, so its state cannot be shown")]
    NoState {
        /// The plugin.
        plugin: PluginName,
    },
    /// There was no such aggregate at that point.
    #[error("stream {stream} has no events up to {point}")]
    NoSuchAggregate {
        /// The stream.
        stream: StreamName,
        /// The point, in words.
        point: String,
    },
    /// What changed was asked for up to a point before the one that it was asked from.
    #[error("changes were asked for from {from} to {to}, which comes before it; give the earlier one as the first")]
    Backwards {
        /// The first point, in words.
        from: String,
        /// The second one.
        to: String,
    },
    /// The state is too large to be shown.
    #[error("the state of stream {stream} at version {version} has {bytes} bytes; at most {bytes_max} are shown")]
    StateTooLarge {
        /// The stream.
        stream: StreamName,
        /// The aggregate's version.
        version: Version,
        /// The state's size.
        bytes: usize,
        /// What is shown.
        bytes_max: usize,
    },
    /// The aggregate has no such type of command.
    #[error("aggregate {aggregate} takes no such command: {unknown}")]
    UnknownType {
        /// The aggregate.
        aggregate: Category,
        /// The type, and the one that may be meant.
        unknown: String,
    },
    /// It does not fit its schema, or a validator refuses it.
    #[error("{by} refuses the command{}", told(.errors))]
    Refused {
        /// Who refuses it, in words.
        by: String,
        /// What is wrong, where; at least one.
        errors: Vec<FieldFault>,
    },
    /// A validator did not answer, or its answer makes no sense.
    #[error("validator {validator} failed on the command: {}: {}", .faulted.fault.as_str(), .faulted.reason)]
    ValidatorFailed {
        /// Its name.
        validator: String,
        /// What it did.
        faulted: Box<Faulted>,
    },
    /// What commands are held to is not known, or what lifts the events of aggregates.
    #[error("{what} are not known, so nothing is decided: {reason}")]
    ChecksUnknown {
        /// What is not known.
        what: String,
        /// Why.
        reason: String,
    },
    /// Its deadline has passed.
    #[error(
        "the deadline of {deadline_ms} ms passed while the command {}; {}", .progress.in_words(), .progress.what_follows()
    )]
    Expired {
        /// The deadline, in milliseconds.
        deadline_ms: u64,
        /// How far it had come.
        progress: Progress,
    },
    /// Too many accepted commands to such aggregates wait to be decided.
    #[error("{max} accepted commands to {aggregate} wait to be decided already; send it again later")]
    QueueFull {
        /// The aggregate.
        aggregate: Category,
        /// How many may.
        max: u64,
    },
    /// It was accepted, and given up for good.
    #[error(
        "command {:?} was given up after {}: {}; to try it again, give it another id", .0.command_id, .0.tried(), .0.reason
    )]
    GivenUp(Box<Failure>),
    /// It was accepted and settled, and its outcome is not there any more.
    #[error(
        "command {id:?} was accepted at position {position} and is settled, but its outcome was removed from the log; it is \
         not decided again: if that is what you want, send it under another id"
    )]
    OutcomeGone {
        /// Its id.
        id: String,
        /// Where it was accepted.
        position: Position,
    },
    /// What is kept of a command beside its data is too much.
    #[error(
        "what must be kept of the command until it is decided, beside its data, has {bytes} bytes; at most \
         {METADATA_VALUE_BYTES_MAX} can be kept: shorten its id, aggregate id or type, make its condition smaller, use a \
         key of fewer event types, or wait for the answer"
    )]
    TooMuchToKeep {
        /// Its size: names, condition, and the event types of the key.
        bytes: usize,
    },
    /// Too many commands are under way.
    #[error("{under_way} commands to {aggregate} are under way, as many as there are places for now; send it again")]
    Busy {
        /// The aggregate.
        aggregate: Category,
        /// How many there are.
        under_way: usize,
    },
    /// Too many look at aggregates.
    #[error(
        "as many states and changes of aggregates are being made as may be at a time, and none was done in time; ask again \
         later, and for less at a time"
    )]
    LooksTaken,
    /// What was decided cannot be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The host failed.
    #[error("the host made a mistake while it decided the command; its log has the details")]
    Panicked,
}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        InvalidCommand::from(error).into()
    }
}

impl CommandError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid(error) => error.class(),
            Self::UnknownAggregate { .. } | Self::NoSuchAggregate { .. } | Self::NoState { .. } => ErrorClass::NotFound,
            Self::IdTaken { .. }
            | Self::HistoryGone { .. }
            | Self::OutcomeGone { .. }
            | Self::SnapshotNeeded { .. }
            | Self::GivenUp(_) => ErrorClass::Conflict,
            Self::Denied(error) => error.class(),
            Self::Faulted { .. }
            | Self::NotGranted { .. }
            | Self::Misfit { .. }
            | Self::Unlifted { .. }
            | Self::ValidatorFailed { .. }
            | Self::Panicked => ErrorClass::Bug,
            Self::Backwards { .. }
            | Self::StateTooLarge { .. }
            | Self::UnknownType { .. }
            | Self::Refused { .. }
            | Self::TooMuchToKeep { .. } => ErrorClass::Invalid,
            Self::Contended { .. }
            | Self::Busy { .. }
            | Self::LooksTaken
            | Self::QueueFull { .. }
            | Self::ChecksUnknown { .. }
            | Self::Expired { .. } => ErrorClass::Unavailable,
            Self::Append(error) => error.class(),
            Self::Store(error) => error.class(),
        }
    }

    /// What a component left behind that failed.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Faulted { faulted, .. } | Self::ValidatorFailed { faulted, .. } => Some(&faulted.evidence),
            Self::Unlifted { evidence, .. } => Some(evidence),
            _ => None,
        }
    }

    /// The same, where the history of an aggregate is gone, without what code says of its snapshot, which holds what events
    /// said: `withheld` stands in place of that.
    #[must_use]
    pub fn discreet_of_snapshot(self, withheld: &str) -> Self {
        match self {
            Self::HistoryGone { stream, version, left_out: Some(LeftOut::Unloadable(at, _)), is_refused } => {
                let left_out = Some(LeftOut::Unloadable(at, withheld.to_owned()));
                Self::HistoryGone { stream, version, left_out, is_refused }
            }
            error => error,
        }
    }

    /// Whether it is about who sent the command, and when: another who sends the same one may fare otherwise.
    pub(super) const fn is_of_sender(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Expired { .. })
    }

    /// Whether the code died of a snapshot.
    pub(super) fn is_of_snapshot(&self) -> bool {
        matches!(self, Self::Faulted { faulted, .. } if faulted.stage == Stage::Restore)
    }

    /// Whether the code failed in a way that the state can be the cause of, where that is of a snapshot. Time, memory and
    /// grants are of more than one aggregate.
    pub(super) fn may_be_of_state(&self) -> bool {
        match self {
            Self::Misfit { .. } => true,
            Self::Faulted { faulted, .. } => {
                matches!(faulted.stage, Stage::Apply | Stage::Decide | Stage::Snapshot)
                    && matches!(faulted.fault, Fault::Trap | Fault::OutOfFuel | Fault::BadReply)
            }
            _ => false,
        }
    }

    /// Whether the code failed when it took in events.
    pub(super) fn is_of_events(&self) -> bool {
        self.fault().is_some_and(|(_, stage)| stage == Stage::Apply)
    }

    /// The fault of the plugin's code, or of what lifts its events, if it is one: its name, and in which call.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, Stage)> {
        match self {
            Self::Faulted { faulted, .. } | Self::ValidatorFailed { faulted, .. } => {
                Some((faulted.fault.as_str(), faulted.stage))
            }
            Self::NotGranted { .. } => Some((Fault::Denied.as_str(), Stage::Decide)),
            Self::Misfit { .. } => Some(("misfit", Stage::Apply)),
            Self::Unlifted { .. } => Some((Fault::Upcast.as_str(), Stage::Apply)),
            _ => None,
        }
    }
}

/// What to do about an event that does not fit, where the aggregate was made of a snapshot or not. To drop that is no help:
/// where it might be, the aggregate was made of its events already.
fn what_to_do(snapshot: Option<Version>) -> String {
    match snapshot {
        None => "install a version of it that knows such events".to_owned(),
        Some(version) => format!(
            "the aggregate was made of its snapshot at version {version}: install a version of it that knows such events and \
             such a snapshot"
        ),
    }
}

/// What has ended beside the state of an aggregate whose history is gone, where a command is refused for it.
const fn what_ends(is_refused: bool) -> &'static str {
    if is_refused { ", and it takes no more commands" } else { "" }
}

/// Which snapshot does not count, in brackets.
fn unfit(left_out: Option<&LeftOut>) -> String {
    match left_out {
        None => String::new(),
        Some(LeftOut::Unfit(version)) => format!(
            " (that at version {version} is left out: another plugin, snapshot schema or chain of upcasters made it, and it \
             counts again when that is put back)"
        ),
        Some(LeftOut::Damaged) => " (the one there is is damaged on disk: restore it from a backup)".to_owned(),
        Some(LeftOut::Unloadable(version, reason)) => {
            let colon = if reason.is_empty() { "" } else { ": " };
            format!(
                " (that at version {version} is there, and the component that runs does not load it{colon}{reason}; it \
                 counts again when one is put back that does)"
            )
        }
    }
}

/// The first errors, behind a colon.
fn told(errors: &[FieldFault]) -> String {
    const TOLD_MAX: usize = 3;
    let one = |FieldFault { pointer, message, .. }: &FieldFault| match pointer.as_str() {
        "" => message.clone(),
        pointer => format!("{pointer}: {message}"),
    };
    let told: Vec<_> = errors.iter().take(TOLD_MAX).map(one).collect();
    if told.is_empty() { String::new() } else { format!(": {}", told.join("; ")) }
}
