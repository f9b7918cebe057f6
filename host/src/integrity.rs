//! Hashes that prove what the log holds: the leaf of each event, and the Merkle tree over leaves.
//!
//! As RFC 6962 §2.1 has it: a leaf is hashed behind a byte 0, two nodes behind a byte 1, so that neither
//! can be passed off as the other. Pure: it knows neither how events are encoded nor where hashes are kept.

use sha2::{Digest, Sha256};

use crate::event::Position;

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A SHA-256 hash.
pub type Hash = [u8; HASH_BYTES];

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// The leaf hash of an event: of the byte 0, its position (u64, little-endian) and its encoding.
#[must_use]
pub fn leaf_hash(position: Position, encoded: &[u8]) -> Hash {
    let mut prefix = [LEAF; 9];
    for (to, from) in prefix.iter_mut().skip(1).zip(position.0.to_le_bytes()) {
        *to = from;
    }
    Sha256::new().chain_update(prefix).chain_update(encoded).finalize().into()
}

/// The hash of an inner node: of the byte 1 and its two children.
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over leaf hashes; over none, the hash of no bytes.
#[must_use]
pub fn root(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    let mut tree = MerkleTree::default();
    leaves.into_iter().for_each(|leaf| tree.push(leaf));
    tree.root()
}

/// A tree that grows by leaves at its right edge, of which only the roots of its full subtrees are kept:
/// at most one for each bit of the number of leaves.
#[derive(Clone, Debug, Default)]
pub struct MerkleTree {
    leaves: u64,
    /// Roots of full subtrees, largest first: one for each bit that is set in `leaves`, highest first.
    full: Vec<Hash>,
}

impl MerkleTree {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // As in adding one to a binary number: each trailing one is a subtree to be joined with.
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.full.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.full.push(node);
        self.leaves += 1;
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut smallest_first = self.full.iter().rev();
        let Some(last) = smallest_first.next() else { return Sha256::digest([]).into() };
        smallest_first.fold(*last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The leaves and roots that implementations of RFC 6962 are commonly tested with.
    #[test]
    fn roots_are_those_of_rfc_6962() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves = inputs.map(|input| Hash::from(Sha256::new().chain_update([0]).chain_update(input).finalize()));
        for (count, expected) in roots.iter().enumerate() {
            assert_eq!(hex(&root(leaves[..count].iter().copied())), *expected, "{count} leaves");
        }
    }

    #[test]
    fn a_leaf_is_the_hash_of_zero_position_and_event() {
        let expected: Hash = Sha256::digest(b"\x00\x02\x01\0\0\0\0\0\0event").into();
        assert_eq!(leaf_hash(Position(0x102), b"event"), expected);
    }

    /// The definition in RFC 6962, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&defined(left), &defined(right))
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_is_the_defined_one(leaves in proptest::collection::vec(any::<Hash>(), 0..200)) {
            prop_assert_eq!(root(leaves.iter().copied()), defined(&leaves));
        }
    }
}
