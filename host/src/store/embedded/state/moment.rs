//! What plugins keep in the file, as it was at one moment, however long it is looked at.
//!
//! While a moment lives, redb does not use its pages again: whoever holds one holds it for a bounded time.

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::row::RowName;
use super::tables::{PROGRESS, STATE};
use super::{Decoded, Row, progress_key, progress_row, sizes, state_row};
use crate::store::embedded::failure::{contain_read, read_failed};
use crate::store::{Owner, Progress, StateSize, StoreError};

/// The file at one moment.
pub(in crate::store::embedded) struct Moment(ReadTransaction);

impl Moment {
    /// The file as it is now.
    pub(super) fn of(database: &Database) -> Result<Self, StoreError> {
        database.begin_read().map(Self).map_err(read_failed)
    }

    /// Progress of a partition.
    pub(in crate::store::embedded) fn progress(
        &self,
        owner: &Owner,
        partition: u32,
    ) -> Result<Option<Progress>, StoreError> {
        let key = progress_key(owner, partition);
        contain_read(|| {
            let table = self.0.open_table(PROGRESS).map_err(read_failed)?;
            let row = table.get(key.as_str()).map_err(read_failed)?;
            row.map(|row| progress_row(&key).decode_json(row.value())).transpose()
        })
    }

    /// The value under a key of a plugin's state.
    pub(in crate::store::embedded) fn state(&self, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let owner = owner.to_string();
        contain_read(|| {
            let table = self.0.open_table(STATE).map_err(read_failed)?;
            let row = table.get((owner.as_str(), key)).map_err(read_failed)?;
            row.map(|row| state_row(&owner, key).decode(row.value()).map(<[u8]>::to_vec)).transpose()
        })
    }

    /// How much state an owner has in the file.
    pub(in crate::store::embedded) fn state_size(&self, owner: &Owner) -> Result<StateSize, StoreError> {
        contain_read(|| sizes::read(&self.0, &owner.to_string()))
    }

    /// Lowest sequence of a journal that is not in the file.
    pub(in crate::store::embedded) fn journal_floor(&self) -> Result<u64, StoreError> {
        contain_read(|| sizes::roots(&self.0).map(|roots| roots.journal_floor()))
    }

    /// A plugin's state from a key on, in key order.
    pub(in crate::store::embedded) fn state_from(
        &self,
        owner: &Owner,
        start: &str,
    ) -> Result<impl Iterator<Item = Row<String, Decoded>> + use<>, StoreError> {
        self.rows_from(owner, start, |row, value| row.decode(value).map(<[u8]>::to_vec))
    }

    /// The same with empty values: those of the file are not looked at.
    pub(in crate::store::embedded) fn keys_from(
        &self,
        owner: &Owner,
        start: &str,
    ) -> Result<impl Iterator<Item = Row<String, Decoded>> + use<>, StoreError> {
        self.rows_from(owner, start, |_, _| Ok(Vec::new()))
    }

    fn rows_from(
        &self,
        owner: &Owner,
        start: &str,
        value_of: fn(RowName<'_>, &[u8]) -> Decoded,
    ) -> Result<impl Iterator<Item = Row<String, Decoded>> + use<>, StoreError> {
        let wanted = owner.to_string();
        let (rows, table) = contain_read(|| {
            let table = self.0.open_table(STATE).map_err(read_failed)?;
            Ok((table.range((wanted.as_str(), start)..).map_err(read_failed)?, table))
        })?;
        Ok(rows.map_while(move |row| {
            // What redb lends of a table must not outlive it.
            let _table = &table;
            let read = || {
                let (found, value) = row.map_err(read_failed)?;
                let (owner, key) = found.value();
                if owner != wanted {
                    return Ok(None);
                }
                let value = value_of(state_row(owner, key), value.value());
                Ok(Some((key.to_owned(), Some(value))))
            };
            read().transpose()
        }))
    }
}
