//! Merging: adjacent runs of one level become one of the next, so that their number stays logarithmic.
//! Events are not rewritten, only the index.

use std::sync::Arc;

use super::super::failure::io_failed;
use super::super::run::{self, Run, RunOptions, RunWriter};
use super::super::shared::Shared;
use super::super::state::{ManifestChange, RunRow};
use super::seal::remove_left_over;
use crate::store::StoreError;

/// How many runs of one level are merged into one of the next.
pub(in crate::store::embedded) const RUNS_MERGED: usize = 8;

/// Merges the first runs that are enough; answers whether there were some.
pub(super) fn merge_some(shared: &Shared) -> Result<bool, StoreError> {
    let view = shared.view();
    let Some(runs) = mergeable(&view.runs) else { return Ok(false) };
    let (Some(oldest), Some(newest)) = (runs.first(), runs.last()) else { return Ok(false) };
    let (first, last, level) = (oldest.range().0, newest.range().1, oldest.level() + 1);
    let row = RunRow { first, last, level, bytes: 0, generation: 0 };
    let name = row.file_name();
    remove_left_over(&*shared.disk, &name)?;
    let keys_max = runs.iter().map(|run| run.key_count()).sum();
    let options = RunOptions { store_id: view.store_id, first, last, level, keys_max };
    let out = RunWriter::create(&*shared.disk, &name, options)?;
    let keep_going = || !shared.upkeep.is_closing();
    let summary = match run::merge(runs, out, &view.removals, &keep_going) {
        Err(StoreError::ShuttingDown) => return remove_left_over(&*shared.disk, &name).map(|()| false),
        merged => merged?,
    };
    shared.disk.sync().map_err(|error| io_failed("the data directory", &error))?;
    let row = RunRow { bytes: summary.bytes, ..row };
    let runs_removed = runs.iter().map(|run| run.range().0).collect();
    shared.state.commit(None, &ManifestChange { runs_removed, runs: vec![row], ..ManifestChange::default() })?;
    let merged = Arc::new(Run::open(&*shared.disk, &name, view.store_id)?);
    shared.change_view(|view| view.merged(merged));
    for run in runs {
        // Readers that hold the old view go on reading it.
        shared.leases.remove(run.name().to_owned());
    }
    Ok(true)
}

/// The oldest adjacent runs of one level that are enough to be merged; lower levels first.
fn mergeable(runs: &[Arc<Run>]) -> Option<&[Arc<Run>]> {
    let levels = runs.chunk_by(|left, right| left.level() == right.level());
    let enough = levels.filter(|level| level.len() >= RUNS_MERGED);
    enough.min_by_key(|level| level.first().map(|run| run.level())).and_then(|level| level.get(..RUNS_MERGED))
}
