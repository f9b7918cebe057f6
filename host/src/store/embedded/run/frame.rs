//! What stands around the pages: the header, the trailer, and the seeds of checksums.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::filter::BLOCK_BYTES;
use super::page::PAGE_BYTES;
use crate::store::embedded::encoding::{Malformed, Reader};

/// First bytes of every run.
const MAGIC: [u8; 8] = *b"tide-run";
/// Version of the bytes of a run.
pub(super) const FORMAT: u32 = 1;
/// Bytes of the header: as a page, so that pages are aligned.
pub(super) const HEADER_BYTES: usize = PAGE_BYTES;
/// Bytes of the trailer.
pub(super) const TRAILER_BYTES: usize = 64;
/// Bytes in the fences of each page beside its key.
pub(super) const FENCE_BYTES: u64 = 12;

/// Which run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store_id: u128,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) level: u32,
}

/// Seeds of the checksums of one run's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seeds(u64);

impl Seeds {
    pub(super) const fn page(self, page: u64) -> u64 {
        self.0.wrapping_add(page)
    }
    pub(super) const fn fences(self) -> u64 {
        self.0.wrapping_sub(3)
    }
    pub(super) const fn filter(self) -> u64 {
        self.0.wrapping_sub(2)
    }
    const fn trailer(self) -> u64 {
        self.0.wrapping_sub(1)
    }
}

impl Header {
    /// Its bytes, and the seeds of what follows.
    pub(super) fn encode(&self) -> (Vec<u8>, Seeds) {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.level.to_le_bytes());
        out.extend_from_slice(&self.store_id.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.resize(HEADER_BYTES - 8, 0);
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        (out, Seeds(checksum))
    }

    /// Verifies a header of any format; answers the format and, if it is known, the rest.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<(u32, Option<(Self, Seeds)>), Malformed> {
        let mut reader = Reader(bytes);
        if reader.array()? != MAGIC {
            return Err(Malformed("it does not begin as an index run"));
        }
        let (rest, checksum) = bytes.split_last_chunk().ok_or(Malformed("the header is cut off"))?;
        let checksum = u64::from_le_bytes(*checksum);
        if checksum != xxh3_64(rest) {
            return Err(Malformed("the checksum of the header does not match"));
        }
        let format = u32::from_le_bytes(reader.array()?);
        if format != FORMAT {
            return Ok((format, None));
        }
        let level = u32::from_le_bytes(reader.array()?);
        let store_id = u128::from_le_bytes(reader.array()?);
        let [first, last] = [reader.array()?, reader.array()?].map(u64::from_le_bytes);
        if first == 0 || first > last {
            return Err(Malformed("the header's range of positions is none"));
        }
        Ok((format, Some((Self { store_id, first, last, level }, Seeds(checksum)))))
    }
}

/// What the file holds and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) pages: u64,
    pub(super) fence_bytes: u64,
    pub(super) filter_blocks: u64,
    /// Distinct keys.
    pub(super) keys: u64,
    /// Positions of all keys together.
    pub(super) postings: u64,
    pub(super) fence_checksum: u64,
    pub(super) filter_checksum: u64,
}

impl Trailer {
    pub(super) fn encode(&self, seeds: Seeds) -> Vec<u8> {
        let mut out: Vec<u8> = [
            self.pages,
            self.fence_bytes,
            self.filter_blocks,
            self.keys,
            self.postings,
            self.fence_checksum,
            self.filter_checksum,
        ]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
        out.extend_from_slice(&xxh3_64_with_seed(&out, seeds.trailer()).to_le_bytes());
        out
    }

    /// Verifies the trailer of a file of `file_bytes`: its parts fill the file.
    pub(super) fn decode(bytes: &[u8; TRAILER_BYTES], seeds: Seeds, file_bytes: u64) -> Result<Self, Malformed> {
        let (rest, checksum) = bytes.split_last_chunk().ok_or(Malformed("it is cut off"))?;
        if u64::from_le_bytes(*checksum) != xxh3_64_with_seed(rest, seeds.trailer()) {
            return Err(Malformed("its checksum does not match"));
        }
        let mut reader = Reader(rest);
        let mut next = || reader.array().map(u64::from_le_bytes);
        let trailer = Self {
            pages: next()?,
            fence_bytes: next()?,
            filter_blocks: next()?,
            keys: next()?,
            postings: next()?,
            fence_checksum: next()?,
            filter_checksum: next()?,
        };
        match trailer.file_bytes() {
            Some(bytes) if bytes == file_bytes && trailer.pages <= trailer.fence_bytes / FENCE_BYTES => Ok(trailer),
            _ => Err(Malformed("the sizes of its parts do not add up to that of the file")),
        }
    }

    /// Where the fences start.
    pub(super) const fn fences_at(&self) -> u64 {
        HEADER_BYTES as u64 + self.pages * PAGE_BYTES as u64
    }

    /// Where the filter starts.
    pub(super) const fn filter_at(&self) -> u64 {
        self.fences_at() + self.fence_bytes
    }

    /// Bytes of the whole file; none when they are more than there are numbers.
    fn file_bytes(&self) -> Option<u64> {
        let pages = self.pages.checked_mul(PAGE_BYTES as u64)?;
        let filter = self.filter_blocks.checked_mul(BLOCK_BYTES as u64)?;
        let around = (HEADER_BYTES + TRAILER_BYTES) as u64;
        around.checked_add(pages)?.checked_add(self.fence_bytes)?.checked_add(filter)
    }
}
