//! The program behind the binary: what the command line's commands run.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::{self, Program, ProgramError};
use crate::clock::SystemClock;
use crate::config::{DemoOptions, ServeOptions};
use crate::error::ErrorClass;
use crate::store::embedded::{EmbeddedStore, OpenOptions};
use crate::store::{Store, StoreError};

/// How long the store may take to close.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Runs the command that the process's arguments name.
#[must_use]
pub fn main() -> ExitCode {
    cli::main(&Program { serve, demo, open })
}

fn runtime() -> Result<tokio::runtime::Runtime, ProgramError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| ProgramError::new(ErrorClass::Unavailable, &error))
}

fn serve(options: ServeOptions) -> Result<(), ProgramError> {
    open_as_many_files_as_allowed();
    let runtime = runtime()?;
    let served = runtime.block_on(super::serve(options, cli::announce));
    // A batch that has outlived the drain is left as it is: nothing of it is committed.
    runtime.shutdown_timeout(CLOSE_MAX);
    served.map_err(|error| ProgramError::new(error.class(), &error))
}

/// Raises this process's limit of open files to what it may have: the usual one is for programs that wait by `select`,
/// and fewer than a server has connections. What it is otherwise is good enough.
fn open_as_many_files_as_allowed() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn demo(options: DemoOptions) -> Result<(), ProgramError> {
    let json = options.json;
    let told = runtime()?.block_on(super::demo::run(options));
    let totals = told.map_err(|error| ProgramError::new(error.class(), &error))?;
    let line = if json { serde_json::json!(totals).to_string() } else { totals.to_string() };
    cli::print_line(&line).map_err(|error| ProgramError::new(ErrorClass::Unavailable, &error))
}

/// A directory without a store stays as it is: whoever only reads makes none.
fn open(directory: &Path) -> Result<Option<Arc<dyn Store>>, StoreError> {
    if !EmbeddedStore::exists(directory) {
        return Ok(None);
    }
    let store = EmbeddedStore::open(&OpenOptions::new(directory), Arc::new(SystemClock))?;
    Ok(Some(Arc::new(store)))
}
