//! What keys of an overlay were before they changed: how somebody reads a plugin's state as it was at one moment
//! while the writer goes on.
//!
//! The writer keeps a key's old change here when it is about to make a new one, once for each reader. So it pays only
//! for keys that change while somebody reads, and a reader holds no more than what changed meanwhile. Both hold the
//! journal's lock when they look: the writer to change, the reader to read.

use std::collections::BTreeMap;
use std::iter::from_fn;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an overlay says of a key: its new value, or none that it is removed.
type Change = Option<Vec<u8>>;

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

    /// What was said of the keys from `start` on, in order, where `now` is said.
    pub(super) fn from<'a>(
        &self,
        start: &str,
        now: impl Iterator<Item = (&'a String, &'a Change)> + 'a,
    ) -> impl Iterator<Item = (String, Change)> + 'a {
        let kept = self.lock();
        let before: Vec<_> = kept
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .map(|(key, change)| (key.clone(), change.clone()))
            .collect();
        drop(kept);
        let (mut now, mut before) = (now.peekable(), before.into_iter().peekable());
        from_fn(move || {
            loop {
                let next_now = now.peek().map(|(key, _)| key.as_str());
                let next_before = before.peek().map(|(key, _)| key.as_str());
                let changed = match (next_before, next_now) {
                    (None, None) => return None,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (Some(before), Some(now)) => before <= now,
                };
                if !changed {
                    return now.next().map(|(key, change)| (key.clone(), change.clone()));
                }
                let (key, change) = before.next()?;
                now.next_if(|(now, _)| **now == key);
                if let Some(change) = change {
                    return Some((key, change));
                }
            }
        })
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
        let all: BTreeMap<_, _> = before.from("", state.iter()).collect();
        assert_eq!(all, said(&[("a", Some("1")), ("c", None), ("d", Some("4"))]));
        let rest: Vec<_> = before.from("c", state.range("c".to_owned()..)).map(|(key, _)| key).collect();
        assert_eq!(rest, ["c", "d"]);
    }
}
