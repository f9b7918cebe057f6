//! What an operator does to a store beside reading and writing it: verify it, mend its index, look at its sizes.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::disk::{DirectoryLock, Disk, Open, RealDisk, UntouchedDisk};
use super::failure::io_read_failed;
use super::journal;
use super::open::Journals;
use super::segment::Segments;
use super::state::{self, Manifest, StateFile};
use super::store::{EmbeddedStore, OpenOptions};
use super::verify::{Repaired, Verifier, VerifyProgress, VerifyReport, repair_runs};
use super::view::View;
use crate::clock::Clock;
use crate::event::Position;
use crate::store::{Counts, Removals, Store, StoreError};

/// Memory for pages of the state file while a closed store is looked at.
const CACHE_BYTES: usize = 8 << 20;

/// A store that is not open for use: nobody else may have it open meanwhile.
pub struct ClosedStore {
    disk: Arc<dyn Disk>,
    state: StateFile,
    manifest: Manifest,
    _lock: Option<DirectoryLock>,
}

impl std::fmt::Debug for ClosedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClosedStore").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl ClosedStore {
    /// Takes hold of the store in a data directory.
    ///
    /// # Errors
    /// When another process has it open, there is none, or its manifest cannot be read.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        if !EmbeddedStore::exists(directory) {
            let reason = format!("there is no {} in it", state::FILE);
            return Err(StoreError::NotAStore { path: directory.to_owned(), reason });
        }
        let disk = RealDisk::open(directory)?;
        let lock = disk.lock()?;
        Self::open_on(Arc::new(disk)).map(|store| Self { _lock: Some(lock), ..store })
    }

    /// Looks at the store in a data directory that nobody has open, and changes nothing there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn look(directory: &Path) -> Result<Self, StoreError> {
        if !EmbeddedStore::exists(directory) {
            let reason = format!("there is no {} in it", state::FILE);
            return Err(StoreError::NotAStore { path: directory.to_owned(), reason });
        }
        let disk = UntouchedDisk::new(directory);
        let lock = disk.lock()?;
        Self::open_on(Arc::new(disk)).map(|store| Self { _lock: lock, ..store })
    }

    /// Opens the store in a data directory as a server would, in memory as far as that writes, and closes it again.
    /// Whoever asks keeps others out meanwhile.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn try_to_open(directory: &Path, clock: Arc<dyn Clock>) -> Result<Counts, StoreError> {
        let disk = Arc::new(UntouchedDisk::new(directory));
        EmbeddedStore::open_on(disk, &OpenOptions::new(directory), clock)?.counts()
    }

    /// Takes hold of the store on a disk.
    ///
    /// # Errors
    /// When there is none, or its manifest cannot be read.
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        let (state, manifest) = StateFile::open(Arc::clone(&disk), CACHE_BYTES)?;
        Ok(Self { disk, state, manifest, _lock: None })
    }

    /// Looks at every byte.
    #[must_use]
    pub fn verify(&self, tell: &mut dyn FnMut(VerifyProgress)) -> VerifyReport {
        let mut verifier = Verifier::new(&*self.disk, &self.manifest, tell);
        verifier.sealed();
        verifier.state(&self.state);
        match Journals::read(&*self.disk, &self.manifest) {
            Ok(journals) => {
                let head = journals.head;
                if let Some(view) = self.view(journals) {
                    verifier.hot(&Arc::new(view), head);
                }
            }
            Err(error) => verifier.problem("the journals".to_owned(), error, false),
        }
        verifier.finish()
    }

    /// A view of the journals alone.
    fn view(&self, journals: Journals) -> Option<View> {
        let segments = self.manifest.segments.clone();
        let segments = Segments::new(Arc::clone(&self.disk), self.manifest.store_id, segments).ok()?;
        let mut frozen = journals.generations;
        let active = frozen.pop()?;
        Some(View::new(&self.manifest, Arc::new(segments), Vec::new(), frozen, active))
    }

    /// Verifies, and makes anew what of the index is missing, damaged, or says something else than the log.
    ///
    /// # Errors
    /// When events that the index is made from are damaged, or the disk fails.
    pub fn repair_indexes(&self, tell: &mut dyn FnMut(VerifyProgress)) -> Result<Repaired, StoreError> {
        let report = self.verify(tell);
        let damaged: HashSet<_> =
            report.problems.into_iter().filter(|problem| problem.repairable).map(|problem| problem.place).collect();
        repair_runs(&self.disk, &self.state, &self.manifest, &damaged)
    }

    /// The sizes of its parts.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        Sizes::of(&*self.disk, &self.manifest)
    }
}

