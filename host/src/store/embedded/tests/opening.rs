//! Opening: what is kept, what is refused, and what is left over.

use std::fs;

use super::super::disk::{Disk, RealDisk};
use super::super::state::{FILE, Manifest, StateFile};
use super::{append, assert_numbered, cramped, open, read_all, settle};
use crate::event::Position;
use crate::store::embedded::EmbeddedStore;
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

/// After a crash nothing else tells that there was a journal.
#[test]
fn a_journal_that_is_elsewhere_is_followed_and_one_that_is_no_file_refused() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(open(directory.path()).unwrap());
    let state = fs::read(directory.path().join(FILE)).unwrap();
    append(&open(directory.path()).unwrap(), 0..20);
    // As a crash leaves it.
    fs::write(directory.path().join(FILE), state).unwrap();
    let (journal, moved) = (directory.path().join("journal-0"), other.path().join("journal"));
    fs::rename(&journal, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &journal).unwrap();
    assert_eq!(assert_numbered(&read_all(&open(directory.path()).unwrap()).unwrap()), 20);
    fs::rename(&moved, other.path().join("away")).unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("journal-0: it is a link that leads to nothing"), "{error}");
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("journal-0: it is not a file"), "{error}");
}

#[test]
fn files_that_are_not_stores_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
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
    let database = redb::Database::create(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(&error, StoreError::NotAStore { reason, .. } if reason.contains("another program")), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let database = redb::Database::open(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("format_version", 7).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, known: 2, .. }), "{error}");
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
    fs::write(path.join("state.redb.new"), "half a file").unwrap();
    let store = open(&path).unwrap();
    assert_eq!(store.head(), Position::START);
    assert!(!path.join("state.redb.new").exists());
}

/// A store of several segments and runs, closed.
fn sealed_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&cramped(directory.path()), super::clock()).unwrap();
    for first in (0..200).step_by(10) {
        append(&store, first..first + 10);
    }
    settle(&store);
    directory
}

fn files(directory: &std::path::Path, ending: &str) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

#[test]
fn a_missing_file_is_named() {
    for (ending, told) in [(".segment", "it holds events 1 to"), (".index", "--repair-indexes")] {
        let directory = sealed_store();
        let name = files(directory.path(), ending).remove(0);
        fs::remove_file(directory.path().join(&name)).unwrap();
        let error = open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("missing") && error.contains(told), "{error}");
    }
    let directory = sealed_store();
    fs::remove_file(directory.path().join(FILE)).unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("there is no state.redb beside it"), "{error}");
}

#[test]
fn a_truncated_file_is_named() {
    for ending in [".segment", ".index"] {
        let directory = sealed_store();
        let name = files(directory.path(), ending).remove(0);
        let path = directory.path().join(&name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = open(directory.path()).and_then(|store| read_all(&store)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&name), "{error}");
    }
}

#[test]
fn what_a_seal_or_a_merge_left_is_removed_and_nothing_else() {
    let directory = sealed_store();
    fs::write(directory.path().join("notes.index"), "mine").unwrap();
    fs::write(directory.path().join(format!("{:020}-{:020}.index", 1, 3)), "left over").unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), 200);
    drop(store);
    assert!(directory.path().join("notes.index").exists());
    assert!(!directory.path().join(format!("{:020}-{:020}.index", 1, 3)).exists());

    // A segment that nobody knows might hold events: it is not for the store to remove.
    let stray = directory.path().join(format!("{:020}.segment", 5_000));
    fs::write(&stray, "whose?").unwrap();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("5000.segment") && error.contains("move it away"), "{error}");
    assert!(stray.exists());
}

#[test]
fn a_manifest_that_does_not_add_up_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk);
    StateFile::make(&*disk, &Manifest { journal_floor: 1, ..Manifest::default() }).unwrap();
    let (state, _) = StateFile::open(disk.clone(), 1 << 20).unwrap();
    let row = super::super::state::RunRow { first: Position(4), last: Position(9), level: 0, bytes: 1, generation: 0 };
    let change = super::super::state::ManifestChange { runs: vec![row], ..Default::default() };
    state.commit(None, &change).unwrap();
    drop(state);
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("a run of the index covers 4 to 9 where 1 comes next"), "{error}");
}

/// After an orderly stop the manifest knows how many records there are: none can go missing unnoticed.
#[test]
fn a_journal_that_is_lost_or_cut_off_after_an_orderly_stop_is_told() {
    type Damage = fn(&std::path::Path);
    let damages: [(Damage, &str); 3] = [
        (|path| fs::remove_file(path).unwrap(), "is missing: a file was removed"),
        (|path| fs::write(path, "").unwrap(), "is missing: a file was removed"),
        (
            |path| {
                let mut bytes = fs::read(path).unwrap();
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                bytes[last] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            "1 of its 2 records are there",
        ),
    ];
    for (damage, told) in damages {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        append(&store, 0..3);
        append(&store, 3..5);
        drop(store);
        damage(&directory.path().join("journal-0"));
        let error = open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
