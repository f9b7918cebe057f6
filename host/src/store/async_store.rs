//! The store for async callers: nothing here blocks a worker of the runtime.
//!
//! Reads run on the runtime's blocking threads. Writes are submitted without leaving the task as long as
//! they are small and the store takes them at once; when checking them takes long, or the store would
//! block, a blocking thread submits them. The number of threads that do so at once is bounded, so that a
//! store that is behind leaves threads for reads. The waiting for an answer is async in either case.
//! Dropping a write's future does not take the write back once it is submitted.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    AppendError, AppendRequest, Appended, CommitError, Committed, Counts, Feed, HeavyTurn, Pending, ReadPage,
    ReadRequest, Removals, Reply, Store, StoreError, StreamDeletion, StreamHead, StreamPage, UnitOfWork, heavy_turn,
};
use crate::event::{
    Category, EventType, METADATA_ENTRIES_MAX, Position, Query, RecordedEvent, StreamName, metadata_key,
};
use crate::trace::{self, Span};

/// Most threads that wait at once to submit a write.
const SUBMITTERS_MAX: usize = 16;

/// Largest write that is checked and submitted by the task itself, in bytes: checking as much JSON takes
/// some 100 microseconds.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Has a store take a request, or give it back for want of a turn, as [`Store::append_at`] does.
type Submit<R, T, E> = fn(&dyn Store, R, Option<HeavyTurn>) -> Result<Pending<Result<T, E>>, R>;

/// A [`Store`] for async callers. Cloning it gives another handle to the same store.
#[derive(Clone)]
pub struct AsyncStore {
    store: Arc<dyn Store>,
    submitters: Arc<Semaphore>,
}

impl fmt::Debug for AsyncStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStore").field("head", &self.store.head()).finish_non_exhaustive()
    }
}

