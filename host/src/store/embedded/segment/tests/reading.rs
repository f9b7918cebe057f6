//! What is written is read back: in sequence, backwards, at random, by time; and how much is read for it.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::integrity;
use crate::store::embedded::block::{self, BlockView};
use crate::store::embedded::disk::Disk;
use crate::store::embedded::encoding::tests::any_event;

/// Events from a position on, whose times rise by steps that may be zero.
fn any_events() -> impl Strategy<Value = Vec<RecordedEvent>> {
    (proptest::collection::vec((any_event(1), 0..3_u64), 1..120), 1..u64::MAX / 2).prop_map(|(events, first)| {
        let mut timestamp_us = 100;
        let number = |(position, (mut event, step)): (u64, (RecordedEvent, u64))| {
            timestamp_us += step;
            (event.position, event.timestamp_us) = (Position(position), timestamp_us);
            event
        };
        (first..).zip(events).map(number).collect()
    })
}

proptest! {
    #[test]
    fn events_survive_the_round_trip(events in any_events(), picks in proptest::collection::vec(any::<prop::sample::Index>(), 20)) {
        let (disk, summary) = written(&events);
        let (first, last) = (summary.first.0, summary.last.0);
        prop_assert_eq!((first, last), (events[0].position.0, events[events.len() - 1].position.0));
        prop_assert_eq!(summary.events(), events.len() as u64);
        let mut cursor = cursor(&disk, vec![summary.clone()]);
        prop_assert_eq!(&scan(&mut cursor, first..=last).0, &events);
        for event in events.iter().rev() {
            prop_assert_eq!(&cursor.event(event.position).unwrap().unwrap().to_event(event.position).unwrap(), event);
        }
        for event in picks.iter().map(|pick| pick.get(&events)) {
            prop_assert_eq!(&cursor.event(event.position).unwrap().unwrap().to_event(event.position).unwrap(), event);
        }
        let (found, seen) = verified(&disk, &file_name(summary.first, 0)).unwrap();
        prop_assert_eq!(seen.bytes, summary.file_bytes);
        prop_assert_eq!((found, seen.events), (summary, events));
    }

    #[test]
    fn a_time_finds_the_first_event_not_older(events in any_events(), before_us in 0..300_u64) {
        let (disk, summary) = written(&events);
        let mut cursor = cursor(&disk, vec![summary.clone()]);
        let at_us = summary.last_timestamp_us.saturating_sub(before_us) + 5;
        let expected = events.iter().find(|event| event.timestamp_us >= at_us).map(|event| event.position);
        prop_assert_eq!(cursor.first_at_or_after(at_us).unwrap(), expected);
    }

    #[test]
    fn a_summary_survives_the_round_trip(events in any_events()) {
        let (_, summary) = written(&events);
        let mut bytes = Vec::new();
        summary.encode(&mut bytes);
        prop_assert_eq!(SegmentSummary::decode(&bytes).unwrap(), summary);
        bytes.push(0);
        prop_assert!(SegmentSummary::decode(&bytes).is_err());
    }
}

#[test]
fn blocks_of_the_journal_become_a_segment() {
    let mut events = events(5..=400, 256);
    for (at, bytes) in [(9, 0), (10, 1 << 20), (11, 1 << 20), (200, 5_000), (395, 1 << 20)] {
        events[at].data = vec![b'7'; bytes];
    }
    let disk = Arc::new(MemoryDisk::default());
    let mut writer = SegmentWriter::create(&*disk, "s", STORE, Position(5), false).unwrap();
    for (first, bytes) in block::encode(&events) {
        writer.push_block(&BlockView::verify(first, &bytes).unwrap()).unwrap();
    }
    let (name, summary) = ("s", writer.finish().unwrap());
    assert_eq!(disk.file(name).syncs.load(Ordering::SeqCst), 1);
    assert_eq!(summary.file_bytes, disk.bytes(name).len() as u64);
    let leaf = |event: &RecordedEvent| {
        let mut raw = Vec::new();
        encoding::encode(event, &mut raw);
        (raw.len() as u64, *encoding::stored_leaf(&raw).unwrap())
    };
    assert_eq!(summary.payload_bytes, events.iter().map(|event| leaf(event).0).sum::<u64>());
    assert_eq!(summary.root, integrity::root(events.iter().map(|event| leaf(event).1)));
    assert_eq!((summary.first_timestamp_us, summary.last_timestamp_us), (50, 4_000));
    let (_, seen) = verified(&disk, name).unwrap();
    assert_eq!(seen.events, events);
    disk.rename(name, &file_name(Position(5), 0)).unwrap();
    let mut cursor = cursor(&disk, vec![summary]);
    assert_eq!(scan(&mut cursor, 5..=400).0, events);
    for event in events.iter().rev() {
        assert_eq!(&cursor.event(event.position).unwrap().unwrap().to_event(event.position).unwrap(), event);
    }
}

