//! `tidemill import`: appends the lines of an export, each under its own id.
//!
//! Lines go to the store as `tidemill append` sends those of stdin ([`super::append_lines`]); the ids make that safe to
//! do again, so an import that broke off is gone on with by running it again. The store gives positions, versions and
//! times itself; when an event was stored first stays in its metadata ([`TIME_KEY`]).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use ureq::http::Method;

use super::append_lines::{Appender, ChunkEnd, Line, Lines, line_text};
use super::backup::seconds_since;
use super::client::{Client, ClientError, Server};
use super::error::{CliError, Exit};
use super::events_read::Page;
use super::import_line::{Imported, Order, TIME_KEY};
use super::output::{Output, talk};
use super::progress::{Progress, Tell};
use super::query::Query;
use crate::api::InProcess;
use crate::clock::{Clock as _, SystemClock};
use crate::store::embedded::{EmbeddedStore, OpenOptions};

/// Refused lines that are told one by one.
const TOLD_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill import orders.ndjson                    into a running server
  gunzip -c all.ndjson.gz | tidemill import --data ./pond2   into a data directory that no server uses

Lines are those of `tidemill export`. Events keep their ids, so that an import can be run again: what is stored
already is known, and not stored twice. The store gives positions, versions and times itself; the time that
an event had is kept in its metadata as `original_time`. Plugins handle what is imported as any other event: to
move plugins with their state, use `tidemill backup`.

Exit codes: 0 every line is stored, 1 lines were refused under --skip-refused, 2 a line is not an event,
4 an id is known with other content, 5 no server answers")]
pub(super) struct ImportArgs {
    /// File to read [default: stdin]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Append to this data directory instead of a server's; made if it is not there, and only while no server uses it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Go on behind lines that are refused, and name them at the end
    #[arg(long)]
    skip_refused: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What has become of the lines.
#[derive(Debug, Default, Serialize)]
struct Total {
    read: u64,
    appended: u64,
    known: u64,
    refused: u64,
    /// Numbers of refused lines, the first of them.
    refused_lines: Vec<usize>,
    first_position: Option<u64>,
    last_position: Option<u64>,
    seconds: f64,
}

/// Imports events.
pub(super) fn run(args: &ImportArgs, server: Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let begun_us = SystemClock.now_us();
    let input: Box<dyn Read> = match &args.file {
        None => Box::new(io::stdin().lock()),
        Some(path) => Box::new(File::open(path).map_err(|error| unreadable(path, &error))?),
    };
    let client = match &args.data {
        None => Client::Server(server),
        Some(directory) => directory_client(directory)?,
    };
    let mut total = import(input, &client, args.skip_refused)?;
    total.seconds = seconds_since(begun_us);
    if args.json {
        output.json(&total)?
    } else {
        output.line(&total.to_text())?
    }
    match total.refused {
        0 => Ok(()),
        refused => Err(CliError::new(Exit::Failure, format_args!("{refused} lines were refused"))
            .hint("mend them, and import them again; what is stored is known by its id")),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::usage(format_args!("{} cannot be read: {error}", path.display()))
}

fn directory_client(directory: &Path) -> Result<Client, CliError> {
    let store = EmbeddedStore::open(&OpenOptions::new(directory), Arc::new(SystemClock))?;
    let api = InProcess::new(Arc::new(store), Arc::new(SystemClock));
    Ok(Client::Directory(api.map_err(|error| CliError::new(Exit::Failure, format_args!("no async runtime: {error}")))?))
}

impl Total {
    fn to_text(&self) -> String {
        let Self { read, appended, known, refused, seconds, .. } = self;
        format!(
            "{read} lines read: {appended} events appended, {known} known already, {refused} refused, in {seconds:.1} s"
        )
    }
}

/// Appends every line; answers what has become of them.
fn import(input: impl Read, client: &Client, skip_refused: bool) -> Result<Total, CliError> {
    let head = head(client)?;
    let bar = Progress::events();
    let path = Query::path(&["v1", "events"]).with("atomic", "true");
    let mut appender = Appender::new(client, path, &bar);
    (appender.known_up_to, appender.skip_refused) = (Some(head), skip_refused);
    let mut run = Import { client, tell: Tell::events(&bar, 0, "imported"), appender, deletions: Total::default() };
    let mut order = Order::default();
    let mut lines = Lines::new(input, |bytes| order.imported(&line_text(bytes)?));
    let result = run.all(&mut lines);
    bar.finish();
    let Import { appender, deletions, .. } = run;
    result?;
    let total = total_of(&appender, deletions);
    check(&total, head, self::head(client)?)?;
    Ok(total)
}

/// An import that goes on.
struct Import<'a> {
    client: &'a Client,
    tell: Tell<'a>,
    appender: Appender<'a>,
    /// What has become of ends of streams.
    deletions: Total,
}

impl Import<'_> {
    fn all<R: Read>(&mut self, lines: &mut Lines<'_, R, Imported>) -> Result<(), CliError> {
        loop {
            let chunk = lines.chunk();
            self.append(chunk.events)?;
            let done = self.appender.total.events + self.deletions.read;
            self.tell.at(done, done);
            match chunk.end {
                ChunkEnd::More => {}
                ChunkEnd::Input => return Ok(()),
                ChunkEnd::Bad { line, reason } => self.appender.refuse(Exit::Usage, line, &reason)?,
                ChunkEnd::Unreadable { reason } => {
                    return Err(self
                        .appender
                        .failed(Exit::Failure, format_args!("the input cannot be read: {reason}")));
                }
            }
        }
    }

