//! What happens behind the writer: full journals are sealed into segments; runs of the index are merged, and the
//! space of removed events given back. Seals have their own thread, so that a long merge holds up neither seals nor appends.
//!
//! A seal that fails for want of room is tried again; any other failure stops the store from writing, as that
//! of an append does.

mod compact;
mod merge;
mod seal;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(super) use seal::write_run;

use super::failure::contain;
use super::hot::Generation;
use super::shared::Shared;
use crate::store::StoreError;

/// How long to wait before a seal or a merge that failed for want of room is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What the writer and the upkeep tell each other.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Counts what may give rise to work, so that no wake-up is lost.
    changes: u64,
    /// Journals that were sealed, until nobody reads them.
    retired: Vec<Arc<Generation>>,
    /// Why the log cannot be sealed now, if so.
    failed: Option<StoreError>,
    /// Why space is not given back any more, if so.
    compaction_failed: Option<StoreError>,
    /// Generations of files that a commit which failed may have named.
    generations_skipped: u32,
    closing: bool,
}

impl Upkeep {
    /// Tells that there may be something to do, or that something was done.
    pub(super) fn notify(&self) {
        self.change(|state| state.changes += 1);
    }

    /// Asks the threads to end soon.
    pub(super) fn close(&self) {
        self.change(|state| state.closing = true);
    }

    /// Whether the threads are asked to end.
    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Why sealing fails, if it does.
    pub(super) fn failed(&self) -> Option<StoreError> {
        self.lock().failed.clone()
    }

    /// Why space of removed events is not given back any more, if so.
    pub(super) fn compaction_failed(&self) -> Option<StoreError> {
        self.lock().compaction_failed.clone()
    }

    fn set_compaction_failed(&self, error: StoreError) {
        self.change(|state| state.compaction_failed = Some(error));
    }

    /// The generation of files that are made in place of others, none of which nobody can have named before.
    fn generation_after(&self, generation: u32) -> u32 {
        generation.saturating_add(1).saturating_add(self.lock().generations_skipped)
    }

    fn skip_generation(&self) {
        self.change(|state| state.generations_skipped += 1);
    }

    /// Numbers of the files of sealed journals that somebody still reads.
    pub(super) fn slots_in_use(&self) -> Vec<u32> {
        let mut state = self.lock();
        state.retired.retain(|generation| Arc::strong_count(generation) > 1);
        state.retired.iter().map(|generation| generation.slot).collect()
    }

    /// Waits until something changes or the time is over.
    pub(super) fn wait(&self, timeout: Duration) {
        let state = self.lock();
        if !state.closing {
            drop(self.changed.wait_timeout(state, timeout));
        }
    }

    fn retire(&self, generation: Arc<Generation>) {
        self.change(|state| state.retired.push(generation));
    }

    fn set_failed(&self, failed: Option<StoreError>) {
        self.change(|state| state.failed = failed);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until something changed since `seen`, or it is closing; answers the new count, none to end.
    fn wait_for_work(&self, seen: u64) -> Option<u64> {
        let idle = |state: &mut State| state.changes == seen && !state.closing;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        (!state.closing).then_some(state.changes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the threads.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let spawn = |name: &str, work: fn(&Shared)| {
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared));
        thread.map_err(|error| StoreError::WriteFailed { reason: format!("no thread {name}: {error}") })
    };
    Ok(vec![spawn("store-seal", seals)?, spawn("store-merge", merges)?])
}

/// Seals whatever there is to be sealed, until the store is closed or the disk fails.
fn seals(shared: &Shared) {
    run(shared, seal::seal_oldest, |failed| {
        match &failed {
            Some(error) if error.passes() => tracing::warn!(%error, "the log cannot be sealed for now"),
            Some(error) => tracing::error!(%error, "the log cannot be sealed: the store stops writing"),
            None => {}
        }
        shared.upkeep.set_failed(failed);
    });
}

/// Merges whatever there is to be merged, then gives space back. Without it reads get slower, but nothing else: what is damaged or
/// cannot be written stops the merges alone.
fn merges(shared: &Shared) {
    run(shared, merge_or_compact, |failed| {
        if let Some(error) = failed {
            tracing::warn!(%error, "runs of the index cannot be merged, and no space be given back");
        }
    });
}

fn merge_or_compact(shared: &Shared) -> Result<bool, StoreError> {
    Ok(merge::merge_some(shared)? || compact::compact_some(shared)?)
}

/// Does one piece of work, if there is some; answers whether there was.
type Step = fn(&Shared) -> Result<bool, StoreError>;

/// Takes steps while there is something to do, and waits when there is nothing. Tells of a failure, and of
/// the success that ends it; a full disk is tried again, any other failure ends it for good.
fn run(shared: &Shared, step: Step, tell: impl Fn(Option<StoreError>)) {
    let (mut seen, mut busy, mut failed) = (0, true, false);
    while !shared.upkeep.is_closing() {
        if !busy {
            match shared.upkeep.wait_for_work(seen) {
                Some(changes) => seen = changes,
                None => return,
            }
        }
        match contain(|| step(shared), |reason| StoreError::WriteFailed { reason }) {
            Ok(worked) => {
                busy = worked;
                if std::mem::take(&mut failed) {
                    tell(None);
                }
            }
            Err(error) if error.passes() => {
                (busy, failed) = (true, true);
                tell(Some(error));
                shared.upkeep.wait(RETRY);
            }
            Err(error) => return tell(Some(error)),
        }
    }
}
