//! What a compacted segment keeps of a removed event. Numbers are little-endian.
//!
//! ```text
//! leaf hash 32 | timestamp_us u64
//! | of the last event of its stream in the segment: version << 1 | tombstone, u64 | stream
//! ```
//!
//! The leaf hash, so that the root over the segment can still be computed and proofs of other events hold; the
//! time, so that the log is looked through by time as before; and where streams end, so that their versions go
//! on and the index can be made anew from the segment.

use super::encoding::{Malformed, Reader, TOO_SHORT};
use super::key::Head;
use crate::event::{NAME_BYTES_MAX, Position, Version};
use crate::integrity::Hash;

/// The parts of a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stub<'a> {
    /// Of the event that was removed.
    pub(super) leaf: &'a Hash,
    /// When that was stored.
    pub(super) timestamp_us: u64,
    /// If it is the last of its stream in its segment: the stream, its version, and whether it is a tombstone.
    pub(super) end: Option<(&'a str, Version, bool)>,
}

impl<'a> Stub<'a> {
    /// Appends its bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.leaf);
        out.extend_from_slice(&self.timestamp_us.to_le_bytes());
        if let Some((stream, version, deleted)) = self.end {
            out.extend_from_slice(&(version.0 << 1 | u64::from(deleted)).to_le_bytes());
            out.extend_from_slice(stream.as_bytes());
        }
    }

    /// Takes a stub that fills `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (leaf, rest) = bytes.split_first_chunk().ok_or(TOO_SHORT)?;
        let mut reader = Reader(rest);
        let timestamp_us = u64::from_le_bytes(reader.array()?);
        if reader.0.is_empty() {
            return Ok(Self { leaf, timestamp_us, end: None });
        }
        let stamp = u64::from_le_bytes(reader.array()?);
        let stream = std::str::from_utf8(reader.0).map_err(|_| Malformed("a stream of a removed event is no text"))?;
        if stamp >> 1 == 0 || !(1..=NAME_BYTES_MAX).contains(&stream.len()) {
            return Err(Malformed("a removed event does not tell its stream"));
        }
        Ok(Self { leaf, timestamp_us, end: Some((stream, Version(stamp >> 1), stamp & 1 == 1)) })
    }

    /// The stream that ends with it in its segment, and how, if one does.
    pub(super) fn head(&self, position: Position) -> Option<(&'a str, Head)> {
        self.end.map(|(stream, version, deleted)| (stream, Head { version, position, deleted }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stub_survives_the_round_trip(
            leaf: Hash, timestamp_us: u64, end in proptest::option::of(("[a-zü-]{1,20}", 1..u64::MAX / 2, any::<bool>()))
        ) {
            let end = end.as_ref().map(|(stream, version, deleted)| (stream.as_str(), Version(*version), *deleted));
            let stub = Stub { leaf: &leaf, timestamp_us, end };
            let mut bytes = Vec::new();
            stub.encode(&mut bytes);
            prop_assert_eq!(Stub::parse(&bytes).unwrap(), stub);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let parsed = Stub::parse(&bytes);
            prop_assert!(bytes.len() == 40 || bytes.len() > 48 || parsed.is_err());
        }
    }
}
