//! Backups written and read: whole ones restore to the same store, and no other ones restore to anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::clock::SystemClock;
use crate::error::ErrorClass;
use crate::event::{EventType, NewEvent, RecordedEvent};
use crate::store::embedded::{EmbeddedStore, OpenOptions};
use crate::store::{AppendRequest, ReadRequest, Store};

/// A store of a few segments, with a plugin's file and a cache beside it.
struct Pond {
    directory: TempDir,
    store: Arc<EmbeddedStore>,
}

impl Pond {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(directory.path()));
        for first in 0..20 {
            let event = |n: u32| NewEvent::json(EventType::new("T").unwrap(), format!("\"{n:01000}\""));
            let events = (0..10).map(|n| event(first * 10 + n)).collect();
            store.append(AppendRequest::unconditional(events)).wait().unwrap();
        }
        for (folder, name) in [("plugins", "a.wasm"), ("candidates/a", "report.json"), ("cache", "compiled")] {
            fs::create_dir_all(directory.path().join(folder)).unwrap();
            fs::write(directory.path().join(folder).join(name), name).unwrap();
        }
        Self { directory, store }
    }

    /// Writes a backup to a place below a directory.
    fn back_up(&self, name: &str) -> (TempDir, PathBuf) {
        let around = tempfile::tempdir().unwrap();
        let place = around.path().join(name);
        let staged = Destination::named(&place).stage().unwrap();
        staged.fill(|sink| write(self.live(), sink, &mut |_| ())).unwrap();
        staged.keep().unwrap();
        (around, place)
    }

    fn live(&self) -> Live {
        Live::of(Arc::clone(&self.store)).unwrap()
    }
}

fn open(directory: &Path) -> EmbeddedStore {
    let options = OpenOptions { journal_bytes_max: 64 << 10, ..OpenOptions::new(directory) };
    EmbeddedStore::open(&options, Arc::new(SystemClock)).unwrap()
}

fn all(store: &EmbeddedStore) -> Vec<RecordedEvent> {
    let request = ReadRequest { limit: usize::MAX, bytes_max: usize::MAX, ..ReadRequest::default() };
    store.read(&request).unwrap().events
}

/// Restores into a place below a directory, which must be empty again if that fails.
fn restored(from: &Path) -> Result<(TempDir, PathBuf, Restored), BackupError> {
    let around = tempfile::tempdir().unwrap();
    let place = around.path().join("pond");
    match restore(from, &place, &mut |_| (), &mut |_| ()) {
        Ok(restored) => Ok((around, place, restored)),
        Err(error) => {
            assert_eq!(fs::read_dir(around.path()).unwrap().count(), 0, "something is left after: {error}");
            Err(error)
        }
    }
}

fn refused(from: &Path) -> BackupError {
    restored(from).expect_err("it is no whole backup")
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let pond = Pond::new();
    for name in ["copy", "copy.tar"] {
        let (_around, place) = pond.back_up(name);
        assert_eq!(place.is_dir(), name == "copy");
        let (_kept, directory, restored) = restored(&place).unwrap();
        assert_eq!((restored.manifest.head, restored.report.events), (200, 200));
        assert_eq!(fs::read_to_string(directory.join("plugins/a.wasm")).unwrap(), "a.wasm");
        assert_eq!(fs::read_to_string(directory.join("candidates/a/report.json")).unwrap(), "report.json");
        assert!(!directory.join("cache").exists() && !directory.join(MANIFEST_FILE).exists());
        assert_eq!(all(&open(&directory)), all(&pond.store));
    }
}

#[test]
fn nothing_is_written_over() {
    let pond = Pond::new();
    let (_around, tar) = pond.back_up("copy.tar");
    let occupied = |error: BackupError| {
        assert_eq!(error.class(), ErrorClass::Conflict, "{error}");
        error.to_string()
    };
    assert!(occupied(Destination::named(&tar).stage().unwrap_err()).contains("is there already"));
    let taken = pond.directory.path();
    assert!(occupied(Destination::named(taken).stage().unwrap_err()).contains("is not empty"));
    assert!(occupied(restore(&tar, taken, &mut |_| (), &mut |_| ()).unwrap_err()).contains("is not empty"));
    let empty = tempfile::tempdir().unwrap();
    restore(&tar, empty.path(), &mut |_| (), &mut |_| ()).unwrap();
    assert_eq!(all(&open(empty.path())).len(), 200);
}

