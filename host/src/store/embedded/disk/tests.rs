//! What every disk promises, and what only the system's does.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, TableDefinition};

use super::sim::SimDisk;
use super::{Disk, Open, RealDisk, RedbFile};
use crate::store::StoreError;

fn holds_the_contract(disk: &dyn Disk) {
    assert_eq!(disk.open("a", Open::Existing).unwrap_err().kind(), io::ErrorKind::NotFound);
    let file = disk.open("a", Open::New).unwrap();
    assert_eq!(disk.open("a", Open::New).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(file.is_empty().unwrap());
    file.write(5, b"hello").unwrap();
    let mut out = [9; 10];
    disk.open("a", Open::Existing).unwrap().read(0, &mut out).unwrap();
    assert_eq!(&out, b"\0\0\0\0\0hello");
    assert_eq!(file.read(1, &mut out).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    file.set_len(7).unwrap();
    file.set_len(12).unwrap();
    assert_eq!(file.len().unwrap(), 12);
    file.read(2, &mut out).unwrap();
    assert_eq!(&out, b"\0\0\0he\0\0\0\0\0");
    file.sync().unwrap();

    let other = disk.open("b", Open::New).unwrap();
    other.write(0, b"other").unwrap();
    disk.sync().unwrap();
    disk.rename("b", "a").unwrap();
    assert_eq!(disk.list().unwrap(), ["a"]);
    assert_eq!(disk.rename("b", "c").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(disk.open("a", Open::Existing).unwrap().len().unwrap(), 5);
    assert_eq!(file.len().unwrap(), 12, "the replaced file stays readable");
    disk.remove("a").unwrap();
    assert_eq!(disk.remove("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    let mut out = [0; 5];
    other.read(0, &mut out).unwrap();
    assert_eq!(&out, b"other", "the removed file stays readable");
    assert!(disk.list().unwrap().is_empty());
    assert!(disk.path("a").ends_with('a'));
}

#[test]
fn the_simulated_disk_holds_the_contract() {
    holds_the_contract(&SimDisk::new());
}

#[test]
fn the_real_disk_holds_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(&directory.path().join("made/with/parents")).unwrap();
    holds_the_contract(&disk);
}

#[test]
fn the_real_disk_lists_files_only() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    fs::create_dir(directory.path().join("folder")).unwrap();
    disk.open("file", Open::New).unwrap();
    assert_eq!(disk.list().unwrap(), ["file"]);
}

#[test]
fn a_file_is_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "mine").unwrap();
    for path in [path.as_path(), &path.join("below")] {
        assert!(matches!(RealDisk::open(path), Err(StoreError::NotAStore { .. })), "{}", path.display());
    }
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_directory_is_locked_once() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let lock = disk.lock().unwrap();
    let again = RealDisk::open(directory.path()).unwrap();
    let refused = again.lock().unwrap_err();
    assert!(matches!(&refused, StoreError::InUse { path } if path == directory.path()), "{refused}");
    drop(lock);
    again.lock().unwrap();
}

fn fill_redb(disk: &dyn Disk, how: Open, value: u64) -> Option<u64> {
    const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("t");
    let file = RedbFile(disk.open("state.redb", how).unwrap());
    let database = Database::builder().create_with_backend(file).unwrap();
    let transaction = database.begin_write().unwrap();
    let before = transaction.open_table(TABLE).unwrap().insert(1, value).unwrap().map(|row| row.value());
    transaction.commit().unwrap();
    before
}

#[test]
fn redb_lives_on_any_disk() {
    let directory = tempfile::tempdir().unwrap();
    let disks: [Arc<dyn Disk>; 2] =
        [Arc::new(SimDisk::new()), Arc::new(RealDisk::open(Path::new(directory.path())).unwrap())];
    for disk in disks {
        assert_eq!(fill_redb(disk.as_ref(), Open::New, 7), None);
        assert_eq!(fill_redb(disk.as_ref(), Open::Existing, 8), Some(7));
    }
}
