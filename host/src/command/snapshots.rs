//! Writes snapshots, off the way of commands to other aggregates, and shows and drops them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::claims::Claims;
use super::error::CommandError;
use super::lanes::Lanes;
use super::queue_checkpoint;
use super::shard::Source;
use super::snapshot::{self, SNAPSHOT_BYTES_MAX, Snapshot, owner};
use crate::event::{ACCEPTED_STREAM, Category, Filter, Position, StreamName, Version};
use crate::store::{
    AsyncStore, CommitError, Progress, ReadRequest, StateChange, StateKeys, StatePage, Store, StoreError, UnitOfWork,
};

/// Aggregates that wait for a snapshot; more are asked for again by their next command.
const WISHES_MAX: usize = 256;
/// How often a write is tried when somebody else writes, too.
const ATTEMPTS_MAX: usize = 8;
/// Longest wait for the turn at an aggregate, at which nothing is open that it decided. One that is missed is asked for
/// again by its next command.
const TURN_MAX: Duration = Duration::from_secs(10);

/// A snapshot that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// Version of what it holds.
    pub schema: u32,
    /// Up to where it stands for the stream.
    pub version: Version,
    /// The position of that event.
    pub position: Position,
    /// Its size, in bytes.
    pub bytes: usize,
}

/// A snapshot whose row is damaged. It is left out when its aggregate is made, and written over when the next is due. So is
/// told what the queue of accepted commands knows, under the name of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// The aggregate's stream.
    pub stream: StreamName,
    /// What the store says, for people.
    pub reason: String,
}

/// Some of the snapshots, in the order of their streams' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotPage {
    /// Those that are whole.
    pub snapshots: Vec<SnapshotInfo>,
    /// Those between them that are damaged.
    pub damaged: Vec<DamagedSnapshot>,
    /// The stream to go on after; none where there are no more.
    pub next: Option<String>,
}

impl SnapshotPage {
    /// Adds a row, if it is a snapshot; that of the queue only if it is damaged, as an operator must know.
    fn add(&mut self, key: String, row: Result<Vec<u8>, StoreError>) {
        let Ok(stream) = StreamName::new(key) else { return };
        if stream.is_of_host() {
            let of_queue = stream.as_str() == ACCEPTED_STREAM;
            let error = if of_queue { queue_checkpoint::of_row(row).err() } else { None };
            self.damaged.extend(error.map(|error| DamagedSnapshot { stream, reason: error.to_string() }));
            return;
        }
        match row.map(|row| Snapshot::decode(&row)) {
            Ok(Some(Snapshot { schema, version, position, bytes, .. })) => {
                self.snapshots.push(SnapshotInfo { stream, schema, version, position, bytes: bytes.len() });
            }
            Ok(None) => {}
            Err(error) => self.damaged.push(DamagedSnapshot { stream, reason: error.to_string() }),
        }
    }
}

/// An aggregate that is to have a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    pub(super) category: Category,
    pub(super) key: String,
    pub(super) stream: StreamName,
}

/// Who writes snapshots. Cheap to clone.
#[derive(Clone)]
pub(super) struct Snapshots(Arc<Inner>);

struct Inner {
    log: AsyncStore,
    claims: Claims,
    lanes: Lanes,
    waiting: Mutex<HashSet<Wish>>,
    queue: OnceLock<mpsc::Sender<Wish>>,
}

impl Snapshots {
    pub(super) fn new(log: AsyncStore, claims: Claims, lanes: Lanes) -> Self {
        Self(Arc::new(Inner { log, claims, lanes, waiting: Mutex::default(), queue: OnceLock::new() }))
    }

    /// Has a snapshot written soon. Must be called within a tokio runtime.
    pub(super) fn wish(&self, wish: Wish) {
        if !self.waiting(|waiting| waiting.insert(wish.clone())) {
            return;
        }
        let queue = self.0.queue.get_or_init(|| {
            let (sender, wishes) = mpsc::channel(WISHES_MAX);
            tokio::spawn(run(Arc::downgrade(&self.0), wishes));
            sender
        });
        if queue.try_send(wish.clone()).is_err() {
            self.waiting(|waiting| waiting.remove(&wish));
        }
    }

