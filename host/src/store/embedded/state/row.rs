//! Values of rows: a checksum that ties the value to its table and key, then the value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::store::StoreError;

/// Which row, for the checksum and for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowName<'a> {
    /// The table.
    pub(super) table: &'static str,
    /// The plugin, or nothing.
    pub(super) owner: &'a str,
    /// The rest of the key, as text.
    pub(super) key: &'a str,
}

impl RowName<'_> {
    fn seed(self) -> u64 {
        [self.owner, self.key].iter().fold(xxh3_64(self.table.as_bytes()), |seed, part| {
            xxh3_64_with_seed(part.as_bytes(), seed.wrapping_add(part.len() as u64))
        })
    }

    /// The value as it is stored.
    pub(super) fn encode(self, value: &[u8]) -> Vec<u8> {
        let mut row = Vec::with_capacity(8 + value.len());
        row.extend_from_slice(&xxh3_64_with_seed(value, self.seed()).to_le_bytes());
        row.extend_from_slice(value);
        row
    }

    /// A value as JSON, as it is stored.
    pub(super) fn encode_json(self, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value)
            .map(|json| self.encode(&json))
            .map_err(|error| StoreError::WriteFailed { reason: format!("{} does not encode: {error}", self.table) })
    }

    /// Length of the value in a stored row, which is not looked at.
    pub(super) const fn value_bytes(row: &[u8]) -> usize {
        row.len().saturating_sub(8)
    }

    /// The value in a stored row.
    pub(super) fn decode(self, row: &[u8]) -> Result<&[u8], StoreError> {
        let (checksum, value) = row.split_first_chunk().ok_or_else(|| self.corrupted("it is cut off"))?;
        if u64::from_le_bytes(*checksum) == xxh3_64_with_seed(value, self.seed()) {
            Ok(value)
        } else {
            Err(self.corrupted("its checksum does not match"))
        }
    }

    /// The value in a stored row of JSON.
    pub(super) fn decode_json<T: DeserializeOwned>(self, row: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(self.decode(row)?).map_err(|error| self.corrupted(&error.to_string()))
    }

    pub(super) fn corrupted(self, reason: &str) -> StoreError {
        let Self { table, owner, key } = self;
        let of = if owner.is_empty() { String::new() } else { format!(" of plugin {owner}") };
        StoreError::CorruptedRow { what: format!("the row {key:?}{of} in table {table}"), reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROW: RowName<'static> = RowName { table: "state", owner: "p", key: "k" };

    proptest! {
        #[test]
        fn a_value_survives_and_a_flipped_bit_does_not(value: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let mut row = ROW.encode(&value);
            prop_assert_eq!(ROW.decode(&row).unwrap(), &value[..]);
            let at = at.index(row.len());
            row[at] ^= 1 << bit;
            prop_assert!(ROW.decode(&row).is_err());
        }
    }

    #[test]
    fn a_value_under_another_key_is_refused() {
        let row = ROW.encode(b"v");
        for other in
            [RowName { key: "l", ..ROW }, RowName { owner: "", key: "pk", ..ROW }, RowName { table: "x", ..ROW }]
        {
            assert!(other.decode(&row).is_err(), "{other:?}");
        }
        assert_eq!(
            ROW.decode(b"short").unwrap_err().to_string(),
            "the row \"k\" of plugin p in table state is corrupted: it is cut off"
        );
    }
}