impl AsyncStore {
    /// Wraps a store. Share one of these, by cloning, rather than making several over one store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, submitters: Arc::new(Semaphore::new(SUBMITTERS_MAX)) }
    }

    /// The store itself, for what does not block or runs on its own thread.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// [`Store::append`].
    ///
    /// # Errors
    /// As there.
    pub async fn append(&self, mut request: AppendRequest) -> Result<Appended, AppendError> {
        let span = traced(&mut request);
        let tried = if request.bytes() > INLINE_BYTES_MAX { Err(request) } else { self.store.try_append(request) };
        let appended = match tried {
            Ok(pending) => pending.await,
            Err(request) => self.submit(request, |store, request, turn| store.append_at(request, turn)).await,
        };
        note(span, &appended);
        appended
    }

    /// [`Store::delete_stream`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete_stream(&self, deletion: StreamDeletion) -> Result<Appended, AppendError> {
        self.submit(deletion, |store, deletion, _| Ok(store.delete_stream(deletion))).await
    }

    /// [`Store::commit`].
    ///
    /// # Errors
    /// As there.
    #[expect(clippy::result_large_err, reason = "it is given back as it came")]
    pub async fn commit(&self, work: UnitOfWork) -> Result<Committed, CommitError> {
        let tried = if work.bytes() > INLINE_BYTES_MAX { Err(work) } else { self.store.try_commit(work) };
        match tried {
            Ok(pending) => pending.await,
            Err(work) => self.submit(work, |store, work, turn| store.commit_at(work, turn)).await,
        }
    }

    /// [`Store::head`].
    #[must_use]
    pub fn head(&self) -> Position {
        self.store.head()
    }

    /// [`Store::watch_head`].
    #[must_use]
    pub fn watch_head(&self) -> watch::Receiver<Position> {
        self.store.watch_head()
    }

    /// Every event after `after` that matches, those of the past and then those to come.
    #[must_use]
    pub fn subscribe(&self, query: impl Into<Query>, after: Position) -> Feed {
        Feed::new(self.clone(), query.into(), after)
    }

    /// [`Store::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&self, request: ReadRequest) -> Result<ReadPage, StoreError> {
        self.run(move |store| store.read(&request)).await
    }

    /// [`Store::event`].
    ///
    /// # Errors
    /// As there.
    pub async fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        self.run(move |store| store.event(id)).await
    }

    /// [`Store::stream_head`].
    ///
    /// # Errors
    /// As there.
    pub async fn stream_head(&self, stream: StreamName) -> Result<Option<StreamHead>, StoreError> {
        self.run(move |store| store.stream_head(&stream)).await
    }

    /// [`Store::streams`].
    ///
    /// # Errors
    /// As there.
    pub async fn streams(
        &self,
        prefix: String,
        after: Option<StreamName>,
        limit: usize,
    ) -> Result<StreamPage, StoreError> {
        self.run(move |store| store.streams(&prefix, after.as_ref(), limit)).await
    }

    /// [`Store::event_types`].
    ///
    /// # Errors
    /// As there.
    pub async fn event_types(&self) -> Result<Vec<(EventType, u64)>, StoreError> {
        self.run(|store| store.event_types()).await
    }

    /// [`Store::tracking`].
    ///
    /// # Errors
    /// As there.
    pub async fn tracking(&self, source: String) -> Result<Option<u64>, StoreError> {
        self.run(move |store| store.tracking(&source)).await
    }

    /// [`Store::remove`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove(&self, category: Category, before: Position) -> Result<Position, StoreError> {
        self.run(move |store| store.remove(&category, before)).await
    }

    /// [`Store::removals`].
    #[must_use]
    pub fn removals(&self) -> Removals {
        self.store.removals()
    }

    /// [`Store::counts`].
    ///
    /// # Errors
    /// As there.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.run(|store| store.counts()).await
    }

    /// Runs anything that reads the store on a blocking thread, such as several reads that belong together.
    /// A panic in it goes on here.
    ///
    /// # Errors
    /// Those of `work`, and [`StoreError::ShuttingDown`] when the runtime is.
    pub async fn run<T, E>(&self, work: impl FnOnce(&dyn Store) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        match spawn_blocking(move || work(&*store)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(StoreError::ShuttingDown.into()),
            },
        }
    }

    /// Submits an append from a thread that must not wait until the store takes it, but may check it however long that
    /// takes. What is done with the answer is done by the store's own thread, as [`Reply::then`] says: nobody is woken
    /// before that. Where the store would block, a task submits it instead. Must be called within a tokio runtime.
    pub fn append_then(
        &self,
        mut request: AppendRequest,
        then: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        let span = traced(&mut request);
        let noted = |appended| {
            note(span, &appended);
            then(appended);
        };
        if let Some((request, reply)) = self.store.append_to(request, Reply::then(noted)) {
            let store = self.clone();
            tokio::spawn(async move {
                let append: Submit<_, _, _> = |store, request, turn| store.append_at(request, turn);
                reply.send(store.submit(request, append).await);
            });
        }
    }

    /// Submits a write that may block until the store takes it, then waits for the answer. What is given back comes again at
    /// its turn: those that wait for that take no place of others.
    async fn submit<R, T, E>(&self, mut request: R, submit: Submit<R, T, E>) -> Result<T, E>
    where
        R: Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let mut turn = None;
        loop {
            let place = Arc::clone(&self.submitters).acquire_owned().await.map_err(|_| StoreError::ShuttingDown)?;
            let submitted = self.run(move |store| {
                // Held by the thread, not by the task: dropping the task leaves the thread waiting.
                let _held = place;
                Ok::<_, E>(submit(store, request, turn))
            });
            (request, turn) = match submitted.await? {
                Ok(pending) => return pending.await,
                Err(heavy) => (heavy, Some(heavy_turn().await)),
            };
        }
    }
}

/// Ends the span of an append.
fn note(span: Span, appended: &Result<Appended, AppendError>) {
    if let Err(error) = appended {
        span.fail(&format!("{:?}", error.class()).to_lowercase(), &error.to_string());
    }
}

