//! The redo log: what a commit writes, once, before it is answered.
//!
//! A journal is a chain of records in one slot, the file `journal-N`. A slot outlives its journal: when the
//! content is sealed elsewhere, a later journal overwrites it in place, which needs no room and whose syncs
//! need not touch the file's length. Numbers are little-endian, offsets those of the file.
//!
//! ```text
//! 0     magic "TMjournl" | format version u32 (1) | check u32: low half of xxh3-64 of the 12 bytes before,
//!       zeros to 4096
//! 4096  record, zeros or anything to a multiple of 64, record, …
//!
//! record, 40 bytes of head and then the payload:
//!       magic "TMjr" | payload bytes u32 | sequence of the journal u64 | ordinal u64: 0, 1, 2…
//!     | check u64: xxh3-64 of the 24 bytes before and the record's offset u64, seeded with the store's seed
//!     | checksum u64: xxh3-64 of the payload, seeded with the check
//! ```
//!
//! The live records are those at 4096 and so on, each behind the other, of one sequence, with ordinals from
//! 0. Where one does not verify, the chain ends. A journal of a higher sequence is later. The first 4096
//! bytes are written and synced when the file is made and never again.
//!
//! Why that is safe:
//! - *One record is unsynced at most* (the writer holds it): so a head of ordinal n + 1 proves that record n
//!   was synced, and perhaps answered. Where the chain ends before such a head, records are damaged, and
//!   [`JournalReader::replay`] says so instead of dropping them. Where it ends before none, what stands
//!   there is a record that was never answered, torn by a crash or by a failed write: it is overwritten by
//!   the next one. Damage to the very last record cannot be told from that.
//! - *Nothing behind the end verifies later.* A record must have the journal's sequence and the next
//!   ordinal, and at its place. Behind an end at ordinal n stand parts of torn records n, whose heads were
//!   at the end itself, and records of older journals, whose sequences are lower. A shorter record n
//!   written over a longer torn one is followed by bytes of payload, and the seed, a secret of the store,
//!   keeps those from posing as heads; copies of true heads fail because they are not at their place.
//! - *A refused record is gone.* If a write fails for want of room, the head is zeroed and synced before
//!   anything else is written, lest the old record and a later one that ends alike together look whole.
//! - *A recycled slot* is known by its first record: until that of the new journal is whole, the old one
//!   stands there, with a sequence below the floor, or none; either is a slot without a journal.
//!
//! `tests` holds all of this, over images of crashes.

mod extent;
mod reader;
mod record;
mod slot;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub(super) use extent::{Wanted, extent};
pub(super) use reader::{JournalReader, Live, Tail};
pub(super) use slot::{name as file_of_slot, slots};
#[cfg(test)]
use writer::JournalError;
pub(super) use writer::{JournalOptions, JournalWriter, Place};
