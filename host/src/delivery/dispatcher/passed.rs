//! How far partitions have come that had nothing to commit, written down when the plugin stops.
//!
//! A partition whose own events have run out commits nothing, but once in ten thousand positions, while the others go on:
//! what is stored of it is behind, and with it what anybody sees of the plugin once it is gone. So at an orderly stop all of
//! them are written down, in one change, as far as the furthest has committed. What comes after that is nobody's yet, as with
//! one partition: it is looked at anew under whatever the plugin listens to then.

use std::sync::Arc;

use tracing::warn;

use super::partitions::Around;
use crate::delivery::record::{self, Edit, Record};
use crate::delivery::status::PartitionStatus;
use crate::error::with_sources;
use crate::event::Position;
use crate::store::{CommitError, Owner, Progress, Store, StoreError};

/// Writes down how far the partitions of a generation have come that nobody drives any more. That it fails is logged:
/// nothing is lost by it.
pub(super) async fn note_passed(around: &Around, owner: Owner, partitions: Vec<PartitionStatus>) {
    if partitions.len() < 2 {
        return;
    }
    let (plugin, store) = (around.plugin.clone(), Arc::clone(&around.store));
    let noted = tokio::task::spawn_blocking(move || note(&owner, &partitions, &*store)).await;
    // A panic in there has been reported.
    if let Ok(Err(error)) = noted {
        warn!(
            plugin = %plugin, error = with_sources(&error),
            "how far partitions without events have come could not be written down"
        );
    }
}

fn note(owner: &Owner, partitions: &[PartitionStatus], store: &dyn Store) -> Result<(), CommitError> {
    let edit = |record: &Record| {
        let is_live = record.generation == owner.generation;
        let progress = if is_live { passed(owner, partitions, store)? } else { Vec::new() };
        Ok::<_, CommitError>((!progress.is_empty()).then(|| Edit { progress, ..record.clone().into() }))
    };
    record::change(&owner.plugin, store, edit).map(|_| ())
}

/// The progress of those of whom less is stored than they had come to, as far as the furthest has committed.
fn passed(
    owner: &Owner,
    partitions: &[PartitionStatus],
    store: &dyn Store,
) -> Result<Vec<(u32, u32, Progress)>, StoreError> {
    let stored = partitions.iter().map(|shown| {
        let progress = store.progress(owner, shown.partition)?;
        Ok((shown.partition, shown.checkpoint, progress.unwrap_or_default()))
    });
    let stored = stored.collect::<Result<Vec<(u32, Position, Progress)>, StoreError>>()?;
    // Somebody else has driven one on, and would be fenced off.
    if stored.iter().any(|(_, settled, progress)| progress.checkpoint > *settled) {
        return Ok(Vec::new());
    }
    let furthest = stored.iter().map(|(.., progress)| progress.checkpoint).max().unwrap_or_default();
    let ahead = stored
        .into_iter()
        .filter_map(|(partition, settled, progress)| brought_to(owner, partition, settled.min(furthest), progress));
    Ok(ahead.collect())
}

/// The progress to be written of a partition that has come to a checkpoint; none where as much is stored.
pub(super) fn brought_to(
    owner: &Owner,
    partition: u32,
    checkpoint: Position,
    stored: Progress,
) -> Option<(u32, u32, Progress)> {
    let next = || Progress { revision: stored.revision + 1, checkpoint, ..stored };
    (checkpoint > stored.checkpoint).then(|| (owner.generation, partition, next()))
}
