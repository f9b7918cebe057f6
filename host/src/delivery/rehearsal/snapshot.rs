//! What live delivery has come to at one moment.

use std::collections::{BTreeMap, BTreeSet};

use super::{RehearsalError, Stage};
use crate::event::{PluginName, Position};
use crate::store::{Owner, Progress, Store, StoreError};

/// How often reading the state as of one moment is tried.
const TRIES_MAX: u32 = 50;
/// Entries and dead letters read at a time.
const PAGE_MAX: usize = 1000;

/// State, checkpoint and dead letters of one moment.
pub(super) struct Snapshot {
    pub(super) checkpoint: Position,
    pub(super) state: BTreeMap<String, Vec<u8>>,
    /// Events that were set aside and not handled.
    pub(super) set_aside: BTreeSet<Position>,
}

/// The last position that live delivery has settled.
pub(super) fn settled(store: &dyn Store, plugin: &PluginName) -> Result<Position, StoreError> {
    Ok(progress(store, plugin)?.checkpoint)
}

fn progress(store: &dyn Store, plugin: &PluginName) -> Result<Progress, StoreError> {
    Ok(store.progress(&Owner::from(plugin), 0)?.unwrap_or_default())
}

impl Snapshot {
    /// Reads everything as of one moment: the progress read before and after has the same revision, which every
    /// commit of the plugin raises, so nothing of it changed in between. While the plugin commits this is tried
    /// again; delivery is never held up.
    pub(super) fn take(stage: &Stage, plugin: &PluginName) -> Result<Self, RehearsalError> {
        for _ in 0..TRIES_MAX {
            let before = progress(&*stage.store, plugin)?;
            if let Some((state, set_aside)) = read(stage, plugin, before.revision)?
                && progress(&*stage.store, plugin)?.revision == before.revision
            {
                return Ok(Self { checkpoint: before.checkpoint, state, set_aside });
            }
        }
        Err(RehearsalError::Moving { plugin: plugin.clone(), tries: TRIES_MAX })
    }
}

type Read = (BTreeMap<String, Vec<u8>>, BTreeSet<Position>);

/// State and dead letters; none as soon as it shows that the plugin committed meanwhile.
fn read(stage: &Stage, plugin: &PluginName, revision: u64) -> Result<Option<Read>, RehearsalError> {
    let (store, owner) = (&*stage.store, Owner::from(plugin));
    let (mut state, mut bytes, mut after) = (BTreeMap::new(), 0, None::<String>);
    loop {
        let page = store.state_scan(&owner, "", after.as_deref(), PAGE_MAX)?;
        bytes += page.entries.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if bytes > stage.scratch_bytes_max {
            return Err(RehearsalError::ScratchFull { bytes_max: stage.scratch_bytes_max });
        }
        state.extend(page.entries);
        if page.next.is_none() {
            break;
        }
        after = page.next;
        if progress(store, plugin)?.revision != revision {
            return Ok(None);
        }
    }
    let mut set_aside = BTreeSet::new();
    loop {
        let letters = store.dead_letters(&owner, set_aside.last().copied().unwrap_or_default(), PAGE_MAX)?;
        set_aside.extend(letters.iter().map(|letter| letter.position));
        if letters.len() < PAGE_MAX {
            return Ok(Some((state, set_aside)));
        }
    }
}
