//! What decides: the traits that the wasm runtime implements, and that native code may.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::delivery::{Evidence, Fault};
use crate::event::{NewEvent, RecordedEvent};

/// The code of an aggregate. Cheap to share.
pub trait AggregateCode: Send + Sync + 'static {
    /// Version of what its snapshots hold.
    fn snapshot_schema(&self) -> u32;

    /// An instance without aggregates; it is started by its first call.
    fn host(&self) -> Box<dyn AggregateHost>;
}

/// An aggregate within an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// An instance that holds aggregates.
///
/// Calls block; they are made on blocking threads, never two at a time. After a fault the instance, with all that it
/// holds, is dropped.
pub trait AggregateHost: Send + 'static {
    /// An aggregate without events; `id` is what follows the category in its stream's name.
    ///
    /// # Errors
    /// When the code does not answer.
    fn make(&mut self, id: &str) -> Result<Handle, Faulted>;

    /// An aggregate as a snapshot has it; none when it does not fit, with the reason.
    ///
    /// # Errors
    /// When the code does not answer.
    fn restore(&mut self, id: &str, snapshot: &[u8]) -> Result<Result<Handle, String>, Faulted>;

    /// Hands events over, in their order.
    ///
    /// # Errors
    /// When the code does not answer.
    fn apply(&mut self, aggregate: Handle, events: &[RecordedEvent]) -> Result<Result<(), Misfit>, Faulted>;

    /// Decides a command. Events have no ids and no stream yet; their names are checked.
    ///
    /// # Errors
    /// When the code does not answer.
    fn decide(&mut self, aggregate: Handle, asked: &Asked) -> Result<Result<Vec<NewEvent>, Rejection>, Faulted>;

    /// The state of an aggregate; none where the code has no snapshots.
    ///
    /// # Errors
    /// When the code does not answer.
    fn snapshot(&mut self, aggregate: Handle) -> Result<Option<Vec<u8>>, Faulted>;

    /// Lets an aggregate go.
    ///
    /// # Errors
    /// When the code does not answer.
    fn forget(&mut self, aggregate: Handle) -> Result<(), Faulted>;

    /// Whether it holds so much that it should begin anew.
    fn is_full(&self) -> bool;

    /// Memory that it has, in bytes.
    fn memory_bytes(&self) -> usize;
}

/// A command, as code sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its identity.
    pub id: String,
    /// What is wanted.
    pub command_type: String,
    /// With what.
    pub data: Vec<u8>,
    /// The media type of `data`; none for JSON.
    pub content_type: Option<String>,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// When it is decided: microseconds since the Unix epoch.
    pub timestamp_us: u64,
}

/// Why a command leads to nothing: the domain's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// What kind of reason it is, for programs.
    pub code: String,
    /// Why, for people.
    pub reason: String,
    /// More for programs: a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
}

/// An event of the history that code cannot take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Its index within the call.
    pub index: usize,
    /// Why, in one line.
    pub reason: String,
}

/// Code did not answer, or what it answered makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulted {
    /// In which call.
    pub stage: Stage,
    /// What went wrong.
    pub fault: Fault,
    /// Why, in one line.
    pub reason: String,
    /// What it left behind.
    pub evidence: Evidence,
}

/// A call of an aggregate's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Starting the instance, or making an aggregate without events.
    Start,
    /// Making one of a snapshot.
    Restore,
    /// Holding a command against a validator's rules.
    Validate,
    /// Taking in events.
    Apply,
    /// Deciding.
    Decide,
    /// Giving its state.
    Snapshot,
}

impl Stage {
    /// Its name in answers and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restore => "restore",
            Self::Validate => "validate",
            Self::Apply => "apply",
            Self::Decide => "decide",
            Self::Snapshot => "snapshot",
        }
    }
}
