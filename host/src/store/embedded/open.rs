//! Opening a data directory: the manifest, the files it names, and the journals that are not sealed.
//!
//! What is left over of a seal or a merge that was cut off is removed, but only files whose content is known
//! to stand elsewhere. A file that is missing, or there without being known, is an error that names it.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::block::BlockView;
use super::disk::{Disk, Open};
use super::encoding::Malformed;
use super::failure::{corrupted, io_failed, io_read_failed};
use super::fences::{Fenced, Fences};
use super::hot::{BlockPlace, Entry, Generation};
use super::journal::{self, JournalOptions, JournalReader, JournalWriter, Live, Place, Tail};
use super::record::Record;
use super::run::Run;
use super::segment::{SegmentRow, Segments};
use super::state::{self, JournalMark, Manifest, RunRow, StateFile};
use super::view::View;
use super::writer::Resume;
use crate::event::{Position, Version};
use crate::store::{Removals, StoreError};

/// The one file of a store made by releases before the first.
const OLD_FILE: &str = "events.redb";

/// An opened store and what was learned from reading it.
pub(super) struct Opened {
    pub(super) state: StateFile,
    pub(super) view: View,
    pub(super) head: Position,
    /// How far the journals had come by the manifest.
    pub(super) noted: JournalMark,
    pub(super) resume: Resume,
}

/// Opens the store on a disk, making it if there is none. `journal` tells how journals are written, for a
/// store's seed.
pub(super) fn open(
    disk: &Arc<dyn Disk>,
    cache_bytes: usize,
    journal: impl Fn(u64) -> JournalOptions,
) -> Result<Opened, StoreError> {
    let names = list(&**disk)?;
    if !names.contains(state::FILE) {
        make(&**disk, &names)?;
    }
    let (state, manifest) = StateFile::open(Arc::clone(disk), cache_bytes)?;
    check_files(&**disk, &manifest, &names)?;
    let segments = Segments::new(Arc::clone(disk), manifest.store_id, manifest.segments.clone())?;
    let runs = open_runs(&**disk, &manifest)?;
    let Journals { generations, head, timestamp_us, tail } = Journals::read(&**disk, &manifest)?;
    let options = journal(manifest.journal_seed);
    let (journal, view) = resume(&**disk, &manifest, (segments, runs, generations), tail, options)?;
    remove_left_overs(&**disk, &manifest, &names, head)?;
    let timestamp_us = timestamp_us.max(manifest.segments.last().map_or(0, |row| row.summary.last_timestamp_us));
    let fences = fences(&state, &view)?;
    Ok(Opened { state, view, head, noted: manifest.mark, resume: Resume { journal, options, timestamp_us, fences } })
}

/// Names of all files.
pub(super) fn list(disk: &dyn Disk) -> Result<HashSet<String>, StoreError> {
    let names = disk.list().map_err(|error| io_read_failed("the data directory", &error))?;
    Ok(names.into_iter().collect())
}

/// Goes on in the newest journal, or begins the first.
fn resume(
    disk: &dyn Disk,
    manifest: &Manifest,
    (segments, runs, mut generations): (Segments, Vec<Arc<Run>>, Vec<Arc<Generation>>),
    tail: Option<Tail>,
    options: JournalOptions,
) -> Result<(JournalWriter, View), StoreError> {
    let (journal, active) = match (tail, generations.pop()) {
        (Some(tail), Some(newest)) => (JournalWriter::resume(disk, &tail, options)?, newest),
        _ => {
            let place = Place { slot: 0, sequence: manifest.journal_floor };
            let journal = JournalWriter::start(disk, place, options)?;
            let generation = Generation::new(place.sequence, place.slot, Arc::clone(journal.file()), manifest.sealed());
            (journal, Arc::new(generation))
        }
    };
    Ok((journal, View::new(manifest, Arc::new(segments), runs, generations, active)))
}

/// Revisions of every row that commits build on.
pub(super) fn fences(state: &StateFile, view: &View) -> Result<Fences, StoreError> {
    let mut fences = Fences::default();
    for (owner, partition, progress) in state.all_progress()? {
        fences.set(Fenced::Progress(owner, partition), progress.revision);
    }
    for (plugin, record) in state.all_records()? {
        fences.set(Fenced::Record(plugin), record.revision);
    }
    for (source, position) in state.all_tracking()? {
        fences.set(Fenced::Tracking(source), position);
    }
    view.newest_first().rev().for_each(|generation| fences.extend(&generation.data().overlay));
    Ok(fences)
}

