//! A store that holds what is appended to the schemas of its types, whoever appends: clients and plugins alike.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use uuid::Uuid;

use super::{
    AppendError, AppendRequest, Appended, CommitError, Committed, Counts, DeadLetter, Owner, Pending, PluginChange,
    PluginRecord, Progress, ReadPage, ReadRequest, Removals, Reply, StateKeys, StatePage, StateSize, StateSnapshot,
    Store, StoreError, StreamDeletion, StreamHead, StreamPage, UnitOfWork,
};
use crate::event::{
    Category, EventType, InvalidEvent, NewEvent, OwnIds, PluginName, Position, RecordedEvent, StreamName,
};
use crate::schema::{FieldError, SchemaCell};

/// Who holds to a schema what takes much, from async code: one at a time in the process, as the check itself is made for
/// one at a time, and those that wait for it would only hold threads.
static TURN: Semaphore = Semaphore::const_new(1);

/// The turn to hold to a schema what takes much, until it is dropped.
#[derive(Debug)]
pub struct HeavyTurn {
    // Never closed.
    _permit: Option<SemaphorePermit<'static>>,
}

/// Waits for the turn to hold to a schema what takes much. Taken before the thread is, and let go once that is done.
pub async fn heavy_turn() -> HeavyTurn {
    HeavyTurn { _permit: TURN.acquire().await.ok() }
}

/// A store behind schemas. Everything but what is appended passes as it is.
pub struct CheckedStore {
    inner: Arc<dyn Store>,
    schemas: Arc<SchemaCell>,
}

impl CheckedStore {
    /// Holds what is appended to `schemas`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, schemas: Arc<SchemaCell>) -> Self {
        Self { inner, schemas }
    }

    fn check(&self, events: &[NewEvent]) -> Result<(), AppendError> {
        let schemas = self.schemas.get();
        events.iter().enumerate().try_for_each(|(index, event)| match schemas.check(event) {
            Err(errors) if self.inner.event(event.id)?.is_none() => {
                Err(AppendError::InvalidEvent { index, reason: against(event, &errors) })
            }
            // One that is stored is not appended again, whatever is asked for by now: the store tells where it is.
            Ok(()) | Err(_) => Ok(()),
        })
    }

    /// Checks events at their turn, which ends with that; none where they need one and have none.
    fn check_at(&self, events: &[NewEvent], turn: Option<HeavyTurn>) -> Option<Result<(), AppendError>> {
        if turn.is_none() && self.schemas.get().are_heavy(events) {
            return None;
        }
        let checked = self.check(events);
        drop(turn);
        Some(checked)
    }

    /// Whether nothing has to be looked for, and that is soon known. What does not fit is checked again, by a thread that
    /// may also look for it in the store: that is only ever little.
    fn fits(&self, events: &[NewEvent]) -> bool {
        self.schemas.get().fit_at_once(events)
    }
}

fn against(event: &NewEvent, errors: &[FieldError]) -> InvalidEvent {
    let errors = errors.iter().map(|error| (error.path.clone(), error.reason.clone())).collect();
    InvalidEvent::AgainstSchema { event_type: event.event_type.clone(), version: event.schema_version, errors }
}

