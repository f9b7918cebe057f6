//! What a guest does with its state.

use std::collections::BTreeMap;

use super::{EffectError, Effects};
use crate::document::{format_size, line_in, quoted};
use crate::store::{StatePage, StoreError};

/// Longest state key, in bytes.
const STATE_KEY_BYTES_MAX: usize = 1024;
/// Largest state value, in bytes.
pub(super) const STATE_VALUE_BYTES_MAX: usize = 1 << 20;
/// Most entries a scan answers with.
const SCAN_ENTRIES_MAX: usize = 1000;
/// Most bytes of state that one call may write.
pub(super) const CALL_STATE_BYTES_MAX: usize = 16 << 20;
/// What the host keeps beside a key and its value, in bytes, about: counted once for each key that a call writes.
pub(super) const ENTRY_BYTES: usize = 192;
/// Committed state kept in memory between calls, in bytes; dropped whole when it is more.
const CACHE_BYTES_MAX: usize = 4 << 20;

/// A key's latest value.
pub(super) struct Staged {
    pub(super) value: Option<Vec<u8>>,
    /// Number of the call that wrote it.
    call: u64,
}

impl Staged {
    /// Bytes of the key and its value; none of one that is removed.
    pub(super) fn bytes(&self, key: &str) -> u64 {
        bytes_of(key, self.value.as_ref())
    }
}

impl Effects {
    /// Reads a key of the plugin's state.
    ///
    /// # Errors
    /// When the key is out of bounds or the store cannot be read.
    pub fn state_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, EffectError> {
        check_key(key)?;
        if let Some(staged) = self.staged.get(key) {
            return Ok(staged.value.clone());
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.reads.note_key(key);
        }
        if let Some(value) = self.cache.get(key) {
            return Ok(value.clone());
        }
        let value = self.state.get(key)?;
        self.remember(key, value.clone());
        Ok(value)
    }

    /// Stages a value.
    ///
    /// # Errors
    /// When key or value are out of bounds, the call has written too much, or the plugin would keep too much.
    pub fn state_set(&mut self, key: &str, value: Vec<u8>) -> Result<(), EffectError> {
        self.check_writes("state.set")?;
        check_key(key)?;
        if value.len() > STATE_VALUE_BYTES_MAX {
            let bytes = value.len();
            return Err(EffectError::Invalid(format!(
                "state value under {key:?} has {bytes} bytes; at most {STATE_VALUE_BYTES_MAX} are allowed"
            )));
        }
        self.stage(key, Some(value))
    }

    /// Stages the removal of a key.
    ///
    /// # Errors
    /// When the key is out of bounds, or the call has written too much.
    pub fn state_delete(&mut self, key: &str) -> Result<(), EffectError> {
        self.check_writes("state.delete")?;
        check_key(key)?;
        self.stage(key, None)
    }

