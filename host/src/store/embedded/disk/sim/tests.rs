//! The simulated disk itself: what is synced is in every image, what is not is lost in some.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name, Open::Existing).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read(0, &mut bytes).unwrap();
    Some(bytes)
}

fn contents(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    disk.list().unwrap().into_iter().map(|name| (name.clone(), content(disk, &name).unwrap())).collect()
}

/// A disk with a file `a` of these bytes, synced, and the open file.
fn disk_with(bytes: &[u8]) -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    let file = disk.open("a", Open::New).unwrap();
    file.write(0, bytes).unwrap();
    file.sync().unwrap();
    Disk::sync(&disk).unwrap();
    (disk, file)
}

/// What images after all operations hold in `a`.
fn found(disk: &SimDisk, plan: Plan) -> BTreeSet<Option<Vec<u8>>> {
    (0..200).map(|seed| content(&disk.crash_image(usize::MAX, plan, seed), "a")).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Write(u8, usize, usize, u8),
    SetLen(u8, usize),
    SyncFile(u8),
    SyncNames,
    Remove(u8),
    Rename(u8, u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = || 0..3_u8;
    prop_oneof![
        name().prop_map(Step::Create),
        (name(), 0..3_000_usize, 1..3_000_usize, any::<u8>()).prop_map(|(n, o, b, f)| Step::Write(n, o, b, f)),
        (name(), 0..4_000_usize).prop_map(|(n, b)| Step::SetLen(n, b)),
        name().prop_map(Step::SyncFile),
        Just(Step::SyncNames),
        name().prop_map(Step::Remove),
        (name(), name()).prop_map(|(a, b)| Step::Rename(a, b)),
    ]
}

/// Does a step, if it can be done.
fn apply(disk: &SimDisk, step: &Step) {
    let file = |name: &u8| disk.open(&name.to_string(), Open::Existing);
    let done: io::Result<()> = match step {
        Step::Create(name) => disk.open(&name.to_string(), Open::New).map(|_| ()),
        Step::Write(name, offset, bytes, fill) => {
            file(name).and_then(|file| file.write(*offset as u64, &vec![*fill; *bytes]))
        }
        Step::SetLen(name, bytes) => file(name).and_then(|file| file.set_len(*bytes as u64)),
        Step::SyncFile(name) => file(name).and_then(|file| file.sync()),
        Step::SyncNames => Disk::sync(disk),
        Step::Remove(name) => disk.remove(&name.to_string()),
        Step::Rename(from, to) => disk.rename(&from.to_string(), &to.to_string()),
    };
    if let Err(error) = done {
        assert!(matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists), "{error}");
    }
}

proptest! {
    #[test]
    fn synced_is_exact_and_everything_is_all(steps in vec(any_step(), 1..40), seed in any::<u64>()) {
        let disk = SimDisk::new();
        let mut seen = vec![contents(&disk)];
        for step in &steps {
            let before = disk.operations();
            apply(&disk, step);
            seen.extend((before..disk.operations()).map(|_| contents(&disk)));
        }
        for (operations, seen) in seen.iter().enumerate() {
            prop_assert_eq!(&contents(&disk.crash_image(operations, Plan::Everything, seed)), seen);
        }
        // Synced as a whole, it is the same in every image, and an image is a disk like any other.
        for name in disk.list().unwrap() {
            disk.open(&name, Open::Existing).unwrap().sync().unwrap();
        }
        Disk::sync(&disk).unwrap();
        for plan in Plan::ALL {
            let image = disk.crash_image(disk.operations(), plan, seed);
            prop_assert_eq!(&contents(&image), &contents(&disk));
            let again = image.crash_image(0, plan, seed);
            prop_assert_eq!(&contents(&again), &contents(&disk));
        }
    }

    #[test]
    fn images_repeat_by_seed_in_any_order(steps in vec(any_step(), 1..40), seed in any::<u64>()) {
        let disk = SimDisk::new();
        steps.iter().for_each(|step| apply(&disk, step));
        let image = |operations| contents(&disk.crash_image(operations, Plan::Random, seed));
        let forwards: Vec<_> = (0..=disk.operations()).map(image).collect();
        let backwards: Vec<_> = (0..=disk.operations()).rev().map(image).collect();
        prop_assert!(forwards.iter().eq(backwards.iter().rev()));
    }

    #[test]
    fn a_random_image_has_each_byte_from_some_write(fills in vec((0..2_000_usize, 1..2_000_usize), 1..6), seed in any::<u64>()) {
        let (disk, file) = disk_with(&[200; 1_000]);
        for (number, (offset, bytes)) in fills.iter().enumerate() {
            file.write(*offset as u64, &vec![u8::try_from(number).unwrap() + 1; *bytes]).unwrap();
        }
        let found = content(&disk.crash_image(disk.operations(), Plan::Random, seed), "a").unwrap();
        prop_assert!(found.len() >= 1_000);
        for (at, byte) in found.iter().enumerate() {
            let written = match byte {
                200 => at < 1_000,
                0 => at >= 1_000,
                number => {
                    let (offset, bytes) = fills[usize::from(*number) - 1];
                    (offset..offset + bytes).contains(&at)
                }
            };
            prop_assert!(written, "byte {} at {}", byte, at);
        }
    }
}

