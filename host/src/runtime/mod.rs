//! The wasm runtime: components are compiled, checked, linked, run within limits and thrown away after
//! any fault. The only place that names wasmtime.
//!
//! It owns what a guest may do (`authority`), what it may use (`limits`), how it is called
//! (`subscriber`, by one of two lanes: `lane`; `query`; `aggregate`) and how its end is told (`fault`). It does not own when it is called, what becomes of
//! its effects, or where its file came from: that is delivery's and the plugin layer's.
//!
//! Invariants, held by the tests here and in `tests/`:
//! - whatever a guest does costs one call of that plugin, never the host or another plugin;
//! - a store holds one instance, and is dropped after any fault;
//! - host functions wait only for guests with HTTP, and no longer than a batch may take, so every call ends within
//!   its batch time;
//! - two runs of a replayable component over the same events give the same result, however they are batched;
//! - the effects given to a call always come back.

mod aggregate;
mod anatomy;
mod authority;
mod batch;
mod bindings;
mod bulk;
mod cache;
mod compile;
mod compiler;
mod component;
mod contract;
mod denials;
mod engine;
mod fault;
mod grants;
mod guest;
mod hollow;
mod http;
mod imports;
mod instance;
mod lane;
mod limits;
mod load_error;
mod mismatch;
mod output;
mod pool;
mod query;
mod repeatable;
mod subscriber;
mod text;
mod ticker;
mod transcript;
mod trial;
mod upcaster;
mod validator;
mod wasi;
mod wit;

#[cfg(test)]
mod tests;

pub use anatomy::Anatomy;
pub(crate) use compile::COMPONENT_BYTES_MAX;
pub use compiler::{CompileLimits, Compiler, compile_child};
pub use component::{Description, InstanceOptions, LoadedComponent, Role};
pub use denials::Denials;
pub use engine::{Engine, EngineError, EngineOptions, LoadOptions};
pub use grants::{Grants, HttpAccess, SecretHeader, header_name};
pub(crate) use hollow::told as told_of_hollow;
pub use http::{AddressGrant, HttpGrant, Trust};
pub use limits::Limits;
pub use load_error::LoadError;
pub use transcript::{LogLine, Transcript};
