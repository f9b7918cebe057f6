//! Walking over a whole store: is every byte what was written, and does the index say what the log says?
//!
//! Checked: the checksum of every block, page and row, the leaf hash of every event, dense positions, versions
//! that are dense in each stream, times that never decrease, segments and runs against the manifest, the index
//! against the log (by [`fingerprint`]), journals and what is in memory of them.
//!
//! Of removed events nothing is left but stubs once their segment is compacted; each must stand before the
//! horizon of its category, and make up for versions that are missing. The index may still have them in the
//! lists of their streams, where that ends with one it must.

mod fingerprint;
mod repair;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use fingerprint::Fingerprint;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use repair::Repaired;
pub(super) use repair::repair_runs;

use super::cursor::EventCursor;
use super::disk::Disk;
use super::encoding::{EventView, Malformed};
use super::failure::{contain_read, corrupted};
use super::hot::{Entry, HotIndex};
use super::key::Head;
use super::key::Kind;
use super::run::Run;
use super::segment::{self, SegmentRow, Visitor};
use super::state::{self, Manifest, RunRow, StateFile};
use super::stub::Stub;
use super::view::View;
use crate::event::{Position, Version, category_of};
use crate::store::{Direction, StoreError};

/// What verifying has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes of segments and index files that were looked at.
    pub bytes: u64,
    /// Bytes of all of them.
    pub bytes_total: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Position of the last event that was looked at.
    pub head: Position,
    /// Events that were looked at.
    pub events: u64,
    /// Stubs of removed events that were looked at.
    pub stubs: u64,
    /// Segment files.
    pub segments: usize,
    /// Index files.
    pub runs: usize,
    /// What is wrong, in the order in which it was found. Of each file, the first place.
    pub problems: Vec<Problem>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The file, or what else.
    pub place: String,
    /// What is wrong, and where.
    pub error: StoreError,
    /// Whether it is derived data, which can be made anew from the log.
    pub repairable: bool,
}

