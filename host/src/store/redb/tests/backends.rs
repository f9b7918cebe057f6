//! Test doubles of the storage, each misbehaving in one way, and what the store makes of them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::super::{OpenOptions, RedbStore};
use super::{append, assert_numbered, clock, numbered, read_all};
use crate::event::Position;
use crate::store::{AppendError, AppendRequest, Store, StoreError};

/// A disk in memory that outlives the store, with switches for its failures.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<DiskState>);

#[derive(Debug)]
struct DiskState {
    bytes: Mutex<Vec<u8>>,
    /// Largest size, in bytes.
    room: AtomicU64,
    sync_fails: AtomicBool,
}

impl Default for DiskState {
    fn default() -> Self {
        Self { bytes: Mutex::default(), room: AtomicU64::new(u64::MAX), sync_fails: AtomicBool::new(false) }
    }
}

impl Disk {
    fn open(&self) -> Result<RedbStore, StoreError> {
        RedbStore::open_with_backend(self.clone(), &OpenOptions::new("disk"), clock())
    }

    fn size(&self) -> u64 {
        self.0.bytes.lock().unwrap().len() as u64
    }
}

fn out_of_range() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let bytes = self.0.bytes.lock().unwrap();
        let start = usize::try_from(offset).map_err(|_| out_of_range())?;
        out.copy_from_slice(bytes.get(start..start + out.len()).ok_or_else(out_of_range)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        if len > self.0.room.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0.bytes.lock().unwrap().resize(usize::try_from(len).map_err(|_| out_of_range())?, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if self.0.sync_fails.load(Ordering::SeqCst) { Err(io::Error::other("the sync failed")) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut bytes = self.0.bytes.lock().unwrap();
        let start = usize::try_from(offset).map_err(|_| out_of_range())?;
        bytes.get_mut(start..start + data.len()).ok_or_else(out_of_range)?.copy_from_slice(data);
        Ok(())
    }
}

/// Appends tens of events, from number `first` on, until the disk refuses; answers the number that comes
/// next, and the error.
fn append_until_full(store: &RedbStore, first: usize) -> (usize, AppendError) {
    let mut acknowledged = first;
    loop {
        let events = (acknowledged..acknowledged + 10).map(numbered).collect();
        match store.append(AppendRequest::unconditional(events)).wait() {
            Ok(_) => acknowledged += 10,
            Err(error) => return (acknowledged, error),
        }
        assert!(acknowledged < 100_000, "the disk never filled up");
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    append(&store, 0..10);
    disk.0.room.store(disk.size() + 4_000_000, Ordering::SeqCst);
    drop(store);
    let store = disk.open().unwrap();
    let (acknowledged, error) = append_until_full(&store, 10);
    let text = error.to_string();
    assert!(text.contains("no storage space") && text.contains("make room"), "{text}");
    assert_eq!(store.head(), Position(acknowledged as u64));
    assert_eq!(store.stream_version(numbered(0).stream.as_ref().unwrap()).0 as usize, acknowledged.div_ceil(3));
    let again = store.append(AppendRequest::unconditional(vec![numbered(0)])).wait().unwrap_err();
    assert!(matches!(again, AppendError::Store(StoreError::WriteFailed { .. })), "it takes no more writes: {again}");
    drop(store);

    let store = disk.open().unwrap();
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), acknowledged);
    drop(store);
    disk.0.room.store(u64::MAX, Ordering::SeqCst);
    let store = disk.open().unwrap();
    append(&store, acknowledged..acknowledged + 50);
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), acknowledged + 50);
}

#[test]
fn a_failed_sync_refuses_everybody_in_the_group() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    append(&store, 0..10);
    disk.0.sync_fails.store(true, Ordering::SeqCst);
    let pending: Vec<_> =
        (10..20).map(|number| store.append(AppendRequest::unconditional(vec![numbered(number)]))).collect();
    for pending in pending {
        let error = pending.wait().unwrap_err();
        assert!(matches!(error, AppendError::Store(StoreError::WriteFailed { .. })), "{error}");
    }
    assert_eq!(store.head(), Position(10), "nothing of it is shown");
    drop(store);
    disk.0.sync_fails.store(false, Ordering::SeqCst);
    let store = disk.open().unwrap();
    let events = read_all(&store).unwrap();
    assert!(events.len() >= 10, "what was acknowledged before is there");
    assert_numbered(&events);
}

#[test]
fn a_store_does_not_open_on_a_disk_without_room() {
    let disk = Disk::default();
    disk.0.room.store(1000, Ordering::SeqCst);
    let error = disk.open().unwrap_err();
    assert!(matches!(error, StoreError::WriteFailed { .. }), "{error}");
}
