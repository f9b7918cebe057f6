//! UmaDB in process: its writer thread, which groups what waits, and its reads.
//!
//! The writer, its queue of 1,024 and its groups of at most 2,000 events are what its server uses. Settings
//! are its server's too, but for a page cache and memory-mapped reads: with both it was the fastest of the four
//! combinations at every read, about twice as fast as without.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tidemill::event::{EventType, Filter, NewEvent, Query, StreamName, Tag};
use tidemill::store::{AppendCondition, AppendRequest};
use tidemill_tests::bench::{Page, Reading, Target};
use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::pager::ReadMethod;
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem};
use uuid::Uuid;

const QUEUE_MAX: usize = 1024;
const GROUP_EVENTS_MAX: usize = 2000;
/// Memory for its pages, in megabytes.
const CACHE_MB: usize = 256;

/// An UmaDB database.
pub struct UmaDb {
    database: db::UmaDb,
    queue: Option<mpsc::Sender<WriterThreadRequest>>,
    writer: Option<JoinHandle<()>>,
    streams: bool,
}

impl UmaDb {
    /// Makes a database in a directory. With `streams`, an event's stream is one more tag of it; without,
    /// streams are left out, and so is the work of indexing them.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(directory: &Path, streams: bool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let options =
            StorageOptions::default().db_path(directory).read_method(ReadMethod::Mmap).page_cache_max_mb(CACHE_MB);
        let mvcc = Arc::new(Mvcc::new(false, options)?);
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let (heads, _) = watch::channel(None);
        let theirs = Arc::clone(&mvcc);
        let writer = std::thread::spawn(move || writer_thread_blocking(theirs, receiver, heads, GROUP_EVENTS_MAX));
        Ok(Self { database: db::UmaDb::from_arc(mvcc), queue: Some(sender), writer: Some(writer), streams })
    }

    fn read(&self, item: DcbQueryItem, after: u64, limit: Option<usize>) -> anyhow::Result<Page> {
        let is_all = item.types.is_empty() && item.tags.is_empty();
        let query = (!is_all).then(|| DcbQuery::with_items([item]));
        let limit = limit.map(u32::try_from).transpose()?;
        let (events, _) = self.database.read_with_head(query, Some(after + 1), false, limit)?;
        Ok(Page { events: events.len(), through: events.last().map_or(after, |event| event.position) })
    }
}

impl Drop for UmaDb {
    fn drop(&mut self) {
        self.queue = None;
        // If it panicked, that was reported when it happened.
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

impl Target for UmaDb {
    async fn append(&self, request: AppendRequest) -> anyhow::Result<bool> {
        anyhow::ensure!(request.expected.is_empty(), "UmaDB has no versions to expect");
        let (response_tx, response) = oneshot::channel();
        let events = request.events.into_iter().map(|given| event(given, self.streams)).collect();
        let condition = request.condition.map(condition);
        let append = WriterThreadRequest::Append { events, condition, tracking_info: None, response_tx, cancel: None };
        self.queue.as_ref().context("closed")?.send(append).await.ok().context("the writer thread ended")?;
        match response.await.context("the writer thread gave no answer")? {
            Ok(_) => Ok(true),
            Err(DcbError::IntegrityError(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn head(&self) -> anyhow::Result<u64> {
        Ok(self.database.head()?.unwrap_or(0))
    }

    fn groups(&self) -> Option<u64> {
        None
    }
}

impl Reading for UmaDb {
    fn scan(&self, after: u64, limit: usize) -> anyhow::Result<Page> {
        self.read(DcbQueryItem::new(), after, Some(limit))
    }

    fn by_type(&self, event_type: &EventType, after: u64, limit: usize) -> anyhow::Result<Page> {
        self.read(DcbQueryItem::new().types([event_type.as_str()]), after, Some(limit))
    }

    fn by_stream(&self, stream: &StreamName) -> anyhow::Result<usize> {
        Ok(self.read(DcbQueryItem::new().tags([stream_tag(stream)]), 0, None)?.events)
    }

    fn by_tag(&self, tag: &Tag) -> anyhow::Result<usize> {
        Ok(self.read(DcbQueryItem::new().tags([tag.as_str()]), 0, None)?.events)
    }

    fn by_id(&self, _: Uuid) -> anyhow::Result<Option<usize>> {
        Ok(None)
    }
}

/// An event as UmaDB has it; with `streams`, its stream is one more tag of it.
pub(crate) fn event(event: NewEvent, streams: bool) -> DcbEvent {
    let mut tags: Vec<String> = event.tags.into_iter().map(String::from).collect();
    if streams {
        tags.extend(event.stream.as_ref().map(stream_tag));
    }
    let (event_type, uuid) = (event.event_type.into(), Some(event.id));
    DcbEvent { event_type, tags, data: event.data, uuid, metadata: event.metadata.into_iter().collect() }
}

fn stream_tag(stream: &StreamName) -> String {
    format!("stream:{stream}")
}

/// A condition as UmaDB has it.
pub(crate) fn condition(condition: AppendCondition) -> DcbAppendCondition {
    DcbAppendCondition::new(query(&condition.fail_if_match)).after(Some(condition.after.0))
}

fn query(query: &Query) -> DcbQuery {
    let item = |item: &Filter| {
        let tags = item.tags.iter().map(|tag| tag.as_str());
        let types = item.types.iter().map(|pattern| pattern.as_str());
        DcbQueryItem::new().types(types).tags(tags)
    };
    DcbQuery::with_items(query.items.iter().map(item))
}
