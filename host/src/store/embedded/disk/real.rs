//! A directory of the operating system, and the lock that keeps a second process out of it.
//!
//! It adds nothing to what the system does: no cache, no retries. What it must know is how a directory is
//! made so that it lasts, and that entries are synced apart from the bytes of files.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::{Disk, DiskFile, Open};
use crate::store::StoreError;
use crate::store::embedded::failure::io_failed;

/// Held by whoever has the directory.
pub(super) const LOCK_FILE: &str = "lock";

/// `ENFILE`: the system has too many files open.
const TOO_MANY_OF_ALL: i32 = 23;
/// `EMFILE`: the process has.
const TOO_MANY: i32 = 24;

/// A directory on a disk of this machine.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    /// Its entries, open as long as it is used: to sync them needs no further file. None where that is not done.
    entries: Option<File>,
}

/// Keeps other processes out of the directory as long as it lives.
#[derive(Debug)]
pub struct DirectoryLock(File);

impl DirectoryLock {
    /// The lock that a file holds.
    pub(super) const fn new(file: File) -> Self {
        Self(file)
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that another thread is just starting has it open, too, until it has
        // begun. If this fails, the lock goes with the last of them.
        let _ = self.0.unlock();
    }
}

impl RealDisk {
    /// Opens a directory, making it and its missing parents, so that they last.
    ///
    /// # Errors
    /// `NotAStore` when something else has the name, else when the system does not let it be made.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let missing = directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).count();
        fs::create_dir_all(directory).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                StoreError::NotAStore { path: directory.to_owned(), reason: "it is not a directory".to_owned() }
            }
            _ => write_failed(directory, &error),
        })?;
        // The last one also when it was there: an earlier run may have died before it could.
        for parent in directory.ancestors().skip(1).take(missing.max(1)) {
            match sync_directory(parent) {
                Err(error) if missing > 0 => return Err(write_failed(parent, &error)),
                // Whoever made it may own the parent; this process need not.
                _ => {}
            }
        }
        let entries = entries_of(directory).map_err(|error| write_failed(directory, &error))?;
        Ok(Self { directory: directory.to_owned(), entries })
    }

    /// Takes the directory for this process; it is free again when the answer is dropped, or the process
    /// ends in whatever way.
    ///
    /// # Errors
    /// `InUse` when somebody else has it, this process included.
    pub fn lock(&self) -> Result<DirectoryLock, StoreError> {
        let path = self.directory.join(LOCK_FILE);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| write_failed(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: self.directory.clone() }),
            Err(TryLockError::Error(error)) => Err(write_failed(&path, &error)),
        }
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.directory.join(name);
        check_is_file(&path)?;
        let mut options = File::options();
        options.read(true).write(true).create_new(how == Open::New);
        Ok(Arc::new(RealFile::new(options.open(path).map_err(of_opening)?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        names(&self.directory)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync(&self) -> io::Result<()> {
        self.entries.as_ref().map_or(Ok(()), File::sync_all)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// Names of all that lies in a directory. One that is not Unicode is none of the store's.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    entries.filter_map(Result::transpose).collect()
}

/// Refuses what is there and is no file, wherever links lead. So a file whose disk is not mounted is not taken for absent,
/// and nobody waits for a pipe.
pub(super) fn check_is_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            Err(io::Error::other("it is a link that leads to nothing"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The system opens no more files.
#[derive(Debug, Error)]
#[error("{0}: connections and files are more than this process may have; allow it more by `ulimit -n` or LimitNOFILE=")]
pub(in crate::store::embedded) struct TooManyOpen(io::Error);

/// What the system says when it does not open a file. That too many are open passes, as a full disk does: connections
/// come and go.
pub(super) fn of_opening(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(TOO_MANY_OF_ALL | TOO_MANY) if cfg!(unix) => {
            io::Error::new(io::ErrorKind::QuotaExceeded, TooManyOpen(error))
        }
        _ => error,
    }
}

/// Makes the entries of a directory last.
fn sync_directory(path: &Path) -> io::Result<()> {
    entries_of(path)?.as_ref().map_or(Ok(()), File::sync_all)
}

/// The entries of a directory, where they are synced by themselves.
fn entries_of(path: &Path) -> io::Result<Option<File>> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path).map(Some) } else { Ok(None) }
}

fn write_failed(path: &Path, error: &io::Error) -> StoreError {
    io_failed(&path.display().to_string(), error)
}

#[cfg(unix)]
pub(super) use positioned::RealFile;
#[cfg(not(unix))]
pub(super) use seeking::RealFile;

/// Files of systems that read and write at a place without a shared cursor.
#[cfg(unix)]
mod positioned {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    use super::DiskFile;

    #[derive(Debug)]
    pub(in super::super) struct RealFile(File);

    impl RealFile {
        pub(in super::super) const fn new(file: File) -> Self {
            Self(file)
        }
    }

    impl DiskFile for RealFile {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.metadata()?.len())
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read_exact_at(out, offset)
        }

        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.write_all_at(bytes, offset)
        }

        fn set_len(&self, bytes: u64) -> io::Result<()> {
            self.0.set_len(bytes)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync_data()
        }
    }
}

/// Files of other systems: one cursor, one at a time.
#[cfg(not(unix))]
mod seeking {
    use std::fs::File;
    use std::io::{self, Read, Seek, SeekFrom, Write};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::DiskFile;

    #[derive(Debug)]
    pub(in super::super) struct RealFile(Mutex<File>);

    impl RealFile {
        pub(in super::super) const fn new(file: File) -> Self {
            Self(Mutex::new(file))
        }

        fn file(&self) -> MutexGuard<'_, File> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn at(&self, offset: u64) -> io::Result<MutexGuard<'_, File>> {
            let mut file = self.file();
            file.seek(SeekFrom::Start(offset))?;
            Ok(file)
        }
    }

    impl DiskFile for RealFile {
        fn len(&self) -> io::Result<u64> {
            Ok(self.file().metadata()?.len())
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.at(offset)?.read_exact(out)
        }

        fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.at(offset)?.write_all(bytes)
        }

        fn set_len(&self, bytes: u64) -> io::Result<()> {
            self.file().set_len(bytes)
        }

        fn sync(&self) -> io::Result<()> {
            self.file().sync_data()
        }
    }
}
