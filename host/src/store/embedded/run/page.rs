//! A page: entries in key order, read and written. The bytes are drawn in the module above.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::varint;
use crate::event::Version;
use crate::store::embedded::encoding::{Malformed, Reader};
use crate::store::embedded::key::{KEY_BYTES_MAX, Kind};

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 4096;
/// Bytes before the entries.
pub(super) const HEAD_BYTES: usize = 20;
/// Most bytes of an entry before its deltas: three lengths below 16,384, the key, two numbers.
const ENTRY_BYTES_MAX: usize = 6 + KEY_BYTES_MAX + 2 * varint::BYTES_MAX;

const _: () = assert!(HEAD_BYTES + 4 * ENTRY_BYTES_MAX <= PAGE_BYTES, "several entries fit whatever their keys");

const CUT_OFF: Malformed = Malformed("an entry is cut off");

/// What an entry of a stream says of its last posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) struct Stamp {
    /// Its version.
    pub(in crate::store::embedded) version: Version,
    /// Whether it is a tombstone.
    pub(in crate::store::embedded) deleted: bool,
}

/// Whether keys like this one are of streams.
pub(super) fn is_stream(key: &[u8]) -> bool {
    key.first() == Some(&(Kind::Stream as u8))
}

/// Bytes that both begin with.
#[inline]
pub(super) fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Positions of one key on one page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// For streams.
    pub(super) stamp: Option<Stamp>,
    /// The first position, from the first of the run, and the deltas.
    list: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Finds the parts of an entry's body.
    #[inline]
    fn parse(mut body: &'a [u8], stream: bool) -> Result<Self, Malformed> {
        if !stream {
            return Ok(Self { stamp: None, list: body });
        }
        let stamp = varint::take(&mut body).ok_or(CUT_OFF)?;
        Ok(Self { stamp: Some(Stamp { version: Version(stamp >> 1), deleted: stamp & 1 == 1 }), list: body })
    }

    /// Hands out its positions, one at least, which rise within `first..=last`, the range of the run.
    #[inline]
    pub(super) fn positions(&self, (first, last): (u64, u64), mut each: impl FnMut(u64)) -> Result<(), Malformed> {
        let beyond = Malformed("a position is outside the range of the run");
        let mut list = self.list;
        let offset = varint::take(&mut list).ok_or(CUT_OFF)?;
        let mut position = first.checked_add(offset).filter(|position| *position <= last).ok_or(beyond)?;
        each(position);
        while !list.is_empty() {
            let delta = varint::take(&mut list).filter(|delta| *delta > 0).ok_or(Malformed("a delta is none"))?;
            position = position.checked_add(delta).filter(|position| *position <= last).ok_or(beyond)?;
            each(position);
        }
        Ok(())
    }

    /// Version of the first posting of a stream.
    pub(super) fn first_version(&self) -> Result<u64, Malformed> {
        // Each number ends with the only one of its bytes that is below 128.
        let count = self.list.iter().filter(|byte| **byte < 0x80).count() as u64;
        let last = self.stamp.map_or(0, |stamp| stamp.version.0);
        let first = (last + 1).checked_sub(count).filter(|version| *version > 0);
        first.ok_or(Malformed("a stream has fewer versions than events"))
    }
}

/// A key of a page with its positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Bytes of the key shared with that of the entry before.
    pub(super) shared: usize,
    /// The rest of the key.
    pub(super) suffix: &'a [u8],
    body: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Its positions; whether its key is of a stream is known from the whole key.
    pub(super) fn piece(&self, stream: bool) -> Result<Piece<'a>, Malformed> {
        Piece::parse(self.body, stream)
    }
}

/// The entries of a page that are still to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    pub(super) rest: &'a [u8],
    pub(super) left: u16,
}

impl<'a> Entries<'a> {
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else {
            return if self.rest.is_empty() { Ok(None) } else { Err(Malformed("bytes belong to no entry")) };
        };
        self.left = left;
        self.entry().ok_or(CUT_OFF).map(Some)
    }

    #[inline]
    fn entry(&mut self) -> Option<Entry<'a>> {
        let shared = varint::take(&mut self.rest)? as usize;
        let suffix_bytes = varint::take(&mut self.rest)?;
        let body_bytes = varint::take(&mut self.rest)?;
        let (suffix, rest) = self.rest.split_at_checked(suffix_bytes as usize)?;
        let (body, rest) = rest.split_at_checked(body_bytes as usize)?;
        self.rest = rest;
        Some(Entry { shared, suffix, body })
    }
}

/// A verified page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// Postings of the first entry's key on earlier pages.
    pub(super) earlier: u64,
    /// All of its entries.
    pub(super) entries: Entries<'a>,
}

