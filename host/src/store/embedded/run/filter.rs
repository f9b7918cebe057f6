//! The filter of a run: says of most keys that are not there that they are not, from one cache line.
//!
//! A split-block Bloom filter as in the Parquet format's description ("Bloom Filter"): blocks of eight u32
//! words; the upper half of a key's hash chooses the block, the lower half one bit in each word. With
//! [`BITS_PER_KEY`] about 0.5 % of absent keys pass. Hashes are seeded by the store's id, so that nobody
//! outside can choose names that collide.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::store::embedded::key::{Key, Kind};

/// Bits of filter for each key expected.
const BITS_PER_KEY: u64 = 12;
/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 32;
/// Bytes of a part that is read or written at once: a filter is not held twice.
pub(super) const PART_BYTES: usize = 256 << 10;
/// Most blocks: the hash chooses by 32 bits.
const BLOCKS_MAX: u64 = 1 << 31;
/// Odd numbers that spread the lower half of a hash over the words, from the description.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// Hash of a key in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    /// The hash of a key's bytes in the store of this id.
    #[inline]
    pub(super) fn new(store_id: u128, key: &[u8]) -> Self {
        Self(xxh3_64_with_seed(key, (store_id >> 64) as u64 ^ store_id as u64))
    }
}

/// A key to look up, with its hash, which is computed once for all runs that are probed.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::embedded) struct Probe<'a> {
    pub(super) key: &'a [u8],
    pub(super) hash: KeyHash,
}

impl<'a> Probe<'a> {
    /// Of a key in the store of this id.
    pub(in crate::store::embedded) fn new(store_id: u128, key: &'a Key) -> Self {
        Self::of_bytes(store_id, key.as_bytes())
    }

    /// Of the bytes of a key, such as [`id_bytes`].
    pub(in crate::store::embedded) fn of_bytes(store_id: u128, key: &'a [u8]) -> Self {
        Self { key, hash: KeyHash::new(store_id, key) }
    }
}

/// The bytes of an id's key, without an allocation.
pub(in crate::store::embedded) fn id_bytes(id: Uuid) -> [u8; 17] {
    let mut bytes = [Kind::Id as u8; 17];
    for (to, from) in bytes.iter_mut().skip(1).zip(id.into_bytes()) {
        *to = from;
    }
    bytes
}

/// Eight words that share a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct Block([u32; 8]);

/// The filter, in memory.
#[derive(Debug)]
pub(super) struct Filter(Vec<Block>);

impl Filter {
    /// An empty one for about so many keys.
    pub(super) fn for_keys(keys: u64) -> Self {
        let blocks = (keys.saturating_mul(BITS_PER_KEY) / (8 * BLOCK_BYTES as u64)).clamp(1, BLOCKS_MAX);
        Self(vec![Block::default(); blocks as usize])
    }

    /// Starts to read one of so many blocks back.
    pub(super) fn with_room(blocks: u64) -> Self {
        Self(Vec::with_capacity(blocks as usize))
    }

    /// Adds blocks read back; the bytes are whole blocks.
    pub(super) fn add_blocks(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.as_chunks::<BLOCK_BYTES>().0.iter().map(|bytes| {
            let mut block = Block::default();
            for (word, bytes) in block.0.iter_mut().zip(bytes.as_chunks().0) {
                *word = u32::from_le_bytes(*bytes);
            }
            block
        }));
    }

    /// Its bytes, in parts.
    pub(super) fn parts(&self) -> impl Iterator<Item = Vec<u8>> {
        let part = |blocks: &[Block]| blocks.iter().flat_map(|block| block.0).flat_map(u32::to_le_bytes).collect();
        self.0.chunks(PART_BYTES / BLOCK_BYTES).map(part)
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> u64 {
        self.0.len() as u64
    }

    /// Adds a key.
    #[inline]
    pub(super) fn insert(&mut self, hash: KeyHash) {
        let place = self.place(hash);
        if let Some(block) = self.0.get_mut(place) {
            for (word, mask) in block.0.iter_mut().zip(masks(hash)) {
                *word |= mask;
            }
        }
    }

    /// Whether the key may be there; false is certain.
    #[inline]
    pub(super) fn may_contain(&self, hash: KeyHash) -> bool {
        let missing =
            |block: &Block| block.0.iter().zip(masks(hash)).fold(0, |missing, (word, mask)| missing | (mask & !word));
        self.0.get(self.place(hash)).is_some_and(|block| missing(block) == 0)
    }

    #[inline]
    fn place(&self, hash: KeyHash) -> usize {
        (((hash.0 >> 32) * self.0.len() as u64) >> 32) as usize
    }
}

#[inline]
fn masks(hash: KeyHash) -> [u32; 8] {
    SALTS.map(|salt| 1 << ((hash.0 as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_pass_and_few_others() {
        let hash = |number: u64| KeyHash::new(7 << 64, &number.to_le_bytes());
        let mut filter = Filter::for_keys(100_000);
        (0..100_000).for_each(|number| filter.insert(hash(number)));
        let mut read = Filter::with_room(filter.blocks());
        filter.parts().for_each(|part| read.add_blocks(&part));
        let filter = read;
        assert!((0..100_000).all(|number| filter.may_contain(hash(number))));
        let passed = (100_000..300_000).filter(|number| filter.may_contain(hash(*number))).count();
        assert!(passed < 2_000, "{passed} of 200000 absent keys passed, above 1 %");
        assert_eq!(align_of::<Block>(), BLOCK_BYTES);
    }

    #[test]
    fn an_empty_filter_has_a_block_and_lets_nothing_pass() {
        let filter = Filter::for_keys(0);
        assert_eq!(filter.blocks(), 1);
        assert!(!filter.may_contain(KeyHash::new(1, b"a")));
    }

    #[test]
    fn another_store_hashes_otherwise() {
        assert_ne!(KeyHash::new(1, b"a"), KeyHash::new(2, b"a"));
        assert_eq!(id_bytes(Uuid::from_u128(5)), Key::id(Uuid::from_u128(5)).as_bytes());
    }
}
