//! Writing a segment anew without what is removed.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::Segment;
use super::format::SegmentSummary;
use super::reader::SegmentReader;
use super::writer::SegmentWriter;
use crate::event::{Position, TOMBSTONE_TYPE, category_of};
use crate::store::embedded::block::Slot;
use crate::store::embedded::encoding::{EventView, Malformed};
use crate::store::embedded::failure::corrupted;
use crate::store::embedded::stub::Stub;
use crate::store::{Removals, StoreError};

/// Copies a segment to `out`, with stubs in place of removed events; tells their positions, and answers what
/// was written and how many stubs that has.
///
/// # Errors
/// When the segment is damaged, or the disk fails or is full. The file is left behind, for the caller to remove.
pub(in crate::store::embedded) fn compact(
    segment: Segment,
    mut out: SegmentWriter,
    removals: &Removals,
    removed: &mut dyn FnMut(Position),
) -> Result<(SegmentSummary, u64), StoreError> {
    let segment = Arc::new(segment);
    let ends = ends_of_streams(&segment, removals)?;
    let (mut stubs, mut bytes) = (0, Vec::new());
    each(&segment, |position, slot| {
        let event = slot.event().map_err(corrupted(position))?;
        if event.is_some_and(|event| !removals.removes(event.stream, position)) {
            return out.push(slot);
        }
        stubs += 1;
        let Some(event) = event else { return out.push(slot) };
        removed(position);
        bytes.clear();
        stub_of(&event, position, &ends).encode(&mut bytes);
        out.push(Slot::Stub(&bytes))
    })?;
    let (old, new) = (segment.summary(), out.finish()?);
    let told = |summary: &SegmentSummary| {
        (summary.first, summary.last, summary.first_timestamp_us, summary.last_timestamp_us, summary.root)
    };
    if told(&new) == told(old) {
        return Ok((new, stubs));
    }
    Err(segment.place().corrupted("its trailer does not sum up its events; it is not compacted"))
}

/// What is left of an event.
fn stub_of<'a>(event: &EventView<'a>, position: Position, ends: &HashMap<Box<str>, Position>) -> Stub<'a> {
    let stream = event.stream.filter(|stream| ends.get(*stream) == Some(&position));
    let end = stream.map(|stream| (stream, event.version, event.event_type == TOMBSTONE_TYPE));
    Stub { leaf: event.leaf, timestamp_us: event.timestamp_us, end }
}

/// The last event of each stream that may have removed events in the segment.
fn ends_of_streams(segment: &Arc<Segment>, removals: &Removals) -> Result<HashMap<Box<str>, Position>, StoreError> {
    let first = segment.summary().first;
    let mut ends: HashMap<Box<str>, Position> = HashMap::new();
    each(segment, |position, slot| {
        let stream = slot.event().map_err(corrupted(position))?.and_then(|event| event.stream);
        if let Some(stream) = stream.filter(|stream| removals.horizon(category_of(stream)) > first) {
            match ends.get_mut(stream) {
                Some(end) => *end = position,
                None => {
                    ends.insert(stream.into(), position);
                }
            }
        }
        Ok(())
    })?;
    Ok(ends)
}

/// Goes through a segment.
fn each(
    segment: &Arc<Segment>,
    mut visit: impl FnMut(Position, Slot<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut reader = SegmentReader::new(Arc::clone(segment));
    for index in 0..segment.directory().len() {
        let block = reader.block(index)?;
        if block.first() != segment.directory().first(index) || block.last() != segment.directory().last(index) {
            return Err(corrupted(block.first())(Malformed("a block is not the one of the directory")));
        }
        for slot in block.slots() {
            let (position, slot) = slot.map_err(corrupted(block.first()))?;
            visit(position, slot)?;
        }
    }
    Ok(())
}
