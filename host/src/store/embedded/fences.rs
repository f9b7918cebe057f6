//! Revisions of the rows that commits build on, and how far sources were followed, in memory: what the writer
//! decides against.

use std::collections::HashMap;

use super::overlay::{Overlay, Work};
use crate::event::PluginName;
use crate::store::decide::check_fence;
use crate::store::{CommitError, Owner};

/// A row with a revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fenced {
    /// Progress of a partition.
    Progress(Owner, u32),
    /// The record of a plugin.
    Record(PluginName),
    /// How far a source was followed: that is its revision.
    Tracking(String),
}

/// The revision of each row there is.
#[derive(Debug, Default)]
pub(super) struct Fences {
    revisions: HashMap<Fenced, u64>,
}

impl Fences {
    /// Notes what is stored of a row.
    pub(super) fn set(&mut self, row: Fenced, revision: u64) {
        self.revisions.insert(row, revision);
    }

    /// Every row there is.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Fenced> {
        self.revisions.keys()
    }

    /// How far a source was followed.
    pub(super) fn tracking(&self, source: &str) -> Option<u64> {
        self.revisions.get(&Fenced::Tracking(source.to_owned())).copied()
    }

    /// Checks that a work builds on what is stored.
    pub(super) fn check(&self, work: &Work) -> Result<(), CommitError> {
        let (owner, row, revision) = match work {
            Work::Unit(work) => {
                let row = Fenced::Progress(work.owner.clone(), work.partition);
                (work.owner.clone(), row, work.progress.revision)
            }
            Work::Plugin(change) => {
                (Owner::from(&change.plugin), Fenced::Record(change.plugin.clone()), change.record.revision)
            }
            // Part of an append, and decided with it.
            Work::Tracking(_) => return Ok(()),
        };
        check_fence(&owner, revision, self.revisions.get(&row).copied())
    }

    /// Takes over what was decided; answers what takes it back.
    pub(super) fn apply(&mut self, work: &Work) -> Undo {
        let mut undo = Undo::default();
        match work {
            Work::Unit(work) => {
                let row = Fenced::Progress(work.owner.clone(), work.partition);
                self.change(row, Some(work.progress.revision), &mut undo);
            }
            Work::Plugin(change) => {
                let owner = |generation| Owner { plugin: change.plugin.clone(), generation };
                for (generation, partition, progress) in &change.progress {
                    self.change(Fenced::Progress(owner(*generation), *partition), Some(progress.revision), &mut undo);
                }
                for (generation, partition) in &change.progress_removed {
                    self.change(Fenced::Progress(owner(*generation), *partition), None, &mut undo);
                }
                for generation in &change.generations_dropped {
                    self.drop_owner(&owner(*generation), &mut undo);
                }
                self.change(Fenced::Record(change.plugin.clone()), Some(change.record.revision), &mut undo);
            }
            Work::Tracking(tracking) => {
                self.change(Fenced::Tracking(tracking.source.clone()), Some(tracking.position), &mut undo);
            }
        }
        undo
    }

    /// Takes back what was taken over last.
    pub(super) fn undo(&mut self, undo: Undo) {
        for (row, before) in undo.0.into_iter().rev() {
            self.change(row, before, &mut Undo::default());
        }
    }

    /// Takes over what a journal holds.
    pub(super) fn extend(&mut self, overlay: &Overlay) {
        let mut undo = Undo::default();
        for (owner, changes) in overlay.owners() {
            if changes.dropped {
                self.drop_owner(owner, &mut undo);
            }
            for (partition, progress) in &changes.progress {
                let revision = progress.as_ref().map(|progress| progress.revision);
                self.change(Fenced::Progress(owner.clone(), *partition), revision, &mut undo);
            }
        }
        for (plugin, record) in overlay.records() {
            self.set(Fenced::Record(plugin.clone()), record.revision);
        }
        for (source, position) in overlay.tracked() {
            self.set(Fenced::Tracking(source.clone()), position);
        }
    }

    fn change(&mut self, row: Fenced, revision: Option<u64>, undo: &mut Undo) {
        let before = match revision {
            Some(revision) => self.revisions.insert(row.clone(), revision),
            None => self.revisions.remove(&row),
        };
        undo.0.push((row, before));
    }

    fn drop_owner(&mut self, dropped: &Owner, undo: &mut Undo) {
        let of_owner = |row: &&Fenced| matches!(row, Fenced::Progress(owner, _) if owner == dropped);
        let rows: Vec<_> = self.revisions.keys().filter(of_owner).cloned().collect();
        rows.into_iter().for_each(|row| self.change(row, None, undo));
    }
}

/// Revisions before a change, oldest change first.
#[derive(Debug, Default)]
pub(super) struct Undo(Vec<(Fenced, Option<u64>)>);
