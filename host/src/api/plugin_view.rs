//! What is shown of a plugin beyond what the registry says: how far behind it is, and what it keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::registry::PluginSummary;
use crate::command::Claimed;
use crate::delivery::{Generations, generations, live_owner, stored_checkpoint};
use crate::event::{PluginName, Position};
use crate::plugin::UsedPercent;
use crate::store::{ReadRequest, StateSize, Store, StoreError};

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

/// What there is to see of a plugin: what the registry says, and what the store keeps of it. One that is not installed may be
/// about to come while plugins are being loaded.
pub(super) fn view(
    store: &dyn Store,
    now: Now,
    name: &PluginName,
    (installed, claimed): (Option<PluginSummary>, &[Claimed]),
    loading: bool,
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
    let size = store.state_size(&owner)?;
    fields.insert("state_size".into(), json!(size));
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
        if let Some(counts) = counts {
            add_noted(&mut fields, "history_gone", counts.history_gone, counts.history_gone_last.as_deref());
            let (left_out, last) = (counts.snapshots_left_out, counts.snapshots_left_out_last.as_deref());
            add_noted(&mut fields, "snapshots_left_out", left_out, last);
        }
        for (key, value) in plugin.details {
            fields.entry(key).or_insert(value);
        }
        add_used(&mut fields, size);
    } else if loading {
        fields.insert("loading".into(), json!(true));
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

/// Adds what was counted, and what was told of the last one, if there was one.
fn add_noted(plugin: &mut Map<String, Value>, key: &str, count: u64, last: Option<&str>) {
    if let Some(reason) = last {
        plugin.insert(key.to_owned(), json!({ "count": count, "reason": reason }));
    }
}

/// Adds how much of the state that it may keep a plugin keeps to what it has used of its limits.
fn add_used(plugin: &mut Map<String, Value>, size: StateSize) {
    let limit = plugin.get("policy").and_then(|policy| policy.get("state_bytes_max")).and_then(Value::as_u64);
    let used = plugin.get_mut("used_percent").and_then(Value::as_object_mut);
    if let (Some(limit), Some(used)) = (limit, used) {
        used.insert("state".into(), json!(UsedPercent::of_state(size.bytes, limit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_held_against_the_limit_of_what_runs() {
        let used = |plugin: Value| {
            let Value::Object(mut plugin) = plugin else { panic!("{plugin}") };
            add_used(&mut plugin, StateSize { keys: 1, bytes: 72_001 });
            Value::Object(plugin)
        };
        let running = |used: Value| json!({ "policy": { "state_bytes_max": 100_000 }, "used_percent": used });
        assert_eq!(used(running(json!({ "memory": 7 }))), running(json!({ "memory": 7, "state": 73 })));
        assert_eq!(used(json!({ "name": "gone" })), json!({ "name": "gone" }));
    }
}
