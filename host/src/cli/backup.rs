//! `tidemill backup`: of a server's store while it is in use, or of a directory that nobody uses.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::client::Server;
use super::error::{CliError, Exit};
use super::output::Output;
use super::progress::{Progress, Tell};
use crate::backup::{BackupError, BackupManifest, Destination, Live, TarStream, read, write};
use crate::clock::{Clock as _, SystemClock};
use crate::store::embedded::{EmbeddedStore, OpenOptions};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill backup ./pond-monday                    of a running server, into a directory
  tidemill backup --server http://pond:7117 pond.tar   from another machine, into one file
  tidemill backup --data ./pond ./pond-monday      of a data directory that no server uses

What is written is the store as of one position: events, plugins' state, progress and dead letters, and the
folders of the data directory (plugins, candidates) but the cache. Appends and deliveries go on meanwhile.
`tidemill restore` makes a data directory of it.

Exit codes: 0 written and whole, 1 the store is damaged, 3 there is none, 4 something is at DEST already,
5 it is in use, no server answers, or there is no room; but for 0 nothing is at DEST")]
pub(super) struct BackupArgs {
    /// Where to: a directory that is not there or empty, or a file whose name ends in .tar
    #[arg(value_name = "DEST")]
    dest: PathBuf,
    /// Back up this data directory instead of asking a server; only while no server uses it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Serialize)]
struct Summary {
    head: u64,
    events: u64,
    files: usize,
    bytes: u64,
    seconds: f64,
}

/// Writes a backup.
pub(super) fn run(args: &BackupArgs, server: &Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let begun_us = SystemClock.now_us();
    let destination = Destination::named(&args.dest);
    destination.check()?;
    let manifest = match &args.data {
        None => of_server(server, &destination)?,
        Some(directory) => {
            if !EmbeddedStore::exists(directory) {
                return Err(CliError::no_store(directory));
            }
            let store = Arc::new(EmbeddedStore::open(&OpenOptions::new(directory), Arc::new(SystemClock))?);
            of_store(store, &destination)?
        }
    };
    let seconds = seconds_since(begun_us);
    let (head, bytes, files) = (manifest.head, manifest.bytes(), manifest.files.len());
    if args.json {
        return output.json(&Summary { head, events: head, files, bytes, seconds });
    }
    let place = args.dest.display();
    output.line(&format!("{place} holds events 1 to {head}: {files} files, {bytes} bytes, in {seconds:.1} s"))
}

/// Time since then, in seconds to the millisecond.
pub(super) fn seconds_since(begun_us: u64) -> f64 {
    let ms = SystemClock.now_us().saturating_sub(begun_us) / 1000;
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn of_store(store: Arc<EmbeddedStore>, destination: &Destination) -> Result<BackupManifest, CliError> {
    let live = Live::of(store)?;
    let progress = Progress::copied();
    let mut tell = Tell::bytes(&progress, live.bytes(), "backed up");
    let staged = destination.stage()?;
    let written = staged.fill(|sink| write(live, sink, &mut |moved| tell.at(moved.bytes, moved.bytes)));
    progress.finish();
    let manifest = written?;
    staged.keep()?;
    Ok(manifest)
}

fn of_server(server: &Server, destination: &Destination) -> Result<BackupManifest, CliError> {
    let (total, body) = server.download("/v1/backup").map_err(|error| server.explain(error))?;
    let progress = Progress::copied();
    let mut tell = Tell::bytes(&progress, total, "backed up");
    let staged = destination.stage()?;
    let mut tar = TarStream::new(body, "the server's answer".to_owned());
    let written = staged.fill(|sink| read(&mut tar, sink, true, &mut |moved| tell.at(moved.bytes, moved.bytes)));
    progress.finish();
    let manifest = written.map_err(|error| broken_off(error, server))?;
    staged.keep()?;
    Ok(manifest)
}

/// What breaks off on the way is no damage: the server was stopped, or its disk failed.
fn broken_off(error: BackupError, server: &Server) -> CliError {
    match error {
        BackupError::WriteFailed { .. } | BackupError::Occupied { .. } | BackupError::UnknownFormat { .. } => {
            error.into()
        }
        error => CliError::new(Exit::Unavailable, format_args!("{} broke the backup off: {error}", server.url()))
            .hint("the server's log says why; back up again"),
    }
}

impl From<BackupError> for CliError {
    fn from(error: BackupError) -> Self {
        Self::new(error.class().into(), error)
    }
}