#[test]
fn unsynced_bytes_are_lost_in_some_images_and_kept_in_others() {
    let (disk, file) = disk_with(b"old");
    file.write(0, &[7; 1_024]).unwrap();
    let (old, new) = (Some(b"old".to_vec()), Some(vec![7; 1_024]));
    assert_eq!(found(&disk, Plan::NothingUnsynced), [old.clone()].into());
    assert_eq!(found(&disk, Plan::Everything), [new.clone()].into());
    let random = found(&disk, Plan::Random);
    assert!(random.contains(&old) && random.contains(&new));
    let half = |sector: usize| random.iter().flatten().any(|bytes| bytes[0] != 7 && bytes.get(sector) == Some(&7));
    assert!(half(512), "the second sector without the first");
    let torn = found(&disk, Plan::TornLast);
    assert!(torn.len() > 100 && !torn.contains(&new), "torn at many places: {}", torn.len());
    assert_eq!(found(&disk, Plan::LostGrowth), [Some(vec![7; 3])].into());
    file.sync().unwrap();
    Plan::ALL.iter().for_each(|plan| assert_eq!(found(&disk, *plan), [new.clone()].into(), "{plan:?}"));
}

#[test]
fn writes_are_kept_without_those_before_them() {
    let (disk, file) = disk_with(b"");
    file.write(0, b"first").unwrap();
    file.write(5, b"second").unwrap();
    assert!(found(&disk, Plan::Random).contains(&Some(b"\0\0\0\0\0second".to_vec())));
}

#[test]
fn a_length_that_was_set_may_be_lost() {
    let (disk, file) = disk_with(b"four");
    file.set_len(2).unwrap();
    assert_eq!(found(&disk, Plan::LostSetLen), [Some(b"four".to_vec())].into());
    assert_eq!(found(&disk, Plan::Random), [Some(b"four".to_vec()), Some(b"fo".to_vec())].into());
    file.sync().unwrap();
    assert_eq!(found(&disk, Plan::LostSetLen), [Some(b"fo".to_vec())].into());
}

