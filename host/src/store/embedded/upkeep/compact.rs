//! Compacting: the space of removed events is given back. The segments of a run are written anew with stubs in
//! their place, and the run without their positions.
//!
//! The new files are written and synced first; the transaction that puts their rows in the place of the old
//! ones is the commit point. They have names of their own, so that the old ones stay readable meanwhile and
//! a commit that failed, of which nobody knows how much the disk has, leaves both to the next open.

use std::sync::Arc;

use super::super::failure::io_failed;
use super::super::key::{Key, Kind};
use super::super::run::{self, Probe, Run, RunOptions, RunWriter};
use super::super::segment::{self, SegmentRow, SegmentWriter};
use super::super::shared::Shared;
use super::super::state::{ManifestChange, RunRow};
use super::super::view::View;
use super::seal::remove_left_over;
use crate::event::Position;
use crate::store::{Removals, StoreError};

/// The part of the events of a run that must be removed for it to be compacted: one in so many. Each event is
/// written anew at most so many times for each that is removed, and so much of the log at most is waste.
const REMOVED_PART: u64 = 4;

/// Compacts the first run of which enough is removed; answers whether there was one. A failure that does
/// not pass is told and ends compacting, and nothing else.
pub(super) fn compact_some(shared: &Shared) -> Result<bool, StoreError> {
    if shared.upkeep.compaction_failed().is_some() {
        return Ok(false);
    }
    match try_compact(shared) {
        Err(error) if error.passes() => Err(error),
        Err(error) => {
            tracing::error!(%error, "space of removed events cannot be given back; it is tried again after a restart");
            shared.upkeep.set_compaction_failed(error);
            Ok(false)
        }
        compacted => compacted,
    }
}

fn try_compact(shared: &Shared) -> Result<bool, StoreError> {
    let view = shared.view();
    let Some(run) = worthwhile(&view)? else { return Ok(false) };
    let segments = view.segments.within(run.range());
    let mut compaction = Compaction {
        // A run that was compacted has a segment that was too, so this is above the run's generation.
        generation: shared.upkeep.generation_after(segments.iter().map(|row| row.generation).max().unwrap_or_default()),
        shared,
        view: &view,
        run,
        segments,
        removed: Positions::of(run),
        made: Vec::new(),
    };
    match compaction.write() {
        Ok((segments, row)) => compaction.commit(segments, row).map(|()| true),
        Err(error) => {
            // Nothing names them yet.
            compaction.made.iter().try_for_each(|name| remove_left_over(&*shared.disk, name))?;
            if matches!(error, StoreError::ShuttingDown) { Ok(false) } else { Err(error) }
        }
    }
}