    fn waiting<T>(&self, change: impl FnOnce(&mut HashSet<Wish>) -> T) -> T {
        change(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a snapshot and writes it, within its aggregate's turn: no other one is found not to fit meanwhile of which it
    /// comes.
    async fn write(&self, wish: &Wish) -> Result<(), CommandError> {
        let Some(decider) = self.0.claims.get(&wish.category) else { return Ok(()) };
        let mut place = self.0.lanes.enter(&wish.stream);
        if tokio::time::timeout(TURN_MAX, place.turn()).await.is_err() {
            return Ok(());
        }
        let (wish, taking, stream) = (wish.clone(), Arc::clone(&decider), wish.stream.clone());
        let store = Arc::clone(self.0.log.store());
        let taken = decider.shard(&stream).run(move |shard| {
            let source =
                Source { setup: &taking.setup, store: &*store, stream: &wish.stream, key: &wish.key, awaited: None };
            shard.snapshot(&source)
        });
        let Some(snapshot) = taken.await? else { return Ok(()) };
        let bytes = snapshot.bytes.len();
        if bytes > SNAPSHOT_BYTES_MAX {
            tracing::warn!(%stream, bytes, "a snapshot was not kept: it is larger than {SNAPSHOT_BYTES_MAX} bytes");
            return Ok(());
        }
        let key = stream.as_str().to_owned();
        self.change(vec![StateChange { key, value: Some(snapshot.encode()) }]).await?;
        let written = stream.clone();
        if self.0.log.run(move |store| store.stream_head(&written)).await?.is_some_and(|head| head.deleted) {
            // Its tombstone came meanwhile, and whoever follows those may have passed it.
            return self.change(vec![removal(&stream)]).await;
        }
        decider.counts.snapshots.add(1);
        tracing::debug!(%stream, version = %snapshot.version, bytes, "snapshot written");
        Ok(())
    }

    /// Writes rows. The store lets one write at a time; who was overtaken tries again.
    pub(super) async fn change(&self, state: Vec<StateChange>) -> Result<(), CommandError> {
        self.change_as(move |_| Ok(state.clone())).await.map(drop)
    }

    /// Writes rows as a look at the store says, if it says any; says whether it did. Where something was written since the
    /// look, it looks again.
    pub(super) async fn change_as(
        &self,
        look: impl Fn(&dyn Store) -> Result<Vec<StateChange>, CommandError> + Send + Sync + 'static,
    ) -> Result<bool, CommandError> {
        let (look, mut attempt) = (Arc::new(look), 0);
        loop {
            attempt += 1;
            let look = Arc::clone(&look);
            let looked = self.0.log.run(move |store| {
                // Before the look: by this the store tells what was written after it.
                let revision = store.progress(&owner(), 0)?.unwrap_or_default().revision + 1;
                let progress = Progress { revision, checkpoint: store.head(), ..Progress::default() };
                Ok::<_, CommandError>((progress, look(store)?))
            });
            let (progress, state) = looked.await?;
            if state.is_empty() {
                return Ok(false);
            }
            let (events, dead_letters) = (Vec::new(), Vec::new());
            let work = UnitOfWork { owner: owner(), partition: 0, progress, state, events, dead_letters };
            match self.0.log.commit(work).await {
                Ok(_) => return Ok(true),
                Err(CommitError::Fenced { .. }) if attempt < ATTEMPTS_MAX => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(StoreError::WriteFailed { reason: error.to_string() }.into()),
            }
        }
    }

    /// Snapshots of streams whose names begin so, in the order of names, after a stream if given.
    pub(super) async fn list(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<SnapshotPage, CommandError> {
        let look = move |store: &dyn Store| page(store, &prefix, after.as_deref(), limit);
        Ok(self.0.log.run(look).await?)
    }

    /// Drops the snapshot of a stream; says whether there was one. Rows under names of the host's own are none, but for that
    /// of the queue where it is damaged. That one, and one that stands for removed events, is dropped by `force` only.
    pub(super) async fn drop_one(&self, stream: &StreamName, force: bool) -> Result<bool, CommandError> {
        let of_queue = stream.as_str() == ACCEPTED_STREAM;
        if stream.is_of_host() && !of_queue {
            return Ok(false);
        }
        let name = stream.clone();
        let look = move |store: &dyn Store| {
            let is_dropped = if of_queue {
                queue_checkpoint::is_droppable(store, force)?
            } else {
                snapshot::row(store, name.as_str())?.is_some()
            };
            if is_dropped && !of_queue && !force && !begins(store, &name)? {
                return Err(CommandError::SnapshotNeeded { stream: name.clone() });
            }
            Ok(if is_dropped { vec![removal(&name)] } else { Vec::new() })
        };
        self.change_as(look).await
    }

    /// Drops the snapshot of a stream at a version, of which the aggregate was made of its events instead, or the one before,
    /// where that was taken and not written. One that another took the place of stays, and so does one whose events were
    /// removed since: it is all there is of them. Where dropping fails, the next one that it does not fit drops it.
    pub(super) async fn drop_unfit(&self, stream: &StreamName, version: Version) {
        if let Err(error) = self.drop_if_spare(stream, version).await {
            tracing::warn!(%stream, %error, "a snapshot that does not fit was not dropped");
        }
    }

    async fn drop_if_spare(&self, stream: &StreamName, version: Version) -> Result<(), CommandError> {
        let name = stream.clone();
        let look = move |store: &dyn Store| {
            let is_it = matches!(snapshot::read(store, &name)?, Some(Ok(found)) if found.version <= version);
            Ok::<_, CommandError>(if is_it && begins(store, &name)? { vec![removal(&name)] } else { Vec::new() })
        };
        self.change_as(look).await.map(drop)
    }

    /// The log that they are of.
    pub(super) fn log(&self) -> &AsyncStore {
        &self.0.log
    }
}

/// Some of the snapshots. Blocks.
fn page(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Result<SnapshotPage, StoreError> {
    match store.state_scan(&owner(), prefix, after, limit) {
        // It ends at the first row that is damaged: then each is read by itself.
        Err(StoreError::CorruptedRow { .. }) => {
            let StateKeys { keys, next } = store.state_keys(&owner(), prefix, after, limit)?;
            let mut page = SnapshotPage { next, ..SnapshotPage::default() };
            for key in keys {
                if let Some(row) = snapshot::row(store, &key)? {
                    page.add(key, row);
                }
            }
            Ok(page)
        }
        scanned => {
            let StatePage { entries, next } = scanned?;
            let mut page = SnapshotPage { next, ..SnapshotPage::default() };
            entries.into_iter().for_each(|(key, row)| page.add(key, Ok(row)));
            Ok(page)
        }
    }
}

/// What drops the snapshot of a stream.
pub(super) fn removal(stream: &StreamName) -> StateChange {
    StateChange { key: stream.as_str().to_owned(), value: None }
}

/// Whether an aggregate can be made without its snapshot: the first event of its stream is there, or nobody needs one, as
/// the stream is deleted. Blocks.
fn begins(store: &dyn Store, stream: &StreamName) -> Result<bool, StoreError> {
    if store.stream_head(stream)?.is_none_or(|head| head.deleted) {
        return Ok(true);
    }
    let mut request = ReadRequest { query: Filter::stream(stream).into(), limit: 1, ..ReadRequest::default() };
    loop {
        let page = store.read(&request)?;
        match page.events.first() {
            Some(event) => return Ok(event.version == Version::START.next()),
            None if page.complete => return Ok(false),
            None => request.after = page.through,
        }
    }
}

/// Writes one after the other, until nobody can ask for more.
async fn run(inner: std::sync::Weak<Inner>, mut wishes: mpsc::Receiver<Wish>) {
    while let Some(wish) = wishes.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        let snapshots = Snapshots(inner);
        snapshots.waiting(|waiting| waiting.remove(&wish));
        if let Err(error) = snapshots.write(&wish).await {
            tracing::warn!(stream = %wish.stream, %error, "no snapshot was written; it is tried again when the next is due");
            if let Some(decider) = snapshots.0.claims.get(&wish.category) {
                decider.counts.snapshots_failed.add(1);
            }
        }
    }
}
