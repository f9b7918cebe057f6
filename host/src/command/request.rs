//! A command, as somebody sends it.

use std::collections::BTreeMap;

use thiserror::Error;

use super::decision::DECIDED_BYTES_MAX;
use super::record::OWN_KEYS;
use crate::error::ErrorClass;
use crate::event::{
    COMMAND_DEADLINE_MS_MAX, Category, DATA_BYTES_MAX, ExpectedVersion, METADATA_ENTRIES_MAX, METADATA_VALUE_BYTES_MAX,
    NameError, RESERVED_TYPE_PREFIX, StreamName, check_name,
};
use crate::store::AppendCondition;

/// Metadata entries that the host adds to each event of a command.
pub(super) const OWN_ENTRIES: usize = OWN_KEYS.len();

/// A command.
#[derive(Clone, Debug)]
pub struct Command {
    /// To which kind of aggregate: the category of its stream.
    pub aggregate: Category,
    /// To which one: the rest of its stream's name.
    pub key: String,
    /// Its own identity, 1 to 255 bytes: the same command sent again has the outcome that it had.
    pub id: String,
    /// What is wanted, 1 to 255 bytes.
    pub command_type: String,
    /// With what.
    pub data: Vec<u8>,
    /// The media type of `data`; none for JSON.
    pub content_type: Option<String>,
    /// Metadata, which its events get.
    pub metadata: BTreeMap<String, String>,
    /// What the stream must be when it is decided.
    pub expected: ExpectedVersion,
    /// What must hold of the log when its events are appended.
    pub condition: Option<AppendCondition>,
    /// How long it may take from now until it is appended; none for what its manifest says.
    pub deadline_ms: Option<u64>,
}

/// Why something is no command.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidCommand {
    /// A name in it is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its data are too large.
    #[error("data has {bytes} bytes; at most {DATA_BYTES_MAX} are allowed")]
    DataTooLarge {
        /// Their size.
        bytes: usize,
    },
    /// Its deadline is out of bounds.
    #[error("deadline_ms is {ms}; 1 to {COMMAND_DEADLINE_MS_MAX} are allowed")]
    Deadline {
        /// The deadline, in milliseconds.
        ms: u64,
    },
    /// Too many metadata entries.
    #[error("{count} metadata entries; at most {} are allowed", METADATA_ENTRIES_MAX - OWN_ENTRIES)]
    TooMuchMetadata {
        /// How many.
        count: usize,
    },
    /// A metadata value is too long.
    #[error("metadata {key:?} has {bytes} bytes; at most {METADATA_VALUE_BYTES_MAX} are allowed")]
    MetadataValueTooLong {
        /// The entry's key.
        key: String,
        /// The value's length.
        bytes: usize,
    },
    /// With the metadata that an event has of itself there is too much.
    #[error(
        "event {index} that follows would have {count} metadata entries, its own and the command's; at most \
         {METADATA_ENTRIES_MAX} are allowed: give the command fewer"
    )]
    TooManyForEvent {
        /// The event's index in the decision, from 0.
        index: usize,
        /// How many it would have.
        count: usize,
    },
    /// Its metadata is too much for so many events.
    #[error(
        "the command's metadata goes to each of the {events} events that follow, which makes {bytes} bytes; at most \
         {DECIDED_BYTES_MAX} may follow from one command: give it less metadata"
    )]
    TooMuchForEvents {
        /// How many events follow.
        events: usize,
        /// What they would come to.
        bytes: usize,
    },
    /// The host alone gives such ids.
    #[error("command id {id:?} is the host's own, as all that begin with '{RESERVED_TYPE_PREFIX}'; give it another")]
    ReservedId {
        /// The id.
        id: String,
    },
    /// The host alone writes this metadata.
    #[error("metadata {key:?} is the host's own, as all that begin with '{RESERVED_TYPE_PREFIX}'; give it another key")]
    ReservedMetadata {
        /// The entry's key.
        key: String,
    },
}

impl InvalidCommand {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl Command {
    /// The stream that it is decided against.
    ///
    /// # Errors
    /// When there can be no such stream.
    pub fn stream(&self) -> Result<StreamName, NameError> {
        stream_of(&self.aggregate, &self.key)
    }

    /// Refuses an id that the host alone gives: those of commands that plugins send begin so, and nobody may be there
    /// before them.
    pub(super) fn check_id_of_client(&self) -> Result<(), InvalidCommand> {
        if self.id.starts_with(RESERVED_TYPE_PREFIX) {
            return Err(InvalidCommand::ReservedId { id: self.id.clone() });
        }
        Ok(())
    }

    /// Checks all that depends on nothing else.
    pub(super) fn check(&self) -> Result<StreamName, InvalidCommand> {
        check_name("command id", &self.id)?;
        check_name("command type", &self.command_type)?;
        if self.data.len() > DATA_BYTES_MAX {
            return Err(InvalidCommand::DataTooLarge { bytes: self.data.len() });
        }
        if let Some(ms) = self.deadline_ms.filter(|ms| !(1..=COMMAND_DEADLINE_MS_MAX).contains(ms)) {
            return Err(InvalidCommand::Deadline { ms });
        }
        let count = self.metadata.len();
        if count > METADATA_ENTRIES_MAX - OWN_ENTRIES {
            return Err(InvalidCommand::TooMuchMetadata { count });
        }
        for (key, value) in &self.metadata {
            check_name("metadata key", key)?;
            if key.starts_with(RESERVED_TYPE_PREFIX) {
                return Err(InvalidCommand::ReservedMetadata { key: key.clone() });
            }
            if value.len() > METADATA_VALUE_BYTES_MAX {
                return Err(InvalidCommand::MetadataValueTooLong { key: key.clone(), bytes: value.len() });
            }
        }
        Ok(self.stream()?)
    }
}

/// The stream of an aggregate.
pub(super) fn stream_of(aggregate: &Category, key: &str) -> Result<StreamName, NameError> {
    check_name("aggregate id", key)?;
    StreamName::new(format!("{aggregate}-{key}"))
}
