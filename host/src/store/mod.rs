//! The store: one log of events and, beside it, what plugins keep: state, progress, dead letters.
//!
//! [`Store`] is the contract; [`memory`] is the strict fake that tests use, [`embedded`] the durable one.
//! What may be written is decided in `decide`, once, in pure code; a store only moves rows in one
//! transaction. One suite, [`conformance`], holds the promises and runs against every store.
//!
//! Every write is one transaction with its conditions inside it. Writes are submitted and answered by a
//! [`Pending`]: a future for async callers, [`Pending::wait`] for threads. Reads block, and so may the
//! submitting of a write: async callers use [`AsyncStore`], which keeps both off their workers, and follow
//! the log by its [`Feed`]s.

mod append;
mod async_store;
mod checked;
mod decide;
mod error;
mod feed;
mod owner;
mod page;
mod pending;
mod plugin_data;
mod read;
mod removals;
pub mod retention;
mod state_size;
mod stream;
mod tracking;

/// The name under which rows are kept of snapshots of aggregates. No plugin can have it: files whose names begin so are
/// none.
pub const SNAPSHOTS_OWNER: &str = ".snapshots";

pub mod conformance;
pub mod embedded;
pub mod memory;

use tokio::sync::watch;
use uuid::Uuid;

pub use append::{AppendCondition, AppendError, AppendRequest, Appended, AppendedEvent, StreamExpectation};
pub use async_store::AsyncStore;
#[cfg(test)]
pub(crate) use checked::turn_waits;
pub use checked::{CheckedStore, HeavyTurn, heavy_turn};
pub use error::StoreError;
pub use feed::Feed;
pub use owner::Owner;
pub use pending::{Pending, Reply, reply};
pub use plugin_data::{
    CommitError, Committed, DeadLetter, DeadLetterChange, Failing, PluginChange, PluginRecord, Progress, StateChange,
    StateKeys, StatePage, StateSnapshot, Stopped, UnitOfWork,
};
pub use read::{Direction, ReadPage, ReadRequest};
pub use removals::Removals;
pub use state_size::StateSize;
pub use stream::{Counts, StreamDeletion, StreamHead, StreamPage};
pub use tracking::Tracking;

use crate::event::{Category, EventType, OwnIds, PluginName, Position, RecordedEvent, StreamName};

