//! What the integration tests share: components to run, a server to start and kill, and waiting with a deadline.

pub mod guests;
mod install;
mod poll;
mod server;

pub use install::{another_version, install, replace};
pub use poll::poll;
pub use server::{Server, tidemill};
