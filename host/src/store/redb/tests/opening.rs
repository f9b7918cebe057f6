//! Opening: what is kept, and what is refused.

use std::fs;

use redb::{Database, TableDefinition};

use super::super::tables::{FORMAT_VERSION_KEY, META};
use super::{append, assert_numbered, open, read_all};
use crate::event::Position;
use crate::store::{AppendRequest, Store, StoreError};

#[test]
fn promise_1_durable_over_reopening_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let store = open(directory.path()).unwrap();
        assert_eq!(assert_numbered(&read_all(&store).unwrap()), round * 30);
        append(&store, round * 30..round * 30 + 29);
        append(&store, round * 30 + 29..round * 30 + 30);
    }
}

#[test]
fn dropping_the_store_writes_what_was_submitted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let pending: Vec<_> =
        (0..50).map(|number| store.append(AppendRequest::unconditional(vec![super::numbered(number)]))).collect();
    drop(store);
    for pending in pending {
        pending.wait().unwrap();
    }
    assert_eq!(assert_numbered(&read_all(&open(directory.path()).unwrap()).unwrap()), 50);
}

#[test]
fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    match open(directory.path()) {
        Err(StoreError::InUse { path }) => assert_eq!(path, directory.path()),
        other => panic!("{other:?}"),
    }
    drop(store);
    open(directory.path()).unwrap();
}

#[test]
fn a_file_that_another_program_has_open_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let _database = Database::open(directory.path().join("events.redb")).unwrap();
    assert!(matches!(open(directory.path()), Err(StoreError::InUse { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let database = Database::open(directory.path().join("events.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(FORMAT_VERSION_KEY, 7).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, known: 1, .. }), "{error}");
}

#[test]
fn files_that_are_not_stores_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.redb");
    let garbage: [&[u8]; 4] = [b"", b"x", b"not a database, but text that is long enough\n", &[0xA5; 100_000]];
    for bytes in garbage {
        fs::write(&path, bytes).unwrap();
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{} bytes: {error}", bytes.len());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_redb_file_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path().join("events.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NotAStore { reason, .. } if reason.contains("another program")), "{error}");
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "x").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(&error, StoreError::NotAStore { reason, .. } if reason.contains("directory")), "{error}");
    }
}

#[test]
fn a_making_that_was_interrupted_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/data");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("events.redb.new"), "half a file").unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.head(), Position::START);
    assert!(!path.join("events.redb.new").exists());
}
