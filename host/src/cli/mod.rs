//! The command line: parses arguments, asks a server (or a data directory), prints.
//!
//! stdout is data, stderr is talk. Every read command has `--json`: one JSON object a line. The exit code
//! follows from what went wrong by one match in `error`. Commands hold no rules: they send requests of the
//! API, over HTTP or, with `--data`, straight to a store in this process, and show the answers; `verify` and
//! `doctor` look at the files of a directory themselves. One file per command.

mod append;
mod append_lines;
mod args;
mod ask;
mod backup;
mod bench;
mod check;
mod client;
mod color;
mod command;
mod completions;
mod component_file;
mod config;
mod dead_letters;
mod dev;
mod disk;
mod doctor;
mod error;
mod event_row;
mod events_read;
mod events_tail;
mod export;
mod generations;
mod identity;
mod import;
mod import_line;
mod keys;
mod layers;
mod new;
mod output;
mod package;
mod plugin_test;
mod plugins;
mod progress;
mod query;
mod rehearsal_report;
mod rehearsals;
mod restore;
mod retention;
mod retrying;
mod run;
mod schema_args;
mod server_url;
mod sse;
mod state;
mod stream_state;
mod streams;
mod suggest;
mod table;
mod table_fit;
mod top;
mod types;
mod verify;
mod waiting;

#[cfg(test)]
mod tests;

pub use error::ProgramError;
pub use output::{announce, print_line};
pub use run::{OpenStore, Program, main};
