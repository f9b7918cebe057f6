//! What a plugin keeps, as it was at one moment: the journals of a view, the newest of which goes on and keeps what
//! was before, over the state file at that moment.
//!
//! The moment is when the newest journal is told to keep what was before; no seal ended between that and the look
//! at the file, or it is tried again. Journals that are not the newest stand still.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::before::Before;
use super::hot::Generation;
use super::layered::Layered;
use super::overlay::OwnerChanges;
use super::shared::Shared;
use super::state::{Moment, Row};
use super::view::View;
use crate::store::page::StatePageBuilder;
use crate::store::{Owner, Progress, StatePage, StateSnapshot, StoreError};

/// A layer of rows.
type Rows<'a> = Box<dyn Iterator<Item = Row<String, Vec<u8>>> + 'a>;

/// One owner's rows at one moment.
pub(super) struct OwnerSnapshot {
    owner: Owner,
    view: Arc<View>,
    /// What the newest journal's keys were.
    before: Arc<Before>,
    /// What the newest journal said of progress.
    progress: BTreeMap<u32, Option<Progress>>,
    /// Whether it hid all that lies below.
    dropped: bool,
    file: Moment,
}

impl OwnerSnapshot {
    /// The rows as they are now.
    pub(super) fn take(shared: &Shared, owner: &Owner) -> Result<Self, StoreError> {
        loop {
            let view = shared.view();
            let file = shared.state.moment()?;
            let (before, progress, dropped) = {
                let mut data = view.active().data_mut();
                let changes = data.overlay.owner(owner);
                let progress = changes.map(|changes| changes.progress.clone()).unwrap_or_default();
                let dropped = changes.is_some_and(|changes| changes.dropped);
                (data.overlay.keep_before(owner), progress, dropped)
            };
            if Arc::ptr_eq(&view, &shared.view()) {
                return Ok(Self { owner: owner.clone(), view, before, progress, dropped, file });
            }
        }
    }

    /// The journals below the newest, as far as they count.
    fn frozen(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.view.newest_first().skip(1).filter(|_| !self.dropped)
    }

    /// The answer of the newest journal that stands still and has one: none within for a row that is not there.
    fn newest<T>(&self, look: impl Fn(&OwnerChanges) -> Option<Option<T>>) -> Option<Option<T>> {
        if self.dropped {
            return Some(None);
        }
        self.frozen().find_map(|generation| {
            let data = generation.data();
            let changes = data.overlay.owner(&self.owner)?;
            look(changes).or(changes.dropped.then_some(None))
        })
    }
}

impl StateSnapshot for OwnerSnapshot {
    fn progress(&self, partition: u32) -> Result<Option<Progress>, StoreError> {
        if let Some(progress) = self.progress.get(&partition) {
            return Ok(progress.clone());
        }
        match self.newest(|changes| changes.progress.get(&partition).cloned()) {
            Some(progress) => Ok(progress),
            None => self.file.progress(&self.owner, partition),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let active = self.view.active().data();
        let now = active.overlay.owner(&self.owner).and_then(|changes| changes.state.get(key));
        let said = self.before.get(key, now);
        drop(active);
        match said.or_else(|| self.newest(|changes| changes.state.get(key).cloned())) {
            Some(value) => Ok(value),
            None => self.file.state(&self.owner, key),
        }
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let active = self.view.active().data();
        let frozen: Vec<_> = self.frozen().map(|generation| generation.data()).collect();
        let now = active.overlay.owner(&self.owner).into_iter().flat_map(|changes| changes.state_from(start));
        let mut layers: Vec<Rows<'_>> =
            vec![Box::new(self.before.from(start, now).map(|(key, value)| Ok((key, value))))];
        let mut dropped = self.dropped;
        for changes in frozen.iter().filter_map(|data| data.overlay.owner(&self.owner)) {
            if !dropped {
                let rows = changes.state_from(start).map(|(key, value)| Ok((key.clone(), value.clone())));
                layers.push(Box::new(rows));
            }
            dropped |= changes.dropped;
        }
        if !dropped {
            layers.push(Box::new(self.file.state_from(&self.owner, start)?));
        }
        let mut page = StatePageBuilder::new(limit);
        for row in Layered::new(layers) {
            let (key, value) = row?;
            if !key.starts_with(prefix) {
                break;
            }
            if after != Some(key.as_str()) && !page.offer(&key, &value) {
                break;
            }
        }
        Ok(page.finish())
    }
}