#[test]
fn one_read_of_one_block_at_random_and_few_in_sequence() {
    let events = events(1..=10_000, 256);
    let (disk, summary) = written(&events);
    let file = disk.file(&file_name(Position(1), 0));
    let mut cursor = cursor(&disk, vec![summary.clone()]);
    cursor.event(Position(1)).unwrap();
    for position in [5_000, 2_000, 9_999, 4_000, 1] {
        file.reads.lock().unwrap().clear();
        cursor.event(Position(position)).unwrap();
        cursor.event(Position(position)).unwrap();
        let reads = file.reads.lock().unwrap().clone();
        assert!(reads.len() == 1 && reads[0] <= 4096, "position {position}: {reads:?}");
    }
    let sequential_reads_max = usize::try_from(summary.file_bytes >> 17).unwrap() + 5;
    let positions: [Box<dyn Iterator<Item = u64>>; 2] = [Box::new(1..=10_000), Box::new((1..=10_000).rev())];
    for positions in positions {
        file.reads.lock().unwrap().clear();
        positions.for_each(|position| {
            assert_eq!(cursor.event(Position(position)).unwrap().unwrap().timestamp_us, position * 10)
        });
        let reads = file.reads.lock().unwrap().clone();
        assert!(reads.len() <= sequential_reads_max, "{} reads", reads.len());
        assert!(reads.iter().all(|bytes| *bytes <= (128 << 10) + 4096), "{reads:?}");
        assert!(reads.iter().sum::<usize>() as u64 <= summary.file_bytes, "nothing is read twice");
    }
}

#[test]
fn positions_outside_are_refused() {
    let (disk, summary) = written(&events(10..=20, 10));
    let mut cursor = cursor(&disk, vec![summary]);
    for position in [0, 9, 21, u64::MAX] {
        let error = cursor.event(Position(position)).unwrap_err();
        assert!(matches!(error, StoreError::Corrupted { position: Position(at), .. } if at == position), "{error}");
    }
    assert!(cursor.event(Position(10)).is_ok() && cursor.event(Position(20)).is_ok());
}

#[test]
fn a_writer_refuses_what_is_not_the_next_event() {
    let disk = MemoryDisk::default();
    let mut events = events(1..=3, 10);
    events[2].timestamp_us = 19;
    let error = write(&disk, &events).unwrap_err().to_string();
    assert!(error.contains("position 3") && error.contains("older"), "{error}");
    let error = write(&disk, &events).unwrap_err().to_string();
    assert!(error.contains("/memory/00000000000000000001.segment"), "the file is there: {error}");
    let mut writer = SegmentWriter::create(&disk, "other", STORE, Position(1), false).unwrap();
    assert!(writer.push(Slot::Event(b"no event")).is_err());
    let (first, bytes) = block::encode(&events[1..2]).remove(0);
    let error = writer.push_block(&BlockView::verify(first, &bytes).unwrap()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupted { position: Position(1), .. }), "{error}");
}

#[test]
fn a_full_disk_is_told_as_such() {
    let disk = MemoryDisk::default();
    let mut writer = SegmentWriter::create(&disk, "s", STORE, Position(1), false).unwrap();
    *disk.file("s").bytes_max.lock().unwrap() = Some(100);
    let (first, bytes) = block::encode(&events(1..=1, 100)).remove(0);
    writer.push_block(&BlockView::verify(first, &bytes).unwrap()).unwrap();
    assert!(matches!(writer.finish().unwrap_err(), StoreError::DiskFull { .. }));
}

/// Released formats are read for ever: whoever changes these bytes gives them a new format version.
#[test]
fn the_bytes_of_format_1_do_not_change() {
    let (disk, _) = written(&events(1..=30, 200));
    let bytes = disk.bytes(&file_name(Position(1), 0));
    assert_eq!((bytes.len(), xxhash_rust::xxh3::xxh3_64(&bytes)), (9_399, 0xd59e_9020_4878_3ce8));
}
