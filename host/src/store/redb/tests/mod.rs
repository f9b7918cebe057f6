//! What only the redb store promises, and the conformance suite over it.

mod backends;
mod damage;
mod model;
mod opening;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{OpenOptions, RedbStore};
use crate::clock::{Clock, ManualClock};
use crate::event::{EventType, NewEvent, Position, RecordedEvent, StreamName};
use crate::store::conformance::{Subject, conformance_tests};
use crate::store::{AppendRequest, ReadRequest, Store, StoreError};

struct OnDisk(TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Subject for OnDisk {
    fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        Arc::new(RedbStore::open(&OpenOptions::new(self.0.path()), clock).unwrap())
    }

    fn reopen(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        assert_eq!(Arc::strong_count(&store), 1, "the store is still used elsewhere");
        drop(store);
        self.open(clock)
    }
}

conformance_tests!(OnDisk::new());

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(1_000))
}

fn open(directory: &Path) -> Result<RedbStore, StoreError> {
    RedbStore::open(&OpenOptions::new(directory), clock())
}

/// An event of 1 KiB that tells its number.
fn numbered(number: usize) -> NewEvent {
    let mut event = NewEvent::json(EventType::new("Numbered").unwrap(), format!("\"{number:01022}\""));
    event.stream = Some(StreamName::new(format!("s-{}", number % 3)).unwrap());
    event
}

fn append(store: &dyn Store, numbers: std::ops::Range<usize>) {
    store.append(AppendRequest::unconditional(numbers.map(numbered).collect())).wait().unwrap();
}

fn read_all(store: &dyn Store) -> Result<Vec<RecordedEvent>, StoreError> {
    let request = ReadRequest { limit: usize::MAX, bytes_max: usize::MAX, ..ReadRequest::default() };
    store.read(&request).map(|page| page.events)
}

/// Checks that a store holds the numbered events up to its head, in order, and nothing else; answers how many.
fn assert_numbered(events: &[RecordedEvent]) -> usize {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.position, Position(number as u64 + 1));
        let expected = NewEvent { id: event.id, ..numbered(number) };
        assert!(expected.same_content(event), "event {number} is not what was appended");
    }
    events.len()
}
