//! How much state each owner has in the file: a row beside the state's own, changed in the same transaction.
//!
//! A release that knows nothing of it seals without it. Then the roots do not say that it was kept
//! ([`Roots::has_sizes`]), and opening the file counts once: that reads all state there is.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::manifest::Roots;
use super::row::RowName;
use super::tables::{ROOTS, ROOTS_KEY, STATE, STATE_SIZES};
use super::{Moment, optional, roots_row};
use crate::store::embedded::failure::{read_failed, write_failed};
use crate::store::{Owner, StateSize, StoreError};

/// What a transaction changes of an owner's state, in size.
#[derive(Debug, Default)]
pub(super) struct Change {
    added: StateSize,
    removed: StateSize,
}

impl Change {
    /// Takes note of a key, and of how many bytes its value had and has.
    pub(super) fn note(&mut self, key: &str, before: Option<usize>, after: Option<usize>) {
        for (sum, value) in [(&mut self.removed, before), (&mut self.added, after)] {
            *sum += value.map(|value| StateSize::of_entry(key.len(), value)).unwrap_or_default();
        }
    }

    /// Makes the change.
    pub(super) fn fill(self, transaction: &WriteTransaction, owner: &str) -> Result<(), StoreError> {
        let mut table = transaction.open_table(STATE_SIZES).map_err(write_failed)?;
        let stored = table.get(owner).map_err(write_failed)?.map(|row| decode(owner, row.value()));
        let mut size = stored.transpose()?.unwrap_or_default();
        size += self.added;
        size -= self.removed;
        if size == StateSize::default() {
            table.remove(owner).map_err(write_failed)?;
        } else {
            table.insert(owner, encode(owner, size).as_slice()).map_err(write_failed)?;
        }
        Ok(())
    }
}

/// How much state an owner has.
pub(super) fn read(transaction: &ReadTransaction, owner: &str) -> Result<StateSize, StoreError> {
    let Some(table) = optional(transaction, STATE_SIZES)? else { return Ok(StateSize::default()) };
    let row = table.get(owner).map_err(read_failed)?;
    row.map_or(Ok(StateSize::default()), |row| decode(owner, row.value()))
}

/// The roots of the manifest.
pub(super) fn roots(transaction: &ReadTransaction) -> Result<Roots, StoreError> {
    let table = transaction.open_table(ROOTS).map_err(read_failed)?;
    let row = table.get(ROOTS_KEY).map_err(read_failed)?;
    roots_row().decode_json(row.as_ref().map(|row| row.value()).unwrap_or_default())
}

/// Counts, if anything was sealed without.
pub(super) fn keep(database: &Database) -> Result<(), StoreError> {
    let roots = roots(&database.begin_read().map_err(read_failed)?)?;
    if roots.has_sizes() {
        return Ok(());
    }
    let mut transaction = database.begin_write().map_err(write_failed)?;
    transaction.set_quick_repair(true);
    let sizes = count(&transaction)?;
    let mut table = transaction.open_table(STATE_SIZES).map_err(write_failed)?;
    table.retain(|_, _| false).map_err(write_failed)?;
    for (owner, size) in sizes {
        table.insert(owner.as_str(), encode(&owner, size).as_slice()).map_err(write_failed)?;
    }
    drop(table);
    let row = roots_row().encode_json(&roots.counted_sizes())?;
    transaction.open_table(ROOTS).map_err(write_failed)?.insert(ROOTS_KEY, row.as_slice()).map_err(write_failed)?;
    transaction.commit().map_err(write_failed)
}

/// How much state every owner has.
fn count(transaction: &WriteTransaction) -> Result<BTreeMap<String, StateSize>, StoreError> {
    let mut sizes = BTreeMap::<String, StateSize>::new();
    let table = transaction.open_table(STATE).map_err(write_failed)?;
    for row in table.iter().map_err(read_failed)? {
        let (found, value) = row.map_err(read_failed)?;
        let (owner, key) = found.value();
        let size = StateSize::of_entry(key.len(), RowName::value_bytes(value.value()));
        match sizes.get_mut(owner) {
            Some(sum) => *sum += size,
            None => drop(sizes.insert(owner.to_owned(), size)),
        }
    }
    Ok(sizes)
}

/// Reads all state of an owner, and compares.
pub(super) fn verify(moment: &Moment, owner: &Owner) -> Result<(), StoreError> {
    let mut counted = StateSize::default();
    for row in moment.state_from(owner, "")? {
        let (key, value) = row?;
        let value = value.transpose()?;
        counted += value.map(|value| StateSize::of_entry(key.len(), value.len())).unwrap_or_default();
    }
    let noted = moment.state_size(owner)?;
    if counted == noted {
        return Ok(());
    }
    let StateSize { keys, bytes } = counted;
    let reason = format!("it says {} keys and {} bytes, and there are {keys} and {bytes}", noted.keys, noted.bytes);
    Err(row_name(&owner.to_string()).corrupted(&reason))
}

