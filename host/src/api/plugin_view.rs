//! What is shown of a plugin beyond what the registry says: how far behind it is, and what it keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::registry::PluginSummary;
use crate::command::Claimed;
use crate::delivery::{Generations, generations, live_owner, stored_checkpoint};
use crate::event::{PluginName, Position};
use crate::store::{Owner, ReadRequest, Store, StoreError};

/// Most keys of a plugin's state that are counted when somebody asks.
const COUNTED_KEYS_MAX: u64 = 10_000;
/// Most bytes of it.
const COUNTED_BYTES_MAX: u64 = 16 << 20;
/// Keys read at a time; values are at most 1 MiB.
const COUNTED_PAGE: usize = 64;

/// Where the log ends, and what time it is.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) head: Position,
    pub(super) time_us: u64,
}

impl Now {
    /// The age of the first event after a checkpoint, in whole milliseconds; zero where there is none.
    pub(super) fn age(self, store: &dyn Store, checkpoint: Position) -> Result<Duration, StoreError> {
        if checkpoint >= self.head {
            return Ok(Duration::ZERO);
        }
        let page = store.read(&ReadRequest { after: checkpoint, limit: 1, ..ReadRequest::default() })?;
        let age_us = page.events.first().map_or(0, |event| self.time_us.saturating_sub(event.timestamp_us));
        Ok(Duration::from_millis(age_us / 1_000))
    }
}

/// What there is to see of a plugin: what the registry says, and what the store keeps of it.
pub(super) fn view(
    store: &dyn Store,
    now: Now,
    name: &PluginName,
    (installed, claimed): (Option<PluginSummary>, &[Claimed]),
) -> Result<Value, Problem> {
    let (mut fields, mut lags) = (Map::new(), Lags { store, now, ages: BTreeMap::new() });
    fields.insert("name".into(), json!(name));
    fields.insert("installed".into(), json!(installed.is_some()));
    let checkpoint = match installed.as_ref().and_then(|plugin| plugin.status.as_ref()) {
        Some(status) => status.checkpoint,
        // What decides commands waits for nothing.
        None if installed.as_ref().is_some_and(|plugin| plugin.details.contains_key("aggregate")) => now.head,
        None => stored_checkpoint(name, store)?.unwrap_or_default(),
    };
    fields.insert("checkpoint".into(), json!(checkpoint));
    lags.show(checkpoint, &mut fields)?;
    let owner = live_owner(name, store)?;
    fields.insert("dead_letters".into(), json!(store.dead_letter_count(&owner)?));
    fields.insert("state_size".into(), state_size(store, &owner)?);
    let known = generations(name, store)?;
    if known != Generations::default() {
        fields.insert("generations".into(), json!(known));
    }
    if let Some(plugin) = installed {
        let mut status = json!(plugin.status);
        let partitions = status.get_mut("partitions").and_then(Value::as_array_mut).into_iter().flatten();
        for partition in partitions.filter_map(Value::as_object_mut) {
            let checkpoint = partition.get("checkpoint").and_then(Value::as_u64).unwrap_or_default();
            lags.show(Position(checkpoint), partition)?;
        }
        fields.insert("status".into(), status);
        let counts = claimed.iter().find(|claimed| claimed.plugin == *name).map(|claimed| &claimed.counts);
        if let Some((counts, reason)) = counts.and_then(|counts| Some((counts, counts.history_gone_last.as_ref()?))) {
            fields.insert("history_gone".into(), json!({ "count": counts.history_gone, "reason": reason }));
        }
        for (key, value) in plugin.details {
            fields.entry(key).or_insert(value);
        }
    }
    Ok(Value::Object(fields))
}

/// How far checkpoints are behind.
struct Lags<'a> {
    store: &'a dyn Store,
    now: Now,
    /// Of checkpoints that were asked for: partitions often have the same.
    ages: BTreeMap<Position, Duration>,
}

impl Lags<'_> {
    /// Shows how far a checkpoint is behind, in events and in time.
    fn show(&mut self, checkpoint: Position, fields: &mut Map<String, Value>) -> Result<(), StoreError> {
        let age = match self.ages.get(&checkpoint) {
            Some(age) => *age,
            None => self.now.age(self.store, checkpoint)?,
        };
        self.ages.insert(checkpoint, age);
        fields.insert("lag_events".into(), json!(self.now.head.0.saturating_sub(checkpoint.0)));
        fields.insert("lag_seconds".into(), json!(age.as_secs_f64()));
        Ok(())
    }
}

/// How much a plugin keeps. Nobody keeps count of it, so keys are counted up to a bound.
fn state_size(store: &dyn Store, owner: &Owner) -> Result<Value, StoreError> {
    let (mut keys, mut bytes, mut after) = (0, 0, None::<String>);
    loop {
        let page = store.state_scan(owner, "", after.as_deref(), COUNTED_PAGE)?;
        keys += page.entries.len() as u64;
        bytes += page.entries.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        after = page.next;
        if after.is_none() || keys >= COUNTED_KEYS_MAX || bytes >= COUNTED_BYTES_MAX {
            return Ok(json!({ "keys": keys, "bytes": bytes, "at_least": after.is_some() }));
        }
    }
}
