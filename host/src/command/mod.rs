//! Commands: what somebody wants to happen to one aggregate is decided against its history, and what follows from it
//! is appended, once.
//!
//! [`Commands`] is the bus. For each command it loads the aggregate (from memory, a snapshot, or its events), lets its
//! code decide, and appends the outcome on the condition that the stream has not moved; if it has, it decides again.
//! What decides is anything that implements [`AggregateCode`]; this module does not know about wasm. Who decides for
//! which category is in [`Claims`].
//!
//! Invariants, held by the tests here and in `tests/tests/commands.rs`:
//! - a command leads to its events at most once, whoever sends it how often, and whenever the host is killed: ids of
//!   events follow from the command's id, and the store takes an id once;
//! - its outcome, a rejection too, is durable before it is answered, and what was answered once is answered again;
//! - commands of one aggregate are decided one after the other, in the order in which they came;
//! - a command that does not fit its schema, or that a validator refuses, is not decided, and its id is free;
//! - a command that was accepted is in the log before anybody is told so, and is settled once: with an outcome, or given
//!   up with its evidence;
//! - after its deadline nothing is begun for a command, and whether it was appended is always told truly;
//! - an aggregate in memory is never trusted: the stream's version decides; it is made anew after a fault, and when what it
//!   decided did not come to be;
//! - an id is that of one command, from when that is sent or accepted on;
//! - a snapshot is never trusted either: what does not fit is left out.

mod aggregate;
mod bus;
mod checks;
mod claims;
mod counts;
mod deadline;
mod decision;
mod deletions;
mod desk;
mod error;
mod history;
mod ids;
mod lanes;
mod logged;
mod patience;
mod places;
mod policy;
mod queue;
mod queue_checkpoint;
mod queue_open;
mod queue_turns;
mod record;
mod request;
mod seen;
mod shard;
mod snapshot;
mod snapshots;
mod suspects;
mod tally;
mod task;
mod temporal;
mod told;
mod transient;
mod waiting;

#[cfg(test)]
mod tests;

pub use aggregate::{AggregateCode, AggregateHost, Asked, Faulted, Handle, Misfit, Rejection, Stage};
pub use bus::{Allow, Commands, Status};
pub use checks::{Checks, FieldFault, Subject, Validate, Validator};
pub use claims::{AggregateSetup, Claimed, Claims, Taken};
pub use counts::{AggregateCounts, Results};
pub use deadline::Progress;
pub use deletions::DeletionsTask;
pub use error::{CommandError, LeftOut};
pub use policy::AggregatePolicy;
pub use queue::{QueueCounts, QueueOptions, QueueTask};
pub use record::{Decided, Outcome, Settled};
pub use request::{Command, InvalidCommand};
pub use snapshots::{DamagedSnapshot, SnapshotInfo, SnapshotPage};
pub use temporal::{Change, Changed, Point, StateAt, Touched};
pub use transient::Transient;
pub use waiting::{Accepted, Failure, TakenUp};
