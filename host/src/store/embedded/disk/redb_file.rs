//! redb over a [`DiskFile`], so that its file stands in the same fault model as the store's own.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::DiskFile;

/// A file as redb wants it.
///
/// Its lock methods stay unsupported, on purpose: redb's locks keep processes apart, and the store's own
/// lock on the whole directory ([`super::RealDisk::lock`]) does that before the file is touched.
#[derive(Debug)]
pub(in crate::store::embedded) struct RedbFile(pub(in crate::store::embedded) Arc<dyn DiskFile>);

impl StorageBackend for RedbFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }
}
