//! Disks without room, and disks that fail.

use super::*;
use crate::store::embedded::disk::sim::{Fault, On, Plan};

const FULL: io::ErrorKind = io::ErrorKind::StorageFull;

fn refuse(writer: &mut JournalWriter, payload: &[u8]) {
    let refused = writer.append(&[payload]);
    assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
}

/// What slot 0 may hold after a crash now.
fn images(disk: &SimDisk) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let plans = Plan::ALL.into_iter().flat_map(|plan| (0..50).map(move |seed| (plan, seed)));
    plans.map(|(plan, seed)| payloads(&disk.crash_image(usize::MAX, plan, seed)))
}

#[test]
fn a_full_disk_refuses_and_takes_records_again_when_there_is_room() {
    for room in 0..1_200 {
        let (disk, mut writer) = journal(&[b"one"]);
        disk.set_room(disk.used() + room);
        let mut expected = vec![b"one".to_vec()];
        let record = vec![7; 300];
        let refused = loop {
            match writer.append(&[&record]) {
                Ok(_) => writer.sync().unwrap(),
                Err(refused) => break refused,
            }
            expected.push(record.clone());
        };
        assert!(matches!(refused, JournalError::Full(_)), "{refused}");
        assert_eq!(expected.len() as u64, 3 + (192 + room) / 384, "all room is used: {room}");
        assert_eq!(payloads(&disk), expected);
        assert!(images(&disk).step_by(50).all(|image| image == expected));
        disk.heal();
        put(&mut writer, &record);
        put(&mut writer, b"last");
        expected.extend([record, b"last".to_vec()]);
        assert_eq!(payloads(&disk), expected);
    }
}

#[test]
fn a_disk_too_full_for_a_slot_makes_one_later() {
    for room in 0..4096 {
        let disk = SimDisk::new();
        disk.set_room(room);
        assert!(matches!(JournalWriter::start(&disk, FIRST, OPTIONS), Err(JournalError::Full(_))));
        assert!(replayed(&disk, LIVE).unwrap().is_none());
        disk.heal();
        put(&mut start(&disk, 1), b"one");
        assert_eq!(payloads(&disk), [b"one"]);
    }
}

/// A write fails although all that differs from what is there was written.
#[test]
fn a_refused_record_is_gone_even_if_it_looks_whole() {
    let payload = [vec![3; 500], vec![0; 300]].concat();
    for written_bytes in [540, 600, 839, 840] {
        let (disk, mut writer) = journal(&[b"one"]);
        put(&mut writer, &[1; 900]);
        disk.inject(Fault { written_bytes, ..Fault::once(On::Write, 1, FULL) });
        let kept = vec![b"one".to_vec(), vec![1; 900]];
        let before = writer.bytes();
        refuse(&mut writer, &payload);
        assert_eq!(writer.bytes(), before);
        assert!(images(&disk).all(|image| image == kept), "{written_bytes} bytes written");
        // One that ends alike goes over it.
        let alike = [vec![4; 500], vec![0; 300]].concat();
        writer.append(&[&alike]).unwrap();
        for image in images(&disk) {
            assert!(image == kept || image == [&kept[..], std::slice::from_ref(&alike)].concat());
        }
    }
}

#[test]
fn what_is_behind_a_refused_record_is_no_part_of_the_journal() {
    // The refused record carries what would be a record if it were at its place.
    let (disk, mut writer) = journal(&[b"one"]);
    put(&mut writer, b"two");
    let posing = bytes(&disk)[4096 + 64..4096 + 128].to_vec();
    let (disk, mut writer) = journal(&[]);
    disk.inject(Fault { written_bytes: 64, ..Fault::once(On::Write, 1, FULL) });
    refuse(&mut writer, &[&[0; 24], &posing[..]].concat());
    put(&mut writer, b"one");
    assert_eq!(payloads(&disk), [b"one"]);
    assert!(images(&disk).all(|image| image == [b"one"]));
}

#[test]
fn a_disk_that_needs_room_to_overwrite_refuses_until_there_is() {
    let (disk, mut writer) = journal(&[b"one"]);
    disk.inject(Fault { written_bytes: 20, ..Fault::lasting(On::Write, 0, FULL) });
    refuse(&mut writer, b"two");
    refuse(&mut writer, b"three");
    assert_eq!(payloads(&disk), [b"one"]);
    disk.heal();
    put(&mut writer, b"four");
    assert_eq!(payloads(&disk), [b"one".as_slice(), b"four"]);
}

#[test]
fn a_record_beyond_the_bound_is_refused_alone() {
    let (disk, mut writer) = journal(&[b"one"]);
    let part = vec![0; 1 << 20];
    let refused = writer.append(&[&part[..]; 65]).unwrap_err();
    assert!(matches!(&refused, JournalError::Full(error) if error.kind() == io::ErrorKind::FileTooLarge), "{refused}");
    put(&mut writer, b"two");
    assert_eq!(payloads(&disk), [b"one".as_slice(), b"two"]);
}

#[test]
fn a_failed_write_stops_the_journal_for_good() {
    for nth in 0..2 {
        let (disk, mut writer) = journal(&[]);
        disk.inject(Fault { written_bytes: 50, ..Fault::once(On::Write, nth, io::ErrorKind::Other) });
        assert!(matches!(writer.append(&[&[1; 100]]), Err(JournalError::Broken(_))));
        assert!(matches!(writer.append(&[b"two"]), Err(JournalError::Broken(_))));
        assert!(matches!(writer.sync(), Err(JournalError::Broken(_))));
        assert!(payloads(&disk).is_empty());
    }
}

#[test]
fn a_failed_sync_stops_the_journal_for_good_and_is_mended_by_resuming() {
    let (disk, mut writer) = journal(&[b"one"]);
    writer.append(&[b"two"]).unwrap();
    disk.inject(Fault::once(On::Sync, 0, FULL));
    assert!(matches!(writer.sync(), Err(JournalError::Broken(_))));
    assert!(matches!(writer.append(&[b"three"]), Err(JournalError::Broken(_))));
    // The process starts again on a machine that runs on: it reads the record, and must make it last.
    let (tail, found) = replayed(&disk, LIVE).unwrap().unwrap();
    assert_eq!(found, [b"one", b"two"]);
    let mut writer = JournalWriter::resume(&disk, &tail, OPTIONS).unwrap();
    assert!(images(&disk).all(|image| image == [b"one", b"two"]));
    put(&mut writer, b"three");
    assert!(images(&disk).all(|image| image == [b"one".as_slice(), b"two", b"three"]));
}

#[test]
fn a_slot_whose_making_failed_at_any_point_is_made_again() {
    for nth in 0..4 {
        let disk = SimDisk::new();
        disk.inject(Fault { written_bytes: 9, ..Fault::once(On::Change, nth, io::ErrorKind::Other) });
        assert!(matches!(JournalWriter::start(&disk, FIRST, OPTIONS), Err(JournalError::Broken(_))));
        put(&mut start(&disk, 1), b"one");
        assert!(images(&disk).all(|image| image == [b"one"]), "after a failure of {}", disk.describe(nth as usize));
    }
}
