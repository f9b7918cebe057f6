//! A directory that is looked at and never changed: what is written to it stays in memory.
//!
//! So a store can be opened as a server would open it, which mends, makes and removes files, and nothing of that is
//! there afterwards. Files are opened for reading alone. No file is made, so none belongs to whoever looked.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::real::{DirectoryLock, LOCK_FILE, RealFile, check_is_file, names};
use super::{Disk, DiskFile, Open};
use crate::store::StoreError;
use crate::store::embedded::failure::io_read_failed;

/// Bytes that are kept together once one of them is written.
const PAGE_BYTES: usize = 4096;

/// A directory that stays as it is.
#[derive(Debug)]
pub struct UntouchedDisk {
    directory: PathBuf,
    /// What became of names; those that are not here are as the directory has them.
    names: Mutex<HashMap<String, Option<Arc<UntouchedFile>>>>,
}

impl UntouchedDisk {
    /// A look at a directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), names: Mutex::default() }
    }

    /// Keeps servers out as long as the answer lives; none when no server was ever there, which a file would tell.
    ///
    /// # Errors
    /// `InUse` when somebody else has the directory, or when the system does not let that be told.
    pub fn lock(&self) -> Result<Option<DirectoryLock>, StoreError> {
        let path = self.directory.join(LOCK_FILE);
        let failed = |error: &io::Error| io_read_failed(&path.display().to_string(), error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| failed(&error))?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(DirectoryLock::new(file))),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: self.directory.clone() }),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<UntouchedFile>>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that has a name now.
    fn file(&self, name: &str) -> io::Result<Arc<UntouchedFile>> {
        match self.names().get(name) {
            Some(Some(file)) => return Ok(Arc::clone(file)),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let path = self.directory.join(name);
        check_is_file(&path)?;
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let file = Arc::new(UntouchedFile::new(Some(RealFile::new(file)), bytes));
        Ok(Arc::clone(
            self.names().entry(name.to_owned()).or_insert(Some(file)).as_ref().ok_or(io::ErrorKind::NotFound)?,
        ))
    }
}

impl Disk for UntouchedDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        match (how, self.file(name)) {
            (Open::Existing, found) => Ok(found?),
            (Open::New, Ok(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (Open::New, Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            (Open::New, Err(_)) => {
                let file = Arc::new(UntouchedFile::new(None, 0));
                self.names().insert(name.to_owned(), Some(Arc::clone(&file)));
                Ok(file)
            }
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let changed = self.names();
        let below = names(&self.directory)?.into_iter().filter(|name| !changed.contains_key(name));
        let made = changed.iter().filter(|(_, file)| file.is_some()).map(|(name, _)| name.clone());
        Ok(made.chain(below).collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.file(name)?;
        self.names().insert(name.to_owned(), None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        let mut names = self.names();
        names.insert(from.to_owned(), None);
        names.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// A file as it is in the directory, and what was written over it.
#[derive(Debug)]
struct UntouchedFile {
    /// None when it is not there.
    below: Option<RealFile>,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    bytes: u64,
    /// So many bytes of the file below still count.
    below_bytes: u64,
    /// Whole pages by their number, in place of what is below.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl UntouchedFile {
    const fn new(below: Option<RealFile>, bytes: u64) -> Self {
        Self { below, over: Mutex::new(Over { bytes, below_bytes: bytes, pages: BTreeMap::new() }) }
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `out` from below, with zeros where that has ended.
    fn read_below(&self, below_bytes: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(below_bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (from_below, zeros) = out.split_at_mut(there);
        zeros.fill(0);
        match &self.below {
            Some(below) if !from_below.is_empty() => below.read(offset, from_below),
            _ => Ok(()),
        }
    }
}

/// The pages that a range touches: the number of each, where the range begins in it, and how much of it is there.
fn pages(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, bytes);
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let page = at / PAGE_BYTES as u64;
        let within = usize::try_from(at % PAGE_BYTES as u64).unwrap_or_default();
        let count = left.min(PAGE_BYTES - within);
        at += count as u64;
        left -= count;
        Some((page, within, count))
    })
}

impl DiskFile for UntouchedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().bytes)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.saturating_add(out.len() as u64) > over.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if over.pages.is_empty() {
            return self.read_below(over.below_bytes, offset, out);
        }
        for (page, within, count) in pages(offset, out.len()) {
            let (piece, rest) = std::mem::take(&mut out).split_at_mut(count);
            match over.pages.get(&page).and_then(|page| page.get(within..within + count)) {
                Some(written) => piece.copy_from_slice(written),
                None => self.read_below(over.below_bytes, page * PAGE_BYTES as u64 + within as u64, piece)?,
            }
            out = rest;
        }
        Ok(())
    }

    fn write(&self, offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        over.bytes = over.bytes.max(offset.saturating_add(bytes.len() as u64));
        let below_bytes = over.below_bytes;
        for (page, within, count) in pages(offset, bytes.len()) {
            let (piece, rest) = bytes.split_at(count);
            let whole = match over.pages.entry(page) {
                Entry::Occupied(written) => written.into_mut(),
                Entry::Vacant(place) => {
                    let mut whole = vec![0; PAGE_BYTES].into_boxed_slice();
                    self.read_below(below_bytes, page * PAGE_BYTES as u64, &mut whole)?;
                    place.insert(whole)
                }
            };
            if let Some(place) = whole.get_mut(within..within + count) {
                place.copy_from_slice(piece);
            }
            bytes = rest;
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut over = self.over();
        if bytes < over.bytes {
            over.below_bytes = over.below_bytes.min(bytes);
            over.pages.split_off(&bytes.div_ceil(PAGE_BYTES as u64));
            let within = usize::try_from(bytes % PAGE_BYTES as u64).unwrap_or_default();
            let cut = over.pages.get_mut(&(bytes / PAGE_BYTES as u64)).and_then(|page| page.get_mut(within..));
            if let Some(cut) = cut {
                cut.fill(0);
            }
        }
        over.bytes = bytes;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
