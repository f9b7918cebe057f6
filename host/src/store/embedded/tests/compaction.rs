//! Giving back the space of removed events: what is kept stays as it is, what is removed leaves its bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{append, cramped, eventually, numbered, open, read_all, settle};
use crate::event::{Category, EventType, Filter, NewEvent, Position, Query, RecordedEvent, StreamName, Tag};
use crate::store::embedded::{ClosedStore, EmbeddedStore, VerifyReport};
use crate::store::{AppendRequest, Direction, ReadRequest, Store, StreamDeletion, StreamHead};

/// Events of which half are in a category that is removed.
const EVENTS: usize = 600;

/// Of each four events three are in streams of `order`, one in a stream of `kept`.
fn mixed(number: usize) -> NewEvent {
    let stream = if number % 4 == 3 { format!("kept-{}", number % 3) } else { format!("order-{}", number % 50) };
    NewEvent { stream: Some(StreamName::new(stream).unwrap()), ..numbered(number) }
}

fn category(name: &str) -> Category {
    Category::new(name).unwrap()
}

fn fill(directory: &Path) -> EmbeddedStore {
    let store = EmbeddedStore::open(&cramped(directory), super::clock()).unwrap();
    for first in (0..EVENTS).step_by(10) {
        let events = (first..first + 10).map(mixed).collect();
        store.append(AppendRequest::unconditional(events)).wait().unwrap();
    }
    settle(&store);
    store
}

fn remove(store: &EmbeddedStore, name: &str, before: u64) {
    assert_eq!(store.remove(&category(name), Position(before)).unwrap(), Position(before));
}

/// Waits until at least so many sealed events are stubs.
fn compacted(store: &EmbeddedStore, stubs: u64) {
    eventually("the space is given back", || store.sizes().unwrap().stubs >= stubs);
}

/// How many of the events of a category stand in segments before a position.
fn sealed_before(store: &EmbeddedStore, events: &[RecordedEvent], name: &str, before: u64) -> u64 {
    let sealed = store.sizes().unwrap().sealed;
    let removed = |event: &&RecordedEvent| {
        event.stream.as_ref().is_some_and(|stream| stream.category() == name)
            && event.position <= sealed
            && event.position.0 < before
    };
    events.iter().filter(removed).count() as u64
}

fn kept(events: &[RecordedEvent], store: &EmbeddedStore) -> Vec<RecordedEvent> {
    let removals = store.removals();
    let stream = |event: &RecordedEvent| event.stream.as_ref().map(StreamName::to_string);
    events.iter().filter(|event| !removals.removes(stream(event).as_deref(), event.position)).cloned().collect()
}

fn heads(store: &dyn Store) -> Vec<(StreamName, StreamHead)> {
    store.streams("", None, 10_000).unwrap().streams
}

/// Everything that is kept is found in every way, and nothing else.
fn assert_kept(store: &EmbeddedStore, events: &[RecordedEvent]) {
    let expected = kept(events, store);
    assert!(read_all(store).unwrap() == expected, "what is kept is not what was appended");
    let filters = (0..7).map(|tag| Filter { tags: vec![Tag::new(format!("t{tag}")).unwrap()], ..Filter::default() });
    let streams = ["kept-0", "order-1", "order-48"].map(|name| Filter::stream(&StreamName::new(name).unwrap()));
    for filter in filters.chain(streams) {
        for direction in [Direction::Forwards, Direction::Backwards] {
            let query = Query::from(filter.clone());
            let request = ReadRequest { query, direction, limit: 5_000, ..ReadRequest::default() };
            let mut found = store.read(&request).unwrap().events;
            if direction == Direction::Backwards {
                found.reverse();
            }
            assert!(found.iter().eq(expected.iter().filter(|event| filter.matches(event))), "{filter:?}");
        }
    }
    for event in events.iter().step_by(7) {
        let expected = expected.iter().find(|kept| kept.id == event.id);
        assert_eq!(store.event(event.id).unwrap().as_ref(), expected);
    }
}

fn assert_sound(report: &VerifyReport, removed: u64) {
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(report.stubs, removed, "{report:?}");
    assert_eq!(report.events + report.stubs, report.head.0, "{report:?}");
}