fn row_name(owner: &str) -> RowName<'_> {
    RowName { table: "state_sizes", owner, key: "size" }
}

fn encode(owner: &str, size: StateSize) -> Vec<u8> {
    row_name(owner).encode(&[size.keys.to_le_bytes(), size.bytes.to_le_bytes()].concat())
}

fn decode(owner: &str, row: &[u8]) -> Result<StateSize, StoreError> {
    let name = row_name(owner);
    let value = name.decode(row)?;
    let numbers = value.split_first_chunk::<8>().and_then(|(keys, bytes)| Some((*keys, bytes.try_into().ok()?)));
    let (keys, bytes) = numbers.ok_or_else(|| name.corrupted("it is no size"))?;
    Ok(StateSize { keys: u64::from_le_bytes(keys), bytes: u64::from_le_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Manifest, ManifestChange, StateFile};
    use super::*;
    use crate::event::Position;
    use crate::store::embedded::disk::sim::SimDisk;
    use crate::store::embedded::overlay::{Overlay, Work};
    use crate::store::{Progress, StateChange, UnitOfWork};

    fn seal(file: &StateFile, floor: u64, state: &[(&str, Option<&[u8]>)]) {
        let change =
            |(key, value): &(&str, Option<&[u8]>)| StateChange { key: (*key).into(), value: value.map(Into::into) };
        let work = UnitOfWork {
            owner: "p@1".parse().unwrap(),
            partition: 0,
            progress: Progress { revision: 1, checkpoint: Position(1), ..Progress::default() },
            state: state.iter().map(change).collect(),
            events: Vec::new(),
            dead_letters: Vec::new(),
        };
        let mut overlay = Overlay::default();
        overlay.apply(Work::Unit(work));
        let change = ManifestChange { journal_floor: Some(floor), ..ManifestChange::default() };
        file.commit(Some(&overlay), &change).unwrap();
    }

    /// The file as a release left it that knows nothing of sizes.
    fn forget(file: &StateFile) {
        let forget = |database: &Database| {
            let transaction = database.begin_write().map_err(write_failed)?;
            let mut table = transaction.open_table(ROOTS).map_err(write_failed)?;
            let row = table.get(ROOTS_KEY).map_err(write_failed)?.unwrap().value().to_vec();
            let mut roots: serde_json::Value = roots_row().decode_json(&row)?;
            assert_eq!(roots.as_object_mut().unwrap().remove("sizes_floor"), Some(7.into()));
            let row = roots_row().encode_json(&roots)?;
            table.insert(ROOTS_KEY, row.as_slice()).map_err(write_failed)?;
            drop(table);
            let mut table = transaction.open_table(STATE_SIZES).map_err(write_failed)?;
            table.insert("p@1", encode("p@1", StateSize { keys: 9, bytes: 9 }).as_slice()).map_err(write_failed)?;
            table.insert("gone", encode("gone", StateSize { keys: 9, bytes: 9 }).as_slice()).map_err(write_failed)?;
            drop(table);
            transaction.commit().map_err(write_failed)
        };
        file.with(forget).unwrap();
    }

    #[test]
    fn sizes_are_kept_by_seals_and_counted_once_where_they_were_not() {
        let disk: Arc<SimDisk> = Arc::new(SimDisk::new());
        StateFile::make(&*disk, &Manifest { journal_floor: 1, ..Manifest::default() }).unwrap();
        let open = || StateFile::open(Arc::clone(&disk) as Arc<_>, 1 << 20).unwrap().0;
        let file = open();
        let owner: Owner = "p@1".parse().unwrap();
        let size = |file: &StateFile| file.moment().unwrap().state_size(&owner).unwrap();
        seal(&file, 2, &[("a", Some(b"123")), ("bc", Some(b"")), ("d", None)]);
        assert_eq!(size(&file), StateSize { keys: 2, bytes: 6 });
        seal(&file, 7, &[("a", Some(b"1")), ("bc", None), ("e", Some(b"12"))]);
        assert_eq!(size(&file), StateSize { keys: 2, bytes: 5 });
        file.verify().unwrap();
        forget(&file);
        let error = file.verify().unwrap_err().to_string();
        assert!(error.contains("it says 9 keys and 9 bytes, and there are 2 and 5"), "{error}");
        drop(file);
        let file = open();
        assert_eq!(size(&file), StateSize { keys: 2, bytes: 5 });
        assert_eq!(file.moment().unwrap().state_size(&"gone".parse().unwrap()).unwrap(), StateSize::default());
        file.verify().unwrap();
        seal(&file, 8, &[("a", None), ("e", None)]);
        assert_eq!(size(&file), StateSize::default());
    }
}
