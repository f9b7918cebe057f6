//! Appends records to a journal, one synced before the next.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::reader::Tail;
use super::record::{self, FIRST_RECORD, HEAD_BYTES, Name, aligned};
use super::slot::{self, Header};
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, DiskFile};
use crate::store::embedded::failure::no_room;
use crate::store::embedded::state::JournalMark;

const STEP_BYTES_MAX: u64 = 8 << 20;
/// What the writer keeps of its buffer between records.
const BUFFER_BYTES_KEPT: usize = 4 << 20;
/// A file is made longer by writes of at most so many zeros.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Why a record is not in the journal.
#[derive(Debug, Error)]
pub(in crate::store::embedded) enum JournalError {
    /// There is no room for it. Nothing of it is stored, now or after a crash; it may be tried again.
    #[error("there is no room for the journal")]
    Full(#[source] io::Error),
    /// The disk failed, and the journal takes no more. If the sync failed, the record may be there.
    #[error("the journal cannot be written")]
    Broken(#[source] io::Error),
}

impl JournalError {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full(error)
            }
            _ => Self::Broken(error),
        }
    }
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full(error) => no_room(format!("journal: {error}"), &error),
            JournalError::Broken(error) => Self::WriteFailed { reason: format!("journal: {error}") },
        }
    }
}

/// Which journal, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct Place {
    /// Number of the file.
    pub(in crate::store::embedded) slot: u32,
    /// Sequence of the journal.
    pub(in crate::store::embedded) sequence: u64,
}

/// How journals are written.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::embedded) struct JournalOptions {
    /// The store's seed: random, the same for all its life.
    pub(in crate::store::embedded) seed: u64,
    /// How long a file is made in advance, at most. A record that needs more has it longer.
    pub(in crate::store::embedded) bytes_max: u64,
    /// By how much a file is made longer, the first time; twice as much the next, and so on to 8 MiB.
    pub(in crate::store::embedded) step_bytes: u64,
}

impl JournalOptions {
    /// Files of 32 MiB, from steps of 256 KiB on.
    pub(in crate::store::embedded) const fn new(seed: u64) -> Self {
        Self { seed, bytes_max: 32 << 20, step_bytes: 256 << 10 }
    }
}

/// What stands at the place of the next record, or behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Every record is synced.
    Synced,
    /// Every record but the last is synced.
    Unsynced,
    /// A part of a refused record stands where the next one goes.
    Refused,
    /// The disk failed.
    Broken,
}

/// The end of a journal.
#[derive(Debug)]
pub(in crate::store::embedded) struct JournalWriter {
    file: Arc<dyn DiskFile>,
    place: Place,
    options: JournalOptions,
    /// Ordinal of the next record.
    ordinal: u64,
    /// Where the next record goes.
    end: u64,
    /// The file has bytes up to here; writing over them needs no room.
    filled_bytes: u64,
    state: State,
    buffer: Vec<u8>,
}

