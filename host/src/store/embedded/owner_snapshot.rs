//! What a plugin keeps, as it was at one moment: the journals of a view, the newest of which goes on and keeps what
//! was before, over the state file at that moment.
//!
//! The moment is when the newest journal is told to keep what was before; no seal ended between that and the look
//! at the file, or it is tried again. Journals that are not the newest stand still.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLockReadGuard};

use super::before::{Before, Slice};
use super::hot::{Generation, HotData};
use super::layered::Layered;
use super::overlay::OwnerChanges;
use super::shared::Shared;
use super::state::{Decoded, Moment, Row};
use super::view::View;
use crate::store::page::StatePageBuilder;
use crate::store::{Owner, Progress, StateKeys, StatePage, StateSnapshot, StoreError};

/// Fewest keys of the newest journal that are looked at together. Of few the other layers would be looked up again and
/// again, where most of them were removed.
const SLICE_KEYS_MIN: usize = 64;
/// Most keys of the newest journal that are looked at together.
const SLICE_KEYS_MAX: usize = 1024;

/// A layer of rows.
type Rows<'a> = Box<dyn Iterator<Item = Row<String, Decoded>> + 'a>;

/// What of the file's rows is looked at.
#[derive(Clone, Copy)]
enum Look {
    Whole,
    KeysOnly,
}

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

impl OwnerSnapshot {
    /// What the newest journal said of some keys. It is held no longer than for that: the writer waits meanwhile, and what
    /// lies below may have to be read from the disk.
    fn newest_slice(&self, keys: (&str, &str), keys_max: usize) -> Slice {
        let active = self.view.active().data();
        let now = active.overlay.owner(&self.owner).into_iter().flat_map(|changes| changes.state_from(keys.1));
        self.before.slice(keys, now, keys_max)
    }

    /// All rows from `start` on, layer by layer: those of the newest journal, of `frozen` ones, of the file.
    fn layers<'a>(
        &self,
        newest: Vec<(String, Option<Vec<u8>>)>,
        frozen: &'a [RwLockReadGuard<'_, HotData>],
        start: &'a str,
        look: Look,
    ) -> Result<Vec<Rows<'a>>, StoreError> {
        let mut layers: Vec<Rows<'a>> = vec![Box::new(newest.into_iter().map(|(key, value)| Ok((key, value.map(Ok)))))];
        let mut dropped = self.dropped;
        for changes in frozen.iter().filter_map(|data| data.overlay.owner(&self.owner)) {
            if !dropped {
                let rows = changes.state_from(start).map(|(key, value)| Ok((key.clone(), value.clone().map(Ok))));
                layers.push(Box::new(rows));
            }
            dropped |= changes.dropped;
        }
        if !dropped {
            let rows: Rows<'a> = match look {
                Look::Whole => Box::new(self.file.state_from(&self.owner, start)?),
                Look::KeysOnly => Box::new(self.file.keys_from(&self.owner, start)?),
            };
            layers.push(rows);
        }
        Ok(layers)
    }

    /// Keys of the state, also those of damaged values.
    pub(super) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StateKeys, StoreError> {
        self.page(prefix, after, limit, Look::KeysOnly).map(StateKeys::from)
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize, look: Look) -> Result<StatePage, StoreError> {
        let (mut page, mut after) = (StatePageBuilder::new(limit), after.map(str::to_owned));
        let mut slices = slices(limit);
        loop {
            let keys_max = slices.next().unwrap_or(SLICE_KEYS_MAX);
            let start = after.as_deref().filter(|after| *after > prefix).unwrap_or(prefix);
            let Slice { rows, through } = self.newest_slice((prefix, start), keys_max);
            let within = |key: &str| key.starts_with(prefix) && through.as_deref().is_none_or(|through| key <= through);
            let frozen: Vec<_> = self.frozen().map(|generation| generation.data()).collect();
            for row in Layered::new(self.layers(rows, &frozen, start, look)?) {
                let (key, value) = row?;
                if !within(&key) {
                    break;
                }
                if after.as_deref() != Some(key.as_str()) && !page.offer(&key, &value?) {
                    return Ok(page.finish());
                }
            }
            if through.is_none() {
                return Ok(page.finish());
            }
            after = through;
        }
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
        self.page(prefix, after, limit, Look::Whole)
    }
}

/// How many keys of the newest journal are looked at together for a page, turn after turn: as many as the page has, and
/// the one where the last look ended; twice as many each time.
fn slices(limit: usize) -> impl Iterator<Item = usize> {
    let first = limit.saturating_add(1).clamp(SLICE_KEYS_MIN, SLICE_KEYS_MAX);
    std::iter::successors(Some(first), |keys| Some((keys * 2).min(SLICE_KEYS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_turns_pass_many_removed_keys_however_small_the_page() {
        for limit in [0, 1, 63, 64, 1023, 1024, usize::MAX] {
            let mut passed = 0;
            let turns = slices(limit).take_while(|keys| {
                let goes_on = passed < 100_000;
                passed += keys;
                assert!(*keys <= SLICE_KEYS_MAX);
                goes_on
            });
            assert!(turns.count() <= 102, "{limit} at a time");
        }
        assert_eq!(slices(100).next(), Some(101), "a page without removed keys takes one");
    }
}
