//! What the store keeps for plugins, and the one transaction that changes it.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::{AppendError, Appended, Owner, StoreError};
use crate::error::ErrorClass;
use crate::event::{NewEvent, PluginName, Position, WORK_BYTES_MAX};

/// How far one partition of an owner has come. Stored as one row; committed with the effects it accounts for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Counts the partition's commits; a commit names the one it builds on, so that two runners of one
    /// partition cannot both write.
    pub revision: u64,
    /// Every matching event of the partition up to here is handled or set aside.
    pub checkpoint: Position,
    /// The event just after the checkpoint that keeps failing, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// What has stopped the partition until somebody acts, if anything has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// What has stopped a partition: it hands nothing over until another component runs, under another
/// manifest or on events that are lifted otherwise, or an operator resumes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// SHA-256 of the component that ran, in hex.
    pub component: String,
    /// SHA-256 of what its manifest said, in hex; empty where it had none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// What tells the lifts that its events went through from others; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lifts: String,
    /// Whether it faults on everything, rather than cannot go on from where it stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quarantined: bool,
    /// Why, for people.
    pub reason: String,
}

/// The attempts at one event so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failing {
    /// The event.
    pub position: Position,
    /// Attempts that failed by the handler's word.
    pub attempts: u32,
    /// Attempts that ended in a fault.
    #[serde(default)]
    pub faults: u32,
    /// When the first failed: microseconds since the Unix epoch.
    pub first_us: u64,
    /// When the last failed: microseconds since the Unix epoch.
    pub last_us: u64,
    /// Why the last failed.
    pub reason: String,
}

/// An event set aside, with all that is known of why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event.
    pub position: Position,
    /// Its key: later events of one key are set aside behind it. None for an event without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why it was set aside, in one line.
    pub reason: String,
    /// `reject` or `retry` when the handler answered; `behind` when it was never tried, because an earlier event
    /// of its key stands here; `no_key` when it lacks the key it is ordered by; else the fault: `trap`,
    /// `deadline`, `out_of_memory`, `out_of_fuel`, `denied`, `bad_reply`, `upcast`. `discarded` when an operator has
    /// done so.
    pub kind: String,
    /// Attempts that failed by the handler's word, retries by an operator included.
    pub attempts: u32,
    /// Attempts that ended in a fault.
    #[serde(default)]
    pub faults: u32,
    /// When it is tried again by itself: microseconds since the Unix epoch. None when it waits for an operator,
    /// or behind another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_us: Option<u64>,
    /// When the first failed: microseconds since the Unix epoch.
    pub first_us: u64,
    /// When the last failed: microseconds since the Unix epoch.
    pub last_us: u64,
    /// SHA-256 of the component that failed, in hex; empty for native handlers.
    pub component_digest: String,
    /// The last of what the guest wrote to stderr and `log`.
    pub stderr_tail: String,
    /// The wasm backtrace; empty when there was no trap.
    pub backtrace: String,
    /// Whether what it emits is in the log already, because another generation handled it: handled now, it emits
    /// nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quiet: bool,
}

impl DeadLetter {
    /// Kind of one that an operator has discarded. It is no dead letter any more: it stays so that no generation of the
    /// plugin's data handles the event.
    pub const DISCARDED: &str = "discarded";

    /// The same without its evidence: what the guest wrote, and the backtrace.
    #[must_use]
    pub fn without_evidence(self) -> Self {
        Self { stderr_tail: String::new(), backtrace: String::new(), ..self }
    }

    /// Whether an operator has discarded it.
    #[must_use]
    pub fn is_discarded(&self) -> bool {
        self.kind == Self::DISCARDED
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// One change of a plugin's state: a new value, or none to remove the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The key.
    pub key: String,
    /// Its new value; none removes it.
    pub value: Option<Vec<u8>>,
}

/// One change of a plugin's dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterChange {
    /// Adds one, or replaces the one of the same position.
    Put(DeadLetter),
    /// Removes the one of this position.
    Remove(Position),
}

