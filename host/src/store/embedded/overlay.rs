//! What units of work changed since the last seal, in memory, over what the file of plugins' data holds.
//!
//! Every journal that is not sealed has one; the newest wins. It is rebuilt from the journal's records when a
//! store is opened, and applied to the file when the journal is sealed.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::event::{PluginName, Position};
use crate::store::{DeadLetter, DeadLetterChange, Progress, UnitOfWork};

/// Changes of all plugins. Of each row, only the last change is kept.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    plugins: BTreeMap<PluginName, PluginChanges>,
}

/// Changes of one plugin; none stands for a removed row.
#[derive(Debug, Default)]
pub(super) struct PluginChanges {
    pub(super) progress: Progress,
    pub(super) state: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) dead_letters: BTreeMap<Position, Option<DeadLetter>>,
}

impl Overlay {
    /// Takes over the changes of a unit of work; its events are not looked at.
    pub(super) fn apply(&mut self, work: UnitOfWork) {
        let plugin = self.plugins.entry(work.plugin).or_default();
        plugin.progress = work.progress;
        plugin.state.extend(work.state.into_iter().map(|change| (change.key, change.value)));
        plugin.dead_letters.extend(work.dead_letters.into_iter().map(|change| match change {
            DeadLetterChange::Put(letter) => (letter.position, Some(letter)),
            DeadLetterChange::Remove(position) => (position, None),
        }));
    }

    /// Every plugin with changes, in name order.
    pub(super) fn plugins(&self) -> impl Iterator<Item = (&PluginName, &PluginChanges)> {
        self.plugins.iter()
    }

    /// The changes of a plugin.
    pub(super) fn plugin(&self, plugin: &PluginName) -> Option<&PluginChanges> {
        self.plugins.get(plugin)
    }
}

impl PluginChanges {
    /// Changed keys from `start` on, in order.
    pub(super) fn state_from<'a>(&'a self, start: &str) -> impl Iterator<Item = (&'a String, &'a Option<Vec<u8>>)> {
        self.state.range::<str, _>((Bound::Included(start), Bound::Unbounded))
    }
}
