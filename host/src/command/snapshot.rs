//! A snapshot as a row: the state of one aggregate at a version of its stream, one for each stream.
//!
//! Rows are kept as those of plugins are, under a name that no plugin can have. *Key: the stream's name -> value: format
//! (1 byte, 3), schema (4 bytes), maker (16), version (8), position (8), the types of its events (see [`Seen`]), numbers
//! big-endian, then what the code gave.* The maker is the beginning of the SHA-256 of who made it: the plugin's name, the
//! category, and the digest of the steps that events of such types go through, each but the last followed by a 0. In format
//! 2 there are no types, and every step counts. What another one made is left out, as is another format, and a row that is
//! damaged. Written by
//! `snapshots`; read by `shard`, which checks it against the log; grows with streams; trimmed by `snapshots drop`, and by
//! `deletions` with their streams.

use sha2::{Digest as _, Sha256};

use super::claims::AggregateSetup;
use super::seen::Seen;
use super::shard::Hot;
use crate::event::{PluginName, Position, StreamName, Version};
use crate::store::{Owner, SNAPSHOTS_OWNER, Store, StoreError};

/// The format of the row.
const FORMAT: u8 = 3;
/// The one before, without types.
const FORMAT_WITHOUT_TYPES: u8 = 2;
/// Bytes that are kept of the digest of who made it.
const MAKER_BYTES: usize = 16;
/// Largest snapshot that is kept, in bytes.
pub(super) const SNAPSHOT_BYTES_MAX: usize = 1 << 20;

/// The state of an aggregate at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) schema: u32,
    maker: [u8; MAKER_BYTES],
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) seen: Seen,
    pub(super) bytes: Vec<u8>,
}

impl Snapshot {
    /// One that code gave just now.
    pub(super) fn of(setup: &AggregateSetup, hot: &Hot, bytes: Vec<u8>) -> Self {
        let (version, position, seen) = (hot.version, hot.position, hot.seen.clone());
        Self { schema: setup.code.snapshot_schema(), maker: maker(setup, &seen), version, position, seen, bytes }
    }

    /// Whether this code made it of the same history, and understands it.
    pub(super) fn is_of(&self, setup: &AggregateSetup) -> bool {
        self.schema == setup.code.snapshot_schema() && self.maker == maker(setup, &self.seen)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORMAT];
        row.extend(self.schema.to_be_bytes());
        row.extend(self.maker);
        row.extend(self.version.0.to_be_bytes());
        row.extend(self.position.0.to_be_bytes());
        self.seen.encode(&mut row);
        row.extend(&self.bytes);
        row
    }

    /// None for what another release wrote otherwise.
    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (format, rest) = row.split_first()?;
        let (schema, rest) = rest.split_first_chunk()?;
        let (maker, rest) = rest.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (seen, bytes) = match *format {
            FORMAT => Seen::decode(rest)?,
            FORMAT_WITHOUT_TYPES => (Seen::ANY, rest),
            _ => return None,
        };
        Some(Self {
            schema: u32::from_be_bytes(*schema),
            maker: *maker,
            version: Version(u64::from_be_bytes(*version)),
            position: Position(u64::from_be_bytes(*position)),
            seen,
            bytes: bytes.to_vec(),
        })
    }
}

/// What tells who makes snapshots from others.
fn maker(setup: &AggregateSetup, seen: &Seen) -> [u8; MAKER_BYTES] {
    let AggregateSetup { plugin, category, chain, .. } = setup;
    let digest = Sha256::digest(format!("{plugin}\0{category}\0{}", seen.digest(chain)));
    digest.first_chunk().copied().unwrap_or_default()
}

/// Whose rows they are.
pub(super) fn owner() -> Owner {
    PluginName::from_stored(SNAPSHOTS_OWNER).into()
}

/// What is there, if something is: an error where it is damaged.
pub(super) type Found<T> = Option<Result<T, StoreError>>;

/// The row under a key. One that is damaged is there, and is as good as none; a disk that cannot be read is an error. Blocks.
pub(super) fn row(store: &dyn Store, key: &str) -> Result<Found<Vec<u8>>, StoreError> {
    match store.state_get(&owner(), key) {
        Err(error @ StoreError::CorruptedRow { .. }) => Ok(Some(Err(error))),
        found => Ok(found?.map(Ok)),
    }
}

/// The snapshot of a stream's aggregate, if there is one. Blocks.
pub(super) fn read(store: &dyn Store, stream: &StreamName) -> Result<Found<Snapshot>, StoreError> {
    let found = row(store, stream.as_str())?;
    Ok(found.and_then(|row| row.map(|row| Snapshot::decode(&row)).transpose()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_snapshot_survives_as_a_row(schema: u32, maker: [u8; 16], version: u64, position: u64, bytes: Vec<u8>) {
            let (version, position) = (Version(version), Position(position));
            let snapshot = Snapshot { schema, maker, version, position, seen: Seen::default(), bytes };
            let row = snapshot.encode();
            prop_assert_eq!(Snapshot::decode(&row), Some(snapshot.clone()));
            prop_assert_eq!(Snapshot::decode(&row[..38]), None);
            prop_assert_eq!(Snapshot::decode(&[&[FORMAT + 1], &row[1..]].concat()), None);
            let older = [&[FORMAT_WITHOUT_TYPES], &row[1..37], &snapshot.bytes].concat();
            prop_assert_eq!(Snapshot::decode(&older), Some(Snapshot { seen: Seen::ANY, ..snapshot }));
        }
    }
}
