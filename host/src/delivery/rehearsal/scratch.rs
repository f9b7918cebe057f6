//! State that a rehearsal builds up: a map in memory, maybe on top of other state, and never written anywhere.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RehearsalError;
use crate::delivery::StateSource;
use crate::store::{StateChange, StatePage, StateSize, StoreError};

/// Bytes of bookkeeping counted for each key.
const ENTRY_BYTES: usize = 96;
/// Bytes of keys and values after which a page ends, as in a store.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// State in memory. Reads and writes are from one rehearsal's thread; the lock is never waited for.
pub(super) struct Scratch {
    base: Option<Arc<dyn StateSource>>,
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// What was written; none for a key of the base that was removed.
    entries: BTreeMap<String, Option<Vec<u8>>>,
    /// Of keys and values, with what is kept beside each.
    bytes: usize,
    /// Of those that are not removed.
    size: StateSize,
}

impl Scratch {
    /// Nothing, on top of `base` if there is one.
    pub(super) fn new(base: Option<Arc<dyn StateSource>>, bytes_max: usize) -> Self {
        Self { base, bytes_max, held: Mutex::default() }
    }

    /// Takes over what a handler has staged.
    pub(super) fn apply(&self, changes: Vec<StateChange>) -> Result<(), RehearsalError> {
        let mut held = self.lock();
        for StateChange { key, value } in changes {
            let size = |value: &Option<Vec<u8>>| ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Vec::len);
            let (added, keeps) = (size(&value), value.is_some() || self.base.is_some());
            let entry = |value: &Option<Vec<u8>>| {
                value.as_ref().map(|value| StateSize::of_entry(key.len(), value.len())).unwrap_or_default()
            };
            let (before, left) = held.entries.get(&key).map(|value| (size(value), entry(value))).unwrap_or_default();
            held.bytes = held.bytes.saturating_sub(before);
            held.size -= left;
            held.size += entry(&value);
            if keeps {
                held.bytes += added;
                held.entries.insert(key, value);
            } else {
                held.entries.remove(&key);
            }
        }
        if held.bytes > self.bytes_max {
            return Err(RehearsalError::ScratchFull { bytes_max: self.bytes_max });
        }
        Ok(())
    }

    /// Takes everything out; for one without a base that is all its state.
    pub(super) fn take_entries(&self) -> BTreeMap<String, Vec<u8>> {
        let held = std::mem::take(&mut *self.lock());
        held.entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Every change is whole before anything can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateSource for Scratch {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(value) = self.lock().entries.get(key) {
            return Ok(value.clone());
        }
        self.base.as_ref().map_or(Ok(None), |base| base.get(key))
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<StatePage, StoreError> {
        let below = match &self.base {
            Some(base) => base.scan(prefix, after, limit)?,
            None => StatePage::default(),
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let held = self.lock();
        let range: Range<'_, String, _> = held.entries.range::<str, _>((from, Bound::Unbounded));
        let end = below.next.as_deref();
        let own = range.take_while(|(key, _)| key.starts_with(prefix) && end.is_none_or(|end| key.as_str() <= end));
        Ok(merge(below.entries, own, below.next.clone(), limit))
    }

    /// Not over other state: what of that is written over was not looked at.
    fn size(&self) -> Result<Option<StateSize>, StoreError> {
        Ok(self.base.is_none().then(|| self.lock().size))
    }
}

/// A page of entries over others: at most `limit`, in key order. `next` is where the lower ones went on.
fn merge<'a>(
    below: Vec<(String, Vec<u8>)>,
    own: impl Iterator<Item = (&'a String, &'a Option<Vec<u8>>)>,
    next: Option<String>,
    limit: usize,
) -> StatePage {
    let mut below = below.into_iter().peekable();
    let mut own = own.peekable();
    let mut page = StatePage { entries: Vec::new(), next };
    let mut bytes = 0;
    loop {
        let takes_own = match (below.peek(), own.peek()) {
            (None, None) => return page,
            (Some((lower, _)), Some((upper, _))) => upper.as_str() <= lower.as_str(),
            (lower, _) => lower.is_none(),
        };
        let entry = if takes_own {
            let Some((key, value)) = own.next() else { return page };
            below.next_if(|(lower, _)| lower == key);
            value.clone().map(|value| (key.clone(), value))
        } else {
            below.next()
        };
        let Some((key, value)) = entry else { continue };
        if page.entries.len() >= limit || bytes >= PAGE_BYTES_MAX {
            page.next = page.entries.last().map(|(last, _)| last.clone());
            return page;
        }
        bytes += key.len() + value.len();
        page.entries.push((key, value));
    }
}
