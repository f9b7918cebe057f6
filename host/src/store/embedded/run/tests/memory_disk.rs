//! A disk in memory, for tests of runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::store::embedded::disk::{Disk, DiskFile, Open};

/// Files by name.
#[derive(Debug, Default)]
pub(super) struct MemoryDisk(Mutex<BTreeMap<String, Arc<MemoryFile>>>);

#[derive(Debug, Default)]
pub(super) struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryDisk {
    /// The bytes of a file, to look at or to damage.
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap()[name].0.lock().unwrap().clone()
    }

    /// Changes the bytes of a file under whoever has it open.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.0.lock().unwrap()[name].0.lock().unwrap());
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.0.lock().unwrap();
        match (how, files.get(name)) {
            (Open::Existing, Some(file)) => Ok(Arc::<MemoryFile>::clone(file)),
            (Open::Existing, None) => Err(io::ErrorKind::NotFound.into()),
            (Open::New, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (Open::New, None) => {
                let file = Arc::new(MemoryFile::default());
                files.insert(name.to_owned(), Arc::clone(&file));
                Ok(file)
            }
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.lock().unwrap();
        let start = (offset as usize).min(bytes.len());
        let from = bytes[start..].get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let end = offset as usize + from.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