/// Verifies one store.
pub(super) struct Verifier<'a> {
    disk: &'a dyn Disk,
    manifest: &'a Manifest,
    report: VerifyReport,
    progress: VerifyProgress,
    tell: &'a mut dyn FnMut(VerifyProgress),
    /// Version of the last event of each stream, by a hash of its name.
    versions: HashMap<u64, u64>,
    /// Stubs so far in the segment that tell no stream, without those that made up for a missing version.
    nameless: u64,
    /// Of each run, where streams end in it with a removed event: position, version and tombstone flag, by a
    /// hash of their names.
    ends: Vec<HashMap<u64, (Position, u64)>>,
    timestamp_us: u64,
    /// Whether a segment was damaged, so that versions may seem to skip.
    unknown_before: bool,
    /// The index entries that the events of each segment stand for; none of a segment that is damaged.
    expected: Vec<Option<Fingerprint>>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(disk: &'a dyn Disk, manifest: &'a Manifest, tell: &'a mut dyn FnMut(VerifyProgress)) -> Self {
        let segments = manifest.segments.iter().map(|row| row.summary.file_bytes);
        let bytes_total = segments.chain(manifest.runs.iter().map(|row| row.bytes)).sum();
        let progress = VerifyProgress { bytes: 0, bytes_total };
        let report =
            VerifyReport { segments: manifest.segments.len(), runs: manifest.runs.len(), ..VerifyReport::default() };
        Self {
            disk,
            manifest,
            report,
            progress,
            tell,
            versions: HashMap::new(),
            nameless: 0,
            ends: Vec::new(),
            timestamp_us: 0,
            unknown_before: false,
            expected: Vec::new(),
        }
    }

    /// Segments and runs.
    pub(super) fn sealed(&mut self) {
        for row in &self.manifest.segments {
            let name = row.file_name();
            if self.manifest.runs.iter().any(|run| run.first == row.summary.first) {
                self.ends.push(HashMap::new());
            }
            self.nameless = 0;
            let mut walk = Walk { verifier: self, entries: Fingerprint::default() };
            let walked = segment::verify(walk.verifier.disk, &name, walk.verifier.manifest.store_id, &mut walk);
            let entries = walk.entries;
            let same = walked.and_then(|found| {
                let differs = || StoreError::CorruptedFile {
                    file: name.clone(),
                    reason: "it is not the one of the manifest".to_owned(),
                };
                if found == row.summary { Ok(()) } else { Err(differs()) }
            });
            let same = same.and_then(|()| self.check_stubs(&name));
            self.expected.push(same.is_ok().then_some(entries));
            if let Err(error) = same {
                self.unknown_before = true;
                self.problem(name, error, false);
            }
        }
        let mut ends = std::mem::take(&mut self.ends).into_iter();
        for row in &self.manifest.runs {
            let name = row.file_name();
            if let Err(error) = self.run(&name, row, ends.next().unwrap_or_default()) {
                self.problem(name, error, true);
            }
            self.advance(row.bytes);
        }
    }

    /// What plugins keep.
    pub(super) fn state(&mut self, state: &StateFile) {
        if let Err(error) = contain_read(|| state.verify()) {
            self.problem(state::FILE.to_owned(), error, false);
        }
    }

    /// Journals that are not sealed, and what is in memory of them.
    pub(super) fn hot(&mut self, view: &Arc<View>, head: Position) {
        let mut cursor = EventCursor::new(Arc::clone(view), Direction::Forwards);
        // One that was sealed after the view was taken is among the segments.
        let sealed = self.manifest.sealed();
        for generation in view.newest_first().rev().filter(|generation| generation.after >= sealed) {
            let name = super::journal::file_of_slot(generation.slot);
            let last = generation.data().last().unwrap_or(generation.after).min(head);
            let mut entries = Fingerprint::default();
            let mut position = generation.after;
            while position < last {
                position = position.next();
                let checked = cursor.stored(position).and_then(|event| {
                    let event = event.ok_or_else(|| corrupted(position)(Malformed("the event is missing")))?;
                    event.verify_leaf(position).map_err(corrupted(position))?;
                    self.event(position, &event, &mut entries, true)
                });
                if let Err(error) = checked {
                    return self.problem(name, error, false);
                }
            }
            if indexed(&generation.data().index, last) != entries {
                let reason = "its index in memory does not say what its events say; restart".to_owned();
                self.problem(name.clone(), StoreError::CorruptedFile { file: name, reason }, false);
            }
        }
    }

    /// What was found.
    pub(super) fn finish(self) -> VerifyReport {
        self.report
    }

    pub(super) fn problem(&mut self, place: String, error: StoreError, repairable: bool) {
        self.report.problems.push(Problem { place, error, repairable });
    }

    fn advance(&mut self, bytes: u64) {
        self.progress.bytes += bytes;
        (self.tell)(self.progress);
    }

    /// What one event must be after those before it.
    fn event(
        &mut self,
        position: Position,
        event: &EventView<'_>,
        entries: &mut Fingerprint,
        with_stream: bool,
    ) -> Result<(), StoreError> {
        let wrong = |reason: String| StoreError::Corrupted { position, reason };
        if event.timestamp_us < self.timestamp_us {
            return Err(wrong(format!("its time {} is before {}", event.timestamp_us, self.timestamp_us)));
        }
        self.timestamp_us = event.timestamp_us;
        if let Some(stream) = event.stream {
            self.version(position, stream, event.version)?;
        }
        let entry = Entry::stored(event, position).map_err(corrupted(position))?;
        entries.add_event(&entry, with_stream);
        self.report.head = position;
        self.report.events += 1;
        Ok(())
    }

    /// What is left of one removed event must be, after what is before it.
    fn stub(&mut self, position: Position, stub: &Stub<'_>) -> Result<(), StoreError> {
        let wrong = |reason: String| StoreError::Corrupted { position, reason };
        if stub.timestamp_us < self.timestamp_us {
            return Err(wrong(format!("its time {} is before {}", stub.timestamp_us, self.timestamp_us)));
        }
        self.timestamp_us = stub.timestamp_us;
        let removals = &self.manifest.removals;
        let horizon = stub.end.map_or(removals.max(), |(stream, _, _)| removals.horizon(category_of(stream)));
        if position >= horizon {
            return Err(wrong("the event is gone, and nothing removed it".to_owned()));
        }
        match stub.head(position) {
            Some((stream, head)) => {
                self.version(position, stream, head.version)?;
                self.end(stream, Some(head));
            }
            None => self.nameless += 1,
        }
        self.report.head = position;
        self.report.stubs += 1;
        Ok(())
    }

    /// The next version of a stream. Those that are missing must have left a stub in the segment.
    fn version(&mut self, position: Position, stream: &str, version: Version) -> Result<(), StoreError> {
        let before = self.versions.insert(self.hash(stream), version.0).unwrap_or_default();
        // What a damaged segment holds of the stream is not known.
        if self.unknown_before {
            return Ok(());
        }
        let missing = version.0.checked_sub(before + 1).filter(|missing| *missing <= self.nameless);
        self.nameless -= missing.ok_or_else(|| {
            let reason = format!("version {version} of stream {stream} follows {before}");
            StoreError::Corrupted { position, reason }
        })?;
        Ok(())
    }

    /// Every stub that tells no stream must have made up for a version.
    fn check_stubs(&self, name: &str) -> Result<(), StoreError> {
        if self.nameless == 0 || self.unknown_before {
            return Ok(());
        }
        let reason = format!("{} of its removed events are of no stream", self.nameless);
        Err(StoreError::CorruptedFile { file: name.to_owned(), reason })
    }

    /// Takes note of where a stream ends in the run so far: with a removed event, or not.
    fn end(&mut self, stream: &str, removed: Option<Head>) {
        let hash = self.hash(stream);
        let Some(ends) = self.ends.last_mut() else { return };
        match removed {
            Some(head) => {
                ends.insert(hash, (head.position, stamp(head)));
            }
            None => {
                ends.remove(&hash);
            }
        }
    }

    /// The hash of the stream that a key of the index is of, if its event at a position is removed.
    fn removed_stream(&self, key: &[u8], position: Position) -> Option<u64> {
        let (_, name) = key.split_first().filter(|(kind, _)| **kind == Kind::Stream as u8)?;
        let stream = std::str::from_utf8(name).ok()?;
        self.manifest.removals.removes(Some(stream), position).then(|| self.hash(stream))
    }

    /// Streams are told apart by 64 bits: two that collide would show as a gap that is none, once in a billion
    /// stores of ten million streams.
    fn hash(&self, stream: &str) -> u64 {
        xxh3_64_with_seed(stream.as_bytes(), self.manifest.store_id as u64)
    }

    fn run(&mut self, name: &str, row: &RunRow, mut ends: HashMap<u64, (Position, u64)>) -> Result<(), StoreError> {
        let RunRow { first, last, .. } = *row;
        let run = Run::open(self.disk, name, self.manifest.store_id)?;
        if (run.range(), run.level(), run.bytes()) != ((first, last), row.level, row.bytes) {
            let reason = "it is not the one of the manifest".to_owned();
            return Err(StoreError::CorruptedFile { file: name.to_owned(), reason });
        }
        let mut found = Fingerprint::default();
        run.verify(&mut |key, position, head| {
            match head.zip(self.removed_stream(key, position)) {
                // One that is not the last of its stream may be there: readers pass it over.
                Some((head, stream)) if ends.get(&stream) == Some(&(position, stamp(head))) => {
                    ends.remove(&stream);
                }
                Some(_) => {}
                None => found.add(key, position, head),
            }
            Ok(())
        })?;
        let rows = self.manifest.segments.iter().zip(&self.expected);
        let rows = rows.filter(|(row, _): &(&SegmentRow, _)| row.lies_within((first, last)));
        let mut expected = Fingerprint::default();
        for (_, entries) in rows {
            // What a damaged segment holds is not known: nothing can be said of its index.
            let Some(entries) = entries else { return Ok(()) };
            expected += *entries;
        }
        if found == expected && ends.is_empty() {
            return Ok(());
        }
        Err(StoreError::CorruptedFile {
            file: name.to_owned(),
            reason: format!("it does not say what the log says of positions {first} to {last}"),
        })
    }
}