/// Makes an empty store; not where parts of one are.
fn make(disk: &dyn Disk, names: &HashSet<String>) -> Result<(), StoreError> {
    let refuse = |name: &str, reason: &str| {
        Err(StoreError::NotAStore { path: disk.path(name).into(), reason: reason.to_owned() })
    };
    if names.contains(OLD_FILE) {
        return refuse(OLD_FILE, "it was written by a development version, before the first release");
    }
    // The state file is made before any other.
    if let Some(part) = names.iter().filter(|name| is_part(name)).min() {
        return refuse(part, &format!("there is no {} beside it", state::FILE));
    }
    let manifest = Manifest {
        store_id: uuid::Uuid::new_v4().as_u128(),
        journal_seed: uuid::Uuid::new_v4().as_u64_pair().1,
        journal_floor: 1,
        ..Manifest::default()
    };
    StateFile::make(disk, &manifest)
}

/// Whether a file is part of a log.
fn is_part(name: &str) -> bool {
    name.starts_with("journal-") || segment_of(name).is_some() || is_run(name)
}

/// The first position of the segment that a file of this name holds.
fn segment_of(name: &str) -> Option<Position> {
    name.strip_suffix(".segment").and_then(without_generation).and_then(position)
}

fn is_run(name: &str) -> bool {
    let range = name.strip_suffix(".index").and_then(without_generation).and_then(|name| name.split_once('-'));
    range.is_some_and(|(first, last)| position(first).is_some() && position(last).is_some())
}

/// A name without the number that those of compacted files have behind a dot.
fn without_generation(name: &str) -> Option<&str> {
    match name.split_once('.') {
        None => Some(name),
        Some((name, generation)) => {
            let plain = !generation.starts_with('0') && generation.bytes().all(|digit| digit.is_ascii_digit());
            generation.parse::<u32>().ok().filter(|_| plain).map(|_| name)
        }
    }
}

/// A position as names of files have it.
fn position(digits: &str) -> Option<Position> {
    let whole = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| whole).map(Position)
}

/// Checks that every file of the manifest is there, and as long as it was written.
fn check_files(disk: &dyn Disk, manifest: &Manifest, names: &HashSet<String>) -> Result<(), StoreError> {
    let check = |name: String, bytes: u64, what: &str| {
        let refuse = |reason: String| {
            Err(StoreError::NotAStore { path: disk.path(&name).into(), reason: format!("{reason}; {what}") })
        };
        if !names.contains(&name) {
            return refuse("it is missing".to_owned());
        }
        let file = disk.open(&name, Open::Existing).and_then(|file| file.len());
        match file.map_err(|error| io_read_failed(&name, &error))? {
            found if found == bytes => Ok(()),
            found => refuse(format!("it has {found} of {bytes} bytes")),
        }
    };
    for row in &manifest.segments {
        let what = format!("it holds events {} to {}", row.summary.first, row.summary.last);
        check(row.file_name(), row.summary.file_bytes, &what)?;
    }
    for row in &manifest.runs {
        let what = "it is part of the index, `tidemill verify --repair-indexes` makes it anew";
        check(row.file_name(), row.bytes, what)?;
    }
    Ok(())
}

fn open_runs(disk: &dyn Disk, manifest: &Manifest) -> Result<Vec<Arc<Run>>, StoreError> {
    let open = |row: &RunRow| Run::open(disk, &row.file_name(), manifest.store_id);
    manifest.runs.iter().map(|row| open(row).map(Arc::new)).collect()
}

/// The journals that are not sealed.
pub(super) struct Journals {
    /// Oldest first.
    pub(super) generations: Vec<Arc<Generation>>,
    pub(super) head: Position,
    timestamp_us: u64,
    /// Where the newest ends.
    tail: Option<Tail>,
}

impl Journals {
    /// Reads all of them.
    pub(super) fn read(disk: &dyn Disk, manifest: &Manifest) -> Result<Self, StoreError> {
        let live = Live { seed: manifest.journal_seed, floor: manifest.journal_floor };
        let mut readers = Vec::new();
        for slot in journal::slots(disk).map_err(|error| io_read_failed("the data directory", &error))? {
            readers.extend(JournalReader::open(disk, slot, live)?.map(|reader| (reader.sequence(), slot, reader)));
        }
        readers.sort_by_key(|(sequence, _, _)| *sequence);
        let mut journals = Self { generations: Vec::new(), head: manifest.sealed(), timestamp_us: 0, tail: None };
        for (expected, (sequence, slot, reader)) in (live.floor..).zip(readers) {
            let name = journal::file_of_slot(slot);
            if sequence != expected {
                let reason = format!("it continues journal {expected}, of which there is no file");
                return Err(StoreError::NotAStore { path: disk.path(&name).into(), reason });
            }
            let file = disk.open(&name, Open::Existing).map_err(|error| io_read_failed(&name, &error))?;
            let generation = Generation::new(sequence, slot, file, journals.head);
            journals.replay(reader, &generation, &manifest.removals)?;
            journals.generations.push(Arc::new(generation));
        }
        journals.check_mark(disk, manifest)?;
        journals.check_removals(disk, manifest)?;
        Ok(journals)
    }

