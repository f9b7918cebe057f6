//! The segments of a store, in order, and reading across them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::file::Segment;
use super::file_name;
use super::format::SegmentSummary;
use super::place::Place;
use super::reader::SegmentReader;
use crate::event::Position;
use crate::store::StoreError;
#[cfg(test)]
use crate::store::embedded::block::BlockView;
use crate::store::embedded::disk::Disk;
use crate::store::embedded::encoding::{EventView, Malformed};
use crate::store::embedded::failure::corrupted;

/// Most segments that are kept open. One costs a file handle and 8 bytes for each of its blocks, so 64 KiB
/// if it has 32 MiB; a cursor may keep one more.
const OPEN_MAX: usize = 256;

/// The segments of a store: each begins where the one before it ends. Files are opened when first read.
#[derive(Debug)]
pub(in crate::store::embedded) struct Segments {
    disk: Arc<dyn Disk>,
    store_id: u128,
    summaries: RwLock<Vec<SegmentSummary>>,
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
        summaries: impl IntoIterator<Item = SegmentSummary>,
    ) -> Result<Self, StoreError> {
        let segments = Self { disk, store_id, summaries: RwLock::default(), open: Mutex::default() };
        summaries.into_iter().try_for_each(|summary| segments.add(summary))?;
        Ok(segments)
    }

    /// Adds the next segment, whose file is there for good.
    ///
    /// # Errors
    /// When it does not begin where the last one ends.
    pub(in crate::store::embedded) fn add(&self, summary: SegmentSummary) -> Result<(), StoreError> {
        let mut summaries = self.summaries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = summaries.last()
            && last.last.next() != summary.first
        {
            return Err(corrupted(last.last.next())(Malformed("events are missing between two segments")));
        }
        summaries.push(summary);
        Ok(())
    }

    /// Position of the last event in any segment; the start when there is none.
    #[cfg(test)]
    pub(super) fn last(&self) -> Position {
        self.with_summaries(|summaries| summaries.last().map_or(Position::START, |summary| summary.last))
    }

    /// All summaries, in order.
    #[cfg(test)]
    pub(super) fn summaries(&self) -> Vec<SegmentSummary> {
        self.with_summaries(<[_]>::to_vec)
    }

    /// The segment that holds a position, opened if need be.
    fn open(&self, position: Position) -> Result<Arc<Segment>, StoreError> {
        if let Some(segment) = self.find_open(position) {
            return Ok(segment);
        }
        let found = self.with_summaries(|summaries| {
            let at = summaries.partition_point(|summary| summary.last < position);
            summaries.get(at).filter(|summary| summary.holds(position)).cloned()
        });
        let summary = found.ok_or_else(|| corrupted(position)(Malformed("the event is missing")))?;
        let name = file_name(summary.first);
        let segment = Arc::new(Segment::open(&*self.disk, &name, self.store_id)?);
        if *segment.summary() != summary {
            return Err(Place::new(&*self.disk, &name).corrupted("it is not the one that the manifest names"));
        }
        self.keep_open(Arc::clone(&segment));
        Ok(segment)
    }

    /// The segment that holds the first event not older than a time; none when all are older.
    fn first_at_or_after(&self, timestamp_us: u64) -> Option<Position> {
        self.with_summaries(|summaries| {
            let at = summaries.partition_point(|summary| summary.last_timestamp_us < timestamp_us);
            summaries.get(at).map(|summary| summary.first)
        })
    }

    fn with_summaries<T>(&self, look: impl FnOnce(&[SegmentSummary]) -> T) -> T {
        look(&self.summaries.read().unwrap_or_else(PoisonError::into_inner))
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

    fn keep_open(&self, segment: Arc<Segment>) {
        let mut open = self.open_segments();
        // Another reader may have opened it meanwhile.
        open.retain(|other| other.summary().first != segment.summary().first);
        if open.len() >= OPEN_MAX {
            open.remove(0);
        }
        open.push(segment);
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

    /// The event at a position.
    ///
    /// # Errors
    /// When no segment holds the position, the block is damaged or the disk fails.
    pub(in crate::store::embedded) fn event(&mut self, position: Position) -> Result<EventView<'_>, StoreError> {
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
