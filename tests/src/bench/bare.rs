//! The limit: a bare file, made and filled with zeros before, one write and one sync per group.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tidemill::store::AppendRequest;

use super::{Latencies, Sink};

/// Bytes that an event of the workload takes at least in a log: payload, names, numbers, hash.
pub const RECORD_BYTES: usize = 340;
/// Length of the file; writing starts over at its end.
const FILE_BYTES: usize = 64 << 20;

/// A file that is as fast as the disk lets one be.
#[derive(Debug)]
pub struct BareFile {
    file: File,
    at: usize,
    bytes: Vec<u8>,
}

impl BareFile {
    /// Makes the file in a directory, all zeros and synced.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let mut file = File::create_new(directory.join("bare"))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..FILE_BYTES / zeros.len() {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        file.rewind()?;
        Ok(Self { file, at: 0, bytes: Vec::new() })
    }

    /// Writes and syncs the bytes of so many events.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn commit(&mut self, events: usize) -> io::Result<()> {
        let bytes = events * RECORD_BYTES;
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0x5A);
        }
        if self.at + bytes > FILE_BYTES {
            self.file.rewind()?;
            self.at = 0;
        }
        self.file.write_all(self.bytes.get(..bytes).unwrap_or_default())?;
        self.at += bytes;
        self.file.sync_data()
    }

    /// Commits groups of so many events for a time, one after the other; answers how long each took.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn commit_for(&mut self, length: Duration, group: usize) -> io::Result<Latencies> {
        let mut latencies = Latencies::default();
        let end = Instant::now() + length;
        while Instant::now() < end {
            let begin = Instant::now();
            self.commit(group)?;
            latencies.add(begin.elapsed());
        }
        Ok(latencies)
    }
}

/// The bare file behind a group commit: what clients get when there is no store at all.
#[derive(Debug)]
pub struct BareSink(pub BareFile);

impl Sink for BareSink {
    fn commit(&mut self, group: &[AppendRequest]) -> anyhow::Result<Vec<bool>> {
        self.0.commit(group.iter().map(|request| request.events.len()).sum())?;
        Ok(vec![true; group.len()])
    }
}
