//! Event id to position, small and fast: one entry of 24 bytes for each event.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use uuid::Uuid;

use crate::event::Position;

/// Maps are split so that growing one never copies more than a small part of all entries at once.
const SHARDS: usize = 256;

/// Event id to position.
#[derive(Debug)]
pub(super) struct IdMap {
    seed: Seed,
    shards: Vec<HashMap<Key, u64, Seed>>,
}

impl IdMap {
    pub(super) fn new() -> Self {
        let seed = Seed::random();
        Self { seed, shards: (0..SHARDS).map(|_| HashMap::with_hasher(seed)).collect() }
    }

    /// Where the event with this id stands.
    pub(super) fn get(&self, id: Uuid) -> Option<Position> {
        let key = Key::new(id);
        self.shards.get(self.shard(&key))?.get(&key).copied().map(Position)
    }

    /// Adds an id; answers false, and changes nothing, if it is there already.
    pub(super) fn insert(&mut self, id: Uuid, position: Position) -> bool {
        let key = Key::new(id);
        let shard = self.shard(&key);
        let Some(map) = self.shards.get_mut(shard) else { return false };
        let mut fresh = false;
        map.entry(key).or_insert_with(|| {
            fresh = true;
            position.0
        });
        fresh
    }

    /// How many ids it holds.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(HashMap::len).sum()
    }

    /// Every id with its position, by rising id.
    pub(super) fn sorted(&self) -> Vec<(Uuid, u64)> {
        let entries = self.shards.iter().flatten();
        let mut all: Vec<_> = entries.map(|(Key([high, low]), position)| ((*high, *low), *position)).collect();
        all.sort_unstable();
        all.into_iter().map(|((high, low), position)| (Uuid::from_u64_pair(high, low), position)).collect()
    }

    /// Removes an id.
    pub(super) fn remove(&mut self, id: Uuid) {
        let key = Key::new(id);
        let shard = self.shard(&key);
        if let Some(map) = self.shards.get_mut(shard) {
            map.remove(&key);
        }
    }

    /// The shard is chosen by bits of the hash that a map of sensible size uses neither for its buckets
    /// (the lowest) nor for its tags (the highest).
    fn shard(&self, key: &Key) -> usize {
        ((self.seed.hash_one(key) >> 40) % SHARDS as u64) as usize
    }
}

/// A UUID as two words: as a `u128` it would be aligned to 16 bytes and waste 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key([u64; 2]);

impl Key {
    fn new(id: Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        Self([high, low])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low] = self.0;
        state.write_u64(high);
        state.write_u64(low);
    }
}

/// Ids come from clients: the seed, drawn at open, keeps them from choosing ids that collide.
#[derive(Clone, Copy, Debug)]
struct Seed([u64; 2]);

impl Seed {
    fn random() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0) | 1, random.hash_one(1) | 1])
    }
}

impl BuildHasher for Seed {
    type Hasher = FoldHasher;
    fn build_hasher(&self) -> FoldHasher {
        let Self([state, key]) = *self;
        FoldHasher { state, key }
    }
}

/// Mixes each word by one wide multiplication with a secret key, and folds the halves together.
#[derive(Debug)]
struct FoldHasher {
    state: u64,
    key: u64,
}

impl FoldHasher {
    fn fold(&self, word: u64) -> u64 {
        let product = u128::from(self.state ^ word) * u128::from(self.key);
        (product as u64) ^ ((product >> 64) as u64).rotate_left(29)
    }
}

impl Hasher for FoldHasher {
    fn write_u64(&mut self, word: u64) {
        self.state = self.fold(word);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    /// Folds once more: without it, ids that count up crowd into a few shards with one seed of a hundred.
    fn finish(&self) -> u64 {
        self.fold(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_until_removed() {
        let mut map = IdMap::new();
        let ids: Vec<_> = (0..10_000_u128).map(|number| Uuid::from_u128(number << 64 | 7)).collect();
        for (id, position) in ids.iter().zip(1..) {
            assert!(map.insert(*id, Position(position)));
        }
        assert!(!map.insert(ids[3], Position(77)));
        assert_eq!(map.get(ids[3]), Some(Position(4)));
        map.remove(ids[3]);
        assert_eq!((map.get(ids[3]), map.get(ids[9_999])), (None, Some(Position(10_000))));
    }

    #[test]
    fn ids_that_differ_in_few_bits_spread_over_the_shards_with_any_seed() {
        // The first is one with which a shard held 1,352 when nothing was folded after the last word.
        let seeds = std::iter::once(Seed([0xb57a_9ada_c79f_5d69, 0x19da_471c_72cc_626f]));
        for seed in seeds.chain((0..100).map(|_| Seed::random())) {
            let map = IdMap { seed, shards: Vec::new() };
            let mut held = [0; SHARDS];
            for number in 0..100 * SHARDS as u128 {
                held[map.shard(&Key::new(Uuid::from_u128(number)))] += 1;
            }
            let fullest = held.iter().max().unwrap();
            assert!(*fullest < 200, "a shard of 100 on average holds {fullest} with {seed:?}");
        }
    }
}
