//! A plugin's live state as of one moment, to be read while delivery goes on.

use std::sync::Arc;

use super::Status;
use super::record::Stored;
use super::state_source::StateSource;
use crate::event::{PluginName, Position};
use crate::store::{Owner, StatePage, StateSnapshot, Store, StoreError};

/// How often a look is taken again because another generation has become live meanwhile.
const LOOKS_MAX: usize = 5;

/// A plugin's live state as of one moment.
pub struct LiveState {
    /// Whose, and which generation of it.
    pub owner: Owner,
    /// SHA-256 of the component that is live, in hex; empty for native handlers, and before one was.
    pub component: String,
    /// Every matching event up to here is in it, or set aside.
    pub checkpoint: Position,
    /// The state.
    pub state: Arc<dyn StateSource>,
}

/// The live state as it is now. `status` is that of the running plugin, looked at before: its checkpoint may be ahead
/// of the durable one by events that do not match. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn live_state(plugin: &PluginName, store: &dyn Store, status: Option<&Status>) -> Result<LiveState, StoreError> {
    let mut looks = 1;
    loop {
        let record = Stored::read(plugin, store)?.record;
        let owner = Owner { plugin: plugin.clone(), generation: record.generation };
        let snapshot = store.state_snapshot(&owner)?;
        let still = Stored::read(plugin, store)?.record;
        if still.generation != owner.generation && looks < LOOKS_MAX {
            looks += 1;
            continue;
        }
        let partitions = record.layout.map_or(1, |layout| layout.partitions);
        let mut durable = None::<Position>;
        for partition in 0..partitions {
            // A partition that never committed holds back nothing: it has begun where the others had come to.
            let checkpoint = snapshot.progress(partition)?.map(|progress| progress.checkpoint);
            durable = checkpoint.into_iter().chain(durable).min();
        }
        let known = status.filter(|status| status.generation == owner.generation).map(|status| status.checkpoint);
        let checkpoint = durable.max(known).unwrap_or_default();
        return Ok(LiveState { owner, component: still.component, checkpoint, state: Arc::new(Snapshot(snapshot)) });
    }
}

/// State that does not change.
struct Snapshot(Box<dyn StateSnapshot>);

impl StateSource for Snapshot {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError> {
        self.0.scan(prefix, after, limit)
    }
}
