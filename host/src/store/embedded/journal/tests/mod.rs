//! What is in a journal after whatever happened to it.

mod crash;
mod damage;
mod full;
mod slots;

use std::io;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::store::StoreError;
use crate::store::embedded::disk::sim::SimDisk;
use crate::store::embedded::disk::{Disk, DiskFile, Open};

const SEED: u64 = 0x5eed;
const LIVE: Live = Live { seed: SEED, floor: 1 };
const FIRST: Place = Place { slot: 0, sequence: 1 };

/// Small steps, so that files grow in tests.
const OPTIONS: JournalOptions = JournalOptions { seed: SEED, bytes_max: 64 << 10, step_bytes: 1 << 10 };

fn start(disk: &SimDisk, sequence: u64) -> JournalWriter {
    JournalWriter::start(disk, Place { sequence, ..FIRST }, OPTIONS).unwrap()
}

/// A journal of these records, in a new slot 0.
fn journal(payloads: &[&[u8]]) -> (SimDisk, JournalWriter) {
    let disk = SimDisk::new();
    let mut writer = start(&disk, 1);
    payloads.iter().for_each(|payload| put(&mut writer, payload));
    (disk, writer)
}

fn put(writer: &mut JournalWriter, payload: &[u8]) {
    writer.append(&[payload]).unwrap();
    writer.sync().unwrap();
}

/// What slot 0 holds.
/// Where a journal ends, and its payloads.
type Replayed = (Tail, Vec<Vec<u8>>);

fn replayed(disk: &SimDisk, live: Live) -> Result<Option<Replayed>, StoreError> {
    let Some(reader) = JournalReader::open(disk, 0, live)? else { return Ok(None) };
    let mut payloads = Vec::new();
    let tail = reader.replay(|_, payload| {
        payloads.push(payload.to_vec());
        Ok(())
    })?;
    Ok(Some((tail, payloads)))
}

/// The payloads of the live journal in slot 0; empty if there is none.
fn payloads(disk: &SimDisk) -> Vec<Vec<u8>> {
    replayed(disk, LIVE).unwrap().map(|(_, payloads)| payloads).unwrap_or_default()
}

fn file(disk: &SimDisk) -> std::sync::Arc<dyn DiskFile> {
    disk.open("journal-0", Open::Existing).unwrap()
}

fn bytes(disk: &SimDisk) -> Vec<u8> {
    let file = file(disk);
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read(0, &mut bytes).unwrap();
    bytes
}

/// A disk whose slot 0 is a file of these bytes.
fn disk_of(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    disk.open("journal-0", Open::New).unwrap().write(0, bytes).unwrap();
    disk
}

/// Payloads of many sizes, one in some larger than what is read at once.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![30 => 0..200_usize, 10 => 0..5_000_usize, 1 => 1_000_000..2_500_000_usize];
    (size, any::<u64>()).prop_map(|(size, seed)| {
        let mut payload = vec![0; size];
        fastrand::Rng::with_seed(seed).fill(&mut payload);
        payload
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_survive_recycling_and_reopening(
        journals in vec(vec((any_payload(), any::<prop::sample::Index>(), 0..8_u8), 1..20), 1..5),
    ) {
        let disk = SimDisk::new();
        for (sequence, records) in (1..).zip(&journals) {
            let mut writer = start(&disk, sequence);
            let live = Live { floor: sequence, ..LIVE };
            prop_assert!(replayed(&disk, live).unwrap().is_none(), "what was there is sealed");
            let mut expected = Vec::new();
            for (payload, cut, reopen) in records {
                let (front, back) = payload.split_at(cut.index(payload.len() + 1));
                let offset = writer.append(&[front, back]).unwrap();
                writer.sync().unwrap();
                let mut stored = vec![0; payload.len()];
                writer.file().read(offset, &mut stored).unwrap();
                prop_assert!(&stored == payload);
                expected.push(payload.clone());
                if *reopen == 0 {
                    let (tail, found) = replayed(&disk, live).unwrap().unwrap();
                    prop_assert!(found == expected);
                    prop_assert_eq!((tail.ordinal, tail.end), (writer.records(), writer.bytes()));
                    writer = JournalWriter::resume(&disk, &tail, OPTIONS).unwrap();
                    prop_assert_eq!(writer.place(), Place { slot: 0, sequence });
                }
            }
            let (_, found) = replayed(&disk, live).unwrap().unwrap();
            prop_assert!(found == expected);
        }
    }
}

#[test]
fn a_file_is_filled_in_growing_steps_up_to_its_bound() {
    let (disk, mut writer) = journal(&[]);
    let mut lengths = vec![file(&disk).len().unwrap()];
    while lengths.last() < Some(&OPTIONS.bytes_max) {
        put(&mut writer, &[1; 100]);
        let length = file(&disk).len().unwrap();
        lengths.extend(Some(length).filter(|length| lengths.last() != Some(length)));
    }
    assert_eq!(lengths, [4, 5, 7, 11, 19, 35, 64].map(|kib| kib << 10));
    let large = vec![2; 100_000];
    put(&mut writer, &large);
    let end = file(&disk).len().unwrap();
    assert_eq!(end, writer.bytes(), "what a record needs and no more");
    assert_eq!(payloads(&disk).last().unwrap(), &large);
    let operations = disk.operations();
    let mut writer = start(&disk, 2);
    put(&mut writer, &[3; 100]);
    assert_eq!(disk.operations() - operations, 3, "a recycled slot: the directory's sync, the write, its sync");
    assert_eq!(file(&disk).len().unwrap(), end);
}

#[test]
fn a_visitor_ends_the_replay() {
    let (disk, _) = journal(&[b"one", b"two", b"three"]);
    let mut seen = 0;
    let refused = JournalReader::open(&disk, 0, LIVE).unwrap().unwrap().replay(|_, _| {
        seen += 1;
        if seen == 2 { Err(StoreError::ShuttingDown) } else { Ok(()) }
    });
    assert!(matches!(refused, Err(StoreError::ShuttingDown)));
    assert_eq!(seen, 2);
}

#[test]
fn a_read_error_is_said_with_the_file() {
    use crate::store::embedded::disk::sim::{Fault, On};
    let (disk, _) = journal(&[b"one"]);
    for nth in 0..2 {
        disk.heal();
        disk.inject(Fault::lasting(On::Read, nth, io::ErrorKind::Other));
        let Err(StoreError::ReadFailed { reason }) = replayed(&disk, LIVE) else { panic!("it was read") };
        assert!(reason.starts_with("simulated/journal-0: "), "{reason}");
    }
    disk.heal();
    assert_eq!(payloads(&disk), [b"one"]);
}

#[test]
#[should_panic(expected = "a record is synced before the next is appended")]
fn two_unsynced_records_are_a_bug() {
    let (_, mut writer) = journal(&[]);
    writer.append(&[b"one"]).unwrap();
    let _ = writer.append(&[b"two"]);
}
