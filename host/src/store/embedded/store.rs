//! The store as its callers see it: submits writes to the writer, reads on the caller's thread.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::activity::Activity;
use super::disk::{DirectoryLock, Disk, RealDisk};
use super::failure::contain_read;
use super::group::Proposal;
use super::journal::JournalOptions;
use super::key::Kind;
use super::open::{self, Opened};
use super::owner_snapshot::OwnerSnapshot;
use super::shared::Shared;
use super::state::{self, JournalMark, ManifestChange, Part};
use super::view::View;
use super::writer::{Writer, WriterOptions};
use super::{lookup, reads, rows, sizing, upkeep};
use crate::clock::{Clock, Stopwatch};
use crate::event::{Category, EventType, OwnIds, PluginName, Position, RecordedEvent, StreamName};
use crate::store::page::StreamPageBuilder;
use crate::store::{
    AppendError, AppendRequest, Appended, CommitError, Committed, Counts, DeadLetter, Owner, Pending, PluginChange,
    PluginRecord, Progress, ReadPage, ReadRequest, Removals, Reply, StateKeys, StatePage, StateSize, StateSnapshot,
    Store, StoreError, StreamDeletion, StreamHead, StreamPage, UnitOfWork, decide, reply,
};

/// Bytes a proposal weighs beside its payload.
const PROPOSAL_BYTES: usize = 256;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The data directory; made if it is not there.
    pub path: PathBuf,
    /// Memory for pages of the file of plugins' data, in bytes; filled as they are used.
    pub cache_bytes: usize,
    /// Size of a journal, in bytes, after which it is sealed: what is read again when the store is opened
    /// after a crash, and indexed in memory, is a few of these.
    pub journal_bytes_max: u64,
    /// Longest time that a commit is held back for a group to fill, in microseconds; 0 never holds back.
    /// A lone appender is never held back.
    pub linger_us: u64,
}

impl OpenOptions {
    /// The defaults: a cache of 32 MiB, journals of 32 MiB, a linger of 100 µs.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), cache_bytes: 32 << 20, journal_bytes_max: 32 << 20, linger_us: 100 }
    }
}

/// A store in a data directory. Dropping it writes what was submitted, then closes its files.
///
/// Submitting blocks the thread while 4,096 writes or 64 MiB of them wait: for about as long as one commit.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    upkeep: Vec<JoinHandle<()>>,
    /// How far the journals had come by the manifest when it was opened.
    noted: JournalMark,
    /// Of the store's id: random, made with the store, and told to nobody.
    own_ids: OwnIds,
    /// Where it is, if it is a directory of the system.
    directory: Option<PathBuf>,
    /// Released after the files are closed.
    _lock: Option<DirectoryLock>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("head", &self.shared.head()).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Whether there is a store in a data directory.
    #[must_use]
    pub fn exists(directory: &Path) -> bool {
        directory.join(state::FILE).is_file()
    }

    /// Opens the store in a data directory, making it if it is not there. Reads the journals that are not
    /// sealed, not the whole log.
    ///
    /// # Errors
    /// When another process has it open, a newer release wrote it, it is not a store, it is damaged, or the
    /// disk fails.
    pub fn open(options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let disk = RealDisk::open(&options.path)?;
        let lock = disk.lock()?;
        Self::start(Arc::new(disk), options, clock, Some(lock))
    }

    /// Opens the store on a disk: the seam for fault injection. `options.path` is not looked at.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::start(disk, options, clock, None)
    }

    fn start(
        disk: Arc<dyn Disk>,
        options: &OpenOptions,
        clock: Arc<dyn Clock>,
        lock: Option<DirectoryLock>,
    ) -> Result<Self, StoreError> {
        let directory = lock.is_some().then(|| options.path.clone());
        let journal = |seed| {
            let bytes_max = options.journal_bytes_max;
            let defaults = JournalOptions::new(seed);
            JournalOptions { bytes_max, step_bytes: defaults.step_bytes.min(bytes_max), ..defaults }
        };
        let Opened { state, view, head, noted, resume } = open::open(&disk, options.cache_bytes, journal)?;
        let own_ids = OwnIds::of(view.store_id);
        let shared = Arc::new(Shared::new(disk, state, view, head, resume.journal.mark()));
        let options = WriterOptions { linger_max: Duration::from_micros(options.linger_us), journal: resume.options };
        let writer = Writer::new(Arc::clone(&shared), clock, options, resume);
        let upkeep = upkeep::start(&shared)?;
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
        let thread =
            thread.map_err(|error| StoreError::WriteFailed { reason: format!("no writer thread: {error}") })?;
        Ok(Self { shared, writer: Some(thread), upkeep, noted, own_ids, directory, _lock: lock })
    }

    /// The data directory, if it is one of the system.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// What its threads share.
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What it has done since it was opened.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.shared.counting.read()
    }

    /// Asks the writer whether it would write. Answered after what was submitted before, in about the time of a
    /// commit; blocks as an append does.
    pub fn ping(&self) -> Pending<Result<(), StoreError>> {
        let (reply, pending) = reply();
        self.submit(Proposal::Ping(reply), 0);
        pending
    }

    fn submit_append(&self, request: AppendRequest, reply: Reply<Result<Appended, AppendError>>) {
        let bytes = request.bytes();
        self.submit(Proposal::Append(request, reply, Stopwatch::start()), bytes);
    }

    fn submit(&self, proposal: Proposal, bytes: usize) {
        if let Err(proposal) = self.shared.queue.push(proposal, PROPOSAL_BYTES + bytes) {
            proposal.refuse(StoreError::ShuttingDown);
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        // If a thread panicked, that was reported when it happened.
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        self.shared.upkeep.close();
        for thread in self.upkeep.drain(..) {
            let _ = thread.join();
        }
        // So that a journal that is missing, or cut off, after this is not taken for one torn by a crash.
        let mark = self.shared.mark();
        if mark > self.noted
            && let Err(error) = self.shared.state.commit(None, &ManifestChange { mark, ..ManifestChange::default() })
        {
            tracing::warn!(%error, "where the journals end could not be noted; what was acknowledged is in them");
        }
    }
}

