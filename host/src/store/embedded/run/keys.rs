//! The keys of a run by prefix, with what is known of their lists without going through them.

use std::sync::Arc;

use super::reader::Run;
use super::scan::{Scan, ScannedEntry};
use crate::event::Position;
use crate::store::StoreError;
use crate::store::embedded::key::{Head, Key};

/// A key of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct KeySummary {
    /// The key's bytes: its kind and its name.
    pub(in crate::store::embedded) key: Box<[u8]>,
    /// How many positions it has in this run.
    pub(in crate::store::embedded) count: u64,
    /// Its last event in this run, for streams.
    pub(in crate::store::embedded) head: Option<Head>,
}

/// The keys that begin alike, in order. Ends after an error.
#[derive(Debug)]
pub(in crate::store::embedded) struct Keys {
    scan: Scan,
    prefix: Box<[u8]>,
    after: Option<Box<[u8]>>,
    done: bool,
}

impl Run {
    /// The keys that begin with `prefix` (a kind and the beginning of a name), strictly after `after`.
    pub(in crate::store::embedded) fn keys(self: &Arc<Self>, prefix: &Key, after: Option<&Key>) -> Keys {
        let prefix = prefix.as_bytes();
        let after = after.map(Key::as_bytes).filter(|after| *after >= prefix);
        let page = self.fences().page_of(after.unwrap_or(prefix), u64::MAX).unwrap_or(0);
        Keys {
            scan: Scan::new(Arc::clone(self), page),
            prefix: prefix.into(),
            after: after.map(Into::into),
            done: false,
        }
    }
}

impl Iterator for Keys {
    type Item = Result<KeySummary, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.find().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Keys {
    fn find(&mut self) -> Result<Option<KeySummary>, StoreError> {
        while self.scan.advance()? {
            let key = self.scan.entry().key.as_slice();
            if key < &*self.prefix || self.after.as_deref().is_some_and(|after| key <= after) {
                continue;
            }
            if !key.starts_with(&self.prefix) {
                return Ok(None);
            }
            self.skip_to_end()?;
            return Ok(Some(summary(self.scan.entry())));
        }
        Ok(None)
    }

    /// Goes to the last page of the current key; it may only go on from the end of a page.
    fn skip_to_end(&mut self) -> Result<(), StoreError> {
        let entry = self.scan.entry();
        let last = self.scan.run().fences().page_of(&entry.key, u64::MAX);
        if let Some(last) = last.filter(|last| entry.ends_page && *last > entry.page) {
            self.scan.jump(last);
            self.scan.advance()?;
        }
        Ok(())
    }
}

fn summary(entry: &ScannedEntry) -> KeySummary {
    let last = entry.positions.last().copied().unwrap_or_default();
    KeySummary {
        key: entry.key.as_slice().into(),
        count: entry.earlier.saturating_add(entry.positions.len() as u64),
        head: entry.stamp.map(|stamp| Head {
            version: stamp.version,
            position: Position(last),
            deleted: stamp.deleted,
        }),
    }
}