#[test]
fn names_last_from_the_directorys_sync_on() {
    let (disk, file) = disk_with(b"old");
    let new = disk.open("new", Open::New).unwrap();
    new.write(0, b"new").unwrap();
    new.sync().unwrap();
    disk.rename("new", "a").unwrap();
    assert_eq!(found(&disk, Plan::NothingUnsynced), [Some(b"old".to_vec())].into());
    assert_eq!(found(&disk, Plan::Random), [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
    disk.remove("a").unwrap();
    assert_eq!(found(&disk, Plan::Everything), [None].into());
    assert!(found(&disk, Plan::Random).contains(&Some(b"old".to_vec())), "a removed file comes back");
    file.sync().unwrap();
    assert!(found(&disk, Plan::Random).len() > 1, "a file's sync is none of its name");
    Disk::sync(&disk).unwrap();
    Plan::ALL.iter().for_each(|plan| assert_eq!(found(&disk, *plan), [None].into(), "{plan:?}"));
}

#[test]
fn a_failed_sync_settles_nothing_and_neither_do_later_ones() {
    let (disk, file) = disk_with(b"old!");
    disk.inject(Fault::once(On::Sync, 0, io::ErrorKind::Other));
    file.write(0, b"new").unwrap();
    assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::Other);
    file.write(3, b"?").unwrap();
    file.sync().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), b"new?");
    assert_eq!(found(&disk, Plan::NothingUnsynced), [Some(b"old?".to_vec())].into());
    assert_eq!(found(&disk, Plan::Random), [Some(b"old?".to_vec()), Some(b"new?".to_vec())].into());
    file.write(0, b"new").unwrap();
    file.sync().unwrap();
    assert_eq!(found(&disk, Plan::NothingUnsynced), [Some(b"new?".to_vec())].into());
}

#[test]
fn a_dropped_sync_is_answered_and_not_done() {
    let (disk, file) = disk_with(b"old");
    disk.drop_syncs(1.0, 1);
    file.write(0, b"new").unwrap();
    file.sync().unwrap();
    assert_eq!(found(&disk, Plan::NothingUnsynced), [Some(b"old".to_vec())].into());
    disk.heal();
    file.sync().unwrap();
    assert_eq!(found(&disk, Plan::NothingUnsynced), [Some(b"new".to_vec())].into());
}

#[test]
fn faults_strike_the_nth_call_once_or_from_then_on() {
    let (disk, file) = disk_with(b"");
    disk.inject(Fault::once(On::Write, 1, io::ErrorKind::Other));
    let written = || (0..4).map(|_| file.write(0, b"x").is_ok()).collect::<Vec<_>>();
    assert_eq!(written(), [true, false, true, true]);
    disk.heal();
    disk.inject(Fault::lasting(On::Change, 2, io::ErrorKind::StorageFull));
    assert_eq!(written(), [true, true, false, false]);
    assert!(file.sync().is_err() && file.set_len(1).is_err() && disk.open("b", Open::New).is_err());
    assert!(disk.rename("a", "b").is_err() && disk.remove("a").is_err() && Disk::sync(&disk).is_err());
    assert!(file.read(0, &mut [0]).is_ok(), "reads are no changes");
    disk.heal();
    disk.inject(Fault::once(On::Read, 0, io::ErrorKind::Other));
    assert!(file.read(0, &mut [0]).is_err() && file.read(0, &mut [0]).is_ok());
    disk.inject(Fault::once(On::Open, 0, io::ErrorKind::PermissionDenied));
    assert!(disk.open("a", Open::Existing).is_err() && disk.open("a", Open::Existing).is_ok());
}

#[test]
fn failed_calls_are_recorded_and_short_writes_leave_their_part() {
    let (disk, file) = disk_with(b"....");
    let before = disk.operations();
    disk.inject(Fault { written_bytes: 2, ..Fault::once(On::Write, 0, io::ErrorKind::Other) });
    disk.inject(Fault::once(On::Change, 1, io::ErrorKind::Other));
    assert!(file.write(0, b"xyz").is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(disk.operations(), before + 2);
    assert_eq!(disk.describe(before), "write 2 bytes at 0 of a");
    assert_eq!(disk.describe(before + 1), "failed");
    assert_eq!(content(&disk, "a").unwrap(), b"xy..");
}

#[test]
fn room_is_what_all_files_share() {
    let (disk, file) = disk_with(b"four");
    disk.set_room(6);
    let other = disk.open("b", Open::New).unwrap();
    assert_eq!(other.write(0, b"12345").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(content(&disk, "b").unwrap(), b"12");
    file.write(0, b"over").unwrap();
    assert_eq!(file.set_len(5).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.used(), 6);
    disk.remove("b").unwrap();
    file.set_len(6).unwrap();
}
