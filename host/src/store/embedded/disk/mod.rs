//! The disk as the store sees it: one directory of files, and the little that may be assumed of them.
//!
//! Everything the store keeps goes through these two traits, redb's file included, so that one fault model
//! covers all of it. Assumed: what was written before a [`DiskFile::sync`] that succeeded survives a crash,
//! its length included; entries made or removed before a [`Disk::sync`] that succeeded survive it too; of
//! everything else any part may be there, torn at any byte. Reads see writes at once.
//!
//! [`RealDisk`] is a directory of the system; [`sim::SimDisk`] keeps nothing but what may be assumed and
//! fails on command, for tests. [`UntouchedDisk`] is a directory of the system that stays as it is.

mod real;
mod redb_file;
pub mod sim;
#[cfg(test)]
mod tests;
mod untouched;

use std::fmt;
use std::io;
use std::sync::Arc;

pub(super) use real::TooManyOpen;
pub use real::{DirectoryLock, RealDisk};
pub(super) use redb_file::RedbFile;
pub use untouched::UntouchedDisk;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must be there.
    Existing,
    /// It is made, empty; it must not be there.
    New,
}

/// A directory of files. Names are plain file names, without separators.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens a file for reading and writing; a link is what it leads to.
    ///
    /// # Errors
    /// `NotFound` or `AlreadyExists` as asked by `how`, another when what has the name is no file, or what the system says.
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn DiskFile>>;

    /// Names of all that lies there, in no order. What is no file is found to be none when it is opened.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a file; who has it open may go on reading it.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, replacing what has it.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes it last which names there are.
    ///
    /// # Errors
    /// What the system says; what is on the disk is unknown then.
    fn sync(&self) -> io::Result<()>;

    /// Where it is, for messages.
    fn path(&self, name: &str) -> String;
}

/// An open file, to be read and written at any place by several threads.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|bytes| bytes == 0)
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, or what the system says.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes at `offset`, making the file longer if need be.
    ///
    /// # Errors
    /// `StorageFull`, or what the system says; a part may be written.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off, or makes it longer by zeros.
    ///
    /// # Errors
    /// `StorageFull`, or what the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes its bytes and its length last.
    ///
    /// # Errors
    /// What the system says; what is on the disk is unknown then, and stays so when a later sync succeeds.
    fn sync(&self) -> io::Result<()>;
}
