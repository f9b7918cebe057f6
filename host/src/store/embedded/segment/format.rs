//! The header and the trailer of a segment, as bytes (drawn in the module above).

use xxhash_rust::xxh3::xxh3_64;

use super::place::Place;
use crate::event::Position;
use crate::integrity::{HASH_BYTES, Hash};
use crate::store::StoreError;
use crate::store::embedded::encoding::{Malformed, Reader};

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 44;
/// Bytes of the trailer.
pub(super) const TRAILER_BYTES: usize = 24 + SUMMARY_BYTES;
/// Bytes of a block's entry in the directory.
pub(super) const ENTRY_BYTES: usize = 8;

/// Format of a segment of events.
const FORMAT_EVENTS: u32 = 1;
/// Format of a segment that has stubs of removed events.
const FORMAT_STUBS: u32 = 2;
const HEADER_MAGIC: [u8; 8] = *b"TIDESEGM";
const TRAILER_MAGIC: [u8; 8] = *b"TIDESEGZ";
/// Bytes of a summary.
pub(super) const SUMMARY_BYTES: usize = 56 + HASH_BYTES;

/// The header of the segment of a store that begins at `first`.
pub(super) fn header(store_id: u128, first: Position, stubs: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&HEADER_MAGIC);
    out.extend_from_slice(&if stubs { FORMAT_STUBS } else { FORMAT_EVENTS }.to_le_bytes());
    out.extend_from_slice(&store_id.to_le_bytes());
    out.extend_from_slice(&first.0.to_le_bytes());
    put_checksum(&mut out);
    out
}

fn put_checksum(out: &mut Vec<u8>) {
    let checksum = xxh3_64(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Takes the checksum off the end of bytes that carry one.
fn checked(bytes: &[u8]) -> Result<Reader<'_>, Malformed> {
    let (rest, checksum) = bytes.split_last_chunk().ok_or(Malformed("it is cut off"))?;
    if u64::from_le_bytes(*checksum) == xxh3_64(rest) {
        Ok(Reader(rest))
    } else {
        Err(Malformed("the checksum does not match"))
    }
}

/// Checks the header of a segment of a store; answers its first position, and whether it has stubs.
pub(super) fn check_header(bytes: &[u8], store_id: u128, place: &Place) -> Result<(Position, bool), StoreError> {
    let malformed = place.malformed("the header");
    if bytes.get(..HEADER_MAGIC.len()) != Some(&HEADER_MAGIC) {
        return Err(place.foreign("it does not begin as a segment of events"));
    }
    let mut reader = checked(bytes).map_err(&malformed)?;
    reader.take(HEADER_MAGIC.len()).map_err(&malformed)?;
    let format = u32::from_le_bytes(reader.array().map_err(&malformed)?);
    let store = u128::from_le_bytes(reader.array().map_err(&malformed)?);
    let first = u64::from_le_bytes(reader.array().map_err(&malformed)?);
    if format > FORMAT_STUBS {
        return Err(place.newer(format, FORMAT_STUBS));
    }
    if format < FORMAT_EVENTS {
        return Err(place.corrupted(format!("its format version is {format}")));
    }
    if store != store_id {
        return Err(place.foreign("it belongs to another store"));
    }
    Ok((Position(first), format == FORMAT_STUBS))
}

/// What is known of a segment without reading its events. The manifest keeps it, the trailer too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct SegmentSummary {
    /// Position of the first event.
    pub(in crate::store::embedded) first: Position,
    /// Position of the last event.
    pub(in crate::store::embedded) last: Position,
    /// Time of the first event.
    pub(in crate::store::embedded) first_timestamp_us: u64,
    /// Time of the last event.
    pub(in crate::store::embedded) last_timestamp_us: u64,
    /// Number of blocks.
    pub(in crate::store::embedded) blocks: u64,
    /// Bytes of the encoded events.
    pub(in crate::store::embedded) payload_bytes: u64,
    /// Bytes of the file.
    pub(in crate::store::embedded) file_bytes: u64,
    /// Root of the Merkle tree over the events.
    pub(in crate::store::embedded) root: Hash,
}

impl SegmentSummary {
    /// Number of events.
    pub(in crate::store::embedded) const fn events(&self) -> u64 {
        self.last.0.saturating_sub(self.first.0).saturating_add(1)
    }

    /// Whether it holds the event at a position.
    pub(in crate::store::embedded) fn holds(&self, position: Position) -> bool {
        self.first <= position && position <= self.last
    }

    /// Appends its bytes: [`Self::decode`] takes them back.
    pub(in crate::store::embedded) fn encode(&self, out: &mut Vec<u8>) {
        let Self { first, last, first_timestamp_us, last_timestamp_us, blocks, payload_bytes, file_bytes, root } = self;
        for number in [first.0, last.0, *first_timestamp_us, *last_timestamp_us, *blocks, *payload_bytes, *file_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(root);
    }

    /// Takes a summary that fills `bytes`, and refuses what no segment can be.
    pub(in crate::store::embedded) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let mut number = || reader.array().map(u64::from_le_bytes);
        let summary = Self {
            first: Position(number()?),
            last: Position(number()?),
            first_timestamp_us: number()?,
            last_timestamp_us: number()?,
            blocks: number()?,
            payload_bytes: number()?,
            file_bytes: number()?,
            root: reader.array()?,
        };
        let rising = Position::START < summary.first && summary.first <= summary.last && summary.last.0 < u64::MAX;
        let sound = rising && (1..=summary.events()).contains(&summary.blocks) && summary.directory_offset().is_some();
        if sound && reader.0.is_empty() { Ok(summary) } else { Err(Malformed("no segment can be as it says")) }
    }

    /// Where the directory begins; none if the file has no room for header, directory and trailer.
    pub(super) fn directory_offset(&self) -> Option<u64> {
        let after = self.blocks.checked_mul(ENTRY_BYTES as u64)?.checked_add(TRAILER_BYTES as u64)?;
        self.file_bytes.checked_sub(after).filter(|offset| *offset > HEADER_BYTES as u64)
    }
}

/// The trailer of a segment.
pub(super) fn trailer(summary: &SegmentSummary, directory: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    out.extend_from_slice(&TRAILER_MAGIC);
    summary.encode(&mut out);
    out.extend_from_slice(&xxh3_64(directory).to_le_bytes());
    put_checksum(&mut out);
    out
}

/// Checks a trailer; answers what it says of the segment, and the checksum of the directory.
pub(super) fn check_trailer(bytes: &[u8]) -> Result<(SegmentSummary, u64), Malformed> {
    let mut reader = checked(bytes)?;
    if reader.array()? != TRAILER_MAGIC {
        return Err(Malformed("it is not one of a segment"));
    }
    let summary = SegmentSummary::decode(reader.take(SUMMARY_BYTES)?)?;
    Ok((summary, u64::from_le_bytes(reader.array()?)))
}