#[test]
fn what_is_kept_stays_and_the_disk_shrinks() {
    let directory = tempfile::tempdir().unwrap();
    let store = fill(directory.path());
    let (events, heads_before) = (read_all(&store).unwrap(), heads(&store));
    let before = store.sizes().unwrap();
    for horizon in [200, 201, 420] {
        remove(&store, "order", horizon);
        assert_kept(&store, &events);
    }
    let removable = sealed_before(&store, &events, "order", 420);
    compacted(&store, removable / 2);
    settle(&store);
    assert_kept(&store, &events);
    assert_eq!(heads(&store), heads_before);
    remove(&store, "order", EVENTS as u64 + 1);
    let removable = sealed_before(&store, &events, "order", u64::MAX);
    compacted(&store, removable);
    let after = store.sizes().unwrap();
    assert!(after.total_bytes() < before.total_bytes(), "{after:?}");
    assert!(after.segments.bytes * 2 < before.segments.bytes, "three of four are gone: {after:?}, {before:?}");
    // They go after the commit that counts the stubs.
    let on_disk = || -> u64 { files(directory.path(), "segment").iter().map(|(_, bytes)| bytes).sum() };
    eventually("the old files are gone", || on_disk() == after.segments.bytes);
    assert_kept(&store, &events);
    assert_sound(&store.verify(&mut |_| ()).unwrap(), removable);
    drop(store);
    assert_sound(&ClosedStore::open(directory.path()).unwrap().verify(&mut |_| ()), removable);
    let store = open(directory.path()).unwrap();
    assert_kept(&store, &events);
    assert_eq!(heads(&store), heads_before);
    let next = store.append(AppendRequest::unconditional(vec![mixed(0)])).wait().unwrap();
    assert_eq!((next.events[0].position.0, next.events[0].version.0), (EVENTS as u64 + 1, 13), "versions go on");
}

/// Names and bytes of the files of a kind, in order; one that goes meanwhile is none of them.
fn files(directory: &Path, ending: &str) -> Vec<(String, u64)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named =
        entries.filter_map(|entry| Some((entry.file_name().into_string().unwrap(), entry.metadata().ok()?.len())));
    let mut files: Vec<_> = named.filter(|(name, _)| name.ends_with(ending)).collect();
    files.sort();
    files
}

/// Runs over several segments, some compacted, some not, are merged: streams with gaps between them among them.
#[test]
fn compacted_and_other_runs_are_merged() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap();
    let mut number = 0;
    for round in 0..60 {
        store.append(AppendRequest::unconditional((number..number + 20).map(mixed).collect())).wait().unwrap();
        number += 20;
        if round % 7 == 5 {
            remove(&store, "order", number as u64 - 30);
        }
    }
    settle(&store);
    // Compacting goes on when there is nothing left to merge.
    eventually("runs are merged and space is given back", || {
        let sizes = store.sizes().unwrap();
        sizes.stubs > 400 && sizes.runs_by_level.len() > 1
    });
    let report = store.verify(&mut |_| ()).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    drop(store);
    let report = ClosedStore::open(directory.path()).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty(), "{report:?}");
}

#[test]
fn streams_that_were_emptied_end_where_they_did() {
    let directory = tempfile::tempdir().unwrap();
    let store = fill(directory.path());
    let deleted = StreamName::new("order-1").unwrap();
    store.delete_stream(StreamDeletion::of(deleted.clone())).wait().unwrap();
    // So that the tombstone is sealed too.
    append(&store, 0..40);
    settle(&store);
    let (before, horizon) = (heads(&store), store.head().next());
    let events = read_all(&store).unwrap();
    remove(&store, "order", horizon.0);
    compacted(&store, sealed_before(&store, &events, "order", horizon.0));
    assert_eq!(heads(&store), before);
    drop(store);
    let store = open(directory.path()).unwrap();
    assert_eq!(heads(&store), before);
    assert!(store.stream_head(&deleted).unwrap().unwrap().deleted);
    let more = NewEvent { stream: Some(deleted), ..numbered(0) };
    store.append(AppendRequest::unconditional(vec![more])).wait().unwrap_err();
}

/// The index is made anew from compacted segments, as it was.
#[test]
fn indexes_are_made_anew_from_compacted_segments() {
    let directory = tempfile::tempdir().unwrap();
    let store = fill(directory.path());
    let (events, heads_before) = (read_all(&store).unwrap(), heads(&store));
    remove(&store, "order", 500);
    compacted(&store, sealed_before(&store, &events, "order", 300));
    settle(&store);
    drop(store);
    let indexes = files(directory.path(), "index");
    for (name, _) in &indexes {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let closed = ClosedStore::open(directory.path()).unwrap();
    assert_eq!(closed.repair_indexes(&mut |_| ()).unwrap().replaced.len(), indexes.len());
    drop(closed);
    let report = ClosedStore::open(directory.path()).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty() && report.stubs > 0, "{report:?}");
    let store = open(directory.path()).unwrap();
    assert_kept(&store, &events);
    assert_eq!(heads(&store), heads_before);
    settle(&store);
    assert!(store.verify(&mut |_| ()).unwrap().problems.is_empty(), "also when they are merged again");
}

