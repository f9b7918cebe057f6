//! What is kept of a plugin as a whole: the content of its record in the store, as JSON.
//!
//! A plugin that has always had one partition, began at the beginning and was never paused has none. Keys that are
//! not known here are kept as they are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::layout::{Layout, Settled};
use crate::event::{PluginName, Position};
use crate::store::{Owner, PluginRecord, Store, StoreError};

/// The content of a plugin's record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Which generation of its data is live.
    #[serde(default)]
    pub(super) generation: u32,
    /// Whether an operator has paused it.
    #[serde(default)]
    pub(super) paused: bool,
    /// How its events are shared among partitions; none while there has only been one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<Layout>,
    /// Layouts before, as far as they matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Settled>,
    /// What others keep there.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

/// A record with its revision in the store: 0 while there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) revision: u64,
    pub(super) record: Record,
}

impl Stored {
    /// Reads a plugin's record. Blocks.
    pub(super) fn read(plugin: &PluginName, store: &dyn Store) -> Result<Self, StoreError> {
        let Some(stored) = store.plugin_record(plugin)? else { return Ok(Self::default()) };
        let record = serde_json::from_str(&stored.content).map_err(|error| StoreError::CorruptedRow {
            what: format!("the record of plugin {plugin}"),
            reason: error.to_string(),
        })?;
        Ok(Self { revision: stored.revision, record })
    }

    /// What is stored when the record becomes `record`.
    pub(super) fn next(&self, record: &Record) -> PluginRecord {
        let content = serde_json::to_string(record);
        // Texts and numbers always serialise.
        PluginRecord { revision: self.revision + 1, content: content.unwrap_or_default() }
    }
}

/// The live generation of a plugin's data. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn live_owner(plugin: &PluginName, store: &dyn Store) -> Result<Owner, StoreError> {
    let generation = Stored::read(plugin, store)?.record.generation;
    Ok(Owner { plugin: plugin.clone(), generation })
}

/// How far a plugin has come, whether it runs or not: the lowest checkpoint of its partitions. None when it
/// never began. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn stored_checkpoint(plugin: &PluginName, store: &dyn Store) -> Result<Option<Position>, StoreError> {
    let record = Stored::read(plugin, store)?.record;
    let owner = Owner { plugin: plugin.clone(), generation: record.generation };
    let partitions = record.layout.map_or(1, |layout| layout.partitions);
    let progress = (0..partitions).map(|partition| store.progress(&owner, partition));
    let checkpoints = progress.map(|progress| Ok(progress?.map(|progress| progress.checkpoint)));
    let checkpoints = checkpoints.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(checkpoints.into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_keep_in_it_stays() {
        let record: Record = serde_json::from_str(r#"{"paused":true,"other":{"x":1}}"#).unwrap();
        assert!(record.paused && record.generation == 0 && record.layout.is_none());
        let next = Stored { revision: 3, record: record.clone() }.next(&record);
        assert_eq!(next.revision, 4);
        assert_eq!(next.content, r#"{"generation":0,"paused":true,"other":{"x":1}}"#);
        assert_eq!(serde_json::from_str::<Record>(&next.content).unwrap(), record);
    }
}
