//! What delivery is told from outside, and how it answers.

use thiserror::Error;
use tokio::sync::oneshot;

use super::Setup;
use crate::delivery::key::Sequence;
use crate::delivery::machine::Elsewhere;
use crate::delivery::record::Dropped;
use crate::error::ErrorClass;
use crate::event::{PluginName, Position};
use crate::store::{CommitError, StoreError};

/// Events that failed again that an answer tells of.
const FAILING_TOLD_MAX: usize = 100;

/// What a plugin's group is told, and where the answer goes.
pub(super) enum Command {
    Swap(Box<Swap>, oneshot::Sender<Result<(), CommandError>>),
    Stop,
    Pause(bool, oneshot::Sender<Result<(), CommandError>>),
    Retry(Letters, oneshot::Sender<Result<Redriven, CommandError>>),
    Discard(Letters, oneshot::Sender<Result<u64, CommandError>>),
    Rebuild(Box<Setup>, Rebuild, oneshot::Sender<Result<(), CommandError>>),
    CancelRebuild(oneshot::Sender<Result<(), CommandError>>),
    RollBack(Box<Setup>, String, oneshot::Sender<Result<(), CommandError>>),
}

/// Another version, or the same one that is allowed less.
pub(super) struct Swap {
    pub(super) setup: Setup,
    /// SHA-256 of the component that it takes over from, in hex; none for whichever is live.
    pub(super) over: Option<String>,
    /// Whether it has failed at nothing yet: what stops the plugin ends.
    pub(super) fresh: bool,
}

/// How a generation is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// A fresh one.
    Begin {
        /// First position; none for where the plugin began.
        from: Option<Position>,
        /// Why, for people.
        reason: String,
        /// SHA-256 of the component that is live, in hex: another one is not meant.
        live: String,
    },
    /// The one that was being built before.
    GoOn,
}

/// What a partition is told.
pub(super) enum Order {
    Stop,
    Pause(oneshot::Sender<()>),
    Resume(oneshot::Sender<()>),
    Retry(Lines, oneshot::Sender<Result<Redriven, CommandError>>),
    /// Those up to a position; answers how many there were.
    Discard(Lines, Position, oneshot::Sender<Result<u64, CommandError>>),
    /// What has become of the events that were taken over as set aside.
    Release(Elsewhere, oneshot::Sender<Result<Redriven, CommandError>>),
}

/// Which set-aside events of a partition.
#[derive(Clone, Debug)]
pub(super) enum Lines {
    All,
    /// Those of a sequence; where a position is given it is that one, which must be the first to be handed over.
    One(Sequence, Option<Position>),
}

/// Which set-aside events are handed over again: one must be the first of its key, and takes those behind it with it.
pub type Retry = Letters;

/// Which set-aside events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// This one.
    Position(Position),
    /// Those of a key.
    Key(String),
    /// Those of every key.
    All,
}

/// What became of set-aside events that were handed over again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// How many were handled: their effects are committed, and they are set aside no more.
    pub handled: u64,
    /// How many failed again: each stopped those behind it.
    pub failed: u64,
    /// The first 100 of them.
    pub failing: Vec<StillFailing>,
    /// Why it ended before its time, if it did: what was not handled is still set aside.
    pub interrupted: Option<String>,
    /// How many keys, and events without one, were asked for.
    pub sequences: usize,
}

/// A set-aside event that failed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StillFailing {
    /// The event.
    pub position: Position,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Why it failed.
    pub reason: String,
}

impl Redriven {
    pub(super) fn note_failing(&mut self, failing: StillFailing) {
        self.failed += 1;
        if self.failing.len() < FAILING_TOLD_MAX {
            self.failing.push(failing);
        }
    }

