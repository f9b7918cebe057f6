//! How much state a plugin may keep: what is committed, with what is staged over it, against its manifest's limit.
//!
//! What the staged values take the place of is looked up only when there would be no room without that. A change that
//! makes the state smaller is never refused, also where it is over the limit.

use std::collections::HashMap;

use super::state::Staged;
use crate::store::StoreError;

/// What is known of one unit of work.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: u64,
    /// Committed bytes when the unit began to write; none before.
    committed: Option<u64>,
    /// Bytes of staged keys and values.
    staged: u64,
    /// None as long as it does not matter.
    replaced: Option<Replaced>,
}

/// What staged values take the place of.
#[derive(Debug, Default)]
struct Replaced {
    /// Committed bytes of the staged keys.
    bytes: u64,
    /// Of each key that is or was staged.
    of: HashMap<String, u64>,
}

impl Default for Room {
    /// Room for everything.
    fn default() -> Self {
        Self::of(u64::MAX)
    }
}

impl Room {
    /// Room for so many bytes of keys and values.
    pub(super) const fn of(bytes_max: u64) -> Self {
        Self { bytes_max, committed: None, staged: 0, replaced: None }
    }

    /// How many bytes there may be.
    pub(super) const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Whether it is known what is committed, or does not matter.
    pub(super) const fn is_known(&self) -> bool {
        self.committed.is_some() || self.bytes_max == u64::MAX
    }

    /// Begins to count, over so many committed bytes.
    pub(super) const fn begin(&mut self, committed: u64) {
        self.committed = Some(committed);
    }

    /// Another unit of work begins.
    pub(super) fn clear(&mut self) {
        *self = Self::of(self.bytes_max);
    }

    /// Whether it is still open if a change fits, because it is not known what the staged keys take the place of.
    pub(super) fn is_open(&self, before: u64, after: u64) -> bool {
        let most = self.committed.unwrap_or_default().saturating_add(self.staged + after - before);
        self.replaced.is_some() || (most > self.bytes_max && self.bytes_max < u64::MAX)
    }

    /// How much there would be if the staged bytes of a key became `after`, from `before`; none if that fits. `look_up`
    /// tells a key's committed bytes.
    pub(super) fn too_much<'k>(
        &mut self,
        (key, is_staged): (&str, bool),
        (before, after): (u64, u64),
        staged: impl Iterator<Item = &'k String>,
        mut look_up: impl FnMut(&str) -> Result<u64, StoreError>,
    ) -> Result<Option<u64>, StoreError> {
        if self.replaced.is_none() {
            let mut replaced = Replaced::default();
            for key in staged {
                let bytes = look_up(key)?;
                replaced.bytes += bytes;
                replaced.of.insert(key.clone(), bytes);
            }
            self.replaced = Some(replaced);
        }
        let Self { replaced: Some(replaced), committed: Some(committed), .. } = self else { return Ok(None) };
        let own = replaced.of.get(key).map_or_else(|| look_up(key), |own| Ok(*own))?;
        let now = committed.saturating_add(self.staged).saturating_sub(replaced.bytes);
        let takes = if is_staged { before } else { own };
        let then = now.saturating_sub(takes).saturating_add(after);
        if after > takes && then > self.bytes_max {
            return Ok(Some(then));
        }
        replaced.of.insert(key.to_owned(), own);
        Ok(None)
    }

    /// A key's staged change takes the place of another.
    pub(super) fn note(&mut self, key: &str, before: Option<&Staged>, after: Option<&Staged>) {
        let bytes = |staged: Option<&Staged>| staged.map_or(0, |staged| staged.bytes(key));
        self.staged = self.staged.saturating_sub(bytes(before)) + bytes(after);
        if let Some(replaced) = &mut self.replaced {
            let own = replaced.of.get(key).copied().unwrap_or_default();
            match (before, after) {
                (None, Some(_)) => replaced.bytes += own,
                (Some(_), None) => replaced.bytes = replaced.bytes.saturating_sub(own),
                _ => {}
            }
        }
    }
}
