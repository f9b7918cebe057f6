//! What the integration tests share: components to run, a server to start and kill, waiting with a deadline, and what
//! the benchmarks measure with.

pub mod authority;
pub mod bench;
pub mod book;
pub mod decisions;
pub mod documented;
pub mod fixtures;
pub mod guests;
mod install;
pub mod openmetrics;
mod poll;
pub mod projects;
mod server;
pub mod told;

pub use install::{another_version, install, replace};
pub use poll::poll;
pub use server::{Server, tidemill};
