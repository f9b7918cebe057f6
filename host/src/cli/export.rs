//! `tidemill export`: events as lines of JSON, with all their fields, as `tidemill import` takes them.
//!
//! It ends at the head of its beginning. Each line is one event as the API shows it; where its payload is JSON that
//! stands on several lines it goes as `data_base64`, so that its bytes stay what they are.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::backup::seconds_since;
use super::client::Client;
use super::error::{CliError, Exit};
use super::events_read::{Page, removed};
use super::output::{Output, talk};
use super::progress::{Progress, Tell};
use super::query::{FilterArgs, Query};
use crate::clock::{Clock as _, SystemClock};

/// Events asked for at a time.
const PAGE_EVENTS: u64 = 1000;
/// Bytes written at once.
const WRITE_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill export orders.ndjson --category order   some of the events of a running server
  tidemill export | gzip > all.ndjson.gz           all of them
  tidemill export --append orders.ndjson --category order   what came since, or what an export that broke off lacks
  tidemill export --data ./pond --after 1000000    without a server

One JSON object a line: position, id, type, stream, version, timestamp, tags, data or data_base64,
content_type, metadata, schema_version. It ends at the position that was the last when it began.")]
pub(super) struct ExportArgs {
    /// File to write; one that is there must be empty, but for --append [default: stdout]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on behind the last whole line of FILE
    #[arg(long, requires = "file", conflicts_with = "after")]
    append: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events after this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Only events before this position
    #[arg(long, value_name = "POSITION")]
    before: Option<u64>,
    /// Only events stored at this time or later, as in RFC 3339: 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events stored before this time, as in RFC 3339
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Fail if retention removed events that were asked for
    #[arg(long)]
    complete: bool,
    /// Read this data directory instead of asking a server; only while no server uses it
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print the sum as JSON: on stdout, or on stderr where the events go to stdout
    #[arg(long)]
    json: bool,
}

/// What was exported.
#[derive(Debug, Default, Serialize)]
struct Total {
    events: u64,
    bytes: u64,
    first_position: Option<u64>,
    last_position: Option<u64>,
    /// The log was looked through up to here: what to give as `--after` for the rest.
    after: u64,
    seconds: f64,
}

/// What is looked at of a line.
#[derive(Deserialize)]
struct Placed {
    position: u64,
}

/// Exports events.
pub(super) fn run(args: &ExportArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let begun_us = SystemClock.now_us();
    let (mut total, told) = match &args.file {
        None => (copy(args, args.after, client, output)?, Told::Stderr),
        Some(path) => {
            let (file, last) = open(path, args.append)?;
            let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
            let copied = copy(args, last.or(args.after), client, &mut ToFile { file: &mut file, path });
            // Also what came before a failure, to go on behind it.
            let kept = file.flush().and_then(|()| file.get_ref().sync_all());
            kept.map_err(|error| unwritable(path, &error))?;
            (copied?, Told::Stdout)
        }
    };
    total.seconds = seconds_since(begun_us);
    let text = if args.json { serde_json::to_string(&total).unwrap_or_default() } else { total.to_text() };
    match told {
        Told::Stdout => output.line(&text),
        Told::Stderr => {
            output.flush()?;
            talk(&text);
            Ok(())
        }
    }
}

/// Where the sum goes.
enum Told {
    Stdout,
    Stderr,
}

impl Total {
    fn to_text(&self) -> String {
        let Self { events, after, seconds, .. } = self;
        let range = match (self.first_position, self.last_position) {
            (Some(first), Some(last)) => format!(" of positions {first} to {last}"),
            _ => String::new(),
        };
        format!("{events} events exported{range}, in {seconds:.1} s; go on with --after {after}")
    }
}

/// Where lines go.
trait Lines {
    fn line(&mut self, text: &str) -> Result<(), CliError>;
    fn page_done(&mut self) -> Result<(), CliError>;
}

impl Lines for Output<'_> {
    fn line(&mut self, text: &str) -> Result<(), CliError> {
        Output::line(self, text)
    }

    fn page_done(&mut self) -> Result<(), CliError> {
        self.flush()
    }
}

struct ToFile<'a> {
    file: &'a mut BufWriter<File>,
    path: &'a Path,
}

impl Lines for ToFile<'_> {
    fn line(&mut self, text: &str) -> Result<(), CliError> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|error| unwritable(self.path, &error))
    }

    fn page_done(&mut self) -> Result<(), CliError> {
        Ok(())
    }
}

