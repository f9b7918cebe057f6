//! A disk in memory that records what is done to it, fails on command, and shows what a crash may leave.
//!
//! It is the seam for crash and fault tests: a store is run over it; then, for any number of its recorded
//! operations, [`SimDisk::crash_image`] builds the disk as it may be found when the machine stopped just
//! after them, to be opened by a new store. Its model is the least that [`super::Disk`] promises: bytes and
//! length of a file last from its own sync on, names from the directory's; everything else may be lost in
//! any combination, torn at any byte. A file's sync that fails settles nothing, then or later: who wants the
//! bytes to last writes them again.
//!
//! Operations are numbered from 0 in one order over all files: creating, writing, setting a length, syncing,
//! removing, renaming, syncing the directory; those that fail too. Opening what is there and reading are
//! none. A kill of the process alone is no crash: open the same disk again.

mod faults;
mod image;
mod pages;
mod replay;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use faults::{Fault, On};
pub use image::Plan;

use super::{Disk, DiskFile, Open};
use faults::{Faults, Struck};
use image::Picker;
use pages::Pages;
use replay::{Base, FileChange, NameChange, Operation, Replay, Snapshot, Synced};

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// What was there before the first operation; it is synced.
    start: Snapshot,
    state: Mutex<State>,
    /// Kept between images, so that sweeping over the operations replays each once.
    replay: Mutex<Option<Replay>>,
}

#[derive(Default)]
struct State {
    /// What reads see.
    now: Snapshot,
    log: Vec<Operation>,
    faults: Faults,
    files_made: u64,
}