/// The event log and the data that plugins keep beside it.
///
/// Promises (each a test in [`conformance`]): a write is durable when its answer comes; positions are
/// dense from 1 and follow real time; versions are dense from 1 per stream; an append or a unit of work
/// happens whole or not at all; a reader sees exactly the events up to the `head` it was told.
pub trait Store: Send + Sync + 'static {
    /// Appends events atomically. Answered when they are on stable storage. May block the thread, for about
    /// as long as a commit takes, while too much waits to be written.
    ///
    /// Appending ids that are all stored already, with the same content, answers where they stand and
    /// writes nothing, even if an expectation or the condition does not hold any more.
    fn append(&self, request: AppendRequest) -> Pending<Result<Appended, AppendError>>;

    /// Ends a stream for good by a last event, its tombstone. Every append to it fails from then on, and so
    /// does every expectation of it but `Any`; its events stay. Answered when that is on stable storage.
    /// Blocks as [`Self::append`] does.
    ///
    /// Sent again with the same id and metadata it answers where the tombstone stands.
    fn delete_stream(&self, deletion: StreamDeletion) -> Pending<Result<Appended, AppendError>>;

    /// Commits all that a handler wants, in one transaction. Answered when it is on stable storage. Blocks
    /// as [`Self::append`] does.
    fn commit(&self, work: UnitOfWork) -> Pending<Result<Committed, CommitError>>;

    /// Changes a plugin's record and generations, in one transaction. Answered when it is on stable storage. Blocks
    /// as [`Self::append`] does.
    fn change_plugin(&self, change: PluginChange) -> Pending<Result<(), CommitError>>;

    /// [`Self::append`], unless it takes so much to look at the events first that this is done for one write at a time:
    /// without a turn for it ([`heavy_turn`]) the request is given back then. The turn ends once they are looked at. As it
    /// stands here none is needed.
    ///
    /// # Errors
    /// The request, to come with a turn.
    fn append_at(
        &self,
        request: AppendRequest,
        turn: Option<HeavyTurn>,
    ) -> Result<Pending<Result<Appended, AppendError>>, AppendRequest> {
        drop(turn);
        Ok(self.append(request))
    }

    /// [`Self::commit`], as [`Self::append_at`] is to [`Self::append`].
    ///
    /// # Errors
    /// The work, to come with a turn.
    #[expect(clippy::result_large_err, reason = "it is given back as it came")]
    fn commit_at(
        &self,
        work: UnitOfWork,
        turn: Option<HeavyTurn>,
    ) -> Result<Pending<Result<Committed, CommitError>>, UnitOfWork> {
        drop(turn);
        Ok(self.commit(work))
    }

    /// [`Self::append`] that never blocks: where that would block, the request is given back. As it stands
    /// here it always is.
    ///
    /// # Errors
    /// The request, for another way to submit it.
    fn try_append(&self, request: AppendRequest) -> Result<Pending<Result<Appended, AppendError>>, AppendRequest> {
        Err(request)
    }

    /// [`Self::append`] that never blocks, and whose answer goes to a reply: where it would block, both are given back. As
    /// it stands here they always are.
    fn append_to(
        &self,
        request: AppendRequest,
        reply: Reply<Result<Appended, AppendError>>,
    ) -> Option<(AppendRequest, Reply<Result<Appended, AppendError>>)> {
        Some((request, reply))
    }

    /// [`Self::commit`] that never blocks: where that would block, the work is given back. As it stands here
    /// it always is.
    ///
    /// # Errors
    /// The work, for another way to submit it.
    #[expect(clippy::result_large_err, reason = "it is given back as it came")]
    fn try_commit(&self, work: UnitOfWork) -> Result<Pending<Result<Committed, CommitError>>, UnitOfWork> {
        Err(work)
    }

    /// The ids that the host gives to events by itself, in this store: the same for as long as there is the store, also
    /// when it is opened again or restored from a backup. Nobody who only appends and reads can tell one in advance,
    /// but where a store says otherwise.
    fn own_ids(&self) -> OwnIds;

    /// Position of the last committed event.
    fn head(&self) -> Position;

    /// The head as it moves. Never goes back; may skip values.
    fn watch_head(&self) -> watch::Receiver<Position>;

    /// Reads events; see [`ReadRequest`].
    ///
    /// # Errors
    /// When the query is over its bounds, the store cannot be read, or its bytes are corrupted.
    fn read(&self, request: &ReadRequest) -> Result<ReadPage, StoreError>;

    /// The event with this id, if it is stored.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError>;

    /// The event at a position; none if it is removed, or not there yet.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, StoreError> {
        let after = Position(position.0.saturating_sub(1));
        let page = self.read(&ReadRequest { after, limit: 1, ..ReadRequest::default() })?;
        Ok(page.events.into_iter().next().filter(|event| event.position == position))
    }

    /// Where a stream ends; none if it never had an event.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError>;

    /// Streams whose name starts with `prefix`, in the order of names by bytes, strictly after `after` if
    /// given; at most `limit`, and at most [`PAGE_STREAMS_MAX`](crate::event::PAGE_STREAMS_MAX). Not a
    /// snapshot: a stream made while paging is met if its name is still ahead.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn streams(&self, prefix: &str, after: Option<&StreamName>, limit: usize) -> Result<StreamPage, StoreError>;

    /// Every type of event in the log and how many events have it, in the order of names by bytes. Events that
    /// are removed may be counted until their space is reclaimed. Costs as much as there are types, not events.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn event_types(&self) -> Result<Vec<(EventType, u64)>, StoreError>;

    /// How much the log ever held, removed events included. Counted while writing: costs next to nothing.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn counts(&self) -> Result<Counts, StoreError>;

    /// How far a source was followed; none if no append ever told (see [`Tracking`]).
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError>;

    /// Removes every event of a category before a position, at once and for good: raises the category's
    /// horizon, which never falls, and not beyond the head. Answers the horizon when that is on stable
    /// storage; blocks until then.
    ///
    /// Removed events are not there for any read or condition, and their ids are unknown: appended again, such
    /// an event is stored again. Their positions and versions are never given out again, streams end where
    /// they ended, and deleted ones stay deleted. Space is reclaimed later. Whether somebody still needs the
    /// events is the caller's to know.
    ///
    /// # Errors
    /// When the store cannot write; what holds then is known when it is opened again.
    fn remove(&self, category: &Category, before: Position) -> Result<Position, StoreError>;

    /// What was removed.
    fn removals(&self) -> Removals;

    /// Position of the event of a category that has exactly `newer` newer ones in it. None when there is no
    /// such event, or it is removed. Costs little, however many there are.
    ///
    /// # Errors
    /// When the store cannot be read or its bytes are corrupted.
    fn nth_newest(&self, category: &Category, newer: u64) -> Result<Option<Position>, StoreError>;

    /// How far a partition has come; none if it never committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn progress(&self, owner: &Owner, partition: u32) -> Result<Option<Progress>, StoreError>;

    /// How far every partition of every generation of a plugin has come, in the order of generations and partitions.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn plugin_progress(&self, plugin: &PluginName) -> Result<Vec<(Owner, u32, Progress)>, StoreError>;

    /// What is known of a plugin as a whole; none if that was never said.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn plugin_record(&self, plugin: &PluginName) -> Result<Option<PluginRecord>, StoreError>;

    /// The value under a key of a plugin's state.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_get(&self, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Entries of a plugin's state whose key starts with `prefix`, in key order, strictly after `after`
    /// if given, at most `limit` and about 1 MiB of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_scan(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StatePage, StoreError>;

    /// Keys of a plugin's state as [`Self::state_scan`] has them, also those of values that are damaged: no value is looked
    /// at.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_keys(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StateKeys, StoreError>;

    /// How much state an owner keeps. Counted while writing: costs little, whatever it keeps.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_size(&self, owner: &Owner) -> Result<StateSize, StoreError>;

    /// All that an owner keeps, as it is now: what is committed later is not seen in it. Costs little to take, and
    /// what changes while it is held; hold it briefly.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn state_snapshot(&self, owner: &Owner) -> Result<Box<dyn StateSnapshot>, StoreError>;

    /// Dead letters of a plugin in position order, strictly after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError>;

    /// The same without their evidence, which is most of their bytes.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn bare_dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let letters = self.dead_letters(owner, after, limit)?;
        Ok(letters.into_iter().map(DeadLetter::without_evidence).collect())
    }

    /// One dead letter of a plugin.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_letter(&self, owner: &Owner, position: Position) -> Result<Option<DeadLetter>, StoreError>;

    /// How many dead letters a plugin has.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn dead_letter_count(&self, owner: &Owner) -> Result<u64, StoreError>;

    /// Every plugin that the store holds progress or a record of, installed or not, in name order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn plugins(&self) -> Result<Vec<PluginName>, StoreError>;
}