    fn replay(
        &mut self,
        reader: JournalReader,
        generation: &Generation,
        removals: &Removals,
    ) -> Result<(), StoreError> {
        let mut before = self.tail.take();
        let tail = reader.replay(|offset, payload| {
            let record = Record::decode(payload).map_err(corrupted(self.head.next()))?;
            // The first record tells of the journal before.
            match before.take() {
                Some(before) if record.records_before != before.ordinal => Err(StoreError::CorruptedFile {
                    file: journal::file_of_slot(before.place.slot),
                    reason: format!("{} of its {} records are there", before.ordinal, record.records_before),
                }),
                _ => self.replay_record(generation, removals, (offset, record)),
            }
        })?;
        self.tail = Some(tail);
        Ok(())
    }

    /// Checks that nothing is missing of what the manifest knows to be there.
    fn check_mark(&self, disk: &dyn Disk, manifest: &Manifest) -> Result<(), StoreError> {
        let mark = manifest.mark;
        let found = self.tail.as_ref().map_or(JournalMark::default(), |tail| JournalMark {
            sequence: tail.place.sequence,
            records: tail.ordinal,
        });
        if mark.sequence < manifest.journal_floor || found >= mark {
            return Ok(());
        }
        let (JournalMark { sequence, records }, newest) = (mark, self.tail.as_ref());
        let file = newest.map_or_else(|| "journal-0".to_owned(), |tail| journal::file_of_slot(tail.place.slot));
        let reason = if found.sequence == sequence {
            format!("{} of its {records} records are there; the rest was lost after it was synced", found.records)
        } else {
            format!("journal {sequence} with {records} records is missing: a file was removed, emptied or replaced")
        };
        Err(StoreError::CorruptedFile { file: disk.path(&file), reason })
    }

    /// Checks that everything is there that was there when something was removed: what is appended now must not
    /// stand before a horizon.
    fn check_removals(&self, disk: &dyn Disk, manifest: &Manifest) -> Result<(), StoreError> {
        let (horizon, next) = (manifest.removals.max(), self.head.next());
        if horizon <= next {
            return Ok(());
        }
        let file = self.tail.as_ref().map_or_else(|| "journal-0".to_owned(), |t| journal::file_of_slot(t.place.slot));
        let reason = format!("events were removed before position {horizon}, and those from {next} on are missing");
        Err(StoreError::CorruptedFile { file: disk.path(&file), reason })
    }

    fn replay_record(
        &mut self,
        generation: &Generation,
        removals: &Removals,
        (offset, record): (u64, Record<'_>),
    ) -> Result<(), StoreError> {
        let next = self.head.next();
        if record.first != next {
            return Err(corrupted(next)(Malformed("events are missing before a record of the journal")));
        }
        let mut data = generation.data_mut();
        for (at, bytes) in record.blocks {
            let first = self.head.next();
            let block = BlockView::verify(first, bytes).map_err(corrupted(first))?;
            let mut first_us = None;
            for event in block.events() {
                let (position, event) = event.map_err(corrupted(self.head.next()))?;
                let entry = Entry::stored(&event, position).map_err(corrupted(position))?;
                data.index.add(&entry, removals).map_err(corrupted(position))?;
                first_us.get_or_insert(event.timestamp_us);
                data.streams_begun += u64::from(event.version == Version(1));
                self.timestamp_us = self.timestamp_us.max(event.timestamp_us);
                self.head = position;
            }
            data.blocks.push(BlockPlace {
                first,
                last: block.last(),
                first_us: first_us.unwrap_or_default(),
                offset: offset + at as u64,
                bytes: u32::try_from(bytes.len()).map_err(|_| corrupted(first)(Malformed("a block is too long")))?,
            });
        }
        record.works.into_iter().for_each(|work| data.overlay.apply(work));
        Ok(())
    }
}

/// Removes files that seals, merges and compactions left when they were cut off, and those that were replaced.
fn remove_left_overs(
    disk: &dyn Disk,
    manifest: &Manifest,
    names: &HashSet<String>,
    head: Position,
) -> Result<(), StoreError> {
    let segments: HashSet<_> = manifest.segments.iter().map(SegmentRow::file_name).collect();
    let firsts: HashSet<_> = manifest.segments.iter().map(|row| row.summary.first).collect();
    let runs: HashSet<_> = manifest.runs.iter().map(RunRow::file_name).collect();
    for name in names {
        if let Some(first) = segment_of(name).filter(|_| !segments.contains(name)) {
            // Left by a compaction, or by a seal that was cut off if its journal is still there.
            let known = firsts.contains(&first) || (manifest.sealed() < first && first <= head);
            if !known {
                let reason =
                    "it holds events that this store knows nothing of; move it away if it is not meant to be here";
                return Err(StoreError::NotAStore { path: disk.path(name).into(), reason: reason.to_owned() });
            }
        } else if !is_run(name) || runs.contains(name) {
            continue;
        }
        match disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_failed(name, &error)),
            _ => {}
        }
    }
    Ok(())
}
