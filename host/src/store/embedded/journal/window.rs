//! Reads a file front to back in chunks, and finds the records in it.

use std::sync::Arc;

use super::record::{HEAD_BYTES, Head};
use crate::store::StoreError;
use crate::store::embedded::disk::DiskFile;

/// Bytes read at once; more only for a record that is larger.
const CHUNK_BYTES: usize = 1 << 20;

/// A part of a file that is in memory.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    /// For messages.
    path: String,
    file_bytes: u64,
    seed: u64,
    /// Where `bytes` begin in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(file: Arc<dyn DiskFile>, path: String, seed: u64) -> Result<Self, StoreError> {
        let mut window = Self { file, path, file_bytes: 0, seed, start: 0, bytes: Vec::new() };
        window.file_bytes = window.file.len().map_err(|error| window.failed(&error))?;
        Ok(window)
    }

    pub(super) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The record at an offset, with its payload, if a whole one is there.
    pub(super) fn record(&mut self, offset: u64) -> Result<Option<(Head, &[u8])>, StoreError> {
        let Some(head) = self.head(offset)? else { return Ok(None) };
        let bytes = self.bytes(offset, HEAD_BYTES + head.payload_bytes)?;
        let payload = bytes.and_then(|bytes| bytes.get(HEAD_BYTES..)).filter(|payload| head.verifies(payload));
        Ok(payload.map(|payload| (head, payload)))
    }

    /// The head at an offset, if one is there.
    pub(super) fn head(&mut self, offset: u64) -> Result<Option<Head>, StoreError> {
        let seed = self.seed;
        Ok(self.bytes(offset, HEAD_BYTES)?.and_then(|bytes| Head::parse(bytes, offset, seed)))
    }

    /// Bytes of the file; none if it ends before.
    fn bytes(&mut self, offset: u64, bytes: usize) -> Result<Option<&[u8]>, StoreError> {
        if offset.checked_add(bytes as u64).is_none_or(|end| end > self.file_bytes) {
            return Ok(None);
        }
        if self.within(offset, bytes).is_none() {
            self.fill(offset, bytes)?;
        }
        Ok(self.within(offset, bytes))
    }

    fn within(&self, offset: u64, bytes: usize) -> Option<&[u8]> {
        let skipped = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(skipped..skipped.checked_add(bytes)?)
    }

    /// Reads from `offset` on, at least so many bytes, which the file has.
    fn fill(&mut self, offset: u64, bytes: usize) -> Result<(), StoreError> {
        let left = usize::try_from(self.file_bytes - offset).unwrap_or(usize::MAX);
        self.start = offset;
        self.bytes.resize(bytes.max(CHUNK_BYTES.min(left)), 0);
        let read = self.file.read(offset, &mut self.bytes);
        read.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        StoreError::ReadFailed { reason: format!("{}: {error}", self.path) }
    }
}