/// Begins the span of an append, under the context that its first event brings. Events that bring the same, or none,
/// carry the span's own from then on.
fn traced(request: &mut AppendRequest) -> Span {
    let Some(first) = request.events.first().filter(|_| trace::is_enabled()) else { return Span::default() };
    let given = first.metadata.get(metadata_key::TRACEPARENT).cloned();
    let stream = first.stream.as_ref().filter(|_| request.events.iter().all(|event| event.stream == first.stream));
    let span = Span::append(given.as_deref(), stream.map(StreamName::as_str), request.events.len());
    let Some(own) = span.traceparent() else { return span };
    for event in &mut request.events {
        let room = event.metadata.len() < METADATA_ENTRIES_MAX;
        match event.metadata.get_mut(metadata_key::TRACEPARENT) {
            Some(context) if given.as_ref() == Some(context) => context.clone_from(&own),
            None if room => drop(event.metadata.insert(metadata_key::TRACEPARENT.into(), own.clone())),
            Some(_) | None => {}
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::event::NewEvent;
    use crate::schema::{SchemaCell, SchemaFile, TypeSchemas};
    use crate::store::memory::MemoryStore;
    use crate::store::{CheckedStore, turn_waits};

    /// A clock that tells the time only when it is let: it holds up every write.
    struct Gate(Mutex<mpsc::Receiver<()>>);

    impl Clock for Gate {
        fn now_us(&self) -> u64 {
            let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
            1
        }
    }

    fn event() -> AppendRequest {
        AppendRequest::unconditional(vec![NewEvent::json(EventType::new("T").unwrap(), "1")])
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_store_that_blocks_does_not_block_the_worker() {
        let (open, gate) = mpsc::channel();
        let store = AsyncStore::new(Arc::new(MemoryStore::new(Arc::new(Gate(Mutex::new(gate))))));
        let writes: Vec<_> = (0..2 * SUBMITTERS_MAX)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.append(event()).await })
            })
            .collect();
        while store.submitters.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.head(), Position::START, "this very worker goes on while writes are held up");
        drop(open);
        for write in writes {
            write.await.unwrap().unwrap();
        }
        assert_eq!(store.counts().await.unwrap().events, 2 * SUBMITTERS_MAX as u64);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_thread_that_hands_appends_over_is_not_held_up_by_a_store_that_blocks() {
        let (open, gate) = mpsc::channel();
        let store = AsyncStore::new(Arc::new(MemoryStore::new(Arc::new(Gate(Mutex::new(gate))))));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..2 * SUBMITTERS_MAX {
            let tell = tell.clone();
            store.append_then(event(), move |appended| drop(tell.send(appended)));
        }
        while store.submitters.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.head(), Position::START, "no more threads than those wait, and this one goes on");
        drop(open);
        for _ in 0..2 * SUBMITTERS_MAX {
            told.recv().await.unwrap().unwrap();
        }
        assert_eq!(store.counts().await.unwrap().events, 2 * SUBMITTERS_MAX as u64);
    }

    #[tokio::test]
    async fn a_panic_of_a_read_goes_on_in_the_task() {
        let store = AsyncStore::new(Arc::new(MemoryStore::new(Arc::new(ManualClock::at(1)))));
        let task = tokio::spawn(async move { store.run(|_| -> Result<(), StoreError> { panic!("as it was") }).await });
        assert!(task.await.unwrap_err().is_panic());
    }

    fn checked(clock: Arc<dyn Clock>) -> CheckedStore {
        let text =
            r#"{"x-enforce":true,"properties":{"text":{"type":"string"},"samples":{"items":{"type":"number"}}}}"#;
        let (origin, event_type) = ("T.1.json".to_owned(), EventType::new("T").unwrap());
        let file = SchemaFile { origin, event_type, version: 1, text: Ok(text.to_owned()) };
        let schemas = SchemaCell::default();
        schemas.set(Arc::new(TypeSchemas::read(vec![file], &TypeSchemas::default()).0));
        CheckedStore::new(Arc::new(MemoryStore::new(clock)), Arc::new(schemas))
    }

    fn of_data(data: String) -> AppendRequest {
        AppendRequest::unconditional(vec![NewEvent::json(EventType::new("T").unwrap(), data)])
    }

    fn heavy() -> AppendRequest {
        of_data(format!(r#"{{"samples":[{}0]}}"#, "0,".repeat(200_000)))
    }

    #[tokio::test]
    async fn what_takes_much_waits_for_its_turn_and_what_does_not_passes_by_however_large() {
        let store = AsyncStore::new(Arc::new(checked(Arc::new(ManualClock::at(1)))));
        let turn = heavy_turn().await;
        let waits = tokio::spawn({
            let store = store.clone();
            async move { store.append(heavy()).await }
        });
        turn_waits::until(1).await;
        for bytes in [1, 100_000] {
            let light = store.append(of_data(format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes))));
            tokio::time::timeout(Duration::from_secs(60), light).await.unwrap().unwrap();
        }
        assert!(!waits.is_finished());
        drop(turn);
        waits.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_turn_ends_once_the_events_are_checked() {
        let (open, gate) = mpsc::channel();
        let store = checked(Arc::new(Gate(Mutex::new(gate))));
        let request = store.append_at(heavy(), None).unwrap_err();
        let turn = heavy_turn().await;
        let thread = std::thread::spawn(move || store.append_at(request, Some(turn)).is_ok());
        // Other tests take the turn, too, and each of them as long as anything may be checked.
        let next = tokio::time::timeout(Duration::from_secs(600), heavy_turn()).await;
        assert!(next.is_ok(), "while the store still takes the write");
        drop((open, next));
        assert!(thread.join().unwrap());
    }
}
