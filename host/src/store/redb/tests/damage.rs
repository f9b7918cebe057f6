//! Damaged bytes: refused, with their position; never served, never a panic.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::super::tables::{DEAD_LETTERS, EVENTS, PROGRESS};
use super::super::{OpenOptions, RedbStore};
use super::{append, assert_numbered, clock, open, read_all};
use crate::event::{PluginName, Position};
use crate::store::{ReadRequest, Store, StoreError};

fn filled(directory: &Path) {
    let store = open(directory).unwrap();
    append(&store, 0..40);
    append(&store, 40..41);
    append(&store, 41..45);
}

fn change_row(directory: &Path, first: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let database = Database::open(directory.join("events.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(EVENTS).unwrap();
        let mut bytes = table.get(first).unwrap().unwrap().value().to_vec();
        change(&mut bytes);
        table.insert(first, bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

fn blocks(directory: &Path) -> Vec<u64> {
    let database = Database::open(directory.join("events.redb")).unwrap();
    let table = database.begin_read().unwrap().open_table(EVENTS).unwrap();
    table.iter().unwrap().map(|row| row.unwrap().0.value()).collect()
}

#[test]
fn a_damaged_block_is_refused_with_its_position() {
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes[0] = 9,
        |bytes| bytes[5] ^= 1,
        |bytes| bytes[700] ^= 0x80,
        |bytes| bytes.truncate(bytes.len() - 1),
        Vec::clear,
    ];
    for damage in damages {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path());
        change_row(directory.path(), 41, damage);
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupted { position: Position(41), .. }), "{error}");
    }
}

#[test]
fn a_missing_or_moved_block_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let firsts = blocks(directory.path());
    assert!(firsts.len() > 3 && firsts[firsts.len() - 2..] == [41, 42], "{firsts:?}");
    let database = Database::open(directory.path().join("events.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(EVENTS).unwrap();
        let block = table.remove(42).unwrap().unwrap().value().to_vec();
        table.insert(41, block.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupted { position: Position(41), .. }), "{error}");
}

#[test]
fn a_block_that_goes_bad_while_the_store_is_open_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    // No cache: every read goes to the file.
    let options = OpenOptions { cache_bytes: 0, ..OpenOptions::new(directory.path()) };
    let store = RedbStore::open(&options, clock()).unwrap();
    let path = directory.path().join("events.redb");
    let mut bytes = fs::read(&path).unwrap();
    // The only event that holds this number is in the block at 41.
    let needle = format!("{:030}", 40).into_bytes();
    let places: Vec<_> = (0..bytes.len() - 30).filter(|at| bytes[*at..at + 30] == needle[..]).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place] ^= 1;
    }
    fs::write(&path, &bytes).unwrap();
    let error = read_all(&store).unwrap_err();
    assert!(matches!(error, StoreError::Corrupted { position: Position(41), .. }), "{error}");
    let before = ReadRequest { before: Some(Position(41)), ..ReadRequest::default() };
    assert_eq!(assert_numbered(&store.read(&before).unwrap().events), 40, "what is whole is served");
}

#[test]
fn damaged_rows_beside_the_log_are_named() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let database = Database::open(directory.path().join("events.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(DEAD_LETTERS).unwrap().insert(("p", 3), &b"{\"position\":3}"[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let plugin = PluginName::new("p").unwrap();
    let store = open(directory.path()).unwrap();
    let error = store.dead_letter(&plugin, Position(3)).unwrap_err().to_string();
    assert!(error.contains("dead letter of plugin p at position 3") && error.contains("reason"), "{error}");
    drop(store);
    let database = Database::open(directory.path().join("events.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(PROGRESS).unwrap().insert("p", &b"\xff"[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("progress of plugin p"), "{error}");
}

/// A byte flipped anywhere in the file: the store opens and serves what was appended (perhaps less, if the
/// file's own head lost its newest commit), or it refuses. It never panics and never serves anything else.
#[test]
fn a_flipped_byte_anywhere_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let path = directory.path().join("events.redb");
    let whole = fs::read(&path).unwrap();
    let used: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let (mut refused, mut served) = (0, 0);
    let step = used.len() / 150;
    for at in used.iter().take(64).chain(used.iter().step_by(step.max(1))) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 0x11;
        fs::write(&path, &bytes).unwrap();
        match open(directory.path()).and_then(|store| read_all(&store)) {
            Ok(events) => served += usize::from(assert_numbered(&events) <= 45),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20 && served > 0, "{refused} refused, {served} served");
}
