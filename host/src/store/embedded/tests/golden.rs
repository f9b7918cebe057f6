//! The bytes of format 1, and of what compacting makes, kept as text: a store writes them, and opens them.
//!
//! If the first test fails, the format of a file has changed: files of that kind need a new format version, a
//! new golden file beside the old one, and a store that still opens the old. The text has the bytes in hex,
//! 32 on a line, and `zeros N` for longer runs of zeros. `TIDEMILL_GOLDEN=write` writes the files.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::super::disk::sim::SimDisk;
use super::super::disk::{Disk, Open};
use super::super::segment;
use super::super::segment::{SegmentRow, Segments};
use super::super::state::{Manifest, ManifestChange, RunRow, StateFile};
use super::{clock, read_all};
use crate::event::{Category, EventType, NewEvent, Position, StreamName, Tag};
use crate::store::embedded::{ClosedStore, EmbeddedStore, OpenOptions};
use crate::store::{AppendRequest, Store, StreamDeletion};

const LINE_BYTES: usize = 32;
/// Journals are sealed after this many bytes; what is written behind the last record depends on it.
const JOURNAL_BYTES: u64 = 8 << 10;
const FILES: [&str; 3] = ["journal-1", SEGMENT, INDEX];
const SEGMENT: &str = "00000000000000000001.segment";
const INDEX: &str = "00000000000000000001-00000000000000000012.index";

fn manifest() -> Manifest {
    Manifest { store_id: 0x0123_4567_89AB_CDEF, journal_seed: 42, journal_floor: 1, ..Manifest::default() }
}

fn options() -> OpenOptions {
    OpenOptions { journal_bytes_max: JOURNAL_BYTES, cache_bytes: 1 << 20, ..OpenOptions::new("") }
}

/// Every part of an event in some event, and a stream that is deleted.
fn events() -> Vec<NewEvent> {
    let event = |number: u128| {
        let mut event = NewEvent::json(EventType::new(["Placed", "Paid", "größer"][number as usize % 3]).unwrap(), "1");
        event.id = Uuid::from_u128(number << 64 | 0xABCD);
        event.stream =
            [None, Some("order-1"), Some("order-2")][number as usize % 3].map(|name| StreamName::new(name).unwrap());
        event.tags =
            ["red", "customer:7", "red"].iter().take(number as usize % 4).map(|tag| Tag::new(*tag).unwrap()).collect();
        event.data = format!("\"{}\"", "x".repeat(number as usize * 90)).into_bytes();
        if number % 5 == 4 {
            event.content_type = Some("text/plain".to_owned());
            event.metadata.insert("actor".to_owned(), format!("user {number}"));
            event.schema_version = 3;
        }
        event
    };
    (0..12).map(event).collect()
}

/// A store of one sealed journal and one that is written.
fn written() -> SimDisk {
    let disk = SimDisk::new();
    StateFile::make(&disk, &manifest()).unwrap();
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), &options(), clock()).unwrap();
    for events in events().chunks(4) {
        store.append(AppendRequest::unconditional(events.to_vec())).wait().unwrap();
    }
    let stream = StreamName::new("order-2").unwrap();
    let deletion = StreamDeletion { id: Uuid::from_u128(99), ..StreamDeletion::of(stream) };
    store.delete_stream(deletion).wait().unwrap();
    super::settle(&store);
    disk
}

fn bytes(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, Open::Existing).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read(0, &mut bytes).unwrap();
    bytes
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/store/embedded/tests/golden").join(format!("{name}.txt"))
}

fn to_lines(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunks(LINE_BYTES).collect::<Vec<_>>().chunk_by(|left, right| is_zero(left) && is_zero(right)) {
        match run {
            [line] if !is_zero(line) => {
                line.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
                text.push('\n');
            }
            lines => text.push_str(&format!("zeros {}\n", lines.iter().map(|line| line.len()).sum::<usize>())),
        }
    }
    text
}

fn is_zero(line: &[u8]) -> bool {
    line.iter().all(|byte| *byte == 0)
}

fn from_lines(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("zeros ") {
            Some(count) => bytes.resize(bytes.len() + count.parse::<usize>().unwrap(), 0),
            None => {
                bytes.extend((0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()))
            }
        }
    }
    bytes
}

#[test]
fn a_store_writes_the_bytes_of_its_format() {
    let disk = written();
    for name in FILES {
        check(&disk, name);
    }
}

/// Compares a file with the one that is kept, or writes that.
fn check(disk: &SimDisk, name: &str) {
    let found = to_lines(&bytes(disk, name));
    if std::env::var("TIDEMILL_GOLDEN").is_ok_and(|what| what == "write") {
        std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        std::fs::write(path(name), &found).unwrap();
    }
    let golden = std::fs::read_to_string(path(name)).unwrap();
    assert!(found == golden, "the format of {name} has changed");
}

