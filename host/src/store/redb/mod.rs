//! The durable store: one redb file, one writer thread, an index in memory.
//!
//! Events stand in blocks at the right edge of one table (`tables`); everything that finds them is
//! derived and kept in memory (`index`), so a commit touches no page at random for an event. Appends and
//! units of work wait in one bounded queue; the writer groups them (`writer`). The only place that names
//! redb.
//!
//! Invariants: what is answered is synced; the head moves only after the sync; readers see committed
//! blocks up to the head and nothing else; a block is verified on every read. `conformance` and `tests`
//! hold them.

mod block;
mod cursor;
mod encoding;
mod failure;
mod group;
mod id_map;
mod index;
mod linger;
mod open;
mod positions;
mod queue;
mod reads;
mod shared;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use store::{OpenOptions, RedbStore};
