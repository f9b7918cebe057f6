//! redb with every index in the commit: what an event store on a B-tree does, to compare with.
//!
//! No conditions and no idempotency: it only keeps the indexes that they need.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};
use tidemill::event::NewEvent;
use tidemill::store::AppendRequest;
use tidemill_tests::bench::Sink;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const VERSIONS: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("versions");
const HEADS: TableDefinition<'_, &str, u64> = TableDefinition::new("heads");
const TYPES: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("types");
const TAGS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("tags");
const IDS: TableDefinition<'_, u128, u64> = TableDefinition::new("ids");

/// A database that holds events and their indexes.
#[derive(Debug)]
pub(crate) struct RedbIndexed {
    database: Database,
    head: u64,
}

impl RedbIndexed {
    /// Makes the file, with as large a cache as the store has.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let database = Database::builder().set_cache_size(64 << 20).create(path)?;
        Ok(Self { database, head: 0 })
    }
}

impl Sink for RedbIndexed {
    fn commit(&mut self, group: &[AppendRequest]) -> anyhow::Result<Vec<bool>> {
        let transaction = self.database.begin_write()?;
        {
            let mut events = transaction.open_table(EVENTS)?;
            let mut versions = transaction.open_table(VERSIONS)?;
            let mut heads = transaction.open_table(HEADS)?;
            let mut types = transaction.open_table(TYPES)?;
            let mut tags = transaction.open_table(TAGS)?;
            let mut ids = transaction.open_table(IDS)?;
            for event in group.iter().flat_map(|request| &request.events) {
                self.head += 1;
                events.insert(self.head, encoded(event).as_slice())?;
                types.insert((event.event_type.as_str(), self.head), ())?;
                ids.insert(event.id.as_u128(), self.head)?;
                for tag in &event.tags {
                    tags.insert((tag.as_str(), self.head), ())?;
                }
                if let Some(stream) = &event.stream {
                    let version = heads.get(stream.as_str())?.map_or(0, |version| version.value()) + 1;
                    versions.insert((stream.as_str(), version), self.head)?;
                    heads.insert(stream.as_str(), version)?;
                }
            }
        }
        transaction.commit()?;
        Ok(vec![true; group.len()])
    }
}

fn encoded(event: &NewEvent) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(event.data.len() + 128);
    bytes.extend_from_slice(event.id.as_bytes());
    let names = [event.event_type.as_str(), event.stream.as_ref().map_or("", |stream| stream.as_str())];
    for name in names.into_iter().chain(event.tags.iter().map(|tag| tag.as_str())) {
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.extend_from_slice(&event.data);
    bytes
}
