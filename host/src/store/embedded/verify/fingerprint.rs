//! A sum over index entries that does not depend on their order: two sets with one fingerprint are the same.
//!
//! So the index is compared with the log in one pass over each, in memory that does not grow.

use std::ops::AddAssign;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::super::hot::Entry;
use super::super::key::{Head, Kind};
use crate::event::Position;

/// The number of entries, and the sum of their hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    entries: u64,
    sum: u128,
}

impl Fingerprint {
    /// Adds an entry: a key, a position, and what the stream comes to with it if the key is a stream.
    pub(super) fn add(&mut self, key: &[u8], position: Position, head: Option<Head>) {
        let head = head.map_or(u64::MAX, |head| head.version.0 << 1 | u64::from(head.deleted));
        let seed = position.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ head;
        self.entries += 1;
        self.sum = self.sum.wrapping_add(xxh3_128_with_seed(key, seed));
    }

    /// Adds every entry that an event has in the index, that of its stream only if asked to.
    pub(super) fn add_event(&mut self, entry: &Entry<'_>, with_stream: bool) {
        let mut key = Vec::with_capacity(64);
        let position = entry.head().position;
        let mut seen: Vec<(Kind, &[u8])> = Vec::new();
        for (kind, name) in entry.keys() {
            // A tag that an event has twice has one entry.
            if kind == Kind::Tag && seen.contains(&(kind, name)) {
                continue;
            }
            if kind == Kind::Stream && !with_stream {
                continue;
            }
            seen.push((kind, name));
            key.clear();
            key.push(kind as u8);
            key.extend_from_slice(name);
            self.add(&key, position, (kind == Kind::Stream).then(|| entry.head()));
        }
    }
}

impl AddAssign for Fingerprint {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter_and_the_content_does() {
        let add = |entries: &[(&[u8], u64)]| {
            let mut sum = Fingerprint::default();
            entries.iter().for_each(|(key, position)| sum.add(key, Position(*position), None));
            sum
        };
        assert_eq!(add(&[(b"a", 1), (b"b", 2)]), add(&[(b"b", 2), (b"a", 1)]));
        assert_ne!(add(&[(b"a", 1), (b"b", 2)]), add(&[(b"a", 2), (b"b", 1)]));
        assert_ne!(add(&[(b"a", 1)]), add(&[(b"a", 1), (b"a", 1)]));
    }
}
