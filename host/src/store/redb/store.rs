//! The store as its callers see it: submits writes to the writer, reads on the caller's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, fs};

use redb::StorageBackend;
use tokio::sync::watch;
use uuid::Uuid;

use super::failure::contain_read;
use super::group::Proposal;
use super::open::{self, Opened};
use super::reads;
use super::shared::Shared;
use super::writer::Writer;
use crate::clock::Clock;
use crate::event::{NewEvent, PluginName, Position, RecordedEvent, StreamName, Version};
use crate::store::{
    AppendError, AppendRequest, Appended, CommitError, Committed, DeadLetter, DeadLetterChange, Pending, Progress,
    ReadPage, ReadRequest, StatePage, Store, StoreError, UnitOfWork, decide, reply,
};

/// Bytes a proposal weighs beside its payload.
const PROPOSAL_BYTES: usize = 256;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The data directory; made if it is not there.
    pub path: PathBuf,
    /// Memory for pages of the file, in bytes; filled as they are used.
    pub cache_bytes: usize,
    /// Longest time that a commit is held back for a group to fill, in microseconds; 0 never holds back.
    /// A lone appender is never held back.
    pub linger_us: u64,
}

impl OpenOptions {
    /// The defaults: a cache of 64 MiB, a linger of 100 µs.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), cache_bytes: 64 << 20, linger_us: 100 }
    }
}

/// A store in one redb file. Dropping it writes what was submitted, then closes the file.
///
/// Submitting blocks the thread while 4,096 writes or 64 MiB of them wait: for about as long as one commit.
pub struct RedbStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// Released after the file is closed.
    _lock: Option<fs::File>,
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("head", &self.shared.head()).finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Whether there is a store in a data directory.
    #[must_use]
    pub fn exists(directory: &Path) -> bool {
        open::exists(directory)
    }

    /// Opens the store in a data directory, making it if it is not there. Reads every event once.
    ///
    /// # Errors
    /// When another process has it open, a newer release wrote it, it is not a store, it is damaged, or the
    /// disk fails.
    pub fn open(options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::start(open::open(&options.path, options.cache_bytes)?, options, clock)
    }

    /// Opens the store in a storage backend: the seam for fault injection. `options.path` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_backend(
        backend: impl StorageBackend,
        options: &OpenOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        Self::start(open::open_backend(backend, &options.path, options.cache_bytes)?, options, clock)
    }

    fn start(mut opened: Opened, options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let lock = opened.lock.take();
        let timestamp_us = opened.timestamp_us;
        let shared = Arc::new(Shared::new(opened));
        let linger = Duration::from_micros(options.linger_us);
        let writer = Writer::new(Arc::clone(&shared), clock, linger, timestamp_us)?;
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
        let thread =
            thread.map_err(|error| StoreError::WriteFailed { reason: format!("no writer thread: {error}") })?;
        Ok(Self { shared, writer: Some(thread), _lock: lock })
    }

    fn submit(&self, proposal: Proposal, bytes: usize) {
        if let Err(proposal) = self.shared.queue.push(proposal, PROPOSAL_BYTES + bytes) {
            proposal.refuse(StoreError::ShuttingDown);
        }
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // If it panicked, that was reported when it happened.
            let _ = writer.join();
        }
    }
}

impl Store for RedbStore {
    fn append(&self, request: AppendRequest) -> Pending<Result<Appended, AppendError>> {
        if let Err(error) = decide::check_request(&request) {
            return Pending::ready(Err(error));
        }
        let (reply, pending) = reply();
        let bytes = event_bytes(&request.events);
        self.submit(Proposal::Append(request, reply), bytes);
        pending
    }

    fn commit(&self, work: UnitOfWork) -> Pending<Result<Committed, CommitError>> {
        if let Err(error) = decide::check_work(&work) {
            return Pending::ready(Err(error));
        }
        let (reply, pending) = reply();
        let bytes = work_bytes(&work);
        self.submit(Proposal::Commit(Box::new(work), reply), bytes);
        pending
    }

    fn head(&self) -> Position {
        self.shared.head()
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        self.shared.watch.subscribe()
    }

    fn read(&self, request: &ReadRequest) -> Result<ReadPage, StoreError> {
        contain_read(|| reads::read(&self.shared, request))
    }

    fn event(&self, id: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        let head = self.shared.head();
        let position = self.shared.index().position(id).filter(|position| *position <= head);
        contain_read(|| position.map(|position| reads::event_at(&self.shared, position)).transpose())
    }

    fn stream_version(&self, stream: &StreamName) -> Version {
        let head = self.shared.head();
        self.shared.index().stream_version(stream.as_str(), head)
    }

    fn progress(&self, plugin: &PluginName) -> Result<Option<Progress>, StoreError> {
        contain_read(|| reads::progress(&self.shared, plugin))
    }

    fn state_get(&self, plugin: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        contain_read(|| reads::state_get(&self.shared, plugin, key))
    }

    fn state_scan(
        &self,
        plugin: &PluginName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StatePage, StoreError> {
        contain_read(|| reads::state_scan(&self.shared, plugin, prefix, after, limit))
    }

    fn dead_letters(&self, plugin: &PluginName, after: Position, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        contain_read(|| reads::dead_letters(&self.shared, plugin, after, limit))
    }

    fn dead_letter(&self, plugin: &PluginName, position: Position) -> Result<Option<DeadLetter>, StoreError> {
        contain_read(|| reads::dead_letter(&self.shared, plugin, position))
    }

    fn dead_letter_count(&self, plugin: &PluginName) -> Result<u64, StoreError> {
        contain_read(|| reads::dead_letter_count(&self.shared, plugin))
    }

    fn plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        contain_read(|| reads::plugins(&self.shared))
    }
}

fn event_bytes(events: &[NewEvent]) -> usize {
    events.iter().map(NewEvent::size_bytes).sum()
}

fn work_bytes(work: &UnitOfWork) -> usize {
    let state: usize =
        work.state.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, Vec::len)).sum();
    let letter = |change: &DeadLetterChange| match change {
        DeadLetterChange::Put(letter) => letter.reason.len() + letter.stderr_tail.len() + letter.backtrace.len(),
        DeadLetterChange::Remove(_) => 0,
    };
    state + event_bytes(&work.events) + work.dead_letters.iter().map(letter).sum::<usize>()
}
