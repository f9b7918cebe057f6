//! A disk that fails, is full, or lies, and what the store makes of it.

use std::io::ErrorKind;

use super::super::disk::sim::{Fault, On, Plan, SimDisk};
use super::{append, assert_numbered, eventually, numbered, open_on, read_all};
use crate::event::Position;
use crate::store::embedded::EmbeddedStore;
use crate::store::{AppendError, AppendRequest, Store, StoreError};

const JOURNAL: u64 = 64 << 10;

/// Appends tens of events, from number `first` on, until the disk refuses; answers the number that comes
/// next, and the error.
fn append_until_refused(store: &EmbeddedStore, first: usize) -> (usize, AppendError) {
    let mut acknowledged = first;
    loop {
        let events = (acknowledged..acknowledged + 10).map(numbered).collect();
        match store.append(AppendRequest::unconditional(events)).wait() {
            Ok(_) => acknowledged += 10,
            Err(error) => return (acknowledged, error),
        }
        assert!(acknowledged < 100_000, "the disk never refused");
    }
}

#[test]
fn a_full_disk_makes_the_store_read_only_until_there_is_room() {
    let disk = SimDisk::new();
    let store = open_on(&disk, JOURNAL).unwrap();
    append(&store, 0..10);
    disk.set_room(disk.used() + 600_000);
    let (acknowledged, error) = append_until_refused(&store, 10);
    assert!(matches!(error, AppendError::Store(StoreError::DiskFull { .. })), "{error}");
    assert_eq!(store.head(), Position(acknowledged as u64));
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), acknowledged, "reads go on");
    disk.set_room(u64::MAX);
    let mut next = acknowledged;
    // Also a later one may be refused, that finds its journal full: until those before, which had no room, are sealed.
    for count in [10, 200] {
        eventually("writes succeed again", || {
            let events = (next..next + count).map(numbered).collect();
            store.append(AppendRequest::unconditional(events)).wait().map(|_| next += count).is_ok()
        });
    }
    assert_eq!(next, acknowledged + 210);
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), next);
    drop(store);
    assert_eq!(assert_numbered(&read_all(&open_on(&disk, JOURNAL).unwrap()).unwrap()), next);
}

#[test]
fn a_failed_sync_stops_writing_for_good_and_reads_go_on() {
    let disk = SimDisk::new();
    let store = open_on(&disk, JOURNAL).unwrap();
    append(&store, 0..10);
    disk.inject(Fault::once(On::Sync, 0, ErrorKind::Other));
    let pending: Vec<_> =
        (10..20).map(|number| store.append(AppendRequest::unconditional(vec![numbered(number)]))).collect();
    for pending in pending {
        let error = pending.wait().unwrap_err();
        assert!(matches!(error, AppendError::Store(StoreError::WriteFailed { .. })), "{error}");
    }
    assert_eq!(assert_numbered(&read_all(&store).unwrap()), 10, "nothing of it is shown, and reads go on");
    drop(store);
    let events = read_all(&open_on(&disk, JOURNAL).unwrap()).unwrap();
    assert!(events.len() >= 10, "what was acknowledged before is there");
    assert_numbered(&events);
}

#[test]
fn a_store_does_not_open_on_a_disk_without_room() {
    let disk = SimDisk::new();
    disk.set_room(1000);
    let error = open_on(&disk, JOURNAL).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    disk.set_room(u64::MAX);
    append(&open_on(&disk, JOURNAL).unwrap(), 0..1);
}

/// Fails the n-th operation, once or from then on, for every n of a run that appends, seals and merges: what
/// was acknowledged is there, whatever failed, while the store is open and after it is opened anew.
#[test]
fn the_nth_operation_fails() {
    let count = {
        let disk = SimDisk::new();
        assert_eq!(drive(&disk), Ok(60));
        disk.operations() as u64
    };
    let mut refused = 0;
    for nth in 0..count {
        for (error, lasting) in [
            (ErrorKind::Other, false),
            (ErrorKind::Other, true),
            (ErrorKind::StorageFull, false),
            (ErrorKind::StorageFull, true),
        ] {
            if (nth + u64::from(lasting)) % 4 != 0 && nth > 60 {
                continue;
            }
            let disk = SimDisk::new();
            disk.inject(Fault {
                lasting,
                written_bytes: (nth as usize * 37) % 900,
                ..Fault::once(On::Change, nth, error)
            });
            let acknowledged = drive(&disk).unwrap_or_else(|acknowledged| {
                refused += 1;
                acknowledged
            });
            disk.heal();
            let store = open_on(&disk, 4 << 10).unwrap_or_else(|error| panic!("operation {nth}: {error}"));
            let found = assert_numbered(&read_all(&store).unwrap());
            assert!(found >= acknowledged, "operation {nth}, lasting {lasting}: {found} of {acknowledged} events");
            append(&store, found..found + 1);
        }
    }
    assert!(refused > 50, "{refused} of {count} operations were missed");
}

