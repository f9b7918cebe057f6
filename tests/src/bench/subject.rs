//! What appends: the seam between the clients, which are the same everywhere, and what is compared.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tidemill::clock::{Clock, SystemClock};
use tidemill::error::ErrorClass;
use tidemill::event::{EventType, Filter, Pattern, Position, Query, StreamName, Tag};
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, ReadRequest, Store};
use uuid::Uuid;

use super::reads::{Page, Reading};

/// Something that appends durably.
pub trait Target: Send + Sync + 'static {
    /// Appends; answered when it is on stable storage. False when a condition did not hold.
    ///
    /// # Errors
    /// Whatever else kept it from being appended.
    fn append(&self, request: AppendRequest) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// Position of the last event.
    ///
    /// # Errors
    /// When it cannot be read.
    fn head(&self) -> anyhow::Result<u64>;

    /// How many commits it made, each of a group of appends; none when it does not tell.
    fn groups(&self) -> Option<u64>;
}

/// The embedded store, with its default settings.
#[derive(Debug)]
pub struct Tidemill {
    store: EmbeddedStore,
    clock: Arc<GroupClock>,
}

/// The machine's clock, counting how often it is read: the writer stamps every group once.
#[derive(Debug, Default)]
struct GroupClock(AtomicU64);

impl Clock for GroupClock {
    fn now_us(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed);
        SystemClock.now_us()
    }
}

impl Tidemill {
    /// Opens the store in a directory, making it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        let clock = Arc::new(GroupClock::default());
        let store = EmbeddedStore::open(&OpenOptions::new(directory), Arc::clone(&clock) as Arc<dyn Clock>)
            .with_context(|| format!("opening the store in {}", directory.display()))?;
        Ok(Self { store, clock })
    }

    /// The store itself.
    #[must_use]
    pub const fn store(&self) -> &EmbeddedStore {
        &self.store
    }

    /// Reads one page.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, request: &ReadRequest) -> anyhow::Result<Page> {
        let page = self.store.read(request)?;
        Ok(Page { events: page.events.len(), through: page.through.0 })
    }
}

impl Target for Tidemill {
    async fn append(&self, request: AppendRequest) -> anyhow::Result<bool> {
        match self.store.append(request).await {
            Ok(_) => Ok(true),
            Err(error) if error.class() == ErrorClass::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn head(&self) -> anyhow::Result<u64> {
        Ok(self.store.head().0)
    }

    fn groups(&self) -> Option<u64> {
        Some(self.clock.0.load(Ordering::Relaxed))
    }
}

impl Reading for Tidemill {
    fn scan(&self, after: u64, limit: usize) -> anyhow::Result<Page> {
        self.read(&ReadRequest { after: Position(after), limit, ..ReadRequest::default() })
    }

    fn by_type(&self, event_type: &EventType, after: u64, limit: usize) -> anyhow::Result<Page> {
        let filter = Filter { types: vec![Pattern::new(event_type.as_str())?], ..Filter::default() };
        self.read(&ReadRequest { query: Query::from(filter), after: Position(after), limit, ..ReadRequest::default() })
    }

    fn by_stream(&self, stream: &StreamName) -> anyhow::Result<usize> {
        let query = Query::from(Filter::stream(stream));
        Ok(self.read(&ReadRequest { query, ..ReadRequest::default() })?.events)
    }

    fn by_tag(&self, tag: &Tag) -> anyhow::Result<usize> {
        let query = Query::from(Filter { tags: vec![tag.clone()], ..Filter::default() });
        Ok(self.read(&ReadRequest { query, ..ReadRequest::default() })?.events)
    }

    fn by_id(&self, id: Uuid) -> anyhow::Result<Option<usize>> {
        Ok(Some(usize::from(self.store.event(id)?.is_some())))
    }
}
