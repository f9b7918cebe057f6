//! Projections: plugins that answer queries about the state that they have made of events.
//!
//! A [`Query`] is answered by a [`Projection`], which the wasm runtime implements, as of one [`Moment`]: a snapshot of
//! the plugin's live state, with the checkpoint that it is as of. A [`Pool`] holds the instances of one version of a
//! plugin: they are apart from those that handle events, a few at a time, made when they are needed, and who asks for
//! more waits in a bounded queue. Nothing here decides what a query means, or how its answer travels.
//!
//! Invariants: a query changes nothing; whatever it does costs that query only, never the plugin's delivery; its
//! answer is of one moment, and that of the component and the generation of the state that are live then.

mod answer;
mod counted;
mod moment;
mod pool;

pub use answer::{Answer, NoAnswer, Projection, Query};
pub use counted::{Counted, QueryCounts};
pub use moment::Moment;
pub use pool::{Answered, Pool, QueryRefused};
