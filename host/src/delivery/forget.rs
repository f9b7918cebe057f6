//! What a plugin that is gone still keeps, and removing it: state, checkpoints and dead letters of every generation.
//!
//! What it has appended stays, as all events do, and with it the ids that follow from its name. The number of a
//! generation is never used again, so the record stays, with the number of the next one: a plugin that is installed under
//! that name later begins as one that never was there.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::record::{Edit, Record, change, stored_checkpoint};
use crate::event::{PluginName, Position};
use crate::store::{CommitError, Owner, SNAPSHOTS_OWNER, StateSize, Store, StoreError};

/// What a plugin kept, which is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Forgotten {
    /// The plugin.
    pub name: PluginName,
    /// How far it had come.
    pub checkpoint: Position,
    /// What its live state came to.
    pub state_size: StateSize,
    /// Its dead letters.
    pub dead_letters: u64,
    /// Generations of its data that went: the live one, and those kept beside it.
    pub generations: usize,
}

/// Removes what a plugin keeps, in one commit; none when it keeps nothing. Whoever asks for it has seen to it that the
/// plugin does not run: one that does, and has committed before, is fenced off, and halts. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn forget(plugin: &PluginName, store: &dyn Store) -> Result<Option<Forgotten>, CommitError> {
    if plugin.as_str() == SNAPSHOTS_OWNER {
        return Ok(None);
    }
    let mut forgotten = None;
    change(plugin, store, |record| {
        // Of whatever has progress, also if the record does not name it.
        let progress: BTreeSet<_> = store.plugin_progress(plugin)?.iter().map(|(owner, ..)| owner.generation).collect();
        forgotten = kept(plugin, record, &progress, store)?;
        let edit = || Edit { dropped: progress.into_iter().collect(), ..record.forgotten().into() };
        Ok::<_, CommitError>(forgotten.as_ref().map(|_| edit()))
    })?;
    Ok(forgotten)
}

/// What a plugin keeps; none when that is nothing.
fn kept(
    plugin: &PluginName,
    record: &Record,
    progress: &BTreeSet<u32>,
    store: &dyn Store,
) -> Result<Option<Forgotten>, StoreError> {
    if record.is_blank() && progress.is_empty() {
        return Ok(None);
    }
    let owner = Owner { plugin: plugin.clone(), generation: record.generation };
    Ok(Some(Forgotten {
        name: plugin.clone(),
        checkpoint: stored_checkpoint(plugin, store)?.unwrap_or_default(),
        state_size: store.state_size(&owner)?,
        dead_letters: store.dead_letter_count(&owner)?,
        generations: record.generations().union(progress).count(),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::memory::MemoryStore;
    use crate::store::{DeadLetter, DeadLetterChange, Progress, StateChange, UnitOfWork};

    fn plugin(name: &str) -> PluginName {
        PluginName::new(name).unwrap()
    }

    /// Handles up to a position, as a generation of `name`.
    fn handle(store: &dyn Store, owner: &str, revision: u64) -> Result<(), CommitError> {
        let letter = DeadLetter { position: Position(revision), kind: "reject".into(), ..DeadLetter::default() };
        let work = UnitOfWork {
            owner: owner.parse().unwrap(),
            partition: 0,
            progress: Progress { revision, checkpoint: Position(revision), ..Progress::default() },
            state: vec![StateChange { key: "key".into(), value: Some(b"value".to_vec()) }],
            events: Vec::new(),
            dead_letters: vec![DeadLetterChange::Put(letter)],
        };
        store.commit(work).wait().map(drop)
    }

    #[test]
    fn what_a_plugin_kept_is_gone_and_its_name_begins_anew() {
        let store = MemoryStore::new(Arc::new(SystemClock));
        handle(&store, "gone", 1).unwrap();
        handle(&store, "gone", 2).unwrap();
        handle(&store, "other", 1).unwrap();
        let gone = plugin("gone");
        let Some(Forgotten { checkpoint, state_size, dead_letters, generations, .. }) = forget(&gone, &store).unwrap()
        else {
            panic!("it kept something");
        };
        assert_eq!((checkpoint, state_size.keys, dead_letters, generations), (Position(2), 1, 2, 1));
        assert_eq!(store.state_get(&Owner::from(&gone), "key").unwrap(), None);
        assert_eq!(store.plugin_progress(&gone).unwrap(), []);
        assert_eq!(stored_checkpoint(&gone, &store).unwrap(), None);
        assert!(handle(&store, "gone", 3).is_err(), "whoever still runs it is fenced off");
        assert_eq!(forget(&gone, &store).unwrap(), None, "there is nothing left");
        handle(&store, "gone", 1).unwrap();
        assert_eq!(forget(&gone, &store).unwrap().unwrap().generations, 2, "what came too late goes too");
        assert_eq!((forget(&gone, &store).unwrap(), store.plugin_progress(&gone).unwrap()), (None, Vec::new()));
        handle(&store, "gone@2", 1).unwrap();
        assert_eq!(forget(&gone, &store).unwrap().unwrap().dead_letters, 1, "a later plugin of that name");
        assert_eq!(stored_checkpoint(&plugin("other"), &store).unwrap(), Some(Position(1)));
        assert_eq!(forget(&plugin("never"), &store).unwrap(), None);
        assert_eq!(forget(&PluginName::from_stored(SNAPSHOTS_OWNER), &store).unwrap(), None);
    }
}