/// Copies page by page.
fn copy(args: &ExportArgs, after: Option<u64>, client: &Client, out: &mut dyn Lines) -> Result<Total, CliError> {
    let head = client.get::<Page>(&Query::path(&["v1", "events"]).with("limit", "1").with("schema", "stored"))?.head;
    let before = args.before.unwrap_or(u64::MAX).min(head.saturating_add(1));
    let mut total = Total { after: after.unwrap_or(0).max(before.saturating_sub(1)), ..Total::default() };
    if after.unwrap_or(0) >= before.saturating_sub(1) {
        return Ok(total);
    }
    let bar = Progress::positions();
    let mut tell = Tell::events(&bar, before - 1, "exported");
    let mut path = query(args, after, before).as_str().to_owned();
    let mut told_removed = false;
    let copied = loop {
        let page: Page = match client.get_path(&path) {
            Ok(page) => page,
            Err(error) => break Err(error),
        };
        if let Some(before) = page.removed_before.filter(|_| !std::mem::replace(&mut told_removed, true)) {
            talk(&removed(before));
        }
        if let Err(error) =
            page.events.iter().try_for_each(|event| total.copy(event, out)).and_then(|()| out.page_done())
        {
            break Err(error);
        }
        tell.at(total.events, total.last_position.unwrap_or(0));
        match page.next {
            Some(next) => path = next,
            None => break Ok(()),
        }
    };
    bar.finish();
    if let (Err(CliError::Failed { .. }), Some(last)) = (&copied, total.last_position) {
        talk(&format!("{} events up to position {last} are exported; go on with --after {last}", total.events));
    }
    copied.map(|()| total)
}

impl Total {
    fn copy(&mut self, event: &RawValue, out: &mut dyn Lines) -> Result<(), CliError> {
        let line = one_line(event.get())?;
        let Placed { position } = serde_json::from_str(&line).map_err(|error| not_understood(&error))?;
        out.line(&line)?;
        self.events += 1;
        self.bytes += line.len() as u64 + 1;
        self.first_position.get_or_insert(position);
        self.last_position = Some(position);
        Ok(())
    }
}

/// An event on one line, its payload byte for byte.
fn one_line(event: &str) -> Result<String, CliError> {
    if !event.contains(['\n', '\r']) {
        return Ok(event.to_owned());
    }
    let mut fields: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(event).map_err(|error| not_understood(&error))?;
    if let Some(data) = fields.remove("data") {
        let encoded = serde_json::value::to_raw_value(&STANDARD.encode(data.get()));
        fields.insert("data_base64".to_owned(), encoded.map_err(|error| not_understood(&error))?);
    }
    serde_json::to_string(&fields).map_err(|error| not_understood(&error))
}

fn not_understood(error: &serde_json::Error) -> CliError {
    CliError::new(Exit::Failure, format_args!("an event of the answer is not understood: {error}"))
}

fn query(args: &ExportArgs, after: Option<u64>, before: u64) -> Query {
    Query::path(&["v1", "events"])
        .with("limit", &PAGE_EVENTS.to_string())
        .with("schema", "stored")
        .with_filter(&args.filter)
        .with_some("after", after)
        .with("before", &before.to_string())
        .with_some("since", args.since.as_ref())
        .with_some("until", args.until.as_ref())
        .with_some("complete", args.complete.then_some("true"))
}

/// Opens the file to write, at its end, and answers the position of its last whole line. What stands behind that was
/// torn, and is cut off.
fn open(path: &Path, append: bool) -> Result<(File, Option<u64>), CliError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = opened.map_err(|error| unwritable(path, &error))?;
    let bytes = file.metadata().map_err(|error| unwritable(path, &error))?.len();
    if bytes == 0 {
        return Ok((file, None));
    }
    if !append {
        return Err(CliError::new(Exit::Conflict, format_args!("{} is not empty", path.display()))
            .hint("give --append to go on behind its last line, or another file"));
    }
    let (whole, last) = last_line(&file).map_err(|error| unwritable(path, &error))?;
    let position = match &last {
        None => None,
        Some(line) => Some(serde_json::from_slice::<Placed>(line).map_err(|error| {
            CliError::usage(format_args!("the last whole line of {} is no exported event: {error}", path.display()))
                .hint("give --after POSITION and another file")
        })?),
    };
    let cut = file.set_len(whole).and_then(|()| file.seek(SeekFrom::Start(whole)));
    cut.map_err(|error| unwritable(path, &error))?;
    Ok((file, position.map(|placed| placed.position)))
}

/// The last whole line of a file, and where it ends.
fn last_line(file: &File) -> io::Result<(u64, Option<Vec<u8>>)> {
    let (mut reader, mut whole, mut last) = (BufReader::with_capacity(WRITE_BYTES, file), 0, None);
    loop {
        let mut line = Vec::new();
        let bytes = reader.read_until(b'\n', &mut line)?;
        if bytes == 0 || line.last() != Some(&b'\n') {
            return Ok((whole, last));
        }
        whole += bytes as u64;
        if !line.trim_ascii().is_empty() {
            last = Some(line);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> CliError {
    let failed = CliError::new(Exit::Unavailable, format_args!("{} cannot be written: {error}", path.display()));
    failed.hint("give --append to go on behind what was written")
}
