//! A segment: the events of one sealed journal in an immutable file. Numbers are little-endian.
//!
//! ```text
//! header    magic "TIDESEGM" | format version u32 (1; 2 with stubs) | store id u128 | first position u64
//!           | checksum u64: xxh3-64 of the header before it                                    (44 bytes)
//! blocks    back to back (see `block`), of about 4 KiB; a larger event has its own
//! directory for each block: first position u32 (from the segment's first) | place in the file u32
//! trailer   magic "TIDESEGZ" | first position u64 | last position u64 | first timestamp_us u64
//!           | last timestamp_us u64 | blocks u64 | payload bytes u64: of the encoded events
//!           | file bytes u64 | root 32: RFC 6962, over the leaf hashes of all events
//!           | checksum u64: xxh3-64 of the directory | checksum u64: xxh3-64 of the trailer before it
//!                                                                                             (112 bytes)
//! ```
//!
//! A segment that was compacted (`upkeep`) has stubs (see `stub`) in place of removed events: so positions stay
//! dense and the root the same.
//!
//! The directory stands just before the trailer, so its place follows from the number of blocks; the number
//! of events follows from the positions, which are dense. The header keeps its layout in every format.
//!
//! Owns the file: writing it (`writer`), opening it (`file`), reading it (`reader`), finding the one that
//! holds a position (`set`), and verifying it (`verify`). Does not know which segments belong to a store:
//! the manifest does. Caches nothing but directories of open files and what a reader is reading: the
//! system's page cache is the cache.
//!
//! Invariants: a file is never changed once `writer` has finished it, only replaced by one of a higher generation; each of its bytes is under a checksum;
//! nothing of a block is served before the block's checksum was verified, each time it is read from the
//! file; timestamps never decrease with position. `tests` flips every bit.

mod compact;
mod directory;
mod file;
mod format;
mod place;
mod reader;
mod set;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub(super) use compact::compact;
pub(super) use format::SegmentSummary;
pub(super) use set::{SegmentCursor, SegmentRow, Segments};
pub(super) use verify::{Visitor, verify};
pub(super) use writer::SegmentWriter;

use crate::event::Position;

/// Name of the file of the segment that begins at a position, and was compacted so many times.
pub(super) fn file_name(first: Position, generation: u32) -> String {
    match generation {
        0 => format!("{:020}.segment", first.0),
        _ => format!("{:020}.{generation}.segment", first.0),
    }
}

/// The summary that a segment's file has of itself.
#[cfg(test)]
pub(super) fn read_summary(
    disk: &dyn super::disk::Disk,
    name: &str,
    store_id: u128,
) -> Result<SegmentSummary, crate::store::StoreError> {
    file::Segment::open(disk, name, store_id).map(|segment| segment.summary().clone())
}