    /// Both together.
    pub(super) fn plus(mut self, other: Self) -> Self {
        self.handled += other.handled;
        self.failed += other.failed;
        self.sequences += other.sequences;
        self.failing.extend(other.failing);
        self.failing.sort_by_key(|failing| failing.position);
        self.failing.truncate(FAILING_TOLD_MAX);
        self.interrupted = self.interrupted.or(other.interrupted);
        self
    }
}

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The plugin has not set this event aside.
    #[error("plugin {plugin} has no dead letter at position {position}; `tidemill dead-letters ls` lists them")]
    NoSuchDeadLetter {
        /// The plugin.
        plugin: PluginName,
        /// The position asked for.
        position: Position,
    },
    /// The plugin has set no event of this key aside.
    #[error(
        "plugin {plugin} has no dead letters of key {key:?}; `tidemill dead-letters ls` lists them with their keys"
    )]
    NoSuchKey {
        /// The plugin.
        plugin: PluginName,
        /// The key asked for.
        key: String,
    },
    /// The plugin has set nothing aside.
    #[error("plugin {plugin} has no dead letters, so there is nothing to retry or to discard")]
    NothingSetAside {
        /// The plugin.
        plugin: PluginName,
    },
    /// An earlier event of the key comes first.
    #[error(
        "event {position} waits behind event {head} of the same key; retry that one, or the key, \
         or discard it"
    )]
    Behind {
        /// The position asked for.
        position: Position,
        /// The first of its key.
        head: Position,
    },
    /// The plugin hands nothing over.
    #[error("plugin {plugin} is paused; `tidemill plugins resume {plugin}` lets it go on")]
    Paused {
        /// The plugin.
        plugin: PluginName,
    },
    /// The plugin's delivery has ended.
    #[error("plugin {plugin} is stopped")]
    Stopped {
        /// The plugin.
        plugin: PluginName,
    },
    /// A generation is built, and decides what becomes of set-aside events.
    #[error(
        "plugin {plugin} is being rebuilt; wait until that is through (`tidemill plugins inspect {plugin}` shows how \
         far it is), or end it by `tidemill plugins rebuild {plugin} --cancel`"
    )]
    Rebuilding {
        /// The plugin.
        plugin: PluginName,
    },
    /// No generation is built.
    #[error("plugin {plugin} is not being rebuilt, so there is nothing to cancel, to go on with or to show of it")]
    NotRebuilding {
        /// The plugin.
        plugin: PluginName,
    },
    /// There is nothing before what runs.
    #[error(
        "plugin {plugin} has nothing to return to: {}; put the component that should run into the plugins directory",
        why_nothing(.dropped.as_ref())
    )]
    NothingBefore {
        /// The plugin.
        plugin: PluginName,
        /// What there was to return to, where retention dropped it.
        dropped: Option<Dropped>,
    },
    /// Where the plugin began is not known any more.
    #[error("plugin {plugin} began at the head of the log as it was then; say from which position, with --from")]
    StartUnknown {
        /// The plugin.
        plugin: PluginName,
    },
    /// A generation cannot begin there.
    #[error("plugin {plugin} cannot be rebuilt from {from}: positions begin at 1, and it has come to {head}")]
    NoSuchStart {
        /// The plugin.
        plugin: PluginName,
        /// The position asked for.
        from: Position,
        /// How far the plugin has come.
        head: Position,
    },
    /// What runs is not what the command was meant for.
    #[error("plugin {plugin} was replaced meanwhile; look at what runs now, then try again")]
    Replaced {
        /// The plugin.
        plugin: PluginName,
    },
    /// What the command did could not be committed.
    #[error("the command could not be committed")]
    Commit(#[from] CommitError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is nothing to return to.
fn why_nothing(dropped: Option<&Dropped>) -> String {
    match dropped {
        Some(dropped) => dropped.to_string(),
        None => "no other component, and no other state, was live before".into(),
    }
}

impl CommandError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchDeadLetter { .. } | Self::NoSuchKey { .. } | Self::NothingSetAside { .. } => {
                ErrorClass::NotFound
            }
            Self::NotRebuilding { .. } => ErrorClass::NotFound,
            Self::StartUnknown { .. } | Self::NoSuchStart { .. } => ErrorClass::Invalid,
            Self::Behind { .. }
            | Self::Paused { .. }
            | Self::Rebuilding { .. }
            | Self::NothingBefore { .. }
            | Self::Replaced { .. } => ErrorClass::Conflict,
            Self::Stopped { .. } => ErrorClass::Unavailable,
            Self::Commit(error) => error.class(),
            Self::Store(error) => error.class(),
        }
    }
}
