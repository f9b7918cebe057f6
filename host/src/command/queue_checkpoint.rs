//! How far the queue of accepted commands has come, as a row.
//!
//! It is kept among the snapshots, under the name of the queue's stream, which no aggregate has. *Key: the stream's name
//! -> value: format (1 byte, 2), position (8 bytes), version (8), big-endian.* Written by `queue` once a second while it
//! moves; read when it begins; one row. It only saves time: without it the queue is read from its beginning, and what has
//! an outcome is passed over.

use super::error::CommandError;
use super::snapshot::owner;
use super::snapshots::Snapshots;
use crate::event::{ACCEPTED_STREAM, Position, Version};
use crate::store::{StateChange, Store, StoreError};

/// The format of the row, another than that of snapshots.
const FORMAT: u8 = 2;

/// Up to where every accepted command is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) position: Position,
    /// The version of that event in the queue's stream.
    pub(super) version: Version,
}

impl Checkpoint {
    fn encode(self) -> Vec<u8> {
        let mut row = vec![FORMAT];
        row.extend(self.position.0.to_be_bytes());
        row.extend(self.version.0.to_be_bytes());
        row
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (format, rest) = row.split_first()?;
        let (position, rest) = rest.split_first_chunk()?;
        let version = rest.try_into().ok()?;
        (*format == FORMAT).then(|| Self {
            position: Position(u64::from_be_bytes(*position)),
            version: Version(u64::from_be_bytes(version)),
        })
    }
}

/// Where the queue goes on. Blocks.
pub(super) fn read(store: &dyn Store) -> Result<Checkpoint, StoreError> {
    let row = store.state_get(&owner(), ACCEPTED_STREAM)?;
    Ok(row.as_deref().and_then(Checkpoint::decode).unwrap_or_default())
}

/// Notes where the queue goes on.
pub(super) async fn write(rows: &Snapshots, checkpoint: Checkpoint) -> Result<(), CommandError> {
    rows.change(vec![StateChange { key: ACCEPTED_STREAM.to_owned(), value: Some(checkpoint.encode()) }]).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_checkpoint_survives_as_a_row_that_is_no_snapshot(position: u64, version: u64) {
            let checkpoint = Checkpoint { position: Position(position), version: Version(version) };
            let row = checkpoint.encode();
            prop_assert_eq!(Checkpoint::decode(&row), Some(checkpoint));
            prop_assert_eq!(Checkpoint::decode(&row[..16]), None);
            prop_assert!(super::super::snapshot::Snapshot::decode(&row).is_none());
        }
    }
}
