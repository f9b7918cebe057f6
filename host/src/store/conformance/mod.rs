//! The promises of [`Store`](super::Store), each a function that panics when a store breaks it.
//!
//! Every store runs all of them: `conformance_tests!` makes one test of each. A store comes as a
//! [`Subject`], fresh for each promise. Nothing here knows how a store works; what only one store
//! promises is tested beside that store.
#![expect(clippy::indexing_slicing, reason = "an index out of bounds is a broken promise")]
#![expect(clippy::unwrap_used, reason = "an unexpected error is a broken promise")]

pub mod appends;
pub mod conditions;
pub mod feeds;
pub mod plugin_data;
pub mod reads;
pub mod removals;
mod samples;
pub mod streams;
mod subject;
#[cfg(test)]
mod suite;
pub mod time;
pub mod tracking;

pub use subject::{Subject, TestClock};
#[cfg(test)]
pub(crate) use suite::conformance_tests;
