//! The file `state.redb`: what plugins keep, and the manifest of the log. The only place that names redb,
//! apart from the adapter in `disk` and the meaning of its errors in `failure`.
//!
//! It is written only by seals, merges, compactions and removals, each in one durable transaction; what was changed since the last
//! seal stands in journals and overlays. So a commit here is the point at which a journal is no longer needed.
//!
//! redb takes no more of a file whose disk failed it once: then the file is closed, and opened anew by whoever
//! needs it next. Transactions are written so that opening needs no walk over the file (quick repair).

mod bare;
mod manifest;
mod moment;
mod row;
mod sizes;
mod snapshot;
mod tables;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bare::Bare;
use manifest::Roots;
use redb::{
    Builder, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};
use row::RowName;
use tables::{
    DEAD_LETTERS, FORMAT_VERSION_KEY, FORMAT_VERSION_REMOVALS, META, PROGRESS, RECORDS, REMOVALS, ROOTS, ROOTS_KEY,
    RUNS, SEGMENTS, STATE, STATE_SIZES, TRACKING,
};

pub(super) use bare::Part;
pub(super) use manifest::{JournalMark, Manifest, ManifestChange, RunRow};
pub(super) use moment::Moment;
pub(super) use snapshot::StateSnapshot;
pub(super) use tables::FORMAT_VERSION;

use super::disk::{Disk, Open, RedbFile};
use super::encoding::Malformed;
use super::failure::{File, contain, contain_read, io_failed, io_read_failed, open_failed, read_failed, write_failed};
use super::overlay::{Overlay, OwnerChanges};
use super::segment::SegmentRow;
use crate::event::{Category, PluginName, Position};
use crate::store::{DeadLetter, Owner, PluginRecord, Progress, Removals, StoreError};

/// The file's name.
pub(super) const FILE: &str = "state.redb";
/// Where it is made, to be renamed when it is whole: a kill in between must not leave half a file.
const NEW_FILE: &str = "state.redb.new";

/// A row of an iteration: its key and its value.
pub(super) type Row<K, V> = Result<(K, Option<V>), StoreError>;

/// A value, or why it does not decode. That fails only who needs it: a newer one may stand over it.
pub(super) type Decoded = Result<Vec<u8>, StoreError>;

/// The open file.
pub(super) struct StateFile {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    /// None after a failure, until it is opened anew.
    database: RwLock<Option<File>>,
}