impl JournalWriter {
    /// Starts a journal in a slot, making the file or taking over one whose journal is sealed.
    ///
    /// # Errors
    /// When the file cannot be made or is not a slot.
    pub(in crate::store::embedded) fn start(
        disk: &dyn Disk,
        place: Place,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let file = slot::open_or_make(disk, place.slot).map_err(JournalError::of)?;
        match Header::read(file.as_ref()).map_err(JournalError::Broken)? {
            Header::Whole => {}
            Header::Unfinished => {
                slot::write_header(file.as_ref()).map_err(JournalError::of)?;
                file.sync().map_err(JournalError::Broken)?;
            }
            Header::Newer(_) | Header::Damaged | Header::Foreign => {
                let reason = format!("{} is not a journal", disk.path(&slot::name(place.slot)));
                return Err(JournalError::Broken(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
        }
        Self::at(disk, file, place, options)
    }

    /// Goes on behind the last record of a replayed journal.
    ///
    /// What was replayed need not be on the disk: the process before may have died, or failed, between
    /// writing it and syncing it. And after a failed sync the system takes the bytes for clean. So the last
    /// record, the only one in doubt, is written again, and synced.
    ///
    /// # Errors
    /// When the file cannot be opened, read or written.
    pub(in crate::store::embedded) fn resume(
        disk: &dyn Disk,
        tail: &Tail,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let file = slot::open_or_make(disk, tail.place.slot).map_err(JournalError::of)?;
        let bytes = usize::try_from(tail.last_record_end.saturating_sub(tail.last_record)).unwrap_or(usize::MAX);
        let mut last = vec![0; bytes];
        file.read(tail.last_record, &mut last).map_err(JournalError::Broken)?;
        file.write(tail.last_record, &last).map_err(JournalError::of)?;
        file.sync().map_err(JournalError::Broken)?;
        let writer = Self::at(disk, file, tail.place, options)?;
        Ok(Self { ordinal: tail.ordinal, end: tail.end, ..writer })
    }

    fn at(
        disk: &dyn Disk,
        file: Arc<dyn DiskFile>,
        place: Place,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        // The entry too may be there without being on the disk.
        disk.sync().map_err(JournalError::Broken)?;
        let filled_bytes = file.len().map_err(JournalError::Broken)?;
        let (end, state) = (FIRST_RECORD, State::Synced);
        Ok(Self { file, place, options, ordinal: 0, end, filled_bytes, state, buffer: Vec::new() })
    }

    /// Writes a record, whose payload is given in parts, and answers the offset of the payload in the file.
    /// It lasts when [`Self::sync`] has succeeded, which must be before the next one.
    ///
    /// # Errors
    /// When it is not written. The next record goes to the same place then, over what may be there of this
    /// one.
    pub(in crate::store::embedded) fn append(&mut self, parts: &[&[u8]]) -> Result<u64, JournalError> {
        match self.state {
            State::Synced => {}
            State::Refused => self.void()?,
            State::Broken => return Err(stopped()),
            State::Unsynced => panic!("a record is synced before the next is appended"),
        }
        let (ordinal, offset) = (self.ordinal, self.end);
        let name = Name { seed: self.options.seed, sequence: self.place.sequence, ordinal, offset };
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        record::encode(name, parts, &mut self.buffer).ok_or_else(too_large)?;
        let end = offset.checked_add(self.buffer.len() as u64).and_then(aligned).ok_or_else(too_large)?;
        self.fill(end)?;
        if let Err(error) = self.file.write(offset, &self.buffer) {
            return Err(self.refused(error));
        }
        (self.ordinal, self.end, self.state) = (ordinal + 1, end, State::Unsynced);
        Ok(offset + HEAD_BYTES as u64)
    }

    /// Makes all records last.
    ///
    /// # Errors
    /// `Broken`; whether the last record lasts is unknown then.
    pub(in crate::store::embedded) fn sync(&mut self) -> Result<(), JournalError> {
        if self.state == State::Broken {
            return Err(stopped());
        }
        self.file.sync().map_err(|error| self.broken(error))?;
        if self.state == State::Unsynced {
            self.state = State::Synced;
        }
        Ok(())
    }

    /// Where the next record goes: how many bytes of the file are used.
    pub(in crate::store::embedded) const fn bytes(&self) -> u64 {
        self.end
    }

    /// How far the journal has come; nothing is known of one without records.
    pub(in crate::store::embedded) const fn mark(&self) -> JournalMark {
        match self.ordinal {
            0 => JournalMark { sequence: 0, records: 0 },
            records => JournalMark { sequence: self.place.sequence, records },
        }
    }

    /// How many records there are.
    pub(in crate::store::embedded) const fn records(&self) -> u64 {
        self.ordinal
    }

    /// Which journal it is.
    #[cfg(test)]
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// The file, to read payloads from.
    pub(in crate::store::embedded) const fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Makes the file at least `end` long, by zeros that take their room now.
    fn fill(&mut self, end: u64) -> Result<(), JournalError> {
        if end <= self.filled_bytes {
            return Ok(());
        }
        let stepped = self.filled_bytes.saturating_add(self.options.step_bytes).min(self.options.bytes_max);
        match self.write_zeros(stepped.max(end)) {
            Ok(()) => self.options.step_bytes = self.options.step_bytes.saturating_mul(2).min(STEP_BYTES_MAX),
            Err(error) => {
                let error = self.classified(error);
                // A part of a step may do.
                if matches!(error, JournalError::Broken(_)) || self.filled_bytes < end {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn write_zeros(&mut self, end: u64) -> io::Result<()> {
        while self.filled_bytes < end {
            let left = usize::try_from(end - self.filled_bytes).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..left.min(ZEROS.len())).unwrap_or(&ZEROS);
            let written = self.file.write(self.filled_bytes, zeros);
            match written {
                Ok(()) => self.filled_bytes += zeros.len() as u64,
                Err(error) => {
                    self.filled_bytes = self.filled_bytes.max(self.file.len()?);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// After a record could not be written: sees to it that nothing of it can be found.
    fn refused(&mut self, error: io::Error) -> JournalError {
        self.state = State::Refused;
        match self.classified(error) {
            JournalError::Broken(error) => JournalError::Broken(error),
            // Where even zeroing needs room, it is done before the next record.
            JournalError::Full(error) => match self.void() {
                Ok(()) | Err(JournalError::Full(_)) => JournalError::Full(error),
                Err(JournalError::Broken(error)) => JournalError::Broken(error),
            },
        }
    }

    /// Zeroes the head of a refused record, for good.
    fn void(&mut self) -> Result<(), JournalError> {
        let zeroed = self.file.write(self.end, &[0; HEAD_BYTES]);
        zeroed.map_err(|error| self.classified(error))?;
        self.file.sync().map_err(|error| self.broken(error))?;
        self.state = State::Synced;
        Ok(())
    }

    fn classified(&mut self, error: io::Error) -> JournalError {
        let error = JournalError::of(error);
        if matches!(error, JournalError::Broken(_)) {
            self.state = State::Broken;
        }
        error
    }

    fn broken(&mut self, error: io::Error) -> JournalError {
        self.state = State::Broken;
        JournalError::Broken(error)
    }
}

fn stopped() -> JournalError {
    JournalError::Broken(io::Error::other("an earlier failure of the disk stopped it"))
}

fn too_large() -> JournalError {
    JournalError::Full(io::Error::new(io::ErrorKind::FileTooLarge, "a record of more than 64 MiB"))
}
