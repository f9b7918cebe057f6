//! What keys of an overlay were before they changed: how somebody reads a plugin's state as it was at one moment
//! while the writer goes on.
//!
//! The writer keeps a key's old change here when it is about to make a new one, once for each reader. So it pays only
//! for keys that change while somebody reads, and a reader holds no more than what changed meanwhile. Both hold the
//! journal's lock when they look: the writer to change, the reader to read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an overlay says of a key: its new value, or none that it is removed.
type Change = Option<Vec<u8>>;

/// Bytes of keys and values after which a slice ends.
const SLICE_BYTES: usize = 256 << 10;

/// What was said of some keys, in order.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) rows: Vec<(String, Change)>,
    /// The last key that was looked at; none when there are no more.
    pub(super) through: Option<String>,
}

/// What it said of keys before they changed; none of those that it said nothing of.
#[derive(Debug, Default)]
pub(super) struct Before(Mutex<BTreeMap<String, Option<Change>>>);

impl Before {
    /// Keeps what is said of these keys, unless it is known already what was said of them.
    pub(super) fn keep<'a>(&self, state: Option<&BTreeMap<String, Change>>, keys: impl Iterator<Item = &'a String>) {
        let mut kept = self.lock();
        for key in keys {
            if !kept.contains_key(key) {
                kept.insert(key.clone(), state.and_then(|state| state.get(key).cloned()));
            }
        }
    }

    /// What was said of a key, of which `now` is said.
    pub(super) fn get(&self, key: &str, now: Option<&Change>) -> Option<Change> {
        match self.lock().get(key) {
            Some(before) => before.clone(),
            None => now.cloned(),
        }
    }

    /// What was said of the keys that begin with `prefix`, from `start` on, in order, where `now` is said from there on: of
    /// so many keys at most, and of two at least, though they have more than [`SLICE_BYTES`].
    pub(super) fn slice<'a>(
        &self,
        (prefix, start): (&str, &str),
        now: impl Iterator<Item = (&'a String, &'a Change)>,
        keys_max: usize,
    ) -> Slice {
        let kept = self.lock();
        let mut before = kept.range::<str, _>((Bound::Included(start), Bound::Unbounded)).peekable();
        let (mut now, mut slice) = (now.peekable(), Slice::default());
        let (mut keys, mut bytes, mut last) = (0, 0, None::<&String>);
        loop {
            let next = [before.peek().map(|(key, _)| *key), now.peek().map(|(key, _)| *key)];
            let Some(key) = next.into_iter().flatten().min().filter(|key| key.starts_with(prefix)) else { break };
            // One key alone may be that after which the caller goes on.
            if keys == keys_max || (keys > 1 && bytes >= SLICE_BYTES) {
                slice.through = last.cloned();
                break;
            }
            let is = now.next_if(|(of, _)| *of == key).map(|(_, change)| change.clone());
            let was = before.next_if(|(of, _)| *of == key).map_or(is, |(_, change)| change.clone());
            (keys, last) = (keys + 1, Some(key));
            if let Some(change) = was {
                bytes += key.len() + change.as_ref().map_or(0, Vec::len);
                slice.rows.push((key.clone(), change));
            }
        }
        slice
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Change>>> {
        // Every change of it is one insertion.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rows: &[(&str, Option<&str>)]) -> BTreeMap<String, Change> {
        let change = |text: &str| text.as_bytes().to_vec();
        rows.iter().map(|(key, value)| ((*key).to_owned(), value.map(change))).collect()
    }

    #[test]
    fn what_was_said_first_is_kept_and_laid_over_what_is_said_now() {
        let before = Before::default();
        let mut state = said(&[("a", Some("1")), ("c", None), ("d", Some("4"))]);
        let keys = ["a", "b", "c"].map(str::to_owned);
        before.keep(Some(&state), keys.iter());
        for key in &keys {
            state.insert(key.clone(), Some(b"new".to_vec()));
        }
        before.keep(Some(&state), keys.iter());
        assert_eq!(before.get("a", state.get("a")), Some(Some(b"1".to_vec())));
        assert_eq!(before.get("b", state.get("b")), None, "nothing was said of it");
        assert_eq!(before.get("c", state.get("c")), Some(None), "it was removed");
        assert_eq!(before.get("d", state.get("d")), Some(Some(b"4".to_vec())));
        let slice = |prefix, start: &str, keys_max| {
            let Slice { rows, through } = before.slice((prefix, start), state.range(start.to_owned()..), keys_max);
            (rows.into_iter().collect::<BTreeMap<_, _>>(), through)
        };
        assert_eq!(slice("", "", 9), (said(&[("a", Some("1")), ("c", None), ("d", Some("4"))]), None));
        assert_eq!(slice("", "c", 9).0.into_keys().collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(slice("c", "c", 9), (said(&[("c", None)]), None), "nothing beyond what begins so is looked at");
        let (rows, through) = slice("", "", 2);
        assert_eq!((rows, through.as_deref()), (said(&[("a", Some("1"))]), Some("b")), "one of them was not there");
    }
}
