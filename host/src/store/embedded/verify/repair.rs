//! Making the index anew from the log: every run that is missing, damaged, or says something else.
//!
//! A run is replaced by one run for each segment of its range, in one transaction of the manifest; merges make
//! larger ones of them when the store is open again.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::disk::Disk;
use super::super::encoding::EventView;
use super::super::failure::{corrupted, io_failed};
use super::super::hot::{Entry, HotIndex};
use super::super::segment::{self, SegmentRow, Visitor};
use super::super::state::{Manifest, ManifestChange, RunRow, StateFile};
use super::super::stub::Stub;
use super::super::upkeep::write_run;
use crate::event::Position;
use crate::store::{Removals, StoreError};

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Index files that were replaced.
    pub replaced: Vec<String>,
    /// How many index files were made.
    pub made: usize,
}

/// Makes the runs anew whose files are among `damaged`.
pub(in crate::store::embedded) fn repair_runs(
    disk: &Arc<dyn Disk>,
    state: &StateFile,
    manifest: &Manifest,
    damaged: &HashSet<String>,
) -> Result<Repaired, StoreError> {
    let mut repaired = Repaired::default();
    for run in &manifest.runs {
        let name = run.file_name();
        if !damaged.contains(&name) {
            continue;
        }
        let mut change = ManifestChange { runs_removed: vec![run.first], ..ManifestChange::default() };
        for row in manifest.segments.iter().filter(|row| row.lies_within((run.first, run.last))) {
            change.runs.push(run_of_segment(&**disk, manifest, row)?);
        }
        disk.sync().map_err(|error| io_failed("the data directory", &error))?;
        state.commit(None, &change)?;
        repaired.made += change.runs.len();
        // One that took the place of a damaged file of its name is the new one.
        if !change.runs.iter().any(|made| made.file_name() == name) {
            let _ = disk.remove(&name);
        }
        repaired.replaced.push(name);
    }
    Ok(repaired)
}

fn run_of_segment(disk: &dyn Disk, manifest: &Manifest, row: &SegmentRow) -> Result<RunRow, StoreError> {
    let mut index = HotIndex::new();
    let mut indexer = Indexer { index: &mut index, removals: &manifest.removals };
    segment::verify(disk, &row.file_name(), manifest.store_id, &mut indexer)?;
    write_run(disk, manifest.store_id, (row.summary.first, row.summary.last), &index)
}

/// Adds the events of a segment to an index.
struct Indexer<'a> {
    index: &'a mut HotIndex,
    removals: &'a Removals,
}

impl Visitor for Indexer<'_> {
    fn event(&mut self, position: Position, event: &EventView<'_>) -> Result<(), StoreError> {
        let entry = Entry::stored(event, position).map_err(corrupted(position))?;
        self.index.add(&entry, self.removals).map_err(corrupted(position))
    }

    fn stub(&mut self, position: Position, stub: &Stub<'_>) -> Result<(), StoreError> {
        let end = stub.head(position);
        end.map_or(Ok(()), |(stream, head)| self.index.add_end(stream, head)).map_err(corrupted(position))
    }
}
