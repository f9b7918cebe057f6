//! Sealing: a journal becomes a segment and a run of the index, and its units of work are applied.
//!
//! The files are written and synced first; the transaction that records them in the manifest, raises the
//! floor of live journals and applies the overlay is the commit point. Files of a seal that did not get there
//! are removed and written anew.

use std::io;
use std::sync::Arc;

use super::super::disk::Disk;
use super::super::failure::io_failed;
use super::super::hot::{Generation, HotCursor, HotData, HotIndex};
use super::super::run::{Run, RunOptions, RunWriter, Stamp};
use super::super::segment::{self, SegmentRow, SegmentSummary, SegmentWriter};
use super::super::shared::Shared;
use super::super::state::{ManifestChange, RunRow};
use crate::event::Position;
use crate::store::{Direction, StoreError};

/// Seals the oldest journal that is full; answers whether there was one.
pub(super) fn seal_oldest(shared: &Shared) -> Result<bool, StoreError> {
    let view = shared.view();
    let Some(generation) = view.frozen.first() else { return Ok(false) };
    let store_id = view.store_id;
    let mut change = ManifestChange {
        journal_floor: Some(generation.sequence + 1),
        mark: shared.mark(),
        ..ManifestChange::default()
    };
    let data = generation.data();
    let mut made = None;
    if let Some(last) = data.last() {
        let segment = write_segment(shared, store_id, generation, &data, last)?;
        let run = write_run(&*shared.disk, store_id, (generation.after.next(), last), &data.index)?;
        shared.disk.sync().map_err(|error| io_failed("the data directory", &error))?;
        let segment = SegmentRow::sealed(segment);
        change.segments.push(segment.clone());
        change.streams = data.streams_begun;
        change.runs.push(run);
        made = Some((segment, run));
    }
    shared.state.commit(Some(&data.overlay), &change)?;
    view.heads.extend(data.index.heads());
    drop(data);
    let streams = change.streams;
    // In this order, lest the journal's file is written over while somebody reads it.
    shared.upkeep.retire(Arc::clone(generation));
    publish(shared, store_id, made, streams)?;
    drop(view);
    shared.upkeep.notify();
    Ok(true)
}

fn publish(
    shared: &Shared,
    store_id: u128,
    made: Option<(SegmentRow, RunRow)>,
    streams: u64,
) -> Result<(), StoreError> {
    let mut run = None;
    if let Some((segment, row)) = made {
        run = Some(Arc::new(Run::open(&*shared.disk, &row.file_name(), store_id)?));
        shared.view().segments.add(segment)?;
    }
    shared.change_view(|view| view.sealed(run, streams));
    Ok(())
}

fn write_segment(
    shared: &Shared,
    store_id: u128,
    generation: &Arc<Generation>,
    data: &HotData,
    last: Position,
) -> Result<SegmentSummary, StoreError> {
    let first = generation.after.next();
    let name = segment::file_name(first, 0);
    remove_left_over(&*shared.disk, &name)?;
    let mut writer = SegmentWriter::create(&*shared.disk, &name, store_id, first, false)?;
    let mut cursor = HotCursor::new(Direction::Forwards);
    for place in &data.blocks {
        writer.push_block(&cursor.block(generation, place.first)?)?;
    }
    let summary = writer.finish()?;
    assert!(summary.last == last, "a journal's blocks end at {last}, its segment at {}", summary.last);
    Ok(summary)
}

/// Writes the run of one segment from the index over its events.
pub(in crate::store::embedded) fn write_run(
    disk: &dyn Disk,
    store_id: u128,
    (first, last): (Position, Position),
    index: &HotIndex,
) -> Result<RunRow, StoreError> {
    let row = RunRow { first, last, level: 0, bytes: 0, generation: 0 };
    let name = row.file_name();
    remove_left_over(disk, &name)?;
    let keys = index.key_count() as u64;
    let mut writer = RunWriter::create(disk, &name, RunOptions { store_id, first, last, level: 0, keys_max: keys })?;
    index.visit_sorted(|key, positions, head| {
        let stamp = head.map(|head| Stamp { version: head.version, deleted: head.deleted });
        writer.push(key.as_bytes(), positions, stamp)
    })?;
    let summary = writer.finish()?;
    Ok(RunRow { bytes: summary.bytes, ..row })
}

/// Removes a file that an earlier try left.
pub(super) fn remove_left_over(disk: &dyn Disk, name: &str) -> Result<(), StoreError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_failed(name, &error)),
        _ => Ok(()),
    }
}