#[test]
fn a_store_opens_the_bytes_of_format_1() {
    let disk = SimDisk::new();
    StateFile::make(&disk, &manifest()).unwrap();
    for name in FILES {
        let file = disk.open(name, Open::New).unwrap();
        file.write(0, &from_lines(&std::fs::read_to_string(path(name)).unwrap())).unwrap();
    }
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let store_id = manifest().store_id;
    let summary = segment::read_summary(&disk, SEGMENT, store_id).unwrap();
    let run = RunRow {
        first: summary.first,
        last: summary.last,
        level: 0,
        bytes: bytes(&disk, INDEX).len() as u64,
        generation: 0,
    };
    assert_eq!(run.file_name(), INDEX);
    assert!(Segments::new(Arc::clone(&shared), store_id, [SegmentRow::sealed(summary.clone())]).is_ok());
    let change = ManifestChange {
        journal_floor: Some(2),
        segments: vec![SegmentRow::sealed(summary)],
        streams: 2,
        runs: vec![run],
        ..ManifestChange::default()
    };
    StateFile::open(Arc::clone(&shared), 1 << 20).unwrap().0.commit(None, &change).unwrap();
    let report = ClosedStore::open_on(Arc::clone(&shared)).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty() && report.events == 13, "{report:?}");
    let store = EmbeddedStore::open_on(shared, &options(), clock()).unwrap();
    let stored = read_all(&store).unwrap();
    assert!(events().iter().zip(&stored).all(|(event, stored)| event.same_content(stored)));
    assert!(stored[12].is_tombstone() && stored[12].position == Position(13));
    let head = store.stream_head(&StreamName::new("order-2").unwrap()).unwrap().unwrap();
    assert!(head.deleted && head.version.0 == 5, "{head:?}");
}

const COMPACTED: [&str; 2] = [COMPACTED_SEGMENT, COMPACTED_INDEX];
const COMPACTED_SEGMENT: &str = "00000000000000000001.1.segment";
const COMPACTED_INDEX: &str = "00000000000000000001-00000000000000000012.1.index";

/// The events of `order` that are sealed are removed: eight of twelve, two of them the ends of their streams.
#[test]
fn a_compacted_store_has_the_bytes_of_its_format() {
    let disk = written();
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), &options(), clock()).unwrap();
    store.remove(&Category::new("order").unwrap(), Position(13)).unwrap();
    super::eventually("it is compacted", || store.sizes().unwrap().stubs == 8);
    for name in COMPACTED {
        check(&disk, name);
    }
    // They go after the commit that counts the stubs.
    let is_gone = |name| disk.open(name, Open::Existing).is_err();
    super::eventually("what they replace is gone", || is_gone(SEGMENT) && is_gone(INDEX));
}

#[test]
fn a_store_opens_the_bytes_of_a_compacted_segment() {
    let disk = SimDisk::new();
    StateFile::make(&disk, &manifest()).unwrap();
    for name in [FILES[0], COMPACTED_SEGMENT, COMPACTED_INDEX] {
        let file = disk.open(name, Open::New).unwrap();
        file.write(0, &from_lines(&std::fs::read_to_string(path(name)).unwrap())).unwrap();
    }
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let summary = segment::read_summary(&disk, COMPACTED_SEGMENT, manifest().store_id).unwrap();
    let bytes = bytes(&disk, COMPACTED_INDEX).len() as u64;
    let run = RunRow { first: summary.first, last: summary.last, level: 0, bytes, generation: 1 };
    let change = ManifestChange {
        journal_floor: Some(2),
        segments: vec![SegmentRow { summary, generation: 1, stubs: 8 }],
        streams: 2,
        runs: vec![run],
        removal: Some((Category::new("order").unwrap(), Position(13))),
        ..ManifestChange::default()
    };
    StateFile::open(Arc::clone(&shared), 1 << 20).unwrap().0.commit(None, &change).unwrap();
    let report = ClosedStore::open_on(Arc::clone(&shared)).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty() && (report.events, report.stubs) == (5, 8), "{report:?}");
    let store = EmbeddedStore::open_on(shared, &options(), clock()).unwrap();
    let positions: Vec<_> = read_all(&store).unwrap().iter().map(|event| event.position.0).collect();
    assert_eq!(positions, [1, 4, 7, 10, 13]);
    let head = |name| store.stream_head(&StreamName::new(name).unwrap()).unwrap().unwrap();
    assert_eq!((head("order-1").version.0, head("order-1").position), (4, Position(11)));
    assert!(head("order-2").deleted && head("order-2").version.0 == 5);
}
