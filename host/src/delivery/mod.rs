//! Delivery: events go to handlers in order, what they do commits with their checkpoint, what fails is
//! retried and then set aside.
//!
//! The rules are one pure state machine (`machine`: input in, action out; no IO, no tokio, no clock).
//! [`Dispatcher`] is its shell: one tokio task per partition of a plugin that reads, calls the handler on a
//! blocking thread, commits and sleeps as it is told. A handler is anything that implements [`Handler`]; this
//! module does not know about wasm.

mod handler;
mod live_state;
mod state_source;

mod forget;
mod key;
mod layout;
mod lifting;
mod past;
mod record;

mod accepted;
mod cost;
mod effects;
mod permit;
mod policy;
mod quiet;
mod shared_state;
mod status;
mod storm;

mod machine;

mod dispatcher;
mod start;

pub mod rehearsal;

pub use accepted::{Envelope, find as find_accepted};
pub use cost::Cost;
pub use dispatcher::{CommandError, Dispatcher, Letters, Rebuild, Redriven, Retry, Setup, StillFailing, spawn};
pub(crate) use effects::check_state_key;
pub use effects::{Dispatch, EffectError, Effects};
pub use forget::{Forgotten, forget};
pub use handler::{EventBatch, Evidence, Failure, Fault, HandleError, Handled, Handler, Restarts, Usage, Verdict};
pub use key::{InvalidKey, Key};
pub use lifting::lifting;
pub use live_state::{LiveState, live_state};
pub(crate) use machine::{BEHIND, LETTER_KINDS};
pub use permit::Permit;
pub use policy::{Backoff, KeyMissing, OnExhausted, Policy, Start, Subscription};
pub use record::{
    Dropped, Generation, Generations, Instead, drop_kept, forget_passed, generations, kept_generation,
    let_installed_run, listened_to, live_owner, note_installed, removed_from_history, stored_checkpoint,
};
pub use state_source::StateSource;
pub use status::{AnswerCounts, Counters, FaultCounts, PartitionStatus, RebuildStatus, SetAside, State, Status};
