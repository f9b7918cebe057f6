//! The segments of a store, in order, and reading across them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::file::Segment;
use super::file_name;
use super::format::{SUMMARY_BYTES, SegmentSummary};
use super::place::Place;
use super::reader::SegmentReader;
use crate::event::Position;
use crate::store::StoreError;
#[cfg(test)]
use crate::store::embedded::block::BlockView;
use crate::store::embedded::disk::Disk;
use crate::store::embedded::encoding::{EventView, Malformed, Reader};
use crate::store::embedded::failure::corrupted;

/// Most segments that are kept open. One costs a file handle and 8 bytes for each of its blocks, so 64 KiB
/// if it has 32 MiB; a cursor may keep one more.
const OPEN_MAX: usize = 256;

/// A segment as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct SegmentRow {
    /// What its trailer says too.
    pub(in crate::store::embedded) summary: SegmentSummary,
    /// How many times it was compacted; part of its file's name.
    pub(in crate::store::embedded) generation: u32,
    /// How many of its events are stubs.
    pub(in crate::store::embedded) stubs: u64,
}

impl SegmentRow {
    /// A segment as it was sealed.
    pub(in crate::store::embedded) const fn sealed(summary: SegmentSummary) -> Self {
        Self { summary, generation: 0, stubs: 0 }
    }

    /// Name of its file.
    pub(in crate::store::embedded) fn file_name(&self) -> String {
        file_name(self.summary.first, self.generation)
    }

    /// How many events it holds that are not stubs.
    pub(in crate::store::embedded) const fn held(&self) -> u64 {
        self.summary.events().saturating_sub(self.stubs)
    }

    /// Whether all its positions lie within two.
    pub(in crate::store::embedded) fn lies_within(&self, (first, last): (Position, Position)) -> bool {
        first <= self.summary.first && self.summary.last <= last
    }

    /// Appends its bytes. Those of one that was never compacted are the summary's.
    pub(in crate::store::embedded) fn encode(&self, out: &mut Vec<u8>) {
        self.summary.encode(out);
        if self.generation > 0 {
            out.extend_from_slice(&self.generation.to_le_bytes());
            out.extend_from_slice(&self.stubs.to_le_bytes());
        }
    }

    /// Takes a row that fills `bytes`.
    pub(in crate::store::embedded) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let summary = SegmentSummary::decode(reader.take(SUMMARY_BYTES)?)?;
        if reader.0.is_empty() {
            return Ok(Self::sealed(summary));
        }
        let generation = u32::from_le_bytes(reader.array()?);
        let stubs = u64::from_le_bytes(reader.array()?);
        let sound = generation > 0 && stubs <= summary.events() && reader.0.is_empty();
        if sound { Ok(Self { summary, generation, stubs }) } else { Err(Malformed("no segment can be as it says")) }
    }
}

/// The segments of a store: each begins where the one before it ends. Files are opened when first read.
#[derive(Debug)]
pub(in crate::store::embedded) struct Segments {
    disk: Arc<dyn Disk>,
    store_id: u128,
    rows: RwLock<Vec<SegmentRow>>,
    /// Open segments, the one used last at the end.
    open: Mutex<Vec<Arc<Segment>>>,
}

impl Segments {
    /// The segments that the manifest names, in order.
    ///
    /// # Errors
    /// When they do not follow one another.
    pub(in crate::store::embedded) fn new(
        disk: Arc<dyn Disk>,
        store_id: u128,
        rows: impl IntoIterator<Item = SegmentRow>,
    ) -> Result<Self, StoreError> {
        let segments = Self { disk, store_id, rows: RwLock::default(), open: Mutex::default() };
        rows.into_iter().try_for_each(|row| segments.add(row))?;
        Ok(segments)
    }