/// Version and tombstone flag.
const fn stamp(head: Head) -> u64 {
    head.version.0 << 1 | head.deleted as u64
}

/// What the index over a journal says of the events up to a position.
fn indexed(index: &HotIndex, last: Position) -> Fingerprint {
    let mut found = Fingerprint::default();
    let visited = index.visit_sorted(|key, positions, head| {
        for (later, position) in (0..).zip(positions.iter().rev()) {
            let of_stream = head.map(|head| Head {
                version: Version(head.version.0.saturating_sub(later)),
                position: Position(*position),
                deleted: head.deleted && later == 0,
            });
            if *position <= last.0 {
                found.add(key.as_bytes(), Position(*position), of_stream);
            }
        }
        Ok::<_, Infallible>(())
    });
    visited.map_or_else(|never| match never {}, |()| found)
}

/// Walks over one segment.
struct Walk<'v, 'a> {
    verifier: &'v mut Verifier<'a>,
    entries: Fingerprint,
}

impl Visitor for Walk<'_, '_> {
    fn event(&mut self, position: Position, event: &EventView<'_>) -> Result<(), StoreError> {
        let removed = self.verifier.manifest.removals.removes(event.stream, position);
        self.verifier.event(position, event, &mut self.entries, !removed)?;
        if let Some(stream) = event.stream {
            let entry = Entry::stored(event, position).map_err(corrupted(position))?;
            self.verifier.end(stream, removed.then(|| entry.head()));
        }
        Ok(())
    }

    fn stub(&mut self, position: Position, stub: &Stub<'_>) -> Result<(), StoreError> {
        self.verifier.stub(position, stub)
    }

    fn progress(&mut self, bytes: u64) {
        self.verifier.advance(bytes);
    }
}