impl fmt::Debug for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFile").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl StateFile {
    /// Makes the file of an empty store, whole or not at all.
    pub(super) fn make(disk: &dyn Disk, manifest: &Manifest) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| io_failed(FILE, &error);
        match disk.remove(NEW_FILE) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let file = disk.open(NEW_FILE, Open::New).map_err(failed)?;
        let database = Builder::new().create_with_backend(RedbFile(file));
        let database = File::new(database.map_err(|error| open_failed(&disk.path(NEW_FILE), error))?);
        let roots = roots_row().encode_json(&Roots::of(manifest))?;
        make_tables(&database, &roots).map_err(write_failed)?;
        drop(database);
        disk.rename(NEW_FILE, FILE).and_then(|()| disk.sync()).map_err(failed)
    }

    /// Opens the file and reads the manifest.
    pub(super) fn open(disk: Arc<dyn Disk>, cache_bytes: usize) -> Result<(Self, Manifest), StoreError> {
        let database = open(&*disk, cache_bytes)?;
        let path = disk.path(FILE);
        let damaged = |reason| StoreError::NotAStore { path: path.clone().into(), reason };
        let manifest = contain(|| read_manifest(&database, &path), damaged)?;
        contain(|| sizes::keep(&database), |reason| StoreError::WriteFailed { reason })?;
        Ok((Self { disk, cache_bytes, database: RwLock::new(Some(database)) }, manifest))
    }

    /// Commits what one of these changes, durably.
    pub(super) fn commit(&self, overlay: Option<&Overlay>, change: &ManifestChange) -> Result<(), StoreError> {
        let commit = || {
            self.with(|database| {
                let mut transaction = database.begin_write().map_err(write_failed)?;
                transaction.set_quick_repair(true);
                fill(&transaction, overlay, change)?;
                transaction.commit().map_err(write_failed)
            })
        };
        let committed = contain(commit, |reason| StoreError::WriteFailed { reason });
        if committed.is_err() {
            self.close();
        }
        committed
    }

    /// The manifest as it is now.
    pub(super) fn manifest(&self) -> Result<Manifest, StoreError> {
        self.read(|database| read_manifest(database, &self.disk.path(FILE)))
    }

    /// Reads every row of plugins' tables, and compares the sizes of state with what there is; the first that is damaged
    /// is the error.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        self.all_records()?;
        self.all_tracking()?;
        let owners: BTreeSet<_> = self.all_progress()?.into_iter().map(|(owner, ..)| owner).collect();
        for owner in owners {
            sizes::verify(&self.moment()?, &owner)?;
            self.dead_letters_from(&owner, Position::START, Part::Whole)?.try_for_each(|row| row.map(drop))?;
        }
        Ok(())
    }

    /// Progress of a partition.
    pub(super) fn progress(&self, owner: &Owner, partition: u32) -> Result<Option<Progress>, StoreError> {
        self.read(|database| Moment::of(database)?.progress(owner, partition))
    }

    /// Progress of every partition, in the order of keys.
    pub(super) fn all_progress(&self) -> Result<Vec<(Owner, u32, Progress)>, StoreError> {
        self.read(|database| {
            let table = database.begin_read().map_err(read_failed)?.open_table(PROGRESS).map_err(read_failed)?;
            let mut all = Vec::new();
            for row in table.iter().map_err(read_failed)? {
                let (key, progress) = row.map_err(read_failed)?;
                let name = progress_row(key.value());
                let (owner, partition) = parse_progress_key(key.value()).ok_or_else(|| name.corrupted(NO_OWNER))?;
                all.push((owner, partition, name.decode_json(progress.value())?));
            }
            Ok(all)
        })
    }

    /// The record of a plugin.
    pub(super) fn record(&self, plugin: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        self.read(|database| {
            let Some(table) = optional(&database.begin_read().map_err(read_failed)?, RECORDS)? else { return Ok(None) };
            let row = table.get(plugin.as_str()).map_err(read_failed)?;
            row.map(|row| record_row(plugin.as_str()).decode_json(row.value())).transpose()
        })
    }

    /// The record of every plugin that has one, in name order.
    pub(super) fn all_records(&self) -> Result<Vec<(PluginName, PluginRecord)>, StoreError> {
        self.read(|database| {
            let Some(table) = optional(&database.begin_read().map_err(read_failed)?, RECORDS)? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for row in table.iter().map_err(read_failed)? {
                let (name, record) = row.map_err(read_failed)?;
                let record = record_row(name.value()).decode_json(record.value())?;
                all.push((PluginName::from_stored(name.value()), record));
            }
            Ok(all)
        })
    }

    /// How far a source was followed.
    pub(super) fn tracking(&self, source: &str) -> Result<Option<u64>, StoreError> {
        self.read(|database| {
            let Some(table) = optional(&database.begin_read().map_err(read_failed)?, TRACKING)? else {
                return Ok(None);
            };
            let row = table.get(source).map_err(read_failed)?;
            row.map(|row| decode_tracking(source, row.value())).transpose()
        })
    }

    /// Every source that was followed, in the order of names by bytes, and how far.
    pub(super) fn all_tracking(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(|database| {
            let Some(table) = optional(&database.begin_read().map_err(read_failed)?, TRACKING)? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for row in table.iter().map_err(read_failed)? {
                let (source, position) = row.map_err(read_failed)?;
                all.push((source.value().to_owned(), decode_tracking(source.value(), position.value())?));
            }
            Ok(all)
        })
    }

    /// The value under a key of a plugin's state.
    pub(super) fn state(&self, owner: &Owner, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|database| Moment::of(database)?.state(owner, key))
    }

    /// The file as it is now, to be read more than once.
    pub(super) fn moment(&self) -> Result<Moment, StoreError> {
        self.read(Moment::of)
    }

    /// A plugin's dead letters from a position on, as they are now.
    pub(super) fn dead_letters_from(
        &self,
        owner: &Owner,
        first: Position,
        part: Part,
    ) -> Result<impl Iterator<Item = Row<Position, DeadLetter>> + use<>, StoreError> {
        let wanted = owner.to_string();
        let (rows, table) = self.read(|database| {
            let table = database.begin_read().map_err(read_failed)?.open_table(DEAD_LETTERS).map_err(read_failed)?;
            let range = (wanted.as_str(), first.0)..=(wanted.as_str(), u64::MAX);
            Ok((table.range(range).map_err(read_failed)?, table))
        })?;
        Ok(rows.map(move |row| {
            let _table = &table;
            let (key, letter) = row.map_err(read_failed)?;
            let position = Position(key.value().1);
            let (key, value) = (position.to_string(), letter.value());
            let row = dead_letter_row(&wanted, &key);
            let letter = match part {
                Part::Whole => row.decode_json(value)?,
                Part::WithoutEvidence => row.decode_json::<Bare>(value)?.into(),
            };
            Ok((position, Some(letter)))
        }))
    }

    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let result = contain_read(|| self.with(read));
        if matches!(result, Err(StoreError::ReadFailed { .. })) {
            self.close();
        }
        result
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let open = self.guard();
        if let Some(database) = &*open {
            return work(database);
        }
        drop(open);
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(open_again(&*self.disk, self.cache_bytes)?);
        }
        drop(slot);
        match &*self.guard() {
            Some(database) => work(database),
            None => Err(StoreError::ReadFailed { reason: format!("{} failed again", self.disk.path(FILE)) }),
        }
    }

    /// Makes a value of a plugin's state another than was written.
    #[cfg(test)]
    pub(super) fn damage(&self, owner: &Owner, key: &str) -> Result<(), StoreError> {
        self.with(|database| {
            let owner = owner.to_string();
            let transaction = database.begin_write().map_err(write_failed)?;
            let mut table = transaction.open_table(STATE).map_err(write_failed)?;
            let row = table.get((owner.as_str(), key)).map_err(write_failed)?.map(|row| row.value().to_vec());
            let row: Vec<_> = row.unwrap_or_default().into_iter().map(|byte| !byte).collect();
            table.insert((owner.as_str(), key), row.as_slice()).map_err(write_failed)?;
            drop(table);
            transaction.commit().map_err(write_failed)
        })
    }

    fn guard(&self) -> RwLockReadGuard<'_, Option<File>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn open(disk: &dyn Disk, cache_bytes: usize) -> Result<File, StoreError> {
    let path = disk.path(FILE);
    let damaged = |reason| StoreError::NotAStore { path: path.clone().into(), reason };
    contain(
        || {
            let file = disk.open(FILE, Open::Existing);
            let file = file.map_err(|error| io_read_failed(FILE, &error))?;
            // redb would make a database of it.
            if file.is_empty().map_err(|error| io_read_failed(FILE, &error))? {
                return Err(damaged("it is empty".to_owned()));
            }
            let mut builder = Builder::new();
            builder.set_cache_size(cache_bytes);
            let database = builder.create_with_backend(RedbFile(file));
            database.map(File::new).map_err(|error| open_failed(&path, error))
        },
        damaged,
    )
}

