//! A run: an immutable file that maps the keys of a contiguous range of positions to those positions.
//!
//! Owns the bytes of a run, how it is written, looked up, merged with its neighbours and verified. Does not
//! know which runs there are (the manifest does) nor the events (the segments do). Numbers are
//! little-endian; `varint` is LEB128 of a u64.
//!
//! ```text
//! header, 4 KiB     magic "tide-run" | format u32 (1) | level u32 | store id u128 | first u64 | last u64
//!                   | zeros | checksum u64 of all before it (so in every format)
//! page, 4 KiB, …    checksum u64 of the rest | earlier u64: postings of the first entry's key on earlier
//!                   pages | used u16: bytes of the entries | entries u16 | entries | zeros
//!   entry           shared varint: bytes shared with the key before it on the page | suffix bytes varint
//!                   | body bytes varint | suffix | body
//!   body            streams only: version << 1 | deleted, varint, of the entry's last posting
//!                   | first position - first of the run, varint | deltas to the next, varint ≥ 1 …
//! fences            per page: position u64 | end u32 of its key in what follows; then the keys
//! filter            blocks of 32 bytes, see `filter`
//! trailer, 64 bytes pages u64 | fence bytes u64 | filter blocks u64 | keys u64 | postings u64
//!                   | checksum u64 of the fences | checksum u64 of the filter | checksum u64 of all before it
//! ```
//!
//! Checksums are xxh3-64. That of the header has seed 0; all others are seeded by the header's, plus the
//! part's number (pages from 0, fences, filter, trailer at the end of the numbers): a part of another run,
//! or of another place, does not verify. A page is verified on every read; the rest when the run is opened.
//!
//! Invariants: keys rise strictly by bytes, positions of a key rise strictly within first..=last. A list
//! that does not fit goes on as the first entry of the next page, under its key again. Versions of a stream
//! are dense, so an entry of n postings whose last has version v tells all of them. The fence of a page
//! where a key starts is the shortest prefix of it above the last key before, with position 0; where a list
//! goes on, it is the key and the position + 1 - first of the run. So the last fence that is not above (key, bound)
//! is the page where the highest position of the key up to the bound stands. `tests` hold them.

mod failure;
mod fences;
mod filter;
mod frame;
mod keys;
mod list;
mod merge;
mod page;
mod prune;
mod reader;
mod scan;
#[cfg(test)]
mod tests;
mod varint;
mod verify;
mod writer;

pub(super) use filter::{Probe, id_bytes};
pub(super) use merge::merge;
pub(super) use page::Stamp;
pub(super) use prune::prune;
pub(super) use reader::Run;
pub(super) use writer::{RunOptions, RunWriter};
