//! Damaged bytes: told, with their place; never served, never a panic.

use std::fs;
use std::path::Path;

use super::{append, assert_numbered, cramped, open, read_all, settle};
use crate::event::Position;
use crate::store::embedded::{ClosedStore, EmbeddedStore};
use crate::store::{Owner, Progress, StateChange, Store, StoreError, UnitOfWork};

const EVENTS: usize = 150;

/// Some sealed events, some in the journal, and some state.
fn filled(directory: &Path) {
    let store = EmbeddedStore::open(&cramped(directory), super::clock()).unwrap();
    let owner: Owner = "p".parse().unwrap();
    for first in (0..EVENTS).step_by(10) {
        append(&store, first..first + 10);
        let revision = store.progress(&owner, 0).unwrap().map_or(1, |progress| progress.revision + 1);
        let work = UnitOfWork {
            owner: owner.clone(),
            partition: 0,
            progress: Progress { revision, checkpoint: Position(first as u64), ..Progress::default() },
            state: vec![StateChange { key: format!("key-{first}"), value: Some(vec![0x5A; 60]) }],
            events: Vec::new(),
            dead_letters: Vec::new(),
        };
        store.commit(work).wait().unwrap();
    }
    settle(&store);
}

fn state(store: &dyn Store) -> Option<usize> {
    let page = store.state_scan(&"p".parse().unwrap(), "", None, 1000).ok()?;
    assert!(page.entries.iter().all(|(key, value)| key.starts_with("key-") && value[..] == [0x5A; 60]));
    Some(page.entries.len())
}

/// A bit flipped anywhere: the store serves what was written, or says that it cannot; verifying finds it.
#[test]
fn a_flipped_bit_anywhere_is_never_served() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let (mut told, mut harmless) = (0, 0);
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = fs::read(&path).unwrap();
        let used: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
        for at in used.iter().step_by((used.len() / 25).max(1)) {
            let mut bytes = whole.clone();
            bytes[*at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            let verified = ClosedStore::open(directory.path()).map(|store| store.verify(&mut |_| ()));
            let found = verified.map_or(true, |report| !report.problems.is_empty());
            let sealed = name.ends_with(".segment") || name.ends_with(".index");
            assert!(found || !sealed, "byte {at} of {name} is not what was written, and nothing was found");
            let served = open(directory.path()).and_then(|store| {
                let events = read_all(&store)?;
                assert_eq!(assert_numbered(&events), EVENTS, "{name} at {at}");
                assert!(state(&store).is_none_or(|entries| entries == EVENTS / 10), "{name} at {at}");
                Ok(())
            });
            match served {
                Ok(()) => harmless += 1,
                Err(_) => told += 1,
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(told > 100, "{told} told, {harmless} harmless");
    assert_eq!(assert_numbered(&read_all(&open(directory.path()).unwrap()).unwrap()), EVENTS);
}

/// The scan fails as a whole; the keys are known, and the next write of the row counts, or its removal: with nothing left to
/// read of what is damaged the scan goes on.
#[test]
fn a_damaged_row_of_state_is_named_among_the_keys_and_can_be_written_over() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let store = open(directory.path()).unwrap();
    let owner: Owner = "p".parse().unwrap();
    let keys = |limit| store.state_keys(&owner, "key-", Some("key-0"), limit).unwrap();
    let (all, two) = (keys(1000), keys(2));
    assert_eq!((all.keys.len(), all.next.as_deref(), two.keys.len()), (EVENTS / 10 - 1, None, 2));
    for key in ["key-10", "key-20"] {
        store.shared().state.damage(&owner, key).unwrap();
    }
    let error = store.state_get(&owner, "key-10").unwrap_err();
    assert!(matches!(error, StoreError::CorruptedRow { .. }), "{error}");
    let error = store.state_scan(&owner, "", None, 1000).unwrap_err();
    assert!(matches!(error, StoreError::CorruptedRow { .. }), "{error}");
    assert_eq!((keys(1000), keys(2)), (all, two));
    let work = UnitOfWork {
        owner: owner.clone(),
        partition: 0,
        progress: Progress {
            revision: 1 + EVENTS as u64 / 10,
            checkpoint: Position(EVENTS as u64),
            ..Progress::default()
        },
        state: vec![
            StateChange { key: "key-10".into(), value: Some(vec![0x5A; 60]) },
            StateChange { key: "key-20".into(), value: None },
        ],
        events: Vec::new(),
        dead_letters: Vec::new(),
    };
    store.commit(work).wait().unwrap();
    assert_eq!(store.state_get(&owner, "key-10").unwrap().as_deref(), Some(&[0x5A; 60][..]));
    let scanned = store.state_scan(&owner, "", None, 1000).unwrap().entries;
    assert_eq!(scanned.len(), EVENTS / 10 - 1);
    assert!(scanned.iter().any(|(key, value)| key == "key-10" && *value == [0x5A; 60]));
}

#[test]
fn a_block_that_goes_bad_while_the_store_is_open_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let store = open(directory.path()).unwrap();
    let needle = format!("{:030}", 40).into_bytes();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "segment") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let places: Vec<_> = (0..bytes.len() - 30).filter(|at| bytes[*at..at + 30] == needle[..]).collect();
        places.iter().for_each(|at| bytes[*at] ^= 1);
        // In place, as a disk goes bad: the store has the file open.
        use std::os::unix::fs::FileExt;
        fs::File::options().write(true).open(&path).unwrap().write_all_at(&bytes, 0).unwrap();
    }
    let error = read_all(&store).unwrap_err().to_string();
    assert!(error.contains("corrupted"), "{error}");
    let before = crate::store::ReadRequest { before: Some(Position(30)), ..Default::default() };
    assert_eq!(assert_numbered(&store.read(&before).unwrap().events), 29, "what is whole is served");
    let report = store.verify(&mut |_| ()).unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
}

#[test]
fn damaged_or_missing_indexes_are_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let indexes: Vec<_> = names.filter(|path| path.extension().is_some_and(|ending| ending == "index")).collect();
    for (number, path) in indexes.iter().enumerate() {
        if number % 2 == 0 {
            fs::remove_file(path).unwrap();
        } else {
            let mut bytes = fs::read(path).unwrap();
            bytes[5000] ^= 4;
            fs::write(path, bytes).unwrap();
        }
    }
    let closed = ClosedStore::open(directory.path()).unwrap();
    let repaired = closed.repair_indexes(&mut |_| ()).unwrap();
    assert_eq!(repaired.replaced.len(), indexes.len(), "{repaired:?}");
    drop(closed);
    let report = ClosedStore::open(directory.path()).unwrap().verify(&mut |_| ());
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(assert_numbered(&read_all(&open(directory.path()).unwrap()).unwrap()), EVENTS);
}