    /// Appends events in runs that ends of streams part, and ids that come again.
    fn append(&mut self, lines: Vec<Line<Imported>>) -> Result<(), CliError> {
        let (mut events, mut ids) = (Vec::new(), HashSet::new());
        for Line { number, item } in lines {
            match item {
                Imported::Event { id, text } => {
                    if !ids.insert(id) {
                        self.appender.append(&std::mem::take(&mut events))?;
                    }
                    events.push(Line { number, item: text });
                }
                Imported::Deletion { stream, id } => {
                    self.appender.append(&std::mem::take(&mut events))?;
                    self.end_stream(number, &stream, &id.to_string())?;
                }
            }
        }
        self.appender.append(&events)
    }

    fn end_stream(&mut self, line: usize, stream: &str, id: &str) -> Result<(), CliError> {
        #[derive(Deserialize)]
        struct Ended {
            position: u64,
        }
        let path = Query::path(&["v1", "streams", stream]).with("id", id);
        match self.client.send(&Method::DELETE, path.as_str()) {
            Ok(answer) => {
                let Ended { position } = serde_json::from_slice(&answer).map_err(|error| {
                    self.appender
                        .failed(Exit::Failure, format_args!("line {line}: the answer is not understood: {error}"))
                })?;
                self.deletions.read += 1;
                if self.appender.known_up_to.is_some_and(|known| position <= known) {
                    self.deletions.known += 1;
                } else {
                    self.deletions.appended += 1;
                }
                Ok(())
            }
            Err(ClientError::Refused(refusal)) if refusal.status < 500 => {
                self.appender.refuse(Exit::of_status(refusal.status), line, &refusal.problem.detail)
            }
            Err(error) => Err(self.client.explain(error)),
        }
    }
}

fn total_of(appender: &Appender<'_>, deletions: Total) -> Total {
    let (stored, known, refused) = (appender.total.events, appender.known, appender.refused.len() as u64);
    for (line, reason) in appender.refused.iter().take(TOLD_MAX) {
        talk(&format!("line {line}: {reason}"));
    }
    Total {
        read: stored + refused + deletions.read,
        appended: stored - known + deletions.appended,
        known: known + deletions.known,
        refused,
        refused_lines: appender.refused.iter().map(|(line, _)| *line).take(1000).collect(),
        first_position: appender.total.first,
        last_position: appender.total.last,
        seconds: 0.0,
    }
}

/// Checks that the log has grown by what was appended; others may have appended too.
fn check(total: &Total, before: u64, after: u64) -> Result<(), CliError> {
    let grown = after.saturating_sub(before);
    if grown >= total.appended {
        return Ok(());
    }
    let what =
        format!("{} events were appended, but the log grew by {grown}, from {before} to {after}", total.appended);
    Err(CliError::new(Exit::Failure, what)
        .hint(format_args!("compare the log with the input by id; {TIME_KEY} tells what was imported")))
}

fn head(client: &Client) -> Result<u64, CliError> {
    Ok(client.get::<Page>(&Query::path(&["v1", "events"]).with("limit", "1"))?.head)
}
