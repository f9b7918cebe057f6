//! What a store is made of at one moment: readers and the writer hold it while they look at the log.
//!
//! It is replaced, never changed: by the writer when it begins a new journal, by seals and merges when files
//! take the place of a journal or of other files. A view holds every event up to the head that was read
//! before it.

use std::sync::Arc;

use super::heads::SealedHeads;
use super::hot::Generation;
use super::run::Run;
use super::segment::Segments;
use super::state::Manifest;
use crate::store::Removals;

/// The parts of a store.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The store's id: keys are hashed with it.
    pub(super) store_id: u128,
    /// Sealed events.
    pub(super) segments: Arc<Segments>,
    /// Where streams end in the segments, as far as it is known without the index.
    pub(super) heads: Arc<SealedHeads>,
    /// How many streams have their first event in a segment.
    streams: u64,
    /// The index over them, by rising position, without gaps.
    pub(super) runs: Vec<Arc<Run>>,
    /// What was removed, whether or not its bytes are gone.
    pub(super) removals: Arc<Removals>,
    /// The journals that are not sealed, oldest first.
    pub(super) frozen: Vec<Arc<Generation>>,
    /// The journal that is written.
    active: Arc<Generation>,
}

impl View {
    pub(super) fn new(
        manifest: &Manifest,
        segments: Arc<Segments>,
        runs: Vec<Arc<Run>>,
        frozen: Vec<Arc<Generation>>,
        active: Arc<Generation>,
    ) -> Self {
        let heads = Arc::new(SealedHeads::new(manifest.journal_seed));
        let removals = Arc::new(manifest.removals.clone());
        Self { store_id: manifest.store_id, heads, streams: manifest.streams, segments, runs, removals, frozen, active }
    }

    /// The journal that is written.
    pub(super) const fn active(&self) -> &Arc<Generation> {
        &self.active
    }

    /// Journals that are not sealed, newest first.
    pub(super) fn newest_first(&self) -> impl DoubleEndedIterator<Item = &Arc<Generation>> {
        std::iter::once(&self.active).chain(self.frozen.iter().rev())
    }

    /// How many streams there are.
    pub(super) fn streams_begun(&self) -> u64 {
        let hot = self.newest_first().map(|generation| generation.data().streams_begun);
        hot.chain([self.streams]).sum()
    }

    /// Goes on with a new journal.
    pub(super) fn rotated(&self, active: Arc<Generation>) -> Self {
        let frozen = self.frozen.iter().chain([&self.active]).cloned().collect();
        Self { frozen, active, ..self.clone() }
    }

    /// With the segment that was added, which has the first events of so many streams, and its run, if there
    /// were events, in place of the oldest journal.
    pub(super) fn sealed(&self, run: Option<Arc<Run>>, streams: u64) -> Self {
        let frozen = self.frozen.iter().skip(1).cloned().collect();
        let runs = self.runs.iter().cloned().chain(run).collect();
        Self { streams: self.streams + streams, runs, frozen, ..self.clone() }
    }

    /// With more removed.
    pub(super) fn with_removals(&self, removals: Removals) -> Self {
        Self { removals: Arc::new(removals), ..self.clone() }
    }

    /// With a run in place of those that it was merged or compacted from.
    pub(super) fn merged(&self, run: Arc<Run>) -> Self {
        let (first, last) = run.range();
        let outside = |other: &&Arc<Run>| other.range().1 < first || other.range().0 > last;
        let mut runs: Vec<_> = self.runs.iter().filter(outside).cloned().collect();
        runs.insert(runs.partition_point(|other| other.range().1 < first), run);
        Self { runs, ..self.clone() }
    }
}
