//! The durable store: journals for what is new, segments and a sorted index for what is sealed, and one redb
//! file for what plugins keep and for the manifest.
//!
//! A commit is one record of the journal and one sync (`journal`, `record`, `writer`); nothing random is
//! written for an event. What is not sealed yet is indexed in memory (`hot`). A full journal is sealed behind
//! the writer's back (`upkeep`): its events go to an immutable `segment`, its index to a sorted `run`, and the
//! changes of its units of work to the `state` file, whose transaction is the point at which the journal is no
//! longer needed. Runs are merged so that their number stays logarithmic; events are written twice in all.
//! Readers hold a `view` of all parts and never wait for the writer's disk. `docs/format.md` draws the bytes.
//!
//! Invariants: what is answered is synced; the head moves only after the sync; readers see committed events up
//! to the head and nothing else; every block, page and row is verified on every read; all IO goes through
//! [`disk`]. `conformance` and `tests` hold them.

mod activity;
mod backup;
mod before;
mod block;
mod cursor;
pub mod disk;
mod encoding;
mod failure;
mod fences;
mod group;
mod heads;
mod hot;
mod journal;
mod key;
mod layered;
mod lease;
mod linger;
mod lookup;
mod maintenance;
mod open;
mod overlay;
mod owner_snapshot;
mod plan;
mod postings;
mod queue;
mod reads;
mod record;
mod rows;
mod run;
mod segment;
mod shared;
mod sizing;
mod state;
mod store;
mod stub;
#[cfg(test)]
mod tests;
mod texts;
mod upkeep;
mod verify;
mod view;
mod writer;

pub use activity::Activity;
pub use backup::{Backup, BackupFile};
pub use maintenance::{ClosedStore, Part, Sizes};
pub use store::{EmbeddedStore, OpenOptions};
pub use verify::{Problem, Repaired, VerifyProgress, VerifyReport};
