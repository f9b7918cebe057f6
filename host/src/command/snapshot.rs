//! A snapshot as a row: the state of one aggregate at a version of its stream, one for each stream.
//!
//! Rows are kept as those of plugins are, under a name that no plugin can have. *Key: the stream's name -> value: format
//! (1 byte, 1), schema (4 bytes), version (8), position (8), all big-endian, then what the code gave.* Written by
//! `snapshots`; read by `shard`, which checks it against the log; grows with streams; trimmed by `snapshots drop`.

use crate::event::{PluginName, Position, StreamName, Version};
use crate::store::{Owner, SNAPSHOTS_OWNER, Store, StoreError};

/// The format of the row.
const FORMAT: u8 = 1;
/// Largest snapshot that is kept, in bytes.
pub(super) const SNAPSHOT_BYTES_MAX: usize = 1 << 20;

/// The state of an aggregate at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) schema: u32,
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) bytes: Vec<u8>,
}

impl Snapshot {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORMAT];
        row.extend(self.schema.to_be_bytes());
        row.extend(self.version.0.to_be_bytes());
        row.extend(self.position.0.to_be_bytes());
        row.extend(&self.bytes);
        row
    }

    /// None for what another release wrote otherwise.
    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (format, rest) = row.split_first()?;
        let (schema, rest) = rest.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (position, bytes) = rest.split_first_chunk()?;
        (*format == FORMAT).then(|| Self {
            schema: u32::from_be_bytes(*schema),
            version: Version(u64::from_be_bytes(*version)),
            position: Position(u64::from_be_bytes(*position)),
            bytes: bytes.to_vec(),
        })
    }
}

/// Whose rows they are.
pub(super) fn owner() -> Owner {
    PluginName::from_stored(SNAPSHOTS_OWNER).into()
}

/// The snapshot of a stream's aggregate, if there is one. Blocks.
pub(super) fn read(store: &dyn Store, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
    Ok(store.state_get(&owner(), stream.as_str())?.as_deref().and_then(Snapshot::decode))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_snapshot_survives_as_a_row(schema: u32, version: u64, position: u64, bytes: Vec<u8>) {
            let snapshot = Snapshot { schema, version: Version(version), position: Position(position), bytes };
            let row = snapshot.encode();
            prop_assert_eq!(Snapshot::decode(&row), Some(snapshot));
            prop_assert_eq!(Snapshot::decode(&row[..20]), None);
            prop_assert_eq!(Snapshot::decode(&[&[FORMAT + 1], &row[1..]].concat()), None);
        }
    }
}