impl Store for EmbeddedStore {
    fn append(&self, request: AppendRequest) -> Pending<Result<Appended, AppendError>> {
        if let Err(error) = decide::check_request(&request) {
            return Pending::ready(Err(error));
        }
        let (reply, pending) = reply();
        self.submit_append(request, reply);
        pending
    }

    fn append_to(
        &self,
        request: AppendRequest,
        reply: Reply<Result<Appended, AppendError>>,
    ) -> Option<(AppendRequest, Reply<Result<Appended, AppendError>>)> {
        if let Err(error) = decide::check_request(&request) {
            reply.send(Err(error));
            return None;
        }
        let bytes = request.bytes();
        match self.shared.queue.try_push(Proposal::Append(request, reply, Stopwatch::start()), PROPOSAL_BYTES + bytes) {
            Err(Proposal::Append(request, reply, _)) => Some((request, reply)),
            _ => None,
        }
    }

    fn commit(&self, work: UnitOfWork) -> Pending<Result<Committed, CommitError>> {
        if let Err(error) = decide::check_work(&work) {
            return Pending::ready(Err(error));
        }
        let (reply, pending) = reply();
        let bytes = work.bytes();
        self.submit(Proposal::Commit(Box::new(work), reply), bytes);
        pending
    }

    fn change_plugin(&self, change: PluginChange) -> Pending<Result<(), CommitError>> {
        if let Err(error) = decide::check_change(&change) {
            return Pending::ready(Err(error));
        }
        let (reply, pending) = reply();
        let bytes = change.bytes();
        self.submit(Proposal::Change(Box::new(change), reply), bytes);
        pending
    }

    fn try_append(&self, request: AppendRequest) -> Result<Pending<Result<Appended, AppendError>>, AppendRequest> {
        let (reply, pending) = reply();
        match self.append_to(request, reply) {
            Some((request, _)) => Err(request),
            None => Ok(pending),
        }
    }

    fn try_commit(&self, work: UnitOfWork) -> Result<Pending<Result<Committed, CommitError>>, UnitOfWork> {
        if let Err(error) = decide::check_work(&work) {
            return Ok(Pending::ready(Err(error)));
        }
        let (reply, pending) = reply();
        let bytes = work.bytes();
        match self.shared.queue.try_push(Proposal::Commit(Box::new(work), reply), PROPOSAL_BYTES + bytes) {
            Err(Proposal::Commit(work, _)) => Err(*work),
            _ => Ok(pending),
        }
    }

