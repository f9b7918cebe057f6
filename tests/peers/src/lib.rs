//! Other event stores behind the seams of the benchmarks, each at its best and as durable as ours.
//!
//! All of them run in this process, on one disk, for the same clients. What an answer means is the same
//! everywhere: the events are on stable storage. UmaDB syncs its pages, writes its header and syncs that,
//! each group; SQLite syncs its write-ahead log in each transaction (`synchronous=FULL`).
//!
//! Not the same: what they keep. UmaDB indexes tags only, so a stream is a second tag there; it has no
//! versions, no read by id, and reads a type by scanning. SQLite has an index for each, as an event store
//! on it needs them.

mod served;
mod sqlite;
#[cfg(test)]
mod tests;
mod umadb;

pub use served::Served;
pub use sqlite::{SqliteReader, SqliteSink};
pub use umadb::UmaDb;
