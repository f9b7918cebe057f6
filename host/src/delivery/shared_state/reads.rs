//! What a unit of work has read of the state, in bounded memory.

use std::collections::BTreeSet;
use std::ops::Bound::{Included, Unbounded};

/// Bytes that are counted for each key or prefix beside its text: what keeping it takes, about.
const ENTRY_BYTES: usize = 96;
/// Most bytes of keys and prefixes that are kept. Who reads more has read everything.
const READS_BYTES_MAX: usize = 4 << 20;

/// What a unit of work has read of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::delivery) struct Reads {
    keys: BTreeSet<String>,
    /// None of them begins with another.
    prefixes: BTreeSet<String>,
    /// What both take.
    bytes: usize,
    /// More than is kept: whatever others write was read.
    everything: bool,
}

impl Reads {
    /// A key was read.
    pub(in crate::delivery) fn note_key(&mut self, key: &str) {
        if !self.everything && !self.keys.contains(key) {
            self.keys.insert(key.to_owned());
            self.count(key);
        }
    }

    /// Every key with a prefix was read.
    pub(in crate::delivery) fn note_prefix(&mut self, prefix: &str) {
        if self.everything || covers(&self.prefixes, prefix) {
            return;
        }
        let longer = |prefixes: &BTreeSet<String>| {
            let next = prefixes.range::<str, _>((Included(prefix), Unbounded)).next();
            next.filter(|next| next.starts_with(prefix)).cloned()
        };
        while let Some(longer) = longer(&self.prefixes) {
            self.bytes = self.bytes.saturating_sub(ENTRY_BYTES + longer.len());
            self.prefixes.remove(&longer);
        }
        self.prefixes.insert(prefix.to_owned());
        self.count(prefix);
    }

    fn count(&mut self, text: &str) {
        self.bytes += ENTRY_BYTES + text.len();
        if self.bytes > READS_BYTES_MAX {
            *self = Self { everything: true, ..Self::default() };
        }
    }

    /// Whether nothing was read.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any of these keys was read; they are in order. Of keys and reads the fewer are looked up in the other.
    pub(super) fn meet(&self, keys: &[String]) -> bool {
        if self.everything {
            return !keys.is_empty();
        }
        if keys.len() <= self.keys.len() + self.prefixes.len() {
            return keys.iter().any(|key| self.keys.contains(key) || covers(&self.prefixes, key));
        }
        let first_from = |text: &str| keys.get(keys.partition_point(|key| key.as_str() < text));
        self.keys.iter().any(|read| first_from(read) == Some(read))
            || self.prefixes.iter().any(|prefix| first_from(prefix).is_some_and(|key| key.starts_with(prefix.as_str())))
    }
}

/// Whether a text begins with one of these, none of which begins with another: then it can only be the last that is
/// not behind it.
fn covers(prefixes: &BTreeSet<String>, text: &str) -> bool {
    let last = prefixes.range::<str, _>((Unbounded, Included(text))).next_back();
    last.is_some_and(|prefix| text.starts_with(prefix.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_meet_what_they_include(
            keys in prop::collection::vec("[ab]{1,3}", 0..4),
            prefixes in prop::collection::vec("[ab]{0,3}", 0..4),
            written in prop::collection::btree_set("[ab]{1,4}", 0..12),
        ) {
            let mut reads = Reads::default();
            keys.iter().for_each(|key| reads.note_key(key));
            prefixes.iter().for_each(|prefix| reads.note_prefix(prefix));
            let includes = |key: &String| keys.contains(key) || prefixes.iter().any(|prefix| key.starts_with(prefix));
            let written: Vec<_> = written.into_iter().collect();
            prop_assert_eq!(reads.meet(&written), written.iter().any(includes));
            let kept: usize = reads.keys.iter().chain(&reads.prefixes).map(|text| ENTRY_BYTES + text.len()).sum();
            prop_assert_eq!(reads.bytes, kept);
        }
    }

    #[test]
    fn who_reads_too_much_has_read_everything() {
        for note in [Reads::note_key, Reads::note_prefix] {
            let mut reads = Reads::default();
            for number in 0..READS_BYTES_MAX / ENTRY_BYTES {
                note(&mut reads, &format!("{number:07}"));
            }
            assert!(reads.everything && reads.bytes == 0 && reads.keys.is_empty() && reads.prefixes.is_empty());
            assert!(reads.meet(&["z".to_owned()]) && !reads.meet(&[]) && !reads.is_empty());
        }
    }
}
