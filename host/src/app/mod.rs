//! Wires the layers: the only place where store, engine, plugins, server and command line meet.
//!
//! [`Host`] is the whole thing without a socket, for programs and tests that embed it; [`serve()`] puts the
//! API in front of it and runs until told to stop; [`demo`] tells a story with it.

pub mod demo;
mod guarding;
mod host;
mod notify;
mod otlp;
mod program;
mod reload;
mod retention;
mod serve;
mod showing;

pub use host::{Host, HostError, HostOptions};
pub use program::main;
pub use serve::serve;