#[test]
fn a_tar_that_is_cut_off_anywhere_restores_nothing() {
    let pond = Pond::new();
    let (around, place) = pond.back_up("copy.tar");
    let whole = fs::read(&place).unwrap();
    let cut = around.path().join("cut.tar");
    // The end of a tar is 1,024 zeros, which nobody needs.
    let last = whole.len() - 1024;
    for bytes in
        [0, 100, 512, 5000, whole.len() / 2, last - 512, last - 1].into_iter().chain((1024..last).step_by(40_960))
    {
        fs::write(&cut, &whole[..bytes]).unwrap();
        let error = refused(&cut);
        let told = matches!(&error, BackupError::CutOff { .. }) || bytes < 512 && error.class() == ErrorClass::Invalid;
        assert!(told, "{bytes}: {error:?}");
    }
}

#[test]
fn a_byte_that_changed_is_found_and_its_file_named() {
    let pond = Pond::new();
    let (_around, place) = pond.back_up("copy");
    let manifest: BackupManifest = serde_json::from_slice(&fs::read(place.join(MANIFEST_FILE)).unwrap()).unwrap();
    assert!(manifest.files.len() > 5, "{manifest:?}");
    for file in &manifest.files {
        let path = place.join(&file.name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&path, changed).unwrap();
        let error = refused(&place);
        assert!(matches!(&error, BackupError::Changed { file: named, .. } if *named == file.name), "{error}");
        fs::write(&path, &whole[1..]).unwrap();
        assert!(refused(&place).to_string().contains(&file.name));
        fs::remove_file(&path).unwrap();
        assert!(refused(&place).to_string().contains("is missing"));
        fs::write(&path, whole).unwrap();
    }
    restored(&place).unwrap();
}

#[test]
fn what_lacks_a_manifest_or_has_another_is_refused() {
    let pond = Pond::new();
    let (around, place) = pond.back_up("copy");
    let path = place.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path).unwrap();
    for (change, part) in [
        (text.replace("\"format\": 1", "\"format\": 7"), "has format 7, this release knows format 1"),
        (text.replace("\"head\": 200", "\"head\": 199"), "it names 199 as the last position, the log ends at 200"),
        (text[..100].to_owned(), "is not what was written"),
    ] {
        assert_ne!(change, text);
        fs::write(&path, change).unwrap();
        let error = refused(&place).to_string();
        assert!(error.contains(part), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(refused(&place), BackupError::NotABackup { .. }));
    let no_tar = around.path().join("no.tar");
    fs::write(&no_tar, "x".repeat(2000)).unwrap();
    assert!(matches!(refused(&no_tar), BackupError::NotABackup { .. }));
    assert!(matches!(refused(&around.path().join("nothing")), BackupError::ReadFailed { .. }));
}

#[test]
fn a_tar_with_names_that_lead_elsewhere_writes_nothing_there() {
    let around = tempfile::tempdir().unwrap();
    let place = around.path().join("bad.tar");
    let mut tar = tar::Builder::new(fs::File::create(&place).unwrap());
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..9].copy_from_slice(b"../stolen");
    header.set_size(1);
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    tar.finish().unwrap();
    assert!(refused(&place).to_string().contains("leads out of the backup"));
}

#[test]
fn a_sink_that_fails_leaves_nothing_and_the_store_goes_on() {
    /// Takes so many files.
    struct Full(u32);
    impl Sink for Full {
        fn put(&mut self, name: &str, _: u64, content: &mut dyn std::io::Read) -> Result<(), BackupError> {
            self.0 = self
                .0
                .checked_sub(1)
                .ok_or_else(|| BackupError::WriteFailed { what: name.to_owned(), reason: "no room".to_owned() })?;
            std::io::copy(content, &mut std::io::sink()).map(drop).map_err(BackupError::reading(Path::new(name)))
        }
        fn finish(&mut self) -> Result<(), BackupError> {
            Ok(())
        }
    }
    let pond = Pond::new();
    for files in 0..3 {
        let error = write(pond.live(), &mut Full(files), &mut |_| ()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
    }
    let around = tempfile::tempdir().unwrap();
    let staged = Destination::named(&around.path().join("copy.tar")).stage().unwrap();
    assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1);
    drop(staged);
    assert_eq!(fs::read_dir(around.path()).unwrap().count(), 0);
    assert_eq!(
        pond.store
            .append(AppendRequest::unconditional(vec![NewEvent::json(EventType::new("T").unwrap(), "1")]))
            .wait()
            .unwrap()
            .last_position()
            .0,
        201
    );
}