impl SimDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn holding(start: Snapshot, files_made: u64) -> Self {
        let state = State { now: start.clone(), files_made, ..State::default() };
        Self(Arc::new(Shared { start, state: Mutex::new(state), replay: Mutex::default() }))
    }

    /// How many operations were recorded.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.state().log.len()
    }

    /// What an operation did, for messages.
    #[must_use]
    pub fn describe(&self, operation: usize) -> String {
        let state = self.state();
        let name = |file: u64| {
            let named = state.now.names.0.iter().find(|(_, named)| **named == file);
            named.map_or_else(|| format!("removed file {file}"), |(name, _)| name.clone())
        };
        match state.log.get(operation) {
            None => "no operation".to_owned(),
            Some(Operation::Nothing) => "failed".to_owned(),
            Some(Operation::Name(change)) => format!("{change:?}"),
            Some(Operation::File(file, FileChange::Write { offset, bytes })) => {
                format!("write {} bytes at {offset} of {}", bytes.len(), name(*file))
            }
            Some(Operation::File(file, FileChange::SetLen { bytes })) => {
                format!("set the length of {} to {bytes}", name(*file))
            }
            Some(Operation::SyncFile(file, synced)) => format!("sync {}: {synced:?}", name(*file)),
            Some(Operation::SyncNames(synced)) => format!("sync the directory: {synced:?}"),
        }
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.inject(fault);
    }

    /// Bounds the bytes of all files together; a write that needs more writes what fits and fails with
    /// `StorageFull`. Overwriting needs no room.
    pub fn set_room(&self, bytes: u64) {
        self.state().faults.room_bytes = bytes;
    }

    /// How many bytes all files have together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Lets syncs, each with this probability, be answered without being done.
    pub fn drop_syncs(&self, probability: f64, seed: u64) {
        self.state().faults.drop_syncs(probability, seed);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// The disk as it may be found after a crash just after the first so many operations (all of them, if
    /// there are less). Equal arguments give equal images. Images are cheapest in the order of operations.
    #[must_use]
    pub fn crash_image(&self, operations: usize, plan: Plan, seed: u64) -> Self {
        let mut replay = self.0.replay.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        let behind = replay.take().filter(|replay| replay.operations <= operations);
        let replay = replay.insert(behind.unwrap_or_else(|| Replay::new(&self.0.start)));
        let todo = state.log.iter().take(operations).skip(replay.operations);
        todo.for_each(|operation| replay.advance(operation));
        let files_made = state.files_made;
        drop(state);
        Self::holding(Picker::new(plan, seed, replay).image(replay), files_made)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state()
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let names = state.now.names.0.keys().collect::<Vec<_>>();
        f.debug_struct("SimDisk").field("names", &names).field("operations", &state.log.len()).finish()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&self) -> u64 {
        let files = self.now.names.0.values().filter_map(|file| self.now.files.get(file));
        files.fold(0, |used, pages| used.saturating_add(pages.len()))
    }

    /// Counts a call that would be recorded; if it is to fail, records that it did nothing.
    fn strike(&mut self, on: On) -> io::Result<()> {
        match self.faults.strike(&[On::Change, on]) {
            Some(struck) => self.fail(struck.error),
            None => Ok(()),
        }
    }

    fn fail<T>(&mut self, error: io::Error) -> io::Result<T> {
        self.log.push(Operation::Nothing);
        Err(error)
    }

    fn change_names(&mut self, change: NameChange) {
        self.now.names.apply(&change);
        self.log.push(Operation::Name(change));
    }

    fn change_file(&mut self, file: u64, change: FileChange) {
        self.pages(file).apply(&change);
        self.log.push(Operation::File(file, change));
    }

    fn pages(&mut self, file: u64) -> &mut Pages {
        self.now.files.entry(file).or_default()
    }

    /// How long a file may become.
    fn room_for(&mut self, file: u64) -> u64 {
        let left = self.faults.room_bytes.saturating_sub(self.used());
        self.pages(file).len().saturating_add(left)
    }

    fn write(&mut self, file: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = pages::end(offset, bytes.len())?;
        let mut struck = self.faults.strike(&[On::Change, On::Write]);
        if struck.is_none() && end > self.pages(file).len() {
            let fits = self.room_for(file).saturating_sub(offset);
            struck = (fits < bytes.len() as u64).then(|| Struck {
                error: io::ErrorKind::StorageFull.into(),
                written_bytes: usize::try_from(fits).unwrap_or(usize::MAX),
            });
        }
        let written = struck.as_ref().map_or(bytes.len(), |struck| struck.written_bytes.min(bytes.len()));
        match bytes.get(..written) {
            Some(bytes) if written > 0 => self.change_file(file, FileChange::Write { offset, bytes: bytes.into() }),
            _ => self.log.push(Operation::Nothing),
        }
        struck.map_or(Ok(()), |struck| Err(struck.error))
    }

    fn set_len(&mut self, file: u64, bytes: u64) -> io::Result<()> {
        self.strike(On::SetLen)?;
        if bytes > self.pages(file).len() && bytes > self.room_for(file) {
            return self.fail(io::ErrorKind::StorageFull.into());
        }
        self.change_file(file, FileChange::SetLen { bytes });
        Ok(())
    }

    fn sync(&mut self, operation: impl FnOnce(Synced) -> Operation) -> io::Result<()> {
        let struck = self.faults.strike(&[On::Change, On::Sync]);
        let synced = match &struck {
            Some(_) => Synced::Failed,
            None if self.faults.drops_sync() => Synced::Dropped,
            None => Synced::Done,
        };
        self.log.push(operation(synced));
        struck.map_or(Ok(()), |struck| Err(struck.error))
    }

    fn create(&mut self, name: &str) -> u64 {
        let file = self.files_made;
        self.files_made += 1;
        self.now.files.insert(file, Pages::default());
        self.change_names(NameChange::Create { name: name.to_owned(), file });
        file
    }

    fn named(&self, name: &str) -> io::Result<u64> {
        self.now.names.0.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = match how {
            Open::New if state.named(name).is_ok() => return Err(io::ErrorKind::AlreadyExists.into()),
            Open::New => {
                if let Some(struck) = state.faults.strike(&[On::Change, On::Open]) {
                    return state.fail(struck.error);
                }
                state.create(name)
            }
            Open::Existing => match state.faults.strike(&[On::Open]) {
                Some(struck) => return Err(struck.error),
                None => state.named(name)?,
            },
        };
        Ok(Arc::new(SimFile { disk: Arc::clone(&self.0), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().now.names.0.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.named(name)?;
        state.strike(On::Rename)?;
        state.change_names(NameChange::Remove { name: name.to_owned(), file });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.named(from)?;
        state.strike(On::Rename)?;
        state.change_names(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.state().sync(Operation::SyncNames)
    }

    fn path(&self, name: &str) -> String {
        format!("simulated/{name}")
    }
}

struct SimFile {
    disk: Arc<Shared>,
    file: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().pages(self.file).len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.faults.strike(&[On::Read]) {
            Some(struck) => Err(struck.error),
            None => state.pages(self.file).read(offset, out),
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.state().write(self.file, offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.state().set_len(self.file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(|synced| Operation::SyncFile(self.file, synced))
    }
}
