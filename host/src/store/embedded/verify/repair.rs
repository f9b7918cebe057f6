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
use super::super::segment::{self, SegmentSummary, Visitor};
use super::super::state::{Manifest, ManifestChange, RunRow, StateFile};
use super::super::upkeep::{file_of_run, write_run};
use crate::event::Position;
use crate::store::StoreError;

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
        let name = file_of_run(run.first, run.last);
        if !damaged.contains(&name) {
            continue;
        }
        let mut change = ManifestChange { runs_removed: vec![run.first], ..ManifestChange::default() };
        for row in manifest.segments.iter().filter(|row| row.first >= run.first && row.last <= run.last) {
            change.runs.push(run_of_segment(&**disk, manifest.store_id, row)?);
        }
        disk.sync().map_err(|error| io_failed("the data directory", &error))?;
        state.commit(None, &change)?;
        repaired.made += change.runs.len();
        // One that took the place of a damaged file of its name is the new one.
        if !change.runs.iter().any(|made| file_of_run(made.first, made.last) == name) {
            let _ = disk.remove(&name);
        }
        repaired.replaced.push(name);
    }
    Ok(repaired)
}

fn run_of_segment(disk: &dyn Disk, store_id: u128, row: &SegmentSummary) -> Result<RunRow, StoreError> {
    let mut index = HotIndex::new();
    segment::verify(disk, &segment::file_name(row.first), store_id, &mut Indexer(&mut index))?;
    write_run(disk, store_id, (row.first, row.last), &index)
}

/// Adds the events of a segment to an index.
struct Indexer<'a>(&'a mut HotIndex);

impl Visitor for Indexer<'_> {
    fn event(&mut self, position: Position, event: &EventView<'_>) -> Result<(), StoreError> {
        let entry = Entry::stored(event, position).map_err(corrupted(position))?;
        self.0.add(&entry).map_err(corrupted(position))
    }
}
