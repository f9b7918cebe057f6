//! `tidemill restore`: makes a data directory of a backup.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::backup::seconds_since;
use super::error::CliError;
use super::output::Output;
use super::progress::{Progress, Tell};
use crate::backup::{Restored, restore};
use crate::clock::{Clock as _, SystemClock};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill restore ./pond-monday --data ./pond
  tidemill restore pond.tar --data /var/lib/tidemill
  tidemill serve --data ./pond                     then plugins go on from where they were

Checks the digest of every file, and then verifies the store as `tidemill verify` does, before DIR is there.

Exit codes: 0 restored and sound, 1 the backup is cut off or changed, 2 it is none or of another format,
4 DIR is not empty, 5 it cannot be read, or there is no room; but for 0 nothing is in DIR")]
pub(super) struct RestoreArgs {
    /// What `tidemill backup` wrote: a directory or a tar file
    #[arg(value_name = "SRC")]
    src: PathBuf,
    /// Data directory to make; one that is there must be empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was restored.
#[derive(Serialize)]
struct Summary {
    head: u64,
    events: u64,
    files: usize,
    bytes: u64,
    seconds: f64,
}

/// Restores a backup.
pub(super) fn run(args: &RestoreArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let begun_us = SystemClock.now_us();
    let progress = Progress::copied();
    let mut copied = Tell::bytes(&progress, 0, "copied");
    let mut verified = Tell::bytes(&progress, 0, "verified");
    let restored = restore(&args.src, &args.data, &mut |moved| copied.at(moved.bytes, moved.bytes), &mut |verify| {
        verified.of(verify.bytes, verify.bytes_total);
    });
    progress.finish();
    let Restored { manifest, report } = restored?;
    let (head, bytes, files) = (manifest.head, manifest.bytes(), manifest.files.len());
    let (events, seconds) = (report.events, seconds_since(begun_us));
    if args.json {
        return output.json(&Summary { head, events, files, bytes, seconds });
    }
    let place = args.data.display();
    output.line(&format!(
        "{place} is restored and sound: {events} events up to position {head}, {bytes} bytes, in {seconds:.1} s"
    ))
}
