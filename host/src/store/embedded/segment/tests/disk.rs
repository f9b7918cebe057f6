//! A disk in memory that remembers how it was read.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::store::embedded::disk::{Disk, DiskFile, Open};

#[derive(Debug, Default)]
pub(super) struct MemoryDisk(Mutex<BTreeMap<String, Arc<MemoryFile>>>);

#[derive(Debug, Default)]
pub(super) struct MemoryFile {
    pub(super) bytes: RwLock<Vec<u8>>,
    /// Lengths of the reads so far.
    pub(super) reads: Mutex<Vec<usize>>,
    pub(super) syncs: AtomicUsize,
    /// Longest length that it may have; none for any.
    pub(super) bytes_max: Mutex<Option<usize>>,
}

impl MemoryDisk {
    pub(super) fn file(&self, name: &str) -> Arc<MemoryFile> {
        Arc::clone(&self.0.lock().unwrap()[name])
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.file(name).bytes.read().unwrap().clone()
    }

    /// Puts a file there, in the place of the one that may be there.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let file = MemoryFile { bytes: RwLock::new(bytes), ..MemoryFile::default() };
        self.0.lock().unwrap().insert(name.to_owned(), Arc::new(file));
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.0.lock().unwrap();
        match (files.get(name), how) {
            (Some(file), Open::Existing) => Ok(Arc::clone(file) as _),
            (None, Open::Existing) => Err(ErrorKind::NotFound.into()),
            (Some(_), Open::New) => Err(ErrorKind::AlreadyExists.into()),
            (None, Open::New) => Ok(Arc::clone(files.entry(name.to_owned()).or_default()) as _),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("/memory/{name}")
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.read().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.reads.lock().unwrap().push(out.len());
        let bytes = self.bytes.read().unwrap();
        let place = usize::try_from(offset).unwrap()..usize::try_from(offset).unwrap() + out.len();
        out.copy_from_slice(bytes.get(place).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.write().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let end = offset + from.len();
        if self.bytes_max.lock().unwrap().is_some_and(|max| end > max) {
            return Err(ErrorKind::StorageFull.into());
        }
        let longer = bytes.len().max(end);
        bytes.resize(longer, 0);
        bytes[offset..end].copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.bytes.write().unwrap().resize(usize::try_from(bytes).unwrap(), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
