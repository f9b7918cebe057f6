//! Tidemill: an event store that runs its subscribers inside itself, as sandboxed WebAssembly components.
//!
//! Layers, each knowing nothing of those below it in this list: `event`, `integrity`, `schema`, `access`, `store`,
//! `delivery`, `projection`, `command`, `runtime`, `plugin`, then the edge (`gate`, `api`, `grpc`, `kit`, `cli`), and
//! `app`, which wires them. `ARCHITECTURE.md` has the map and the invariants.

pub mod clock;
pub mod document;
pub mod error;
pub mod event;
pub mod measure;
mod nearest;
pub mod trace;

pub mod integrity;
pub mod schema;

pub mod access;

pub mod store;

pub mod backup;

pub mod delivery;

pub mod projection;

pub mod command;

pub mod runtime;

pub mod plugin;

pub mod config;
pub mod telemetry;

pub mod gate;

pub mod api;
pub mod grpc;

pub mod kit;

pub mod cli;

pub mod app;
