//! What every disk promises, and what only the system's does.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, TableDefinition};

use super::sim::SimDisk;
use super::{Disk, Open, RealDisk, RedbFile, UntouchedDisk};
use crate::store::StoreError;
use crate::store::embedded::failure::io_failed;

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

/// Else whoever opens connections at the wrong moment would stop the store until it is started anew.
#[test]
fn too_many_open_files_pass_as_a_full_disk_does() {
    for (code, kind) in
        [(23, io::ErrorKind::QuotaExceeded), (24, io::ErrorKind::QuotaExceeded), (13, io::ErrorKind::PermissionDenied)]
    {
        assert_eq!(super::real::of_opening(io::Error::from_raw_os_error(code)).kind(), kind);
    }
    let told = |code: i32| {
        let error = io_failed("journal-1", &super::real::of_opening(io::Error::from_raw_os_error(code)));
        (error.passes(), error.to_string())
    };
    for code in [23, 24] {
        let (passes, said) = told(code);
        assert!(
            passes && said.starts_with("too many files are open, nothing of this was stored: journal-1: "),
            "{said}"
        );
        assert!(said.contains("LimitNOFILE=") && !said.contains("disk is full"), "{said}");
    }
    // ENOSPC.
    let (passes, said) = told(28);
    assert!(passes && said.starts_with("the disk is full, nothing"), "{said}");
}

#[test]
fn what_has_a_name_and_is_no_file_is_listed_and_not_taken_for_absent() {
    let directory = tempfile::tempdir().unwrap();
    let real = RealDisk::open(directory.path()).unwrap();
    fs::create_dir(directory.path().join("folder")).unwrap();
    real.open("file", Open::New).unwrap().write(0, b"mine").unwrap();
    std::os::unix::fs::symlink("file", directory.path().join("link")).unwrap();
    std::os::unix::fs::symlink("not mounted", directory.path().join("lost")).unwrap();
    for disk in [&real as &dyn Disk, &UntouchedDisk::new(directory.path())] {
        let mut names = disk.list().unwrap();
        names.sort();
        assert_eq!(names, ["file", "folder", "link", "lost"]);
        assert_eq!(disk.open("link", Open::Existing).unwrap().len().unwrap(), 4);
        for (name, why) in [("folder", "not a file"), ("lost", "leads to nothing")] {
            for how in [Open::Existing, Open::New] {
                let error = disk.open(name, how).unwrap_err();
                assert!(error.to_string().contains(why), "{disk:?} {name} {how:?}: {error}");
            }
        }
    }
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

/// Names, bytes and times of all files.
fn as_it_is(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let file = |entry: fs::DirEntry| {
        (entry.file_name(), fs::read(entry.path()).unwrap(), entry.metadata().unwrap().modified().unwrap())
    };
    let mut files: Vec<_> = entries.map(file).collect();
    files.sort();
    files
}

#[test]
fn a_look_reads_what_it_writes_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), [1; 10_000]).unwrap();
    fs::write(directory.path().join("b"), "b").unwrap();
    let before = as_it_is(directory.path());
    let disk = UntouchedDisk::new(directory.path());
    let file = disk.open("a", Open::Existing).unwrap();
    file.write(4090, &[2; 20]).unwrap();
    let mut seen = [0; 30];
    file.read(4085, &mut seen).unwrap();
    assert_eq!((&seen[..5], &seen[5..25], &seen[25..]), (&[1; 5][..], &[2; 20][..], &[1; 5][..]));
    file.set_len(4100).unwrap();
    file.set_len(9000).unwrap();
    file.read(4095, &mut seen).unwrap();
    assert_eq!((&seen[..5], &seen[5..]), (&[2; 5][..], &[0; 25][..]), "what was cut off is gone");
    assert_eq!(file.read(8990, &mut seen).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(disk.open("b", Open::New).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    disk.rename("b", "c").unwrap();
    disk.open("d", Open::New).unwrap().write(0, b"new").unwrap();
    disk.remove("a").unwrap();
    assert_eq!(disk.open("a", Open::Existing).unwrap_err().kind(), io::ErrorKind::NotFound);
    let mut names = disk.list().unwrap();
    names.sort();
    assert_eq!(names, ["c", "d"]);
    assert_eq!(as_it_is(directory.path()), before);
}

#[test]
fn a_look_takes_a_lock_that_is_there_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    assert!(UntouchedDisk::new(directory.path()).lock().unwrap().is_none());
    assert!(as_it_is(directory.path()).is_empty());
    let held = RealDisk::open(directory.path()).unwrap().lock().unwrap();
    let refused = UntouchedDisk::new(directory.path()).lock().unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(held);
    assert!(UntouchedDisk::new(directory.path()).lock().unwrap().is_some());
}

#[test]
fn redb_lives_in_a_look_and_leaves_the_file() {
    let directory = tempfile::tempdir().unwrap();
    fill_redb(&RealDisk::open(directory.path()).unwrap(), Open::New, 7);
    let before = as_it_is(directory.path());
    let disk = UntouchedDisk::new(directory.path());
    assert_eq!(fill_redb(&disk, Open::Existing, 8), Some(7));
    assert_eq!(fill_redb(&disk, Open::Existing, 9), Some(8));
    assert_eq!(as_it_is(directory.path()), before);
}

#[test]
fn a_look_does_not_take_what_it_cannot_read_for_absent() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("round", directory.path().join("round")).unwrap();
    let disk = UntouchedDisk::new(directory.path());
    for how in [Open::New, Open::Existing] {
        let error = disk.open("round", how).unwrap_err();
        assert!(!matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists), "{how:?}: {error}");
    }
    for failed in [disk.remove("round"), disk.rename("round", "other"), disk.rename("other", "round")] {
        assert!(failed.is_err());
    }
}

/// A process that is being started has a copy of every open file until it has begun.
#[test]
fn a_lock_is_free_when_it_is_dropped_though_processes_are_being_started() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let starting: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(|| (0..50).for_each(|_| drop(std::process::Command::new("true").status()))))
        .collect();
    while starting.iter().any(|starting| !starting.is_finished()) {
        drop(disk.lock().unwrap());
        drop(UntouchedDisk::new(directory.path()).lock().unwrap());
    }
}
