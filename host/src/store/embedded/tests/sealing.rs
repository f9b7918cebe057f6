//! Sealing and merging while the store is used.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{append, assert_numbered, cramped, numbered, open, read_all, settle};
use crate::event::{Filter, Query, Tag};
use crate::store::embedded::{ClosedStore, EmbeddedStore};
use crate::store::{AppendRequest, Direction, ReadRequest, Store};

#[test]
fn the_number_of_runs_stays_logarithmic_and_everything_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap();
    for first in (0..1500).step_by(15) {
        append(&store, first..first + 15);
    }
    settle(&store);
    let sizes = store.sizes().unwrap();
    assert!(sizes.segments.files > 64 && sizes.runs_by_level.len() > 2, "{sizes:?}");
    assert!(sizes.runs.files < 24, "{sizes:?}");
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), 1500);
    for tag in 0..7 {
        let query = Query::from(Filter { tags: vec![Tag::new(format!("t{tag}")).unwrap()], ..Filter::default() });
        for direction in [Direction::Forwards, Direction::Backwards] {
            let request = ReadRequest { query: query.clone(), direction, limit: 5_000, ..ReadRequest::default() };
            let mut found: Vec<_> = store.read(&request).unwrap().events.iter().map(|event| event.position.0).collect();
            if direction == Direction::Backwards {
                found.reverse();
            }
            assert!(found.into_iter().eq((1..=1500).filter(|position| (position - 1) % 7 == tag)));
        }
    }
    let report = store.verify(&mut |_| ()).unwrap();
    assert!(report.problems.is_empty() && report.events == 1500, "{report:?}");
    drop(store);
    assert_eq!(assert_numbered(&read_all(&open(directory.path()).unwrap()).unwrap()), 1500);
    let report = ClosedStore::open(directory.path()).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty() && report.events == 1500, "{report:?}");
}

#[test]
fn readers_see_every_event_once_while_journals_are_sealed_and_reused() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for direction in [Direction::Forwards, Direction::Backwards] {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let head = store.head();
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
                    assert!(seen.len() as u64 >= head.0, "{} events of {head}", seen.len());
                }
            });
        }
        for number in 0..1200 {
            append(&store, number..number + 1);
        }
        done.store(true, Ordering::Release);
    });
    settle(&store);
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), 1200);
    // More than seventy were sealed; readers that get no processor for a while hold some of them.
    assert!(store.sizes().unwrap().journals.files < 40, "sealed journals are written over");
}

#[test]
fn ids_and_versions_hold_over_seals() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap();
    let first = numbered(0);
    let appended = store.append(AppendRequest::unconditional(vec![first.clone()])).wait().unwrap();
    append(&store, 1..100);
    settle(&store);
    let again = store.append(AppendRequest::unconditional(vec![first.clone()])).wait().unwrap();
    assert!(again.repeated && again.events == appended.events);
    let head = store.stream_head(first.stream.as_ref().unwrap()).unwrap().unwrap();
    assert_eq!((head.version.0, head.position.0), (34, 100));
    assert_eq!(store.counts().unwrap().streams, 3);
    let page = store.streams("s-", None, 10).unwrap();
    assert_eq!(page.streams.iter().map(|(_, head)| head.version.0).collect::<Vec<_>>(), [34, 33, 33]);
    assert_eq!(store.event_types().unwrap().iter().map(|(_, count)| *count).collect::<Vec<_>>(), [100]);
}
