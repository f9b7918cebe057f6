//! How an aggregate's commands are carried out. The manifest says so; this is its typed form.

use super::transient::Transient;
use crate::delivery::Backoff;
use crate::event::Category;

/// How an aggregate's commands are carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregatePolicy {
    /// Category of its streams, which is its name; none for the plugin's name.
    pub category: Option<Category>,
    /// How often a command is tried again after a failure that may pass.
    pub retries: u32,
    /// Which failures those are; none for the usual ones.
    pub retry_on: Option<Vec<Transient>>,
    /// Waits between those.
    pub backoff: Backoff,
    /// A snapshot is written when the last one is so many events old; 0 for never.
    pub snapshot_every: u64,
    /// A snapshot is written, too, when handing over what came since the last one took so long, in milliseconds; 0 for
    /// never.
    pub snapshot_after_ms: u64,
    /// Aggregates kept in memory.
    pub hot: usize,
    /// The types of commands that there are; none for any.
    pub commands: Option<Vec<String>>,
    /// How long a command may take that does not say so itself; none for as long as it takes.
    pub deadline_ms: Option<u64>,
}

impl Default for AggregatePolicy {
    fn default() -> Self {
        Self {
            category: None,
            retries: 10,
            retry_on: None,
            backoff: Backoff { initial_ms: 1, max_ms: 100, jitter: true },
            snapshot_every: 100,
            snapshot_after_ms: 0,
            hot: 1000,
            commands: None,
            deadline_ms: None,
        }
    }
}