#[test]
fn readers_see_every_kept_event_once_while_space_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = fill(directory.path());
    let events = read_all(&store).unwrap();
    let always: BTreeSet<_> = events
        .iter()
        .filter(|event| event.stream.as_ref().is_some_and(|stream| stream.category() == "kept"))
        .map(|event| event.position)
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for direction in [Direction::Forwards, Direction::Backwards] {
            let (store, done, always) = (&store, &done, &always);
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let mut seen = BTreeSet::new();
                    let mut request = ReadRequest { direction, limit: 50, ..ReadRequest::default() };
                    loop {
                        let page = store.read(&request).unwrap();
                        assert!(page.events.iter().all(|event| seen.insert(event.position)));
                        match direction {
                            Direction::Forwards => request.after = page.through,
                            Direction::Backwards => request.before = Some(page.through),
                        }
                        if page.complete {
                            break;
                        }
                    }
                    assert!(always.is_subset(&seen));
                }
            });
        }
        for horizon in (60..=EVENTS as u64).step_by(60) {
            remove(&store, "order", horizon);
            store.verify(&mut |_| ()).map(|report| assert!(report.problems.is_empty(), "{report:?}")).unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_kept(&store, &events);
}

/// A bit flipped in what compacting made is found, and never served.
#[test]
fn damage_to_compacted_files_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let store = fill(directory.path());
    let events = read_all(&store).unwrap();
    remove(&store, "order", 400);
    compacted(&store, 100);
    settle(&store);
    drop(store);
    let names = files(directory.path(), "segment").into_iter().chain(files(directory.path(), "index"));
    let compacted: Vec<_> = names.filter(|(name, _)| name.matches('.').count() == 2).collect();
    assert!(compacted.len() > 4, "{compacted:?}");
    for (name, bytes) in compacted.iter().step_by(2) {
        let path = directory.path().join(name);
        let whole = fs::read(&path).unwrap();
        for at in (0..*bytes as usize).step_by((*bytes as usize / 12).max(1)) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            let report = ClosedStore::open(directory.path()).unwrap().verify(&mut |_| ());
            assert!(!report.problems.is_empty(), "byte {at} of {name}");
            if let Ok(store) = open(directory.path())
                && let Ok(found) = read_all(&store)
            {
                assert!(found == kept(&events, &store), "byte {at} of {name}");
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_kept(&open(directory.path()).unwrap(), &events);
}

/// Files of a compaction that was cut off, before or after its commit, are removed; others never.
#[test]
fn what_a_compaction_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = fill(directory.path());
    drop(store);
    let (segment, _) = files(directory.path(), "segment").remove(1);
    let left = [segment.replace(".segment", ".9.segment"), format!("{:020}-{:020}.3.index", 1, 9)];
    for name in &left {
        fs::write(directory.path().join(name), "left over").unwrap();
    }
    let mine = [segment.replace(".segment", ".x.segment"), segment.replace(".segment", ".01.segment")];
    for name in &mine {
        fs::write(directory.path().join(name), "mine").unwrap();
    }
    drop(open(directory.path()).unwrap());
    assert!(left.iter().all(|name| !directory.path().join(name).exists()));
    assert!(mine.iter().all(|name| directory.path().join(name).exists()), "no such name is the store's");
}

/// An event below a horizon that the journals do not reach would be lost as soon as it is written.
#[test]
fn a_log_that_ends_before_a_horizon_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    append(&store, 0..20);
    let copy = fs::read(directory.path().join("journal-0")).unwrap();
    store.append(AppendRequest::unconditional(vec![numbered(20)])).wait().unwrap();
    remove(&store, "s", 22);
    // As after a crash: what the journals have come to was not noted.
    std::mem::forget(store);
    let image = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join("state.redb"), image.path().join("state.redb")).unwrap();
    fs::write(image.path().join("journal-0"), copy).unwrap();
    let error = open(image.path()).unwrap_err().to_string();
    assert!(error.contains("removed before position 22") && error.contains("from 21 on are missing"), "{error}");
}

#[test]
fn a_store_of_which_something_was_removed_has_a_format_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let version = || {
        let database = redb::Database::open(directory.path().join("state.redb")).unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        let transaction = redb::ReadableDatabase::begin_read(&database).unwrap();
        transaction.open_table(meta).unwrap().get("format_version").unwrap().unwrap().value()
    };
    let store = open(directory.path()).unwrap();
    append(&store, 0..5);
    drop(store);
    assert_eq!(version(), 1);
    remove(&open(directory.path()).unwrap(), "s", 3);
    assert_eq!(version(), 2);
    let events = read_all(&open(directory.path()).unwrap()).unwrap();
    assert_eq!(events.iter().map(|event| event.position.0).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(events[0].event_type, EventType::new("Numbered").unwrap());
}
