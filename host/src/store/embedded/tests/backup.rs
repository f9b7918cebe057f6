//! Backups of a store in use: what is copied opens as the store of one moment, whatever goes on meanwhile.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use uuid::Uuid;

use super::{append, assert_numbered, cramped, numbered, read_all, settle};
use crate::event::{Category, NewEvent, Position};
use crate::store::embedded::{Backup, ClosedStore, EmbeddedStore};
use crate::store::{AppendRequest, Owner, Progress, StateChange, Store, UnitOfWork};

/// Copies what is left of a backup.
fn copy(mut backup: Backup, to: &Path) {
    while let Some(mut file) = backup.next_file().unwrap() {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, file.length(), "{}", file.name());
        fs::write(to.join(file.name()), bytes).unwrap();
    }
}

fn owner() -> Owner {
    "counter".parse().unwrap()
}

/// A unit of work that counts the events up to a position.
fn work(revision: u64, checkpoint: u64) -> UnitOfWork {
    UnitOfWork {
        owner: owner(),
        partition: 0,
        progress: Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() },
        state: vec![StateChange { key: "count".into(), value: Some(checkpoint.to_string().into_bytes()) }],
        events: Vec::<NewEvent>::new(),
        dead_letters: Vec::new(),
    }
}

/// Opens a copy and checks that it is the numbered events up to a head, and state of exactly its checkpoint.
fn assert_whole(directory: &Path, head: Position) {
    let report = ClosedStore::open(directory).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.head, head);
    let store = EmbeddedStore::open(&cramped(directory), super::clock()).unwrap();
    assert_eq!(assert_numbered(&read_all(&store).unwrap()) as u64, head.0);
    let Some(progress) = store.progress(&owner(), 0).unwrap() else { return };
    assert!(progress.checkpoint <= head, "{progress:?} is ahead of {head}");
    let count = store.state_get(&owner(), "count").unwrap().unwrap();
    assert_eq!(String::from_utf8(count).unwrap(), progress.checkpoint.to_string());
    // It goes on: the next unit, and the next events.
    let next = usize::try_from(head.0).unwrap();
    append(&store, next..next + 40);
    store.commit(work(progress.revision + 1, head.0 + 40)).wait().unwrap();
    settle(&store);
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), next + 40);
}

#[test]
fn backups_under_load_are_each_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap());
    let (done, appended) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1.. {
                let at = appended.load(Ordering::Acquire);
                if done.load(Ordering::Acquire) {
                    return;
                }
                append(&*store, at..at + 5);
                store.commit(work(revision, at as u64 + 5)).wait().unwrap();
                appended.store(at + 5, Ordering::Release);
            }
        });
        for round in 1..=8 {
            // However seldom the other thread gets a processor, something is appended meanwhile.
            super::eventually("events are appended", || appended.load(Ordering::Acquire) >= round * 30);
            let before = appended.load(Ordering::Acquire) as u64;
            let backup = Arc::clone(&store).backup().unwrap();
            let after = backup.head();
            assert!(after.0 >= before, "{after} lacks events that were answered before: {before}");
            let copied = tempfile::tempdir().unwrap();
            copy(backup, copied.path());
            assert_whole(copied.path(), after);
        }
        done.store(true, Ordering::Release);
    });
    settle(&store);
    assert!(store.sizes().unwrap().segments.files > 5, "nothing was sealed meanwhile");
}

#[test]
fn what_merges_and_compactions_replace_stays_until_the_backup_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap());
    for first in (0..300).step_by(15) {
        append(&*store, first..first + 15);
    }
    settle(&store);
    let backup = Arc::clone(&store).backup().unwrap();
    let (head, held) = (backup.head(), names(directory.path()));
    for first in (300..1500).step_by(15) {
        append(&*store, first..first + 15);
    }
    store.remove(&Category::new("s").unwrap(), Position(1400)).unwrap();
    super::eventually("space is given back", || store.sizes().unwrap().stubs > 1000);
    settle(&store);
    let gone: Vec<_> = held.iter().filter(|name| is_sealed(name) && !directory.path().join(name).exists()).collect();
    assert!(gone.is_empty(), "{gone:?} are in the backup");
    let copied = tempfile::tempdir().unwrap();
    copy(backup, copied.path());
    assert_whole(copied.path(), head);
    super::eventually("what was held is removed", || {
        held.iter().filter(|name| is_sealed(name)).all(|name| !directory.path().join(name).exists())
    });
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn is_sealed(name: &str) -> bool {
    name.ends_with(".segment") || name.ends_with(".index")
}

#[test]
fn empty_removed_and_unsealed_stores_are_backed_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap());
    let copied = tempfile::tempdir().unwrap();
    let backup = Arc::clone(&store).backup().unwrap();
    assert_eq!((backup.head(), backup.bytes() > 0), (Position(0), true));
    copy(backup, copied.path());
    assert_whole(copied.path(), Position(0));
    store.append(AppendRequest::unconditional(vec![numbered(0)])).wait().unwrap();
    store.remove(&Category::new("s").unwrap(), Position(2)).unwrap();
    let copied = tempfile::tempdir().unwrap();
    copy(Arc::clone(&store).backup().unwrap(), copied.path());
    let restored = EmbeddedStore::open(&cramped(copied.path()), super::clock()).unwrap();
    assert_eq!((restored.head(), read_all(&restored).unwrap().len()), (Position(1), 0));
    assert_eq!(restored.removals(), store.removals());
}

#[test]
fn a_store_that_is_opened_again_or_restored_has_its_own_ids_and_no_other_has_them() {
    let [directory, copied, other] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    let id_of = |store: &EmbeddedStore| store.own_ids().id(&Uuid::from_u128(1), "a");
    let store = Arc::new(EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap());
    let id = id_of(&store);
    copy(Arc::clone(&store).backup().unwrap(), copied.path());
    drop(store);
    for same in [directory.path(), copied.path()] {
        assert_eq!(id_of(&EmbeddedStore::open(&cramped(same), super::clock()).unwrap()), id, "{}", same.display());
    }
    assert_ne!(id_of(&EmbeddedStore::open(&cramped(other.path()), super::clock()).unwrap()), id);
}

#[test]
fn a_disk_without_room_for_the_copy_of_the_state_says_so_and_goes_on() {
    let disk = super::SimDisk::new();
    let store = Arc::new(super::open_on(&disk, 16 << 10).unwrap());
    append(&*store, 0..5);
    disk.set_room(disk.used());
    let error = Arc::clone(&store).backup().unwrap_err();
    assert!(matches!(error, crate::store::StoreError::DiskFull { .. }), "{error:?}");
    disk.heal();
    append(&*store, 5..10);
    let backup = Arc::clone(&store).backup().unwrap();
    assert_eq!(backup.head(), Position(10));
}