    fn delete_stream(&self, deletion: StreamDeletion) -> Pending<Result<Appended, AppendError>> {
        match decide::deletion(deletion) {
            Ok(request) => {
                let (reply, pending) = reply();
                self.submit_append(request, reply);
                pending
            }
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn own_ids(&self) -> OwnIds {
        self.own_ids
    }

    fn head(&self) -> Position {
        self.shared.head()
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        self.shared.watch.subscribe()
    }

    fn read(&self, request: &ReadRequest) -> Result<ReadPage, StoreError> {
        let page = reads::read(&self.shared, request)?;
        self.shared.counting.reads.add(1);
        self.shared.counting.read_events.add(page.events.len() as u64);
        Ok(page)
    }

    fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        let head = self.shared.head();
        let view = self.shared.view();
        let position = lookup::position_of(&view, id)?.filter(|position| *position <= head);
        position.map_or(Ok(None), |position| reads::event_at(&view, position))
    }

    fn stream_head(&self, stream: &StreamName) -> Result<Option<StreamHead>, StoreError> {
        let head = self.shared.head();
        lookup::stream_head(&self.shared.view(), stream, head)
    }

    fn streams(&self, prefix: &str, after: Option<&StreamName>, limit: usize) -> Result<StreamPage, StoreError> {
        let head = self.shared.head();
        let view = self.shared.view();
        let mut page = StreamPageBuilder::new(limit);
        for row in lookup::streams(&view, prefix, after.map(StreamName::as_str), head) {
            let (name, head) = row?;
            if !page.offer(StreamName::from_stored(&*name), head) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let events = self.shared.head().0;
        Ok(Counts { events, streams: self.shared.view().streams_begun() })
    }

    fn event_types(&self) -> Result<Vec<(EventType, u64)>, StoreError> {
        let head = self.shared.head();
        let counts = lookup::counts(&self.shared.view(), Kind::Type, "", head, usize::MAX)?.unwrap_or_default();
        Ok(counts.into_iter().map(|(name, count)| (EventType::from_stored(&*name), count)).collect())
    }

    fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError> {
        rows::tracking(&self.shared, source)
    }

    fn remove(&self, category: &Category, before: Position) -> Result<Position, StoreError> {
        // What is not committed yet stands above.
        let before = before.min(self.shared.head().next());
        let horizon = |view: &View| view.removals.horizon(category.as_str());
        if before > Position(1) && before > horizon(&self.shared.view()) {
            let removal = Some((category.clone(), before));
            self.shared.state.commit(None, &ManifestChange { removal, ..ManifestChange::default() })?;
            self.shared.change_view(|view| {
                let mut removals = Removals::clone(&view.removals);
                removals.raise(category, before);
                view.with_removals(removals)
            });
            self.shared.upkeep.notify();
        }
        Ok(horizon(&self.shared.view()))
    }

    fn removals(&self) -> Removals {
        Removals::clone(&self.shared.view().removals)
    }

    fn nth_newest(&self, category: &Category, newer: u64) -> Result<Option<Position>, StoreError> {
        let head = self.shared.head();
        lookup::nth_newest(&self.shared.view(), category.as_str(), newer, head)
    }

    fn progress(&self, owner: &Owner, partition: u32) -> Result<Option<Progress>, StoreError> {
        rows::progress(&self.shared, owner, partition)
    }

    fn plugin_progress(&self, plugin: &PluginName) -> Result<Vec<(Owner, u32, Progress)>, StoreError> {
        rows::plugin_progress(&self.shared, plugin)
    }

    fn plugin_record(&self, plugin: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        rows::plugin_record(&self.shared, plugin)
    }

    fn state_get(&self, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        rows::state_get(&self.shared, owner, key)
    }

    fn state_scan(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StatePage, StoreError> {
        contain_read(|| OwnerSnapshot::take(&self.shared, owner)?.scan(prefix, after, limit))
    }

    fn state_keys(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StateKeys, StoreError> {
        contain_read(|| OwnerSnapshot::take(&self.shared, owner)?.keys(prefix, after, limit))
    }

    fn state_size(&self, owner: &Owner) -> Result<StateSize, StoreError> {
        sizing::state_size(&self.shared, owner)
    }

    fn state_snapshot(&self, owner: &Owner) -> Result<Box<dyn StateSnapshot>, StoreError> {
        contain_read(|| Ok(Box::new(OwnerSnapshot::take(&self.shared, owner)?) as Box<dyn StateSnapshot>))
    }

    fn dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        contain_read(|| rows::dead_letters(&self.shared, owner, after, (limit, Part::Whole)))
    }

    fn bare_dead_letters(&self, owner: &Owner, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        contain_read(|| rows::dead_letters(&self.shared, owner, after, (limit, Part::WithoutEvidence)))
    }

    fn dead_letter(&self, owner: &Owner, position: Position) -> Result<Option<DeadLetter>, StoreError> {
        contain_read(|| rows::dead_letter(&self.shared, owner, position))
    }

    fn dead_letter_count(&self, owner: &Owner) -> Result<u64, StoreError> {
        contain_read(|| rows::dead_letter_count(&self.shared, owner))
    }

    fn plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        rows::plugins(&self.shared)
    }
}