/// Opens a file that was open before: what fails now is the disk, not the file.
fn open_again(disk: &dyn Disk, cache_bytes: usize) -> Result<File, StoreError> {
    open(disk, cache_bytes).map_err(|error| match error {
        StoreError::WriteFailed { reason } | StoreError::NotAStore { reason, .. } => StoreError::ReadFailed { reason },
        error => error,
    })
}

fn make_tables(database: &Database, roots: &[u8]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(STATE)?;
    transaction.open_table(PROGRESS)?;
    transaction.open_table(DEAD_LETTERS)?;
    transaction.open_table(SEGMENTS)?;
    transaction.open_table(RUNS)?;
    transaction.open_table(ROOTS)?.insert(ROOTS_KEY, roots)?;
    transaction.open_table(META)?.insert(FORMAT_VERSION_KEY, FORMAT_VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn read_manifest(database: &Database, path: &str) -> Result<Manifest, StoreError> {
    manifest_of(&database.begin_read().map_err(read_failed)?, path)
}

fn manifest_of(transaction: &ReadTransaction, path: &str) -> Result<Manifest, StoreError> {
    let not_a_store = |reason: String| StoreError::NotAStore { path: path.into(), reason };
    let meta = transaction.open_table(META).map_err(|error| match error {
        TableError::Storage(error) => read_failed(error),
        error => not_a_store(format!("it is a redb file of another program ({error})")),
    })?;
    let found = meta.get(FORMAT_VERSION_KEY).map_err(read_failed)?.map(|row| row.value());
    match found {
        Some(FORMAT_VERSION | FORMAT_VERSION_REMOVALS) => {}
        Some(found) if found > FORMAT_VERSION_REMOVALS => {
            return Err(StoreError::NewerFormat {
                path: path.into(),
                found: u32::try_from(found).unwrap_or(u32::MAX),
                known: u32::try_from(FORMAT_VERSION_REMOVALS).unwrap_or(u32::MAX),
            });
        }
        found => return Err(not_a_store(format!("its format version is {found:?}"))),
    }
    let missing = |error: TableError| match error {
        TableError::Storage(error) => read_failed(error),
        error => not_a_store(error.to_string()),
    };
    // Tables of plugins are opened once here, so that later reads cannot miss them.
    transaction.open_table(STATE).map_err(missing)?;
    transaction.open_table(PROGRESS).map_err(missing)?;
    transaction.open_table(DEAD_LETTERS).map_err(missing)?;
    let table = transaction.open_table(ROOTS).map_err(missing)?;
    let roots = table.get(ROOTS_KEY).map_err(read_failed)?;
    let roots = roots.ok_or_else(|| not_a_store("its table roots is empty".to_owned()))?;
    let mut manifest = roots_row().decode_json::<Roots>(roots.value())?.manifest();
    for row in transaction.open_table(SEGMENTS).map_err(missing)?.iter().map_err(read_failed)? {
        let (first, row) = row.map_err(read_failed)?;
        let key = first.value().to_string();
        let name = file_row("segments", &key);
        let segment = SegmentRow::decode(name.decode(row.value())?);
        manifest.segments.push(segment.map_err(|Malformed(reason)| name.corrupted(reason))?);
    }
    for row in transaction.open_table(RUNS).map_err(missing)?.iter().map_err(read_failed)? {
        let (first, row) = row.map_err(read_failed)?;
        manifest.runs.push(file_row("runs", &first.value().to_string()).decode_json(row.value())?);
    }
    manifest.removals = read_removals(transaction)?;
    match manifest.flaw() {
        None => Ok(manifest),
        Some(flaw) => Err(not_a_store(format!("its manifest does not add up: {flaw}"))),
    }
}

fn read_removals(transaction: &ReadTransaction) -> Result<Removals, StoreError> {
    let mut removals = Removals::default();
    let Some(table) = optional(transaction, REMOVALS)? else { return Ok(removals) };
    for row in table.iter().map_err(read_failed)? {
        let (category, row) = row.map_err(read_failed)?;
        let category = category.value();
        removals.raise(&Category::from_stored(category), decode_removal(category, row.value())?);
    }
    Ok(removals)
}

fn decode_removal(category: &str, row: &[u8]) -> Result<Position, StoreError> {
    let name = file_row("removals", category);
    let bytes = name.decode(row)?.try_into().map_err(|_| name.corrupted("it is no position"))?;
    Ok(Position(u64::from_le_bytes(bytes)))
}

fn fill(transaction: &WriteTransaction, overlay: Option<&Overlay>, change: &ManifestChange) -> Result<(), StoreError> {
    for (owner, changes) in overlay.into_iter().flat_map(Overlay::owners) {
        fill_owner(transaction, owner, changes)?;
    }
    for (plugin, record) in overlay.into_iter().flat_map(Overlay::records) {
        let row = record_row(plugin.as_str()).encode_json(record)?;
        let mut table = transaction.open_table(RECORDS).map_err(write_failed)?;
        table.insert(plugin.as_str(), row.as_slice()).map_err(write_failed)?;
    }
    for (source, position) in overlay.into_iter().flat_map(Overlay::tracked) {
        let row = file_row("tracking", source).encode(&position.to_le_bytes());
        let mut table = transaction.open_table(TRACKING).map_err(write_failed)?;
        table.insert(source.as_str(), row.as_slice()).map_err(write_failed)?;
    }
    fill_manifest(transaction, change)
}

fn fill_owner(transaction: &WriteTransaction, owner: &Owner, changes: &OwnerChanges) -> Result<(), StoreError> {
    if changes.dropped {
        clear_owner(transaction, owner)?;
    }
    let mut table = transaction.open_table(PROGRESS).map_err(write_failed)?;
    for (partition, progress) in &changes.progress {
        let key = progress_key(owner, *partition);
        match progress {
            Some(progress) => {
                let row = progress_row(&key).encode_json(progress)?;
                table.insert(key.as_str(), row.as_slice()).map_err(write_failed)?
            }
            None => table.remove(key.as_str()).map_err(write_failed)?,
        };
    }
    let owner = owner.to_string();
    let owner = owner.as_str();
    let mut table = transaction.open_table(STATE).map_err(write_failed)?;
    let mut change = sizes::Change::default();
    for (key, value) in &changes.state {
        let before = match value {
            Some(value) => {
                let row = state_row(owner, key).encode(value);
                table.insert((owner, key.as_str()), row.as_slice()).map_err(write_failed)?
            }
            None => table.remove((owner, key.as_str())).map_err(write_failed)?,
        };
        change.note(key, before.map(|row| RowName::value_bytes(row.value())), value.as_ref().map(Vec::len));
    }
    change.fill(transaction, owner)?;
    let mut table = transaction.open_table(DEAD_LETTERS).map_err(write_failed)?;
    for (position, letter) in &changes.dead_letters {
        match letter {
            Some(letter) => {
                let row = dead_letter_row(owner, &position.to_string()).encode_json(letter)?;
                table.insert((owner, position.0), row.as_slice()).map_err(write_failed)?
            }
            None => table.remove((owner, position.0)).map_err(write_failed)?,
        };
    }
    Ok(())
}

/// Removes every row of an owner.
fn clear_owner(transaction: &WriteTransaction, owner: &Owner) -> Result<(), StoreError> {
    let mut table = transaction.open_table(PROGRESS).map_err(write_failed)?;
    let of_owner = |key: &str, _: &[u8]| parse_progress_key(key).is_none_or(|(found, _)| found != *owner);
    table.retain(of_owner).map_err(write_failed)?;
    let owner = owner.to_string();
    let owner = owner.as_str();
    let mut table = transaction.open_table(DEAD_LETTERS).map_err(write_failed)?;
    table.retain_in((owner, 0)..=(owner, u64::MAX), |_, _| false).map_err(write_failed)?;
    let mut table = transaction.open_table(STATE).map_err(write_failed)?;
    let mut sizes = transaction.open_table(STATE_SIZES).map_err(write_failed)?;
    sizes.remove(owner).map_err(write_failed)?;
    // No owner has a name between this one and it followed by the lowest character.
    let after = format!("{owner}\0");
    table.retain_in((owner, "")..(after.as_str(), ""), |_, _| false).map_err(write_failed)
}

fn fill_manifest(transaction: &WriteTransaction, change: &ManifestChange) -> Result<(), StoreError> {
    let mut table = transaction.open_table(ROOTS).map_err(write_failed)?;
    let stored = table.get(ROOTS_KEY).map_err(write_failed)?.map(|row| row.value().to_vec()).unwrap_or_default();
    let mut roots: Roots = roots_row().decode_json(&stored)?;
    roots.apply(change);
    table.insert(ROOTS_KEY, roots_row().encode_json(&roots)?.as_slice()).map_err(write_failed)?;
    for segment in &change.segments {
        let mut bytes = Vec::new();
        segment.encode(&mut bytes);
        let first = segment.summary.first;
        let row = file_row("segments", &first.to_string()).encode(&bytes);
        let mut table = transaction.open_table(SEGMENTS).map_err(write_failed)?;
        table.insert(first.0, row.as_slice()).map_err(write_failed)?;
    }
    let mut table = transaction.open_table(RUNS).map_err(write_failed)?;
    for first in &change.runs_removed {
        table.remove(first.0).map_err(write_failed)?;
    }
    for run in &change.runs {
        let row = file_row("runs", &run.first.to_string()).encode_json(run)?;
        table.insert(run.first.0, row.as_slice()).map_err(write_failed)?;
    }
    change.removal.as_ref().map_or(Ok(()), |(category, before)| fill_removal(transaction, category.as_str(), *before))
}

/// Raises a horizon; a higher one that is there already stays.
fn fill_removal(transaction: &WriteTransaction, category: &str, before: Position) -> Result<(), StoreError> {
    let mut table = transaction.open_table(REMOVALS).map_err(write_failed)?;
    let stored = table.get(category).map_err(write_failed)?;
    let stored = stored.map_or(Ok(Position::START), |row| decode_removal(category, row.value()))?;
    let row = file_row("removals", category).encode(&before.max(stored).0.to_le_bytes());
    table.insert(category, row.as_slice()).map_err(write_failed)?;
    let mut meta = transaction.open_table(META).map_err(write_failed)?;
    meta.insert(FORMAT_VERSION_KEY, FORMAT_VERSION_REMOVALS).map_err(write_failed)?;
    Ok(())
}

fn roots_row() -> RowName<'static> {
    file_row("roots", ROOTS_KEY)
}

fn state_row<'a>(owner: &'a str, key: &'a str) -> RowName<'a> {
    RowName { table: "state", owner, key }
}

fn record_row(owner: &str) -> RowName<'_> {
    RowName { table: "plugins", owner, key: "record" }
}

