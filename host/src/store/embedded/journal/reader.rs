//! Recovery: which journal a slot holds, its records in order, and whether any are missing.

use std::io;

use super::record::{FIRST_RECORD, HEAD_BYTES, RECORD_ALIGNMENT, aligned};
use super::slot::{self, Header};
use super::window::Window;
use super::writer::Place;
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, Open};

/// Which journals are looked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::embedded) struct Live {
    /// The store's seed.
    pub(in crate::store::embedded) seed: u64,
    /// Journals of lower sequences are sealed: their slots are free.
    pub(in crate::store::embedded) floor: u64,
}

/// A slot that holds a live journal, not yet replayed.
#[derive(Debug)]
pub(in crate::store::embedded) struct JournalReader {
    place: Place,
    window: Window,
}

/// Where a replayed journal ends, to go on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct Tail {
    /// Which journal it is.
    pub(in crate::store::embedded) place: Place,
    /// Ordinal of the next record: how many there are.
    pub(in crate::store::embedded) ordinal: u64,
    /// Where the next record begins.
    pub(in crate::store::embedded) end: u64,
    /// Where the last record begins.
    pub(super) last_record: u64,
    /// Where its payload ends.
    pub(super) last_record_end: u64,
}

impl JournalReader {
    /// Looks for a live journal in a slot; none if there is no such file, or what is in it is sealed or
    /// was never answered.
    ///
    /// # Errors
    /// When the file is not a slot, when records of a live journal are in it that follow a damaged first
    /// one, or when it cannot be read.
    pub(in crate::store::embedded) fn open(disk: &dyn Disk, slot: u32, live: Live) -> Result<Option<Self>, StoreError> {
        let (name, path) = (slot::name(slot), disk.path(&slot::name(slot)));
        let failed = |error: io::Error| StoreError::ReadFailed { reason: format!("{path}: {error}") };
        let file = match disk.open(&name, Open::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        if let Some(refusal) = Header::read(file.as_ref()).map_err(failed)?.refusal(disk, slot) {
            return Err(refusal);
        }
        let mut window = Window::new(file, path.clone(), live.seed)?;
        let first = window.record(FIRST_RECORD)?.map(|(head, _)| head);
        let sequence = first.filter(|head| head.ordinal == 0 && head.sequence >= live.floor).map(|head| head.sequence);
        let place = Place { slot, sequence: sequence.unwrap_or(live.floor) };
        let mut reader = Self { place, window };
        if sequence.is_none() {
            reader.refuse_later_records(FIRST_RECORD, 0)?;
        }
        Ok(sequence.map(|_| reader))
    }

    /// Sequence of the journal.
    pub(in crate::store::embedded) const fn sequence(&self) -> u64 {
        self.place.sequence
    }

    /// Hands over every record in order: the offset of its payload in the file, and the payload.
    ///
    /// # Errors
    /// When acknowledged records are damaged, when the file cannot be read, or what `visit` answers.
    pub(in crate::store::embedded) fn replay(
        mut self,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<Tail, StoreError> {
        let place = self.place;
        let mut tail =
            Tail { place, ordinal: 0, end: FIRST_RECORD, last_record: FIRST_RECORD, last_record_end: FIRST_RECORD };
        while let Some((head, payload)) = self.window.record(tail.end)? {
            if (head.sequence, head.ordinal) != (place.sequence, tail.ordinal) {
                break;
            }
            let payload_at = tail.end + HEAD_BYTES as u64;
            visit(payload_at, payload)?;
            tail.last_record = tail.end;
            tail.last_record_end = payload_at + payload.len() as u64;
            tail.ordinal += 1;
            match aligned(tail.last_record_end) {
                Some(end) => tail.end = end,
                None => break,
            }
        }
        self.refuse_later_records(tail.end, tail.ordinal)?;
        Ok(tail)
    }

    /// Fails if behind `end`, where a record of this ordinal does not verify, there is any that was written
    /// after it.
    fn refuse_later_records(&mut self, end: u64, ordinal: u64) -> Result<(), StoreError> {
        let mut offset = end.saturating_add(RECORD_ALIGNMENT);
        while offset < self.window.file_bytes() {
            let later = |sequence: u64, later: u64| (sequence, later) > (self.place.sequence, ordinal);
            if self.window.head(offset)?.is_some_and(|head| later(head.sequence, head.ordinal)) {
                return Err(StoreError::CorruptedFile {
                    file: slot::name(self.place.slot),
                    reason: format!(
                        "the record at byte {end} is not what was written, and a later one is at byte {offset}"
                    ),
                });
            }
            offset = offset.saturating_add(RECORD_ALIGNMENT);
        }
        Ok(())
    }
}
