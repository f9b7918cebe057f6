//! The store: one log of events and, beside it, what plugins keep: state, progress, dead letters.
//!
//! [`Store`] is the contract; [`memory`] is the strict fake that tests use, [`redb`] the durable one.
//! What may be written is decided in `decide`, once, in pure code; a store only moves rows in one
//! transaction. One suite, [`conformance`], holds the promises and runs against every store.
//!
//! Every write is one transaction with its conditions inside it. Writes are submitted and answered by a
//! [`Pending`]: a future for async callers, [`Pending::wait`] for threads. Reads block; async callers put
//! them on a blocking thread.

mod append;
mod decide;
mod error;
mod page;
mod pending;
mod plugin_data;
mod read;

pub mod conformance;
pub mod memory;
pub mod redb;

use tokio::sync::watch;
use uuid::Uuid;

pub use append::{AppendError, AppendRequest, Appended, AppendedEvent, StreamExpectation};
pub use error::StoreError;
pub use pending::{Pending, Reply, reply};
pub use plugin_data::{
    CommitError, Committed, DeadLetter, DeadLetterChange, Failing, Progress, StateChange, StatePage, UnitOfWork,
};
pub use read::{Direction, ReadPage, ReadRequest};

use crate::event::{PluginName, Position, RecordedEvent, StreamName, Version};

/// The event log and the data that plugins keep beside it.
///
/// Promises (each a test in [`conformance`]): a write is durable when its answer comes; positions are
/// dense from 1 and follow real time; versions are dense from 1 per stream; an append or a unit of work
/// happens whole or not at all; a reader sees exactly the events up to the `head` it was told.
pub trait Store: Send + Sync + 'static {
    /// Appends events atomically. Answered when they are on stable storage.
    ///
    /// Appending ids that are all stored already, with the same content, answers where they stand and
    /// writes nothing, whatever `expected` says.
    fn append(&self, request: AppendRequest) -> Pending<Result<Appended, AppendError>>;

    /// Commits all that a handler wants, in one transaction. Answered when it is on stable storage.
    fn commit(&self, work: UnitOfWork) -> Pending<Result<Committed, CommitError>>;

    /// Position of the last committed event.
    fn head(&self) -> Position;

    /// The head as it moves. Never goes back; may skip values.
    fn watch_head(&self) -> watch::Receiver<Position>;

    /// Reads events; see [`ReadRequest`].
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn read(&self, request: &ReadRequest) -> Result<ReadPage, StoreError>;

    /// The event with this id, if it is stored.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError>;

    /// Version of the stream's last event; 0 if it has none.
    fn stream_version(&self, stream: &StreamName) -> Version;

    /// How far a plugin has come; none if it never committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn progress(&self, plugin: &PluginName) -> Result<Option<Progress>, StoreError>;

    /// The value under a key of a plugin's state.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_get(&self, plugin: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Entries of a plugin's state whose key starts with `prefix`, in key order, strictly after `after`
    /// if given, at most `limit` and about 1 MiB of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_scan(
        &self,
        plugin: &PluginName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StatePage, StoreError>;

    /// Dead letters of a plugin in position order, strictly after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_letters(&self, plugin: &PluginName, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError>;

    /// One dead letter of a plugin.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_letter(&self, plugin: &PluginName, position: Position) -> Result<Option<DeadLetter>, StoreError>;

    /// How many dead letters a plugin has.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_letter_count(&self, plugin: &PluginName) -> Result<u64, StoreError>;

    /// Every plugin that the store holds progress of, installed or not, in name order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn plugins(&self) -> Result<Vec<PluginName>, StoreError>;
}