impl Store for CheckedStore {
    fn append(&self, request: AppendRequest) -> Pending<Result<Appended, AppendError>> {
        match self.check(&request.events) {
            Ok(()) => self.inner.append(request),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn append_to(
        &self,
        request: AppendRequest,
        reply: Reply<Result<Appended, AppendError>>,
    ) -> Option<(AppendRequest, Reply<Result<Appended, AppendError>>)> {
        match self.check(&request.events) {
            Ok(()) => self.inner.append_to(request, reply),
            Err(error) => {
                reply.send(Err(error));
                None
            }
        }
    }

    fn commit(&self, work: UnitOfWork) -> Pending<Result<Committed, CommitError>> {
        match self.check(&work.events) {
            Ok(()) => self.inner.commit(work),
            Err(error) => Pending::ready(Err(CommitError::Append(error))),
        }
    }

    fn append_at(
        &self,
        request: AppendRequest,
        turn: Option<HeavyTurn>,
    ) -> Result<Pending<Result<Appended, AppendError>>, AppendRequest> {
        match self.check_at(&request.events, turn) {
            None => Err(request),
            Some(Ok(())) => Ok(self.inner.append(request)),
            Some(Err(error)) => Ok(Pending::ready(Err(error))),
        }
    }

    fn commit_at(
        &self,
        work: UnitOfWork,
        turn: Option<HeavyTurn>,
    ) -> Result<Pending<Result<Committed, CommitError>>, UnitOfWork> {
        match self.check_at(&work.events, turn) {
            None => Err(work),
            Some(Ok(())) => Ok(self.inner.commit(work)),
            Some(Err(error)) => Ok(Pending::ready(Err(CommitError::Append(error)))),
        }
    }

    fn try_append(&self, request: AppendRequest) -> Result<Pending<Result<Appended, AppendError>>, AppendRequest> {
        if self.fits(&request.events) { self.inner.try_append(request) } else { Err(request) }
    }

    fn try_commit(&self, work: UnitOfWork) -> Result<Pending<Result<Committed, CommitError>>, UnitOfWork> {
        if self.fits(&work.events) { self.inner.try_commit(work) } else { Err(work) }
    }

    fn delete_stream(&self, deletion: StreamDeletion) -> Pending<Result<Appended, AppendError>> {
        self.inner.delete_stream(deletion)
    }

    fn change_plugin(&self, change: PluginChange) -> Pending<Result<(), CommitError>> {
        self.inner.change_plugin(change)
    }

    fn own_ids(&self) -> OwnIds {
        self.inner.own_ids()
    }

    fn head(&self) -> Position {
        self.inner.head()
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        self.inner.watch_head()
    }

    fn read(&self, request: &ReadRequest) -> Result<ReadPage, StoreError> {
        self.inner.read(request)
    }

    fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        self.inner.event(id)
    }

    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError> {
        self.inner.stream_head(stream)
    }

    fn streams(&self, prefix: &str, after: Option<&StreamName>, limit: usize) -> Result<StreamPage, StoreError> {
        self.inner.streams(prefix, after, limit)
    }

    fn event_types(&self) -> Result<Vec<(EventType, u64)>, StoreError> {
        self.inner.event_types()
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.inner.counts()
    }

    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError> {
        self.inner.tracking(source)
    }

    fn remove(&self, category: &Category, before: Position) -> Result<Position, StoreError> {
        self.inner.remove(category, before)
    }

    fn removals(&self) -> Removals {
        self.inner.removals()
    }

    fn nth_newest(&self, category: &Category, newer: u64) -> Result<Option<Position>, StoreError> {
        self.inner.nth_newest(category, newer)
    }

    fn progress(&self, owner: &Owner, partition: u32) -> Result<Option<Progress>, StoreError> {
        self.inner.progress(owner, partition)
    }

    fn plugin_progress(&self, plugin: &PluginName) -> Result<Vec<(Owner, u32, Progress)>, StoreError> {
        self.inner.plugin_progress(plugin)
    }

    fn plugin_record(&self, plugin: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        self.inner.plugin_record(plugin)
    }

    fn state_size(&self, owner: &Owner) -> Result<StateSize, StoreError> {
        self.inner.state_size(owner)
    }

    fn state_snapshot(&self, owner: &Owner) -> Result<Box<dyn StateSnapshot>, StoreError> {
        self.inner.state_snapshot(owner)
    }

    fn state_get(&self, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.state_get(owner, key)
    }

    fn state_scan(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StatePage, StoreError> {
        self.inner.state_scan(owner, prefix, after, limit)
    }

    fn state_keys(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StateKeys, StoreError> {
        self.inner.state_keys(owner, prefix, after, limit)
    }

    fn dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.dead_letters(owner, after, limit)
    }

    fn bare_dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.bare_dead_letters(owner, after, limit)
    }

    fn dead_letter(&self, owner: &Owner, position: Position) -> Result<Option<DeadLetter>, StoreError> {
        self.inner.dead_letter(owner, position)
    }

    fn dead_letter_count(&self, owner: &Owner) -> Result<u64, StoreError> {
        self.inner.dead_letter_count(owner)
    }

    fn plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        self.inner.plugins()
    }
}
