//! Why a rehearsal comes to no result.

use thiserror::Error;

use crate::error::ErrorClass;
use crate::event::{PluginName, Position};
use crate::store::StoreError;

/// Why a rehearsal comes to no result. Nothing was changed by it.
#[derive(Debug, Error)]
pub enum RehearsalError {
    /// The range holds no position.
    #[error("no event stands from {from} to {to}: positions begin at 1, and --to must not be before --from")]
    EmptyRange {
        /// The first position asked for.
        from: Position,
        /// The last position asked for.
        to: Position,
    },
    /// The range goes on after the last event.
    #[error("the range goes up to {asked}, and the log to {head}; give a --from and --to up to {head}")]
    BeyondHead {
        /// The position asked for.
        asked: Position,
        /// The last position of the log.
        head: Position,
    },
    /// Where the plugin began is not known.
    #[error("plugin {plugin} begins at \"end\", and where that was when it was installed is not kept; give --from")]
    StartUnknown {
        /// The plugin.
        plugin: PluginName,
    },
    /// The plugin has settled nothing after its start.
    #[error(
        "plugin {plugin} has settled nothing from {from} on yet, its checkpoint is {checkpoint}; wait until it has"
    )]
    NothingSettled {
        /// The plugin.
        plugin: PluginName,
        /// Where the rehearsal would begin.
        from: Position,
        /// The live checkpoint.
        checkpoint: Position,
    },
    /// Events that made the state are gone.
    #[error(
        "events before position {before} that the state may come from were removed by retention, so it cannot be built \
         anew; `tidemill retention ls` shows what is kept"
    )]
    Removed {
        /// Events before this position were removed.
        before: Position,
    },
    /// The state that the handler builds up is too large.
    #[error(
        "the state takes more than {bytes_max} bytes of memory; allow it more by --state-bytes (`state_bytes`), as far as \
         the server has it, or end the range earlier where it may end, by --to"
    )]
    ScratchFull {
        /// The bound.
        bytes_max: usize,
    },
    /// The handler appends too much at a time.
    #[error(
        "it appends more than {bytes_max} bytes within {events} events from {from} on; lower `[delivery] batch_events_max`"
    )]
    TooMuchEmitted {
        /// The bound.
        bytes_max: usize,
        /// Events that were looked at together.
        events: usize,
        /// The first of them.
        from: Position,
    },
    /// The live state could not be read at one moment.
    #[error(
        "plugin {plugin} commits all the time: its state could not be read as of one moment in {tries} tries; \
         verify again when fewer events come in"
    )]
    Moving {
        /// The plugin.
        plugin: PluginName,
        /// How often it was tried.
        tries: u32,
    },
    /// Whoever asked for it does not want it any more.
    #[error("the rehearsal was cancelled")]
    Cancelled,
    /// The host failed at it.
    #[error("the rehearsal broke off: {reason}")]
    Broken {
        /// What happened.
        reason: String,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RehearsalError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::EmptyRange { .. }
            | Self::BeyondHead { .. }
            | Self::StartUnknown { .. }
            | Self::ScratchFull { .. }
            | Self::TooMuchEmitted { .. } => ErrorClass::Invalid,
            Self::NothingSettled { .. } | Self::Removed { .. } => ErrorClass::Conflict,
            Self::Moving { .. } | Self::Cancelled => ErrorClass::Unavailable,
            Self::Broken { .. } => ErrorClass::Bug,
            Self::Store(error) => error.class(),
        }
    }
}
