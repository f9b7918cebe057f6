//! The HTTP API under `/v1`: parses requests, asks the store and the plugins, renders answers.
//!
//! No rules live here: what may be appended is decided by `event` and `store`, what becomes of a dead
//! letter by `delivery`. One file per resource. Errors are `application/problem+json` (RFC 9457), their
//! status follows from the error's class by one match in `problem`. Bodies, pages, subscribers and
//! requests in flight are bounded; the constants stand next to what they bound. Reads of the store block
//! and so run on blocking threads.
//!
//! The command line reads a data directory through this same router, without a socket: what a reader sees
//! does not depend on whether a server runs.

mod access;
mod append;
mod append_body;
mod append_context;
mod append_stream;
mod backup;
mod blocking;
mod body_lines;
mod cloud_event;
mod cloud_event_binary;
mod cloud_event_body;
mod cloud_event_view;
mod commands;
mod dead_letters;
mod discreet;
mod doctor;
mod draining;
mod event_view;
mod events;
mod fields;
mod form;
mod generations;
mod health;
mod held;
mod in_process;
mod limits;
mod lines;
mod maintenance;
mod measured;
mod metrics;
mod openapi;
mod params;
mod path;
mod percent;
mod places;
mod plugin_view;
mod plugins;
mod problem;
mod pulse;
mod query;
mod registry;
mod rehearsals;
mod retention;
mod router;
mod schema;
mod selection;
mod server;
mod starting;
mod state;
mod state_entries;
mod stream_deletion;
mod stream_list;
mod stream_state;
mod streams;
mod subscribe;
mod type_versions;
mod types;
mod verify;
mod wait;
mod wait_for;
mod whole_body;
mod written;

#[cfg(test)]
mod tests;

pub use in_process::InProcess;
pub use maintenance::Maintenance;
pub use metrics::gather;
pub use pulse::Pulse;
pub use registry::{CommandRefused, NoPlugins, PluginSummary, Plugins};
pub use rehearsals::Rehearse;
pub use router::router;
pub use server::serve;
pub use state::ApiState;

pub(crate) use append_body::{EVENT_FIELDS, HOST_FIELDS, ParsedEvent, parse_event};
pub(crate) use backup::BYTES_HEADER;
pub use commands::parse_command;
pub(crate) use doctor::{DoctorView, PartView};
pub(crate) use percent::encode as percent_encode;
pub(crate) use query::CHECKPOINT as CHECKPOINT_HEADER;
pub(crate) use verify::{VerifyProblem, VerifyView};
