//! Reading across segments.

use super::*;
use crate::store::embedded::block::BlockView;

/// Segments of so many events each, from position 1 on.
fn several(count: u64, events_each: u64) -> (Arc<MemoryDisk>, Vec<SegmentSummary>) {
    let disk = Arc::new(MemoryDisk::default());
    let segment = |number: u64| events(number * events_each + 1..=(number + 1) * events_each, 100);
    let summaries = (0..count).map(|number| write(&disk, &segment(number)).unwrap()).collect();
    (disk, summaries)
}

#[test]
fn a_cursor_reads_across_segments_in_both_directions() {
    let (disk, summaries) = several(5, 60);
    let mut cursor = cursor(&disk, summaries);
    assert_eq!(scan(&mut cursor, 1..=300).0, events(1..=300, 100));
    for position in (1..=300).rev() {
        assert_eq!(cursor.event(Position(position)).unwrap().unwrap().timestamp_us, position * 10);
    }
    assert_eq!(cursor.block_at(Position(61)).map(|block: BlockView<'_>| block.first()).unwrap(), Position(61));
}

#[test]
fn a_time_is_found_across_segments() {
    let (disk, summaries) = several(5, 60);
    let mut cursor = cursor(&disk, summaries);
    for (timestamp_us, position) in [(0, 1), (10, 1), (11, 2), (600, 60), (601, 61), (1_234, 124), (3_000, 300)] {
        assert_eq!(cursor.first_at_or_after(timestamp_us).unwrap(), Some(Position(position)), "{timestamp_us}");
    }
    assert_eq!(cursor.first_at_or_after(3_001).unwrap(), None);
}

#[test]
fn more_segments_than_are_kept_open_are_read() {
    let (disk, summaries) = several(260, 2);
    let segments = Arc::new(Segments::new(Arc::clone(&disk) as _, STORE, rows(&summaries)).unwrap());
    assert_eq!((segments.last(), segments.summaries()), (Position(520), summaries));
    let mut cursor = SegmentCursor::new(Arc::clone(&segments));
    assert_eq!(scan(&mut cursor, 1..=520).0, events(1..=520, 100));
    let opened = |position| disk.file(&file_name(Position(position), 0)).reads.lock().unwrap().len();
    let (oldest, newest) = (opened(1), opened(519));
    cursor.event(Position(520)).unwrap();
    cursor.event(Position(517)).unwrap();
    cursor.event(Position(519)).unwrap();
    cursor.event(Position(1)).unwrap();
    assert_eq!(opened(519), newest + 1, "it was still open: one block is read");
    assert_eq!(opened(1), oldest + 4, "it was closed: header, trailer, directory and one block are read");
}

#[test]
fn segments_must_follow_one_another() {
    let (disk, mut summaries) = several(3, 5);
    summaries.remove(1);
    let error = Segments::new(disk, STORE, rows(&summaries)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupted { position: Position(6), .. }), "{error}");
    let none = Segments::new(Arc::new(MemoryDisk::default()), STORE, []).unwrap();
    assert_eq!(none.last(), Position::START);
    assert_eq!(SegmentCursor::new(Arc::new(none)).first_at_or_after(0).unwrap(), None);
}