/// The first run of which enough is removed and still there.
fn worthwhile(view: &View) -> Result<Option<&Arc<Run>>, StoreError> {
    for run in view.runs.iter().filter(|run| run.range().0 < view.removals.max()) {
        let held: u64 = view.segments.within(run.range()).iter().map(SegmentRow::held).sum();
        let removed = removable(view, run, run.range())?;
        if removed > 0 && removed.saturating_mul(REMOVED_PART) >= held {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// How many events within positions of a run are removed and not stubs yet: those the index still knows.
fn removable(view: &View, run: &Run, (first, last): (Position, Position)) -> Result<u64, StoreError> {
    let mut count = 0;
    for (category, horizon) in view.removals.iter().filter(|(_, horizon)| first < *horizon) {
        let key = Key::new(Kind::Category, category.as_bytes());
        let probe = Probe::new(view.store_id, &key);
        let through = last.min(Position(horizon.0.saturating_sub(1)));
        let before = run.count_through(probe, Position(first.0.saturating_sub(1)))?;
        count += run.count_through(probe, through)?.saturating_sub(before);
    }
    Ok(count)
}

/// One run that is being compacted.
struct Compaction<'a> {
    shared: &'a Shared,
    view: &'a View,
    run: &'a Arc<Run>,
    /// Its segments.
    segments: Vec<SegmentRow>,
    /// Of the files that are made.
    generation: u32,
    removed: Positions,
    /// Names of the files made so far.
    made: Vec<String>,
}

impl Compaction<'_> {
    /// Writes and syncs the new files.
    fn write(&mut self) -> Result<(Vec<SegmentRow>, RunRow), StoreError> {
        let mut segments = Vec::new();
        for row in self.segments.clone() {
            if self.shared.upkeep.is_closing() {
                return Err(StoreError::ShuttingDown);
            }
            if removable(self.view, self.run, (row.summary.first, row.summary.last))? > 0 {
                segments.push(self.write_segment(&row)?);
            }
        }
        if self.removed.is_empty() {
            let reason = "it counts events that are not in the log; `tidemill verify --repair-indexes` makes it anew";
            return Err(StoreError::CorruptedFile { file: self.run.name().to_owned(), reason: reason.to_owned() });
        }
        let row = self.write_run()?;
        self.shared.disk.sync().map_err(|error| io_failed("the data directory", &error))?;
        Ok((segments, row))
    }

    fn write_segment(&mut self, row: &SegmentRow) -> Result<SegmentRow, StoreError> {
        let generation = self.generation;
        let name = segment::file_name(row.summary.first, generation);
        self.make(&name)?;
        let (disk, store_id) = (&*self.shared.disk, self.view.store_id);
        let writer = SegmentWriter::create(disk, &name, store_id, row.summary.first, true)?;
        let old = self.view.segments.open_row(row)?;
        let removed = &mut self.removed;
        let (summary, stubs) = segment::compact(old, writer, &self.view.removals, &mut |at| removed.add(at))?;
        Ok(SegmentRow { summary, generation, stubs })
    }

    fn write_run(&mut self) -> Result<RunRow, StoreError> {
        let (run, store_id) = (self.run, self.view.store_id);
        let ((first, last), level) = (run.range(), run.level());
        let row = RunRow { first, last, level, bytes: 0, generation: self.generation };
        let name = row.file_name();
        self.make(&name)?;
        let options = RunOptions { store_id, first, last, level, keys_max: run.key_count() };
        let out = RunWriter::create(&*self.shared.disk, &name, options)?;
        let (removals, removed) = (&self.view.removals, &self.removed);
        let is_removed = |key: &[u8], position| match key.split_first() {
            // Also where the removed events of a stream were stubs before.
            Some((kind, name)) if *kind == Kind::Stream as u8 => removes(removals, name, position),
            _ => removed.holds(position),
        };
        let summary = run::prune(run, out, &is_removed, &|| !self.shared.upkeep.is_closing())?;
        Ok(RunRow { bytes: summary.bytes, ..row })
    }

    /// Makes room for a file of this name.
    fn make(&mut self, name: &str) -> Result<(), StoreError> {
        self.made.push(name.to_owned());
        remove_left_over(&*self.shared.disk, name)
    }

    /// Puts the new files in the place of the old ones.
    fn commit(&self, segments: Vec<SegmentRow>, row: RunRow) -> Result<(), StoreError> {
        let Self { shared, view, run, .. } = self;
        let change = ManifestChange { segments, runs: vec![row], ..ManifestChange::default() };
        if let Err(error) = shared.state.commit(None, &change) {
            // What the disk has of it is not known: neither these names nor the old files are touched again.
            shared.upkeep.skip_generation();
            return Err(error);
        }
        let pruned = Run::open(&*shared.disk, &row.file_name(), view.store_id)?;
        view.segments.replace(&change.segments);
        shared.change_view(|view| view.merged(Arc::new(pruned)));
        // Readers that have them open go on.
        let is_replaced = |old: &&SegmentRow| change.segments.iter().any(|new| new.summary.first == old.summary.first);
        for old in self.segments.iter().filter(is_replaced) {
            shared.leases.remove(old.file_name());
        }
        shared.leases.remove(run.name().to_owned());
        Ok(())
    }
}

fn removes(removals: &Removals, stream: &[u8], position: u64) -> bool {
    std::str::from_utf8(stream).is_ok_and(|stream| removals.removes(Some(stream), Position(position)))
}

/// Some of the positions of a run: one bit for each.
struct Positions {
    first: u64,
    words: Vec<u64>,
    is_empty: bool,
}

impl Positions {
    /// None of those of a run.
    fn of(run: &Run) -> Self {
        let (first, last) = run.range();
        let words = usize::try_from((last.0 - first.0) / 64 + 1).unwrap_or(usize::MAX);
        Self { first: first.0, words: vec![0; words], is_empty: true }
    }

    const fn is_empty(&self) -> bool {
        self.is_empty
    }

    fn add(&mut self, position: Position) {
        let at = position.0.saturating_sub(self.first);
        if let Some(word) = usize::try_from(at / 64).ok().and_then(|word| self.words.get_mut(word)) {
            *word |= 1 << (at % 64);
            self.is_empty = false;
        }
    }

    fn holds(&self, position: u64) -> bool {
        let at = position.saturating_sub(self.first);
        let word = usize::try_from(at / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}
