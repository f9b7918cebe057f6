//! Where streams end that were sealed lately, in memory: the writer asks for the head of a stream with almost
//! every event, and for one that is in no journal it would read a page of the index.
//!
//! Bounded: about the last million streams that were sealed, to twice as many, are known; of others the index is
//! asked. Names stand for themselves by 128 bits of hash, with a secret seed: two that collide are not
//! to be found by chance or by trying.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{PoisonError, RwLock};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::key::Head;
use crate::event::{Position, Version};

/// Streams are spread over so many tables, so that the growth of one holds nobody up for long.
const SHARDS: usize = 64;
/// Streams in one half of a table: 16,384 places of 32 bytes, nearly full; a million over all tables.
const HALF_MAX: usize = (1 << 14) / 8 * 7;

/// Heads of streams that stand in segments.
#[derive(Debug)]
pub(super) struct SealedHeads {
    seed: u64,
    half_max: usize,
    shards: Vec<RwLock<Halves>>,
}

/// The older half is dropped when the younger is full. A head in the younger one is the newer.
#[derive(Debug, Default)]
struct Halves {
    young: HashMap<u128, Packed, Folded>,
    old: HashMap<u128, Packed, Folded>,
}

/// Version and tombstone flag, and position.
#[derive(Clone, Copy, Debug)]
struct Packed {
    version: u64,
    position: u64,
}

impl SealedHeads {
    /// Knows no stream yet.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, half_max: HALF_MAX, shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    /// Where a stream ends in the segments, if it is known.
    pub(super) fn get(&self, name: &str) -> Option<Head> {
        let key = self.key(name);
        let halves = self.shard(key)?.read().unwrap_or_else(PoisonError::into_inner);
        let Packed { version, position } = *halves.young.get(&key).or_else(|| halves.old.get(&key))?;
        Some(Head { version: Version(version >> 1), position: Position(position), deleted: version & 1 == 1 })
    }

    /// Takes note of the heads of a journal that is sealed, before the journal is let go of. Journals come in
    /// order.
    pub(super) fn extend<'a>(&self, heads: impl Iterator<Item = (&'a str, Head)>) {
        for (name, head) in heads {
            let packed = Packed { version: head.version.0 << 1 | u64::from(head.deleted), position: head.position.0 };
            let key = self.key(name);
            let Some(shard) = self.shard(key) else { continue };
            let mut halves = shard.write().unwrap_or_else(PoisonError::into_inner);
            if halves.young.len() >= self.half_max && !halves.young.contains_key(&key) {
                halves.old = std::mem::take(&mut halves.young);
            }
            halves.young.insert(key, packed);
        }
    }

    /// The table of a key, by bits that the tables themselves do not use.
    fn shard(&self, key: u128) -> Option<&RwLock<Halves>> {
        self.shards.get((key >> 64) as usize % self.shards.len())
    }

    fn key(&self, name: &str) -> u128 {
        xxh3_128_with_seed(name.as_bytes(), self.seed)
    }
}

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct Folded;

impl BuildHasher for Folded {
    type Hasher = Low;
    fn build_hasher(&self) -> Low {
        Low(0)
    }
}

/// The low half of a hash.
#[derive(Debug)]
struct Low(u64);

impl Hasher for Low {
    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u64, deleted: bool) -> Head {
        Head { version: Version(version), position: Position(version * 10), deleted }
    }

    #[test]
    fn the_newest_head_is_known_and_the_oldest_streams_are_forgotten() {
        let heads = SealedHeads { half_max: 3, shards: vec![RwLock::default()], ..SealedHeads::new(7) };
        assert_eq!(heads.get("a"), None);
        heads.extend([("a", head(1, false)), ("b", head(1, false)), ("c", head(1, false))].into_iter());
        heads.extend([("a", head(2, false)), ("d", head(5, true))].into_iter());
        assert_eq!((heads.get("a"), heads.get("d")), (Some(head(2, false)), Some(head(5, true))));
        heads.extend([("b", head(3, false)), ("e", head(1, false))].into_iter());
        assert_eq!(heads.get("b"), Some(head(3, false)), "not the older one");
        heads.extend([("f", head(1, false)), ("g", head(1, false))].into_iter());
        assert_eq!((heads.get("a"), heads.get("c")), (None, None));
        assert_eq!(heads.get("b"), Some(head(3, false)));
    }
}
