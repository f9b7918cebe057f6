//! Segments over a disk in memory: what is written is read back, and nothing else is ever served.

mod damage;
mod disk;
mod reading;
mod set;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use uuid::Uuid;

use self::disk::MemoryDisk;
use super::{SegmentCursor, SegmentRow, SegmentSummary, SegmentWriter, Segments, Visitor, file_name, verify};
use crate::event::{EventType, Position, RecordedEvent, StreamName, Tag, Version};
use crate::store::StoreError;
use crate::store::embedded::block::Slot;
use crate::store::embedded::encoding::{self, EventView};
use crate::store::embedded::stub::Stub;

const STORE: u128 = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978;

/// The event at a position, ten microseconds after the one before it.
fn event(position: u64, data: Vec<u8>) -> RecordedEvent {
    RecordedEvent {
        position: Position(position),
        id: Uuid::from_u128(position.into()),
        event_type: EventType::new("Numbered").unwrap(),
        stream: Some(StreamName::new(format!("s-{}", position % 7)).unwrap()),
        version: Version(position / 7 + 1),
        timestamp_us: position * 10,
        tags: vec![Tag::new("t").unwrap()],
        data,
        content_type: None,
        metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        schema_version: 1,
    }
}

fn events(positions: RangeInclusive<u64>, data_bytes: usize) -> Vec<RecordedEvent> {
    positions.map(|position| event(position, vec![b'1'; data_bytes])).collect()
}

/// Writes events, which follow one another, as a segment.
fn write(disk: &MemoryDisk, events: &[RecordedEvent]) -> Result<SegmentSummary, StoreError> {
    let first = events[0].position;
    let mut writer = SegmentWriter::create(disk, &file_name(first, 0), STORE, first, false)?;
    let mut raw = Vec::new();
    for event in events {
        raw.clear();
        encoding::encode(event, &mut raw);
        writer.push(Slot::Event(&raw))?;
    }
    writer.finish()
}

/// A disk with one segment, and its summary.
fn written(events: &[RecordedEvent]) -> (Arc<MemoryDisk>, SegmentSummary) {
    let disk = Arc::new(MemoryDisk::default());
    let summary = write(&disk, events).unwrap();
    (disk, summary)
}

fn cursor(disk: &Arc<MemoryDisk>, summaries: Vec<SegmentSummary>) -> SegmentCursor {
    SegmentCursor::new(Arc::new(Segments::new(Arc::clone(disk) as _, STORE, rows(&summaries)).unwrap()))
}

fn rows(summaries: &[SegmentSummary]) -> Vec<SegmentRow> {
    summaries.iter().cloned().map(SegmentRow::sealed).collect()
}

/// Reads a range block by block, up to what fails.
fn scan(cursor: &mut SegmentCursor, positions: RangeInclusive<u64>) -> (Vec<RecordedEvent>, Option<StoreError>) {
    let mut events = Vec::new();
    let mut at = *positions.start();
    while at <= *positions.end() {
        let block = match cursor.block_at(Position(at)) {
            Ok(block) => block,
            Err(error) => return (events, Some(error)),
        };
        let block_events = block.events().map(|event| event.unwrap());
        events.extend(block_events.map(|(position, view)| view.to_event(position).unwrap()));
        at = block.last().0 + 1;
    }
    (events, None)
}

/// Collects what it is shown.
#[derive(Default)]
struct Collect {
    events: Vec<RecordedEvent>,
    bytes: u64,
}

impl Visitor for Collect {
    fn event(&mut self, position: Position, event: &EventView<'_>) -> Result<(), StoreError> {
        self.events.push(event.to_event(position).unwrap());
        Ok(())
    }

    fn stub(&mut self, position: Position, _: &Stub<'_>) -> Result<(), StoreError> {
        panic!("a stub at {position}")
    }

    fn progress(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

fn verified(disk: &MemoryDisk, name: &str) -> Result<(SegmentSummary, Collect), StoreError> {
    let mut collect = Collect::default();
    verify(disk, name, STORE, &mut collect).map(|summary| (summary, collect))
}
