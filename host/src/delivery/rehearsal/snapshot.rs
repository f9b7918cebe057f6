//! What live delivery has come to at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{RehearsalError, Stage};
use crate::delivery::layout::{Layout, Settled};
use crate::delivery::record::Stored;
use crate::event::{PluginName, Position, RecordedEvent};
use crate::store::{Owner, Progress, Store, StoreError};

/// How often reading the state as of one moment is tried.
const TRIES_MAX: u32 = 50;
/// Entries and set-aside events read at a time.
const PAGE_MAX: usize = 1000;

/// State, checkpoints and set-aside events of one moment.
pub(super) struct Snapshot {
    pub(super) state: BTreeMap<String, Vec<u8>>,
    pub(super) settlement: Arc<Settlement>,
}

/// Which events live delivery has settled, and which of those it has handled.
pub(super) struct Settlement {
    /// How far the partitions have come, and those of layouts before that still matter.
    layouts: Vec<Settled>,
    /// Events that wait for an operator, for their time, or behind another.
    set_aside: BTreeSet<Position>,
}

impl Settlement {
    /// Nothing beyond this is settled.
    pub(super) fn reach(&self) -> Position {
        self.layouts.iter().map(Settled::reach).max().unwrap_or_default()
    }

    /// Whether an event is handled or set aside.
    pub(super) fn covers(&self, event: &RecordedEvent) -> bool {
        self.layouts.iter().any(|settled| settled.covers(event))
    }

    /// Whether an event is set aside.
    pub(super) fn is_set_aside(&self, position: Position) -> bool {
        self.set_aside.contains(&position)
    }
}

/// Where a plugin stands; whatever is written for it changes this.
#[derive(PartialEq)]
struct Standing {
    stored: Stored,
    owner: Owner,
    layout: Layout,
    progress: Vec<Progress>,
}

impl Standing {
    fn read(plugin: &PluginName, store: &dyn Store) -> Result<Self, StoreError> {
        let stored = Stored::read(plugin, store)?;
        let owner = Owner { plugin: plugin.clone(), generation: stored.record.generation };
        let layout = stored.record.layout.clone().unwrap_or_else(Layout::single);
        let progress = (0..layout.partitions).map(|partition| store.progress(&owner, partition));
        let progress = progress.map(|progress| progress.map(Option::unwrap_or_default));
        let progress = progress.collect::<Result<_, _>>()?;
        Ok(Self { stored, owner, layout, progress })
    }

    fn settlement(self, set_aside: BTreeSet<Position>) -> Settlement {
        let checkpoints = self.progress.iter().map(|progress| progress.checkpoint).collect();
        let mut layouts = self.stored.record.before;
        layouts.push(Settled { layout: self.layout, checkpoints });
        Settlement { layouts, set_aside }
    }
}

impl Snapshot {
    /// Reads everything as of one moment: record and progress read before and after are the same, revisions
    /// included, and every commit of the plugin raises one of them, so nothing of it changed in between. While the
    /// plugin commits this is tried again; delivery is never held up.
    pub(super) fn take(stage: &Stage, plugin: &PluginName) -> Result<Self, RehearsalError> {
        for _ in 0..TRIES_MAX {
            let standing = Standing::read(plugin, &*stage.store)?;
            if let Some((state, set_aside)) = read(stage, &standing)?
                && Standing::read(plugin, &*stage.store)? == standing
            {
                return Ok(Self { state, settlement: Arc::new(standing.settlement(set_aside)) });
            }
        }
        Err(RehearsalError::Moving { plugin: plugin.clone(), tries: TRIES_MAX })
    }
}

type Read = (BTreeMap<String, Vec<u8>>, BTreeSet<Position>);

/// State and set-aside events; none as soon as it shows that the plugin committed meanwhile.
fn read(stage: &Stage, standing: &Standing) -> Result<Option<Read>, RehearsalError> {
    let (store, owner) = (&*stage.store, &standing.owner);
    let (mut state, mut bytes, mut after) = (BTreeMap::new(), 0, None::<String>);
    loop {
        let page = store.state_scan(owner, "", after.as_deref(), PAGE_MAX)?;
        bytes += page.entries.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if bytes > stage.scratch_bytes_max {
            return Err(RehearsalError::ScratchFull { bytes_max: stage.scratch_bytes_max });
        }
        state.extend(page.entries);
        if page.next.is_none() {
            break;
        }
        after = page.next;
        if Standing::read(&owner.plugin, store)? != *standing {
            return Ok(None);
        }
    }
    let mut set_aside = BTreeSet::new();
    loop {
        let letters = store.dead_letters(owner, set_aside.last().copied().unwrap_or_default(), PAGE_MAX)?;
        set_aside.extend(letters.iter().map(|letter| letter.position));
        if letters.len() < PAGE_MAX {
            return Ok(Some((state, set_aside)));
        }
    }
}