    /// Entries whose key starts with `prefix`, in key order, strictly after `after` if given.
    ///
    /// # Errors
    /// When `limit` is not 1 to 1,000, `prefix` or `after` are longer than a key, or the store cannot be read.
    pub fn state_scan(&mut self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, EffectError> {
        if limit == 0 || limit > SCAN_ENTRIES_MAX {
            return Err(EffectError::Invalid(format!("scan limit is {limit}; 1 to {SCAN_ENTRIES_MAX} are allowed")));
        }
        for (what, text) in [("prefix", Some(prefix)), ("after", after)] {
            let bytes = text.map_or(0, str::len);
            if bytes > STATE_KEY_BYTES_MAX {
                return Err(EffectError::Invalid(format!(
                    "scan {what} has {bytes} bytes; at most {STATE_KEY_BYTES_MAX} are allowed, as keys have"
                )));
            }
        }
        if let Some(sharing) = &mut self.sharing {
            sharing.reads.note_prefix(prefix);
        }
        let stored = self.state.scan(prefix, after, limit)?;
        Ok(merge_staged(&self.staged, stored, prefix, after, limit))
    }

    fn stage(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), EffectError> {
        let current = self.staged.get(key);
        // What this call wrote before is not kept to be put back.
        let entry = if current.is_some_and(|current| current.call == self.calls) { 0 } else { ENTRY_BYTES };
        let state_bytes = self.call.state_bytes + entry + key.len() + value.as_ref().map_or(0, Vec::len);
        if state_bytes > CALL_STATE_BYTES_MAX {
            return Err(EffectError::LimitExceeded(format!(
                "a batch may write at most {CALL_STATE_BYTES_MAX} bytes of state, and each key counts {ENTRY_BYTES} \
                 more; lower `[delivery] batch_events_max`, or write less"
            )));
        }
        self.check_room(key, value.as_ref())?;
        self.call.state_bytes = state_bytes;
        let staged = Staged { value, call: self.calls };
        self.room.note(key, self.staged.get(key), Some(&staged));
        match self.staged.get_mut(key) {
            // What this call wrote before is not wanted back.
            Some(current) if current.call == staged.call => *current = staged,
            Some(current) => self.undo.push((key.into(), Some(std::mem::replace(current, staged)))),
            None => {
                self.staged.insert(key.into(), staged);
                self.undo.push((key.into(), None));
            }
        }
        Ok(())
    }

    /// Takes a key's change of this call back.
    pub(super) fn put_back(&mut self, key: String, before: Option<Staged>) {
        self.room.note(&key, self.staged.get(&key), before.as_ref());
        match before {
            Some(staged) => self.staged.insert(key, staged),
            None => self.staged.remove(&key),
        };
    }

    /// Whether the plugin may keep a value, with all that it keeps.
    fn check_room(&mut self, key: &str, value: Option<&Vec<u8>>) -> Result<(), EffectError> {
        if !self.room.is_known() {
            match self.state.size()? {
                Some(size) => self.room.begin(size.bytes),
                // Nobody keeps count of it, as it is kept nowhere.
                None => return Ok(()),
            }
        }
        let current = self.staged.get(key);
        let (before, after) = (current.map_or(0, |staged| staged.bytes(key)), bytes_of(key, value));
        if !self.room.is_open(before, after) {
            return Ok(());
        }
        let (cache, state) = (&self.cache, &self.state);
        let look_up = |key: &str| -> Result<u64, StoreError> {
            match cache.get(key) {
                Some(value) => Ok(bytes_of(key, value.as_ref())),
                None => Ok(bytes_of(key, state.get(key)?.as_ref())),
            }
        };
        let staged = self.staged.keys();
        let Some(wanted) = self.room.too_much((key, current.is_some()), (before, after), staged, look_up)? else {
            return Ok(());
        };
        let (max, plugin) = (self.room.bytes_max(), &self.owner.plugin);
        // With some room to spare, and as a number that is easily read.
        let enough = max.saturating_mul(2).max(wanted.checked_next_power_of_two().unwrap_or(wanted));
        Err(EffectError::NoRoom(format!(
            "plugin {plugin} may keep {} of state, and has no room for this write. If it does not only ever write more, \
             allow it in its manifest, {}",
            format_size(max),
            line_in("limits", "state", quoted(&format_size(enough)))
        )))
    }

    pub(super) fn remember(&mut self, key: &str, value: Option<Vec<u8>>) {
        let bytes = ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
        self.cache_bytes += bytes;
        if self.cache_bytes > CACHE_BYTES_MAX {
            self.cache.clear();
            self.cache_bytes = bytes;
        }
        self.cache.insert(key.into(), value);
    }
}

/// Bytes of a key and its value; none without one.
fn bytes_of(key: &str, value: Option<&Vec<u8>>) -> u64 {
    value.map_or(0, |value| key.len() as u64 + value.len() as u64)
}

/// Refuses a key that no state has.
///
/// # Errors
/// When it is empty, or too long.
pub(crate) fn check_key(key: &str) -> Result<(), EffectError> {
    if key.is_empty() || key.len() > STATE_KEY_BYTES_MAX {
        let bytes = key.len();
        return Err(EffectError::Invalid(format!(
            "state key has {bytes} bytes; 1 to {STATE_KEY_BYTES_MAX} are allowed"
        )));
    }
    Ok(())
}

/// Lays staged changes over a page of committed entries.
fn merge_staged(
    staged: &BTreeMap<String, Staged>,
    stored: StatePage,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> StatePage {
    let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let end = stored.next.clone();
    let mut merged: BTreeMap<String, Vec<u8>> = stored.entries.into_iter().collect();
    let changes = staged
        .range(from.to_owned()..)
        .take_while(|(key, _)| key.starts_with(prefix) && end.as_ref().is_none_or(|end| *key <= end))
        .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    for (key, staged) in changes {
        match &staged.value {
            Some(value) => merged.insert(key.clone(), value.clone()),
            None => merged.remove(key),
        };
    }
    let more = merged.len() > limit;
    let entries: Vec<_> = merged.into_iter().take(limit).collect();
    let next = if more { entries.last().map(|(key, _)| key.clone()) } else { end };
    StatePage { entries, next }
}