/// Everything one commit of a partition changes. It happens whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitOfWork {
    /// Whose.
    pub owner: Owner,
    /// Of which of its partitions; the first is 0.
    pub partition: u32,
    /// The partition's progress after it. Its `revision` must be one more than the stored one.
    pub progress: Progress,
    /// Changes of the state; at most one for each key.
    pub state: Vec<StateChange>,
    /// Events to append, in order, with no condition.
    pub events: Vec<NewEvent>,
    /// Changes of the dead letters.
    pub dead_letters: Vec<DeadLetterChange>,
}

/// What is known of a plugin as a whole: one row, whose content the store does not look into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Counts its changes; a change names the one it builds on.
    pub revision: u64,
    /// The content, as text.
    pub content: String,
}

/// A change of what a plugin is made of: its record, and its generations. It happens whole or not at all.
///
/// Whoever makes one has stopped the plugin's partitions that it touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginChange {
    /// Whose.
    pub plugin: PluginName,
    /// The record after it. Its `revision` must be one more than the stored one.
    pub record: PluginRecord,
    /// Progress of partitions (generation, partition), set as given.
    pub progress: Vec<(u32, u32, Progress)>,
    /// Progress rows that go (generation, partition).
    pub progress_removed: Vec<(u32, u32)>,
    /// Generations that go, with all their rows. What is set for one of them goes too, and nothing may be committed
    /// for it any more.
    pub generations_dropped: Vec<u32>,
}

impl PluginChange {
    /// Its size, in bytes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.record.content.len() + (self.progress.len() + self.progress_removed.len()) * size_of::<Progress>()
    }
}

impl UnitOfWork {
    /// Its size: keys, values, evidence and events, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let state = self.state.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len));
        let letter = |change: &DeadLetterChange| match change {
            DeadLetterChange::Put(letter) => {
                let key = letter.key.as_ref().map_or(0, String::len);
                key + letter.reason.len() + letter.stderr_tail.len() + letter.backtrace.len()
            }
            DeadLetterChange::Remove(_) => 0,
        };
        let letters = self.dead_letters.iter().map(letter);
        state.chain(letters).chain(self.events.iter().map(NewEvent::size_bytes)).sum()
    }
}

/// The answer to a unit of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where its events stand; none when it had none.
    pub appended: Option<Appended>,
}

/// Why nothing of a unit of work was committed.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// Somebody else committed for this plugin in between.
    #[error("plugin {owner} was at revision {stored}, this commit builds on {expected}; another runner drives it")]
    Fenced {
        /// The plugin, or one generation of it.
        owner: Owner,
        /// The stored revision.
        stored: u64,
        /// The revision the unit of work builds on.
        expected: u64,
    },
    /// Too many bytes for one commit.
    #[error("{bytes} bytes in one unit of work; at most {WORK_BYTES_MAX} are allowed, commit in smaller steps")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Its events cannot be appended.
    #[error("the events it appends are refused")]
    Append(#[source] AppendError),
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommitError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Fenced { .. } => ErrorClass::Conflict,
            Self::TooLarge { .. } => ErrorClass::Invalid,
            Self::Append(error) => error.class(),
            Self::Store(error) => error.class(),
        }
    }
}

/// What an owner keeps, as it was at one moment. Its methods block.
pub trait StateSnapshot: Send + Sync {
    /// How far a partition had come; none if it had never committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn progress(&self, partition: u32) -> Result<Option<Progress>, StoreError>;

    /// The value under a key of the state.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Entries of the state, as [`Store::state_scan`](super::Store::state_scan) answers them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError>;
}

/// Some entries of a plugin's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePage {
    /// Keys and values, in key order.
    pub entries: Vec<(String, Vec<u8>)>,
    /// Give this as `after` to go on; none when the scan is complete.
    pub next: Option<String>,
}

/// Some keys of a plugin's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateKeys {
    /// The keys, in order.
    pub keys: Vec<String>,
    /// Give this as `after` to go on; none when there are no more.
    pub next: Option<String>,
}

impl From<StatePage> for StateKeys {
    fn from(page: StatePage) -> Self {
        Self { keys: page.entries.into_iter().map(|(key, _)| key).collect(), next: page.next }
    }
}