impl EmbeddedStore {
    /// Looks at every byte of the store while it is in use, as it was when this began.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub fn verify(&self, tell: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, StoreError> {
        let head = self.head();
        let shared = self.shared();
        // Files of the manifest that a merge or a compaction replaces meanwhile are gone: then it is begun again.
        loop {
            let view = shared.view();
            let manifest = shared.state.manifest()?;
            let mut verifier = Verifier::new(&*shared.disk, &manifest, tell);
            verifier.sealed();
            verifier.state(&shared.state);
            verifier.hot(&view, head);
            let report = verifier.finish();
            if report.problems.is_empty() || shared.state.manifest()?.runs == manifest.runs {
                return Ok(report);
            }
        }
    }

    /// The sizes of its parts.
    ///
    /// # Errors
    /// When the manifest or the directory cannot be read.
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        let sizes = Sizes::of(&*self.shared().disk, &self.shared().state.manifest()?)?;
        let compaction_failed = self.shared().upkeep.compaction_failed().map(|error| error.to_string());
        Ok(Sizes { compaction_failed, ..sizes })
    }
}

/// How large a store's parts are, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Files and bytes of sealed events.
    pub segments: Part,
    /// Files and bytes of the index over them, and how many runs each level has, from level 0.
    pub runs: Part,
    /// Runs of each level, from level 0.
    pub runs_by_level: Vec<usize>,
    /// Files and bytes of journals, used or not.
    pub journals: Part,
    /// Bytes of the file of plugins' data.
    pub state_bytes: u64,
    /// Bytes of the sealed events as they are encoded.
    pub payload_bytes: u64,
    /// How many sealed events were removed and their space given back.
    pub stubs: u64,
    /// What was removed, whether or not its space was given back.
    pub removals: Removals,
    /// Why no space is given back until the store is opened anew, if so.
    pub compaction_failed: Option<String>,
    /// Position of the last sealed event.
    pub sealed: Position,
    /// Times of the first and the last sealed event, in microseconds since the Unix epoch.
    pub sealed_us: Option<(u64, u64)>,
}

/// Files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// How many.
    pub files: usize,
    /// Their bytes together.
    pub bytes: u64,
}

impl Part {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl Sizes {
    fn of(disk: &dyn Disk, manifest: &Manifest) -> Result<Self, StoreError> {
        let mut sizes = Self { sealed: manifest.sealed(), ..Self::default() };
        for row in &manifest.segments {
            sizes.segments.add(row.summary.file_bytes);
            sizes.payload_bytes += row.summary.payload_bytes;
            sizes.stubs += row.stubs;
        }
        sizes.removals = manifest.removals.clone();
        for row in &manifest.runs {
            sizes.runs.add(row.bytes);
            let level = row.level as usize;
            if sizes.runs_by_level.len() <= level {
                sizes.runs_by_level.resize(level + 1, 0);
            }
            if let Some(count) = sizes.runs_by_level.get_mut(level) {
                *count += 1;
            }
        }
        for slot in journal::slots(disk).map_err(|error| io_read_failed("the data directory", &error))? {
            sizes.journals.add(length(disk, &journal::file_of_slot(slot))?);
        }
        sizes.state_bytes = length(disk, state::FILE)?;
        sizes.sealed_us = manifest
            .segments
            .first()
            .zip(manifest.segments.last())
            .map(|(first, last)| (first.summary.first_timestamp_us, last.summary.last_timestamp_us));
        Ok(sizes)
    }

    /// All of it.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.segments.bytes + self.runs.bytes + self.journals.bytes + self.state_bytes
    }
}

fn length(disk: &dyn Disk, name: &str) -> Result<u64, StoreError> {
    let length = disk.open(name, Open::Existing).and_then(|file| file.len());
    length.map_err(|error| io_read_failed(name, &error))
}
