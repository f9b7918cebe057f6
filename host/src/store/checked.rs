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
use crate::schema::{Allowance, FieldError, SchemaCell, Unfit, alone};

/// Who holds to a schema what takes much, from async code: one at a time in the process, as the check itself is made for
/// one at a time ([`alone`]), and those that wait for it would only hold threads.
static TURN: Semaphore = Semaphore::const_new(1);

/// The turn to hold to a schema what takes much, until it is dropped.
#[derive(Debug)]
pub struct HeavyTurn {
    // Never closed.
    _permit: Option<SemaphorePermit<'static>>,
}

/// Waits for the turn to hold to a schema what takes much. Taken before the thread is, and let go once that is done.
pub async fn heavy_turn() -> HeavyTurn {
    #[cfg(test)]
    let _waits = turn_waits::Waits::begin();
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

    /// Checks events, however much that takes.
    fn check(&self, events: &[NewEvent]) -> Result<(), AppendError> {
        self.check_at(events, None).unwrap_or_else(|| alone(|left| self.check_within(events, left)))
    }

    /// Checks events at their turn, which ends with that; none where they need one and have none.
    fn check_at(&self, events: &[NewEvent], turn: Option<HeavyTurn>) -> Option<Result<(), AppendError>> {
        let checked = match &turn {
            Some(_) => alone(|left| self.check_within(events, left)),
            None => self.check_within(events, &mut Allowance::light()),
        };
        let is_heavy = turn.is_none() && matches!(checked, Err(AppendError::TooMuchToCheck { .. }));
        (!is_heavy).then_some(checked)
    }

    /// Checks events by what is left for all of them.
    fn check_within(&self, events: &[NewEvent], left: &mut Allowance) -> Result<(), AppendError> {
        let schemas = self.schemas.get();
        events.iter().enumerate().try_for_each(|(index, event)| {
            let error = match schemas.check(event, left) {
                Ok(()) => return Ok(()),
                Err(Unfit::Wrong(errors)) => AppendError::InvalidEvent { index, reason: against(event, &errors) },
                Err(Unfit::TooMuch) => AppendError::TooMuchToCheck { count: index + 1 },
            };
            // One that is stored is not appended again, whatever is asked for by now: the store tells where it is.
            if self.inner.event(event.id)?.is_none() { Err(error) } else { Ok(()) }
        })
    }

    /// Whether nothing has to be looked for, and that is soon known: not so of what takes longer, or needs more of a stack,
    /// than a task of the runtime may. What does not fit is checked again, by a thread that may also look for it in the
    /// store: that is only ever little.
    fn fits(&self, events: &[NewEvent]) -> bool {
        let (schemas, mut left) = (self.schemas.get(), Allowance::inline());
        events.iter().all(|event| schemas.check(event, &mut left).is_ok())
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

/// Who waits for the turn, as tests see it.
#[cfg(test)]
pub(crate) mod turn_waits {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    static COUNT: AtomicUsize = AtomicUsize::new(0);

    /// One that waits.
    pub(super) struct Waits(());

    impl Waits {
        pub(super) fn begin() -> Self {
            COUNT.fetch_add(1, Ordering::SeqCst);
            Self(())
        }
    }

    impl Drop for Waits {
        fn drop(&mut self) {
            COUNT.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Ends once so many wait.
    pub(crate) async fn until(count: usize) {
        let waits = async {
            while COUNT.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waits).await.expect("they wait for the turn");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::schema::{SchemaFile, TypeSchemas};
    use crate::store::memory::MemoryStore;

    /// Has two ways more at each level.
    const WAYS: &str = r##"{"x-enforce":true,"$defs":{"e":{"allOf":[
        {"properties":{"x":{"$ref":"#/$defs/e"}}},{"properties":{"x":{"$ref":"#/$defs/e"}}}]}},"$ref":"#/$defs/e"}"##;

    fn enforced(schema: &str) -> Arc<TypeSchemas> {
        let (origin, event_type) = ("T.1.json".to_owned(), EventType::new("T").unwrap());
        let file = SchemaFile { origin, event_type, version: 1, text: Ok(schema.to_owned()) };
        Arc::new(TypeSchemas::read(vec![file], &TypeSchemas::default()).0)
    }

    fn store() -> CheckedStore {
        CheckedStore::new(Arc::new(MemoryStore::new(Arc::new(ManualClock::at(1)))), Arc::default())
    }

    /// Each takes an eighth of what is light for one, and a 256th of all that there is.
    fn events(count: usize) -> Vec<NewEvent> {
        let data = format!("{}1{}", r#"{"x":"#.repeat(11), "}".repeat(11));
        (0..count).map(|_| NewEvent::json(EventType::new("T").unwrap(), data.clone())).collect()
    }

    #[test]
    fn what_events_take_to_check_is_bounded_for_all_of_a_request_together() {
        let store = store();
        store.schemas.set(enforced(WAYS));
        let append = |count: usize| AppendRequest::unconditional(events(count));
        assert!(store.append_at(append(1), None).is_ok(), "it takes little");
        assert!(store.append_at(append(20), None).is_ok(), "each of them does");
        let given_back = store.append_at(append(80), None).unwrap_err();
        store.append(given_back).wait().unwrap();
        let refused = store.append(append(1000)).wait().unwrap_err();
        let AppendError::TooMuchToCheck { count } = refused else { panic!("{refused}") };
        assert!((100..1000).contains(&count), "{count}");
        store.append(append(count - 1)).wait().unwrap();
        let owner: Owner = PluginName::new("p").unwrap().into();
        let progress = Progress { revision: 1, ..Progress::default() };
        let (state, dead_letters) = (Vec::new(), Vec::new());
        let work = UnitOfWork { owner, partition: 0, progress, state, events: events(1000), dead_letters };
        let refused = store.commit(work).wait().unwrap_err();
        assert!(matches!(refused, CommitError::Append(AppendError::TooMuchToCheck { .. })), "{refused}");
    }

    #[test]
    fn what_is_stored_is_not_appended_again_however_much_it_would_take_to_check() {
        let (store, events) = (store(), events(300));
        store.append(AppendRequest::unconditional(events.clone())).wait().unwrap();
        store.schemas.set(enforced(WAYS));
        assert!(store.append(AppendRequest::unconditional(events)).wait().unwrap().repeated);
    }
}