/// The same over a run that removes and compacts: nothing that is kept is lost, nothing removed comes back, and
/// a failure to give space back is no failure of anything else.
#[test]
fn the_nth_operation_of_a_compaction_fails() {
    let made = SimDisk::new();
    assert_eq!(drive(&made), Ok(60));
    {
        let store = open_on(&made, 4 << 10).unwrap();
        super::settle(&store);
    }
    let count = {
        let disk = copy(&made);
        let store = open_on(&disk, 4 << 10).unwrap();
        let before = disk.operations();
        compact(&store).unwrap();
        super::eventually("it is compacted", || store.sizes().unwrap().stubs >= 30);
        (disk.operations() - before) as u64
    };
    assert!(count > 20, "{count} operations");
    for nth in 0..count {
        for (error, lasting) in [(ErrorKind::Other, true), (ErrorKind::Other, false), (ErrorKind::StorageFull, false)] {
            let disk = copy(&made);
            let store = open_on(&disk, 4 << 10).unwrap();
            disk.inject(Fault { lasting, ..Fault::once(On::Change, nth, error) });
            let removed = compact(&store).is_ok();
            let full = removed && error == ErrorKind::StorageFull;
            super::eventually("it is compacted or given up", || {
                let tried = |sizes: super::super::Sizes| sizes.compaction_failed.is_some() || sizes.stubs >= 30;
                // The same fault may have hit nothing, or something else.
                !removed || (!full && lasting) || store.sizes().is_ok_and(tried)
            });
            disk.heal();
            drop(store);
            let store = open_on(&disk, 4 << 10).unwrap_or_else(|error| panic!("operation {nth}: {error}"));
            let horizon = store.removals().max().0;
            assert!(!removed || horizon == 41, "operation {nth}: the horizon is {horizon}");
            let expected: Vec<_> = (1..=60).filter(|at| *at >= horizon).collect();
            let found: Vec<_> = read_all(&store).unwrap().iter().map(|event| event.position.0).collect();
            assert_eq!(found, expected, "operation {nth}");
            compact(&store).unwrap();
            super::eventually("it is compacted after all", || store.sizes().unwrap().stubs >= 30);
            let report = store.verify(&mut |_| ()).unwrap();
            assert!(report.problems.is_empty(), "operation {nth}: {report:?}");
        }
    }
}

/// A disk with the same files.
fn copy(disk: &SimDisk) -> SimDisk {
    disk.crash_image(disk.operations(), Plan::Everything, 0)
}

/// Removes the first forty events.
fn compact(store: &EmbeddedStore) -> Result<Position, StoreError> {
    store.remove(&crate::event::Category::new("s").unwrap(), Position(41))
}

/// Appends until done, or until something is refused; answers how many events were acknowledged.
fn drive(disk: &SimDisk) -> Result<usize, usize> {
    let Ok(store) = open_on(disk, 4 << 10) else { return Err(0) };
    let mut acknowledged = 0;
    while acknowledged < 60 {
        let events = (acknowledged..acknowledged + 3).map(numbered).collect();
        match store.append(AppendRequest::unconditional(events)).wait() {
            Ok(_) => acknowledged += 3,
            Err(_) => {
                assert_eq!(assert_numbered(&read_all_or(&store, acknowledged)), acknowledged);
                return Err(acknowledged);
            }
        }
    }
    Ok(acknowledged)
}

/// Everything, if it can be read: segments are opened by names that a failing disk may refuse.
fn read_all_or(store: &EmbeddedStore, acknowledged: usize) -> Vec<crate::event::RecordedEvent> {
    let recorded = |number| {
        let position = Position(number as u64 + 1);
        crate::event::RecordedEvent::record(numbered(number), position, crate::event::Version(1), 0)
    };
    read_all(store).unwrap_or_else(|_| (0..acknowledged).map(recorded).collect())
}
