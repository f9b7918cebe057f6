//! A backup: the files of one moment, read while the store goes on.
//!
//! The moment is a mark of the journals, all of it synced. What goes along are the state file as one transaction of
//! it saw it, every segment and run that its manifest names, and of the journals that are not sealed in it the
//! records up to the mark. So the state is never ahead of the log: what is opened is what a crash right behind the
//! mark would have left, and [`super::open`] brings the state forward by the journals as it always does.
//!
//! What keeps the parts there: a [`Lease`] the files of the manifest, the view's journals their slots, which are not
//! written over while somebody holds them. Appends, seals, merges and compactions go on meanwhile; all that a slow
//! reader holds up is room on the disk. The state is copied at the beginning, into a file without a name, lest redb
//! keeps the pages of that moment for as long as somebody reads.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use super::block::BlockView;
use super::disk::{Disk, DiskFile, Open};
use super::encoding::Malformed;
use super::failure::{corrupted, io_read_failed};
use super::hot::Generation;
use super::journal::{self, Wanted};
use super::lease::Lease;
use super::record::Record;
use super::segment::SegmentRow;
use super::shared::Shared;
use super::state::{self, JournalMark, RunRow, StateSnapshot};
use super::store::EmbeddedStore;
use crate::event::Position;
use crate::store::StoreError;

/// What a data directory held at one moment. While it lives, its files stay, and so does the store.
#[derive(Debug)]
pub struct Backup {
    head: Position,
    files: VecDeque<Part>,
    // Dropped in this order: files are removed while the directory is still locked.
    _lease: Lease,
    store: Arc<EmbeddedStore>,
}

/// A file that is still to be read.
#[derive(Debug)]
struct Part {
    name: String,
    bytes: u64,
    content: Content,
}

/// Where the bytes of a file come from.
#[derive(Debug)]
enum Content {
    /// The beginning of a journal, whose slot is kept.
    Journal(Arc<Generation>),
    /// A file without a name.
    Open(Arc<dyn DiskFile>),
    /// A file that a lease keeps.
    Named,
}

/// A file of a backup, to be read once from its first byte to its last.
#[derive(Debug)]
pub struct BackupFile {
    name: String,
    bytes: u64,
    at: u64,
    file: Arc<dyn DiskFile>,
    /// Keeps the slot of a journal until it is read.
    _journal: Option<Arc<Generation>>,
}

impl EmbeddedStore {
    /// Takes hold of what the store is now. Blocks while the plugins' state is copied, and for as long as reading
    /// the journals takes that are not sealed; appends go on.
    ///
    /// # Errors
    /// When the disk fails or has no room for a copy of the plugins' state, or what is read is damaged.
    pub fn backup(self: Arc<Self>) -> Result<Backup, StoreError> {
        let shared = self.shared();
        let lease = shared.leases.take();
        let (moment, files) = Moment::take(shared)?;
        let mut files = VecDeque::from(files);
        let copied = {
            let _one = shared.leases.copying.lock().unwrap_or_else(PoisonError::into_inner);
            moment.state.copy(&*shared.disk, moment.mark)?
        };
        let bytes = copied.len().map_err(|error| io_read_failed(state::FILE, &error))?;
        files.push_back(Part { name: state::FILE.to_owned(), bytes, content: Content::Open(copied) });
        let manifest = &moment.state.manifest;
        let segments = manifest.segments.iter().map(|row| (SegmentRow::file_name(row), row.summary.file_bytes));
        let runs = manifest.runs.iter().map(|row| (RunRow::file_name(row), row.bytes));
        files.extend(segments.chain(runs).map(|(name, bytes)| Part { name, bytes, content: Content::Named }));
        Ok(Backup { head: moment.head, files, _lease: lease, store: self })
    }
}

impl Backup {
    /// Position of the last event in it.
    #[must_use]
    pub const fn head(&self) -> Position {
        self.head
    }

    /// Bytes of the files that are still to be read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|part| part.bytes).sum()
    }

    /// The next file; none when all were handed over. Journals come first, so that their slots are free soon.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn next_file(&mut self) -> Result<Option<BackupFile>, StoreError> {
        let Some(Part { name, bytes, content }) = self.files.pop_front() else { return Ok(None) };
        let (file, journal) = match content {
            Content::Journal(generation) => (Arc::clone(&generation.file), Some(generation)),
            Content::Open(file) => (file, None),
            Content::Named => {
                let opened = self.store.shared().disk.open(&name, Open::Existing);
                (opened.map_err(|error| io_read_failed(&name, &error))?, None)
            }
        };
        Ok(Some(BackupFile { name, bytes, at: 0, file, _journal: journal }))
    }
}

impl BackupFile {
    /// Its name in the data directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.bytes
    }
}

impl Read for BackupFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.bytes - self.at).unwrap_or(usize::MAX).min(out.len());
        let out = out.get_mut(..wanted).unwrap_or_default();
        if !out.is_empty() {
            self.file.read(self.at, out)?;
        }
        self.at += wanted as u64;
        Ok(wanted)
    }
}

/// A moment: where the journals were, and the state file that goes with it.
struct Moment {
    mark: JournalMark,
    state: StateSnapshot,
    head: Position,
}

impl Moment {
    /// Takes a mark, and then a snapshot of the state that is not ahead of it. A seal or a removal in between makes
    /// it so; then both are taken again.
    fn take(shared: &Shared) -> Result<(Self, Vec<Part>), StoreError> {
        loop {
            let mark = shared.mark();
            // Holds the journals of the mark, since none is given up before the next step.
            let view = shared.view();
            let state = shared.state.snapshot()?;
            if state.manifest.mark > mark {
                continue;
            }
            let mut moment = Self { mark, head: state.manifest.sealed(), state };
            let mut files = Vec::new();
            for generation in view.newest_first().rev() {
                files.extend(moment.journal(&*shared.disk, generation)?);
            }
            if moment.state.manifest.removals.max() <= moment.head.next() {
                return Ok((moment, files));
            }
        }
    }

    /// The part of a journal that belongs to the moment, if there is one; moves the head to its end.
    fn journal(&mut self, disk: &dyn Disk, generation: &Arc<Generation>) -> Result<Option<Part>, StoreError> {
        let (sequence, manifest) = (generation.sequence, &self.state.manifest);
        if sequence < manifest.journal_floor || sequence > self.mark.sequence {
            return Ok(None);
        }
        let records_max = if sequence == self.mark.sequence { self.mark.records } else { u64::MAX };
        let name = journal::file_of_slot(generation.slot);
        let wanted = Wanted { seed: manifest.journal_seed, sequence, records_max };
        let mut head = self.head;
        let (records, bytes) = journal::extent(&generation.file, &disk.path(&name), wanted, |payload| {
            head = last_of(payload, head)?;
            Ok(())
        })?;
        if sequence == self.mark.sequence && records < records_max {
            let reason = format!("{records} of its {records_max} records are as they were written");
            return Err(StoreError::CorruptedFile { file: name, reason });
        }
        self.head = head;
        Ok(Some(Part { name, bytes, content: Content::Journal(Arc::clone(generation)) }))
    }
}

/// Position of the last event of a record that stands behind `head`.
fn last_of(payload: &[u8], head: Position) -> Result<Position, StoreError> {
    let record = Record::decode(payload).map_err(corrupted(head.next()))?;
    if record.first != head.next() {
        return Err(corrupted(head.next())(Malformed("events are missing before a record of the journal")));
    }
    record.blocks.into_iter().try_fold(head, |head, (_, bytes)| {
        BlockView::verify(head.next(), bytes).map(|block| block.last()).map_err(corrupted(head.next()))
    })
}
