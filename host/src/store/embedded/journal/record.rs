//! The head of a record: what is written before a payload, and what must verify before it is read.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::slot::HEADER_BYTES;

const MAGIC: [u8; 4] = *b"TMjr";
/// Bytes before a payload.
pub(super) const HEAD_BYTES: usize = 40;
/// Bytes that the check of a head covers, without the offset.
const CHECKED_BYTES: usize = 24;
/// Records begin at multiples of this.
pub(super) const RECORD_ALIGNMENT: u64 = 64;
/// Where the first record begins.
pub(super) const FIRST_RECORD: u64 = HEADER_BYTES as u64;
/// Largest payload.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// A head that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sequence: u64,
    pub(super) ordinal: u64,
    pub(super) payload_bytes: usize,
    check: u64,
    checksum: u64,
}

impl Head {
    /// Reads the head at an offset; none if there is none that was written there.
    pub(super) fn parse(bytes: &[u8], offset: u64, seed: u64) -> Option<Self> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let (checked, rest) = bytes.split_first_chunk::<CHECKED_BYTES>()?;
        let head = Self {
            payload_bytes: u32::from_le_bytes(part(checked, 4)?) as usize,
            sequence: u64::from_le_bytes(part(checked, 8)?),
            ordinal: u64::from_le_bytes(part(checked, 16)?),
            check: u64::from_le_bytes(part(rest, 0)?),
            checksum: u64::from_le_bytes(part(rest, 8)?),
        };
        (check(checked, offset, seed) == head.check && head.payload_bytes <= PAYLOAD_BYTES_MAX).then_some(head)
    }

    /// Whether it is this payload that was written with the head.
    pub(super) fn verifies(&self, payload: &[u8]) -> bool {
        xxh3_64_with_seed(payload, self.check) == self.checksum
    }
}

/// What names a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) seed: u64,
    pub(super) sequence: u64,
    pub(super) ordinal: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
}

/// Puts the record of a payload, given in parts, into the empty `out`. None if it is too large.
pub(super) fn encode(name: Name, parts: &[&[u8]], out: &mut Vec<u8>) -> Option<()> {
    let payload_bytes: usize = parts.iter().map(|part| part.len()).sum();
    let payload_bytes = u32::try_from(payload_bytes).ok().filter(|_| payload_bytes <= PAYLOAD_BYTES_MAX)?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&payload_bytes.to_le_bytes());
    out.extend_from_slice(&name.sequence.to_le_bytes());
    out.extend_from_slice(&name.ordinal.to_le_bytes());
    let check = check(out.first_chunk()?, name.offset, name.seed);
    out.extend_from_slice(&check.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let (head, payload) = out.split_first_chunk_mut::<HEAD_BYTES>()?;
    *head.last_chunk_mut()? = xxh3_64_with_seed(payload, check).to_le_bytes();
    Some(())
}

/// Where the record behind one that ends at `end` begins.
pub(super) const fn aligned(end: u64) -> Option<u64> {
    end.checked_next_multiple_of(RECORD_ALIGNMENT)
}

fn check(checked: &[u8; CHECKED_BYTES], offset: u64, seed: u64) -> u64 {
    let mut bytes = [0; CHECKED_BYTES + 8];
    let (head, place) = bytes.split_at_mut(CHECKED_BYTES);
    head.copy_from_slice(checked);
    place.copy_from_slice(&offset.to_le_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
