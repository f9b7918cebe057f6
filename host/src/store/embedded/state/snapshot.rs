//! The file as it is at one moment, to be copied into a file of its own while others write to it.

use std::io;
use std::sync::Arc;

use redb::{
    Builder, Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError,
    TableHandle as _, Value, WriteTransaction,
};

use super::tables::{
    DEAD_LETTERS, META, PROGRESS, RECORDS, REMOVALS, ROOTS, RUNS, SEGMENTS, STATE, STATE_SIZES, TRACKING,
};
use super::{JournalMark, Manifest, ManifestChange, StateFile, fill_manifest, manifest_of};
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, DiskFile, Open, RedbFile};
use crate::store::embedded::failure::{File, contain_read, io_failed, open_failed, read_failed, write_failed};

/// The copy while it is made. Its name is gone before anything is in it: a crash leaves at most an empty file, which the next
/// copy removes.
const COPY_FILE: &str = "state.redb.copy";
/// Memory for pages of the copy, in bytes.
const CACHE_BYTES: usize = 16 << 20;
/// Every table of the file.
const TABLES: [&str; 11] = [
    "dead_letters",
    "meta",
    "plugins",
    "progress",
    "removals",
    "roots",
    "runs",
    "segments",
    "state",
    "state_sizes",
    "tracking",
];

/// What the file held at one moment. While it lives, redb does not use the pages of that moment again.
pub(in crate::store::embedded) struct StateSnapshot {
    transaction: ReadTransaction,
    /// The manifest of that moment.
    pub(in crate::store::embedded) manifest: Manifest,
}

impl StateFile {
    /// The file as it is now.
    pub(in crate::store::embedded) fn snapshot(&self) -> Result<StateSnapshot, StoreError> {
        self.read(|database| {
            let transaction = database.begin_read().map_err(read_failed)?;
            let manifest = manifest_of(&transaction, &self.disk.path(super::FILE))?;
            Ok(StateSnapshot { transaction, manifest })
        })
    }
}

impl StateSnapshot {
    /// Copies every row into a file of its own, which no name leads to, and says in it how far the journals had come.
    /// One copy is made at a time.
    pub(in crate::store::embedded) fn copy(
        &self,
        disk: &dyn Disk,
        mark: JournalMark,
    ) -> Result<Arc<dyn DiskFile>, StoreError> {
        let file = nameless(disk).map_err(|error| io_failed(COPY_FILE, &error))?;
        contain_read(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            let database = builder.create_with_backend(RedbFile(Arc::clone(&file)));
            let database = File::new(database.map_err(|error| open_failed(COPY_FILE, error))?);
            let transaction = database.begin_write().map_err(write_failed)?;
            copy_tables(&self.transaction, &transaction)?;
            fill_manifest(&transaction, &ManifestChange { mark, ..ManifestChange::default() })?;
            transaction.commit().map_err(write_failed)
        })?;
        Ok(file)
    }
}

/// An empty file without a name: it is gone when it is closed, in whatever way.
fn nameless(disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
    match disk.remove(COPY_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(COPY_FILE, Open::New)?;
    disk.remove(COPY_FILE)?;
    Ok(file)
}

fn copy_tables(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), StoreError> {
    for table in from.list_tables().map_err(read_failed)? {
        // Lest a backup lacks what a later table holds.
        if !TABLES.contains(&table.name()) {
            return Err(StoreError::ReadFailed { reason: format!("there is a table {} to copy", table.name()) });
        }
    }
    copy_table(from, to, META)?;
    copy_table(from, to, ROOTS)?;
    copy_table(from, to, SEGMENTS)?;
    copy_table(from, to, RUNS)?;
    copy_table(from, to, REMOVALS)?;
    copy_table(from, to, RECORDS)?;
    copy_table(from, to, TRACKING)?;
    copy_table(from, to, PROGRESS)?;
    copy_table(from, to, STATE)?;
    copy_table(from, to, STATE_SIZES)?;
    copy_table(from, to, DEAD_LETTERS)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), StoreError> {
    let rows = match from.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        opened => opened.map_err(read_failed)?,
    };
    let mut copy = to.open_table(table).map_err(write_failed)?;
    for row in rows.iter().map_err(read_failed)? {
        let (key, value) = row.map_err(read_failed)?;
        copy.insert(key.value(), value.value()).map_err(write_failed)?;
    }
    Ok(())
}