    /// Adds the next segment, whose file is there for good.
    ///
    /// # Errors
    /// When it does not begin where the last one ends.
    pub(in crate::store::embedded) fn add(&self, row: SegmentRow) -> Result<(), StoreError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = rows.last().map(|row| row.summary.last)
            && last.next() != row.summary.first
        {
            return Err(corrupted(last.next())(Malformed("events are missing between two segments")));
        }
        rows.push(row);
        Ok(())
    }

    /// Puts compacted segments in the place of those they were made from. Who reads one of those goes on.
    pub(in crate::store::embedded) fn replace(&self, compacted: &[SegmentRow]) {
        let is_of = |first: Position| move |row: &&SegmentRow| row.summary.first == first;
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows.iter_mut() {
            if let Some(new) = compacted.iter().find(is_of(row.summary.first)) {
                row.clone_from(new);
            }
        }
        drop(rows);
        self.open_segments().retain(|open| !compacted.iter().any(|row| row.summary.first == open.summary().first));
    }

    /// The segments that lie within positions, in order.
    pub(in crate::store::embedded) fn within(&self, range: (Position, Position)) -> Vec<SegmentRow> {
        self.with_rows(|rows| rows.iter().filter(|row| row.lies_within(range)).cloned().collect())
    }

    /// Position of the last event in any segment; the start when there is none.
    #[cfg(test)]
    pub(super) fn last(&self) -> Position {
        self.with_rows(|rows| rows.last().map_or(Position::START, |row| row.summary.last))
    }

    /// All summaries, in order.
    #[cfg(test)]
    pub(super) fn summaries(&self) -> Vec<SegmentSummary> {
        self.with_rows(|rows| rows.iter().map(|row| row.summary.clone()).collect())
    }

    /// The segment that holds a position, opened if need be.
    fn open(&self, position: Position) -> Result<Arc<Segment>, StoreError> {
        if let Some(segment) = self.find_open(position) {
            return Ok(segment);
        }
        loop {
            let row = self.row(position).ok_or_else(|| corrupted(position)(Malformed("the event is missing")))?;
            let opened = self.open_row(&row);
            // Meanwhile a compacted one may have taken its place, and its file be gone.
            if opened.is_ok() || self.row(position).as_ref() == Some(&row) {
                let segment = Arc::new(opened?);
                self.keep_open(&segment, &row);
                return Ok(segment);
            }
        }
    }

    /// Opens the file of a segment of the manifest.
    pub(in crate::store::embedded) fn open_row(&self, row: &SegmentRow) -> Result<Segment, StoreError> {
        let name = row.file_name();
        let segment = Segment::open(&*self.disk, &name, self.store_id)?;
        if *segment.summary() == row.summary {
            Ok(segment)
        } else {
            Err(Place::new(&*self.disk, &name).corrupted("it is not the one that the manifest names"))
        }
    }

    /// The segment that holds a position.
    fn row(&self, position: Position) -> Option<SegmentRow> {
        self.with_rows(|rows| {
            let at = rows.partition_point(|row| row.summary.last < position);
            rows.get(at).filter(|row| row.summary.holds(position)).cloned()
        })
    }

    /// The segment that holds the first event not older than a time; none when all are older.
    fn first_at_or_after(&self, timestamp_us: u64) -> Option<Position> {
        self.with_rows(|rows| {
            let at = rows.partition_point(|row| row.summary.last_timestamp_us < timestamp_us);
            rows.get(at).map(|row| row.summary.first)
        })
    }

    fn with_rows<T>(&self, look: impl FnOnce(&[SegmentRow]) -> T) -> T {
        look(&self.rows.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn open_segments(&self) -> MutexGuard<'_, Vec<Arc<Segment>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_open(&self, position: Position) -> Option<Arc<Segment>> {
        let mut open = self.open_segments();
        let at = open.iter().rposition(|segment| segment.summary().holds(position))?;
        let segment = open.remove(at);
        open.push(Arc::clone(&segment));
        Some(segment)
    }

    /// Keeps a segment open, unless it was replaced meanwhile: that would hold on to the room of its file.
    fn keep_open(&self, segment: &Arc<Segment>, row: &SegmentRow) {
        let mut open = self.open_segments();
        if self.row(row.summary.first).as_ref() != Some(row) {
            return;
        }
        // Another reader may have opened it meanwhile.
        open.retain(|other| other.summary().first != segment.summary().first);
        if open.len() >= OPEN_MAX {
            open.remove(0);
        }
        open.push(Arc::clone(segment));
    }
}

/// Reads events in any segment. Fast when asked for positions in sequence, in either direction.
#[derive(Debug)]
pub(in crate::store::embedded) struct SegmentCursor {
    segments: Arc<Segments>,
    reader: Option<SegmentReader>,
}

impl SegmentCursor {
    /// A cursor that holds nothing yet.
    pub(in crate::store::embedded) const fn new(segments: Arc<Segments>) -> Self {
        Self { segments, reader: None }
    }

    /// The verified block that holds a position.
    #[cfg(test)]
    pub(super) fn block_at(&mut self, position: Position) -> Result<BlockView<'_>, StoreError> {
        self.reader(position)?.block_at(position)
    }

    /// The event at a position; none when there is only a stub of it.
    ///
    /// # Errors
    /// When no segment holds the position, the block is damaged or the disk fails.
    pub(in crate::store::embedded) fn event(
        &mut self,
        position: Position,
    ) -> Result<Option<EventView<'_>>, StoreError> {
        self.reader(position)?.event(position)
    }

    /// The first event that is not older than a time; none when all are older.
    ///
    /// # Errors
    /// When a block is damaged or the disk fails.
    pub(in crate::store::embedded) fn first_at_or_after(
        &mut self,
        timestamp_us: u64,
    ) -> Result<Option<Position>, StoreError> {
        let Some(first) = self.segments.first_at_or_after(timestamp_us) else { return Ok(None) };
        self.reader(first)?.first_at_or_after(timestamp_us).map(Some)
    }

    /// The reader, turned to the segment that holds a position.
    fn reader(&mut self, position: Position) -> Result<&mut SegmentReader, StoreError> {
        if !self.reader.as_ref().is_some_and(|reader| reader.segment().summary().holds(position)) {
            let segment = self.segments.open(position)?;
            match &mut self.reader {
                Some(reader) => reader.turn_to(segment),
                None => self.reader = Some(SegmentReader::new(segment)),
            }
        }
        self.reader.as_mut().ok_or_else(|| corrupted(position)(Malformed("the event is missing")))
    }
}
