//! An open segment.

use std::ops::Range;
use std::sync::Arc;

use super::directory::Directory;
use super::format::{HEADER_BYTES, SegmentSummary, TRAILER_BYTES, check_header, check_trailer};
use super::place::Place;
use crate::store::StoreError;
use crate::store::embedded::disk::{Disk, DiskFile, Open};

/// An open segment: its file, its summary and its directory (8 bytes for a block of 4 KiB).
#[derive(Debug)]
pub(in crate::store::embedded) struct Segment {
    place: Place,
    file: Arc<dyn DiskFile>,
    summary: SegmentSummary,
    directory: Directory,
    has_stubs: bool,
}

impl Segment {
    /// Opens a segment and checks everything but its blocks.
    ///
    /// # Errors
    /// When it is missing, damaged, another program's, another store's or of a newer format.
    pub(in crate::store::embedded) fn open(disk: &dyn Disk, name: &str, store_id: u128) -> Result<Self, StoreError> {
        let place = Place::new(disk, name);
        let failed = |error| place.read_failed(&error);
        let file = disk.open(name, Open::Existing).map_err(failed)?;
        let file_bytes = file.len().map_err(failed)?;
        if file_bytes == 0 {
            return Err(place.corrupted("it is empty"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read(0, &mut header).map_err(failed)?;
        let (first, has_stubs) = check_header(&header, store_id, &place)?;
        let trailer_offset = file_bytes.checked_sub(TRAILER_BYTES as u64);
        let trailer_offset = trailer_offset.ok_or_else(|| place.corrupted("it is cut off"))?;
        let mut trailer = [0; TRAILER_BYTES];
        file.read(trailer_offset, &mut trailer).map_err(failed)?;
        let (summary, checksum) = check_trailer(&trailer).map_err(place.malformed("the trailer"))?;
        if summary.first != first || summary.file_bytes != file_bytes {
            return Err(place.corrupted("its trailer belongs to another segment"));
        }
        // Bounded by the length of the file.
        let offset = summary.directory_offset().unwrap_or(trailer_offset);
        let mut directory = vec![0; usize::try_from(trailer_offset.saturating_sub(offset)).unwrap_or_default()];
        file.read(offset, &mut directory).map_err(failed)?;
        let directory = Directory::new(directory, checksum, &summary).map_err(place.malformed("the directory"))?;
        Ok(Self { place, file, summary, directory, has_stubs })
    }

    /// What its trailer says of it.
    pub(in crate::store::embedded) const fn summary(&self) -> &SegmentSummary {
        &self.summary
    }

    /// Whether it was compacted, so that stubs stand in place of removed events.
    pub(super) const fn has_stubs(&self) -> bool {
        self.has_stubs
    }

    pub(super) const fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Reads blocks to the front of `buffer`, which grows if it is too small. They are not verified.
    pub(super) fn read(&self, blocks: &Range<usize>, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        let place = self.directory.bytes(blocks);
        let bytes = usize::try_from(place.end.saturating_sub(place.start)).unwrap_or(usize::MAX);
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        let out = buffer.get_mut(..bytes).unwrap_or_default();
        self.file.read(place.start, out).map_err(|error| self.place.read_failed(&error))
    }
}