/// A table that a store may be without.
fn optional(
    transaction: &ReadTransaction,
    table: TableDefinition<'static, &'static str, &'static [u8]>,
) -> Result<Option<ReadOnlyTable<&'static str, &'static [u8]>>, StoreError> {
    match transaction.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(read_failed(error)),
    }
}

fn decode_tracking(source: &str, row: &[u8]) -> Result<u64, StoreError> {
    let name = file_row("tracking", source);
    let position = name.decode(row)?.try_into().map_err(|_| name.corrupted("it is no position"))?;
    Ok(u64::from_le_bytes(position))
}

const NO_OWNER: &str = "its key names no plugin";

/// The key of a partition's progress: the owner, then `/` and the partition unless that is 0.
fn progress_key(owner: &Owner, partition: u32) -> String {
    match partition {
        0 => owner.to_string(),
        partition => format!("{owner}/{partition}"),
    }
}

fn parse_progress_key(key: &str) -> Option<(Owner, u32)> {
    match key.split_once('/') {
        None => Some((key.parse().ok()?, 0)),
        Some((owner, partition)) => Some((owner.parse().ok()?, partition.parse().ok()?)),
    }
}

fn progress_row(owner: &str) -> RowName<'_> {
    RowName { table: "progress", owner, key: "progress" }
}

fn dead_letter_row<'a>(owner: &'a str, key: &'a str) -> RowName<'a> {
    RowName { table: "dead_letters", owner, key }
}

fn file_row<'a>(table: &'static str, key: &'a str) -> RowName<'a> {
    RowName { table, owner: "", key }
}
