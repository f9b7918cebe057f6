//! Opening a data directory: the lock, the file, its format, and the index over what it holds.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableError};

use super::block::BlockView;
use super::encoding::Malformed;
use super::failure::{File, contain, corrupted, open_failed, read_failed, write_failed};
use super::index::{Entry, Index};
use super::tables::{DEAD_LETTERS, EVENTS, FORMAT_VERSION, FORMAT_VERSION_KEY, META, PROGRESS, STATE};
use crate::event::Position;
use crate::store::StoreError;

const FILE: &str = "events.redb";
/// Where a file is made, to be renamed when it is whole: a kill in between must not leave half a file.
const NEW_FILE: &str = "events.redb.new";
const LOCK_FILE: &str = "lock";

/// An opened file and what was learned from reading it.
pub(super) struct Opened {
    pub(super) database: File,
    pub(super) index: Index,
    pub(super) head: Position,
    /// Time of the last event.
    pub(super) timestamp_us: u64,
    /// Held as long as the store is open; none over a backend that somebody else brought.
    pub(super) lock: Option<fs::File>,
}

/// Whether there is a store in a directory.
pub(super) fn exists(directory: &Path) -> bool {
    directory.join(FILE).is_file()
}

/// Opens the store in a directory, making both if they are not there.
pub(super) fn open(directory: &Path, cache_bytes: usize) -> Result<Opened, StoreError> {
    let not_a_store = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            StoreError::NotAStore { path: directory.to_owned(), reason: "it is not a directory".to_owned() }
        }
        _ => failed(directory, &error),
    };
    let missing = directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).count();
    fs::create_dir_all(directory).map_err(not_a_store)?;
    // The last one also when it was there: an earlier run may have died before it could.
    for parent in directory.ancestors().skip(1).take(missing.max(1)) {
        match sync_directory(parent) {
            Err(error) if missing > 0 => return Err(write_error(parent, &error)),
            // Whoever made it may own the parent; this process need not.
            _ => {}
        }
    }
    let lock = lock(directory)?;
    let path = directory.join(FILE);
    if !path.try_exists().map_err(|error| failed(&path, &error))? {
        make(directory, &path)?;
    }
    sync_directory(directory).map_err(|error| write_error(directory, &error))?;
    let damaged = |reason| StoreError::NotAStore { path: path.clone(), reason };
    let open = || {
        let database = builder(cache_bytes).open(&path).map_err(|error| open_failed(directory, &path, error))?;
        let database = File::new(database);
        check_format(&database, directory, &path)?;
        load(database)
    };
    contain(open, damaged).map(|opened| Opened { lock: Some(lock), ..opened })
}

/// Opens, or makes, the store in a backend; `directory` is for messages.
pub(super) fn open_backend(
    backend: impl StorageBackend,
    directory: &Path,
    cache_bytes: usize,
) -> Result<Opened, StoreError> {
    let damaged = |reason| StoreError::NotAStore { path: directory.to_owned(), reason };
    let open = || {
        let database = builder(cache_bytes).create_with_backend(backend);
        let database = File::new(database.map_err(|error| open_failed(directory, directory, error))?);
        if is_fresh(&database)? {
            make_tables(&database)?;
        }
        check_format(&database, directory, directory)?;
        load(database)
    };
    contain(open, damaged)
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

fn lock(directory: &Path) -> Result<fs::File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let file = fs::File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(&path, &error)),
    }
}

/// Makes a whole file under another name, then gives it its own.
fn make(directory: &Path, path: &Path) -> Result<(), StoreError> {
    let new = directory.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write_error(&new, &error)),
        _ => {}
    }
    let database = builder(1 << 20).create(&new).map_err(|error| write_failed(redb::Error::from(error)))?;
    make_tables(&database)?;
    drop(database);
    fs::rename(&new, path).map_err(|error| write_error(path, &error))
}

/// Makes new entries of a directory last.
fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    if cfg!(unix) { fs::File::open(path)?.sync_all() } else { Ok(()) }
}

fn is_fresh(database: &Database) -> Result<bool, StoreError> {
    let transaction = database.begin_read().map_err(read_failed)?;
    let mut tables = transaction.list_tables().map_err(read_failed)?;
    Ok(tables.next().is_none())
}

fn make_tables(database: &Database) -> Result<(), StoreError> {
    let make = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(EVENTS)?;
        transaction.open_table(STATE)?;
        transaction.open_table(PROGRESS)?;
        transaction.open_table(DEAD_LETTERS)?;
        transaction.open_table(META)?.insert(FORMAT_VERSION_KEY, FORMAT_VERSION)?;
        transaction.commit()?;
        Ok(())
    };
    make().map_err(write_failed)
}

fn check_format(database: &Database, directory: &Path, path: &Path) -> Result<(), StoreError> {
    let not_a_store = |reason: String| StoreError::NotAStore { path: path.to_owned(), reason };
    let transaction = database.begin_read().map_err(read_failed)?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::Storage(error)) => return Err(read_failed(error)),
        Err(error) => return Err(not_a_store(format!("it is a redb file of another program ({error})"))),
    };
    let found = table.get(FORMAT_VERSION_KEY).map_err(read_failed)?.map(|row| row.value());
    match found {
        Some(FORMAT_VERSION) => Ok(()),
        Some(found) if found > FORMAT_VERSION => Err(StoreError::NewerFormat {
            path: directory.to_owned(),
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: u32::try_from(FORMAT_VERSION).unwrap_or(u32::MAX),
        }),
        found => Err(not_a_store(format!("its format version is {found:?}"))),
    }
}

/// Reads every block, verifies it and what it says of positions, versions and ids, and builds the index.
fn load(database: File) -> Result<Opened, StoreError> {
    let mut index = Index::new();
    let (mut head, mut timestamp_us) = (Position::START, 0);
    let transaction = database.begin_read().map_err(read_failed)?;
    let table = transaction.open_table(EVENTS).map_err(read_failed)?;
    for row in table.iter().map_err(read_failed)? {
        let (first, bytes) = row.map_err(read_failed)?;
        let first = Position(first.value());
        if first != head.next() {
            return Err(corrupted(head.next())(Malformed("events are missing")));
        }
        let block = BlockView::verify(first, bytes.value()).map_err(corrupted(first))?;
        while head < block.last() {
            head = head.next();
            let view = block.event(head).map_err(corrupted(head))?;
            let entry = Entry::stored(&view, head).map_err(corrupted(head))?;
            index.add(&entry).map_err(corrupted(head))?;
            timestamp_us = timestamp_us.max(view.timestamp_us);
        }
    }
    drop((table, transaction));
    Ok(Opened { database, index, head, timestamp_us, lock: None })
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::ReadFailed { reason: format!("{}: {error}", path.display()) }
}

fn write_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::WriteFailed { reason: format!("{}: {error}", path.display()) }
}
