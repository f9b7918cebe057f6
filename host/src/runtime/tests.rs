//! The runtime against components written by hand, each with one behaviour.

mod calls;
mod fixtures;
mod loading;
mod mismatch;