impl<'a> Page<'a> {
    /// Verifies the page of this seed.
    pub(super) fn verify(bytes: &'a [u8], seed: u64) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let checksum = u64::from_le_bytes(reader.array()?);
        if checksum != xxh3_64_with_seed(reader.0, seed) {
            return Err(Malformed("the checksum does not match"));
        }
        let earlier = u64::from_le_bytes(reader.array()?);
        let used = u16::from_le_bytes(reader.array()?);
        let left = u16::from_le_bytes(reader.array()?);
        Ok(Self { earlier, entries: Entries { rest: reader.take(used.into())?, left } })
    }

    /// The positions of a key on this page.
    pub(super) fn find(self, key: &[u8]) -> Result<Option<Piece<'a>>, Malformed> {
        let mut entries = self.entries;
        // Bytes that the key shares with the entry before, which is below it.
        let mut matched = 0;
        while let Some(entry) = entries.next()? {
            // An entry that shares more with the one before is below the key at the same byte.
            if entry.shared > matched {
                continue;
            }
            let rest = key.get(matched..).unwrap_or_default();
            let common = shared_bytes(entry.suffix, rest);
            if entry.shared < matched || entry.suffix.get(common) > rest.get(common) {
                return Ok(None);
            }
            matched += common;
            if common == entry.suffix.len() && matched == key.len() {
                return entry.piece(is_stream(key)).map(Some);
            }
        }
        Ok(None)
    }
}

/// A page in the making.
#[derive(Debug)]
pub(super) struct PageBuilder {
    bytes: Vec<u8>,
    entries: u16,
    earlier: u64,
}

/// An entry to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEntry<'a> {
    /// The whole key.
    pub(super) key: &'a [u8],
    /// Bytes of it shared with the entry before; 0 for the first of a page.
    pub(super) shared: usize,
    pub(super) stamp: Option<Stamp>,
    /// The first position, from the first of the run.
    pub(super) first: u64,
    pub(super) deltas: &'a [u8],
}

impl PageBuilder {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.resize(HEAD_BYTES, 0);
        Self { bytes, entries: 0, earlier: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Says that its first key has so many postings on earlier pages.
    pub(super) const fn set_earlier(&mut self, postings: u64) {
        self.earlier = postings;
    }

    /// Bytes of deltas that fit beside the rest of an entry; none when not even that fits.
    pub(super) fn room(&self, key: &[u8], shared: usize, first: u64) -> Option<usize> {
        let suffix = key.len().checked_sub(shared)?;
        let stamp = if is_stream(key) { varint::BYTES_MAX } else { 0 };
        // Below, the length of the body has two bytes at most.
        let entry =
            varint::bytes(shared as u64) + varint::bytes(suffix as u64) + suffix + stamp + 2 + varint::bytes(first);
        PAGE_BYTES.checked_sub(self.bytes.len() + entry)
    }

    /// Adds an entry that fits.
    pub(super) fn push(&mut self, entry: NewEntry<'_>) {
        let suffix = entry.key.get(entry.shared..).unwrap_or_default();
        let stamp = entry.stamp.map(|stamp| stamp.version.0 << 1 | u64::from(stamp.deleted));
        let body = stamp.map_or(0, varint::bytes) + varint::bytes(entry.first) + entry.deltas.len();
        varint::put(entry.shared as u64, &mut self.bytes);
        varint::put(suffix.len() as u64, &mut self.bytes);
        varint::put(body as u64, &mut self.bytes);
        self.bytes.extend_from_slice(suffix);
        if let Some(stamp) = stamp {
            varint::put(stamp, &mut self.bytes);
        }
        varint::put(entry.first, &mut self.bytes);
        self.bytes.extend_from_slice(entry.deltas);
        self.entries += 1;
        assert!(self.bytes.len() <= PAGE_BYTES, "the entry was asked for room");
    }

    /// Appends the page to `out` and starts an empty one.
    pub(super) fn finish(&mut self, seed: u64, out: &mut Vec<u8>) {
        let used = (self.bytes.len() - HEAD_BYTES) as u16;
        self.bytes.resize(PAGE_BYTES, 0);
        let head = [&self.earlier.to_le_bytes()[..], &used.to_le_bytes(), &self.entries.to_le_bytes()];
        let head = head.into_iter().flatten();
        for (to, from) in self.bytes.iter_mut().skip(8).zip(head) {
            *to = *from;
        }
        let rest = self.bytes.get(8..).unwrap_or_default();
        out.extend_from_slice(&xxh3_64_with_seed(rest, seed).to_le_bytes());
        out.extend_from_slice(rest);
        self.bytes.truncate(HEAD_BYTES);
        self.entries = 0;
        self.earlier = 0;
    }
}
