//! What units of work changed since the last seal, in memory, over what the file of plugins' data holds.
//!
//! Every journal that is not sealed has one; the newest wins. It is rebuilt from the journal's records when a
//! store is opened, and applied to the file when the journal is sealed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Weak};

use super::before::Before;
use super::sizing::Tally;
use crate::event::{PluginName, Position};
use crate::store::{
    DeadLetter, DeadLetterChange, Owner, PluginChange, PluginRecord, Progress, StateChange, Tracking, UnitOfWork,
};

/// What a record of a journal holds beside events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A unit of work, without its events.
    Unit(UnitOfWork),
    /// A change of a plugin.
    Plugin(PluginChange),
    /// How far a source was followed.
    Tracking(Tracking),
}

/// Changes of all plugins, and of what is tracked. Of each row, only the last change is kept.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    owners: BTreeMap<Owner, OwnerChanges>,
    records: BTreeMap<PluginName, PluginRecord>,
    tracking: BTreeMap<String, u64>,
    /// Who reads an owner's state as it was before what changes now.
    readers: Vec<(Owner, Weak<Before>)>,
}

/// Changes of one owner; none stands for a removed row.
#[derive(Debug, Default)]
pub(super) struct OwnerChanges {
    /// Nothing of what lies below counts any more.
    pub(super) dropped: bool,
    pub(super) progress: BTreeMap<u32, Option<Progress>>,
    pub(super) state: BTreeMap<String, Option<Vec<u8>>>,
    /// What `state` comes to.
    pub(super) tally: Tally,
    pub(super) dead_letters: BTreeMap<Position, Option<DeadLetter>>,
}

impl Overlay {
    /// Takes over what was committed.
    pub(super) fn apply(&mut self, work: Work) {
        match work {
            Work::Unit(work) => self.apply_unit(work),
            Work::Plugin(change) => self.apply_change(change),
            Work::Tracking(Tracking { source, position }) => drop(self.tracking.insert(source, position)),
        }
    }

    /// Keeps from now on what an owner's state here was before it changes, as long as somebody reads it.
    pub(super) fn keep_before(&mut self, owner: &Owner) -> Arc<Before> {
        let before = Arc::default();
        self.readers.retain(|(_, reader)| reader.strong_count() > 0);
        self.readers.push((owner.clone(), Arc::downgrade(&before)));
        before
    }

    /// Tells readers of an owner what is about to change; none for all of it.
    fn tell_readers(&mut self, owner: &Owner, changes: Option<&[StateChange]>) {
        self.readers.retain(|(_, reader)| reader.strong_count() > 0);
        let readers = self.readers.iter().filter(|(of, _)| of == owner).filter_map(|(_, reader)| reader.upgrade());
        for reader in readers {
            let state = self.owners.get(owner).map(|owner| &owner.state);
            match changes {
                Some(changes) => reader.keep(state, changes.iter().map(|change| &change.key)),
                None => reader.keep(state, state.into_iter().flat_map(BTreeMap::keys)),
            }
        }
    }

    fn apply_unit(&mut self, work: UnitOfWork) {
        self.tell_readers(&work.owner, Some(&work.state));
        let owner = self.owners.entry(work.owner).or_default();
        owner.progress.insert(work.partition, Some(work.progress));
        for StateChange { key, value } in work.state {
            owner.change(key, value);
        }
        owner.dead_letters.extend(work.dead_letters.into_iter().map(|change| match change {
            DeadLetterChange::Put(letter) => (letter.position, Some(letter)),
            DeadLetterChange::Remove(position) => (position, None),
        }));
    }

    fn apply_change(&mut self, change: PluginChange) {
        let owner = |generation| Owner { plugin: change.plugin.clone(), generation };
        for (generation, partition, progress) in change.progress {
            self.owners.entry(owner(generation)).or_default().progress.insert(partition, Some(progress));
        }
        for (generation, partition) in change.progress_removed {
            self.owners.entry(owner(generation)).or_default().progress.insert(partition, None);
        }
        for generation in change.generations_dropped {
            self.tell_readers(&owner(generation), None);
            self.owners.insert(owner(generation), OwnerChanges { dropped: true, ..OwnerChanges::default() });
        }
        self.records.insert(change.plugin, change.record);
    }

    /// Every owner with changes, in order.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&Owner, &OwnerChanges)> {
        self.owners.iter()
    }

    /// The changes of an owner.
    pub(super) fn owner(&self, owner: &Owner) -> Option<&OwnerChanges> {
        self.owners.get(owner)
    }

    /// Every record that changed, in name order.
    pub(super) fn records(&self) -> impl Iterator<Item = (&PluginName, &PluginRecord)> {
        self.records.iter()
    }

    /// Every source that was followed, in the order of names by bytes, and how far.
    pub(super) fn tracked(&self) -> impl Iterator<Item = (&String, u64)> {
        self.tracking.iter().map(|(source, position)| (source, *position))
    }

    /// How far a source was followed, if it was.
    pub(super) fn tracking(&self, source: &str) -> Option<u64> {
        self.tracking.get(source).copied()
    }

    /// The record of a plugin, if it changed.
    pub(super) fn record(&self, plugin: &PluginName) -> Option<&PluginRecord> {
        self.records.get(plugin)
    }
}

impl OwnerChanges {
    fn change(&mut self, key: String, value: Option<Vec<u8>>) {
        let before = self.state.get(&key);
        self.tally.note(&key, value.as_ref(), before, self.dropped);
        self.state.insert(key, value);
    }

    /// Changed keys from `start` on, in order.
    pub(super) fn state_from<'a>(&'a self, start: &str) -> impl Iterator<Item = (&'a String, &'a Option<Vec<u8>>)> {
        self.state.range::<str, _>((Bound::Included(start), Bound::Unbounded))
    }
}
