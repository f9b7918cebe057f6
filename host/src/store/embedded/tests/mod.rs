//! What only the embedded store promises, and the conformance suite over it: as it is, and with journals so
//! small that everything is sealed and merged all the time.

mod backup;
mod compaction;
mod crash;
mod damage;
mod faults;
mod golden;
mod model;
mod opening;
mod scans;
mod sealing;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::disk::sim::SimDisk;
use super::{EmbeddedStore, OpenOptions};
use crate::clock::{Clock, ManualClock};
use crate::event::{EventType, NewEvent, Position, RecordedEvent, StreamName, Tag};
use crate::store::conformance::{Subject, conformance_tests};
use crate::store::{AppendRequest, ReadRequest, Store, StoreError};

/// A store in a directory.
struct OnDisk {
    directory: TempDir,
    journal_bytes_max: u64,
}

impl OnDisk {
    fn new() -> Self {
        Self::with_journals(OpenOptions::new("").journal_bytes_max)
    }

    fn with_journals(journal_bytes_max: u64) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), journal_bytes_max }
    }
}

impl Subject for OnDisk {
    fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let journal_bytes_max = self.journal_bytes_max;
        let options = OpenOptions { journal_bytes_max, ..OpenOptions::new(self.directory.path()) };
        Arc::new(EmbeddedStore::open(&options, clock).unwrap())
    }

    fn reopen(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        assert_eq!(Arc::strong_count(&store), 1, "the store is still used elsewhere");
        drop(store);
        self.open(clock)
    }
}

mod roomy {
    use super::{OnDisk, conformance_tests};
    conformance_tests!(OnDisk::new());
}

mod cramped {
    use super::{OnDisk, conformance_tests};
    conformance_tests!(OnDisk::with_journals(600));
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(1_000))
}

fn open(directory: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(&OpenOptions::new(directory), clock())
}

/// Options with journals so small that a few events fill them.
fn cramped(directory: &Path) -> OpenOptions {
    OpenOptions { journal_bytes_max: 16 << 10, ..OpenOptions::new(directory) }
}

fn open_on(disk: &SimDisk, journal_bytes_max: u64) -> Result<EmbeddedStore, StoreError> {
    let options = OpenOptions { journal_bytes_max, cache_bytes: 1 << 20, ..OpenOptions::new("") };
    EmbeddedStore::open_on(Arc::new(disk.clone()), &options, clock())
}

/// An event of 1 KiB that tells its number.
fn numbered(number: usize) -> NewEvent {
    let mut event = NewEvent::json(EventType::new("Numbered").unwrap(), format!("\"{number:01022}\""));
    event.stream = Some(StreamName::new(format!("s-{}", number % 3)).unwrap());
    event.tags = vec![Tag::new(format!("t{}", number % 7)).unwrap()];
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

/// Waits until something holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within five minutes");
        std::thread::yield_now();
    }
}

/// Waits until no journal waits for its seal and no runs for their merge.
fn settle(store: &EmbeddedStore) {
    eventually("everything is sealed", || store.shared().view().frozen.is_empty());
    eventually("everything is merged", || {
        let sizes = store.sizes().unwrap();
        sizes.runs_by_level.iter().all(|runs| *runs < 8)
    });
}
