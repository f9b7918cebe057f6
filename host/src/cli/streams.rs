//! `tidemill streams ls|show|delete`.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;
use uuid::Uuid;

use super::append::expected_version;
use super::args::SourceArgs;
use super::client::Client;
use super::error::{CliError, Exit};
use super::event_row::print_event;
use super::output::{Output, shown};
use super::query::Query;
use super::stream_state::{self, DiffArgs, StateArgs};
use super::table::Table;
use super::waiting::AtLeastArgs;

/// Streams asked for at a time.
const PAGE_STREAMS: u64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum StreamsCommand {
    /// List the streams, in the order of their names
    Ls(ListArgs),
    /// Show where a stream stands: its version, whether it is deleted, its first and its last event
    Show(ShowArgs),
    /// Show the aggregate that a stream is the history of, as of any point
    State(StateArgs),
    /// Show what each event between two points changed of an aggregate
    Diff(DiffArgs),
    /// End a stream for good: it takes no more events; those it has stay
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill streams ls --prefix order-              the streams whose names begin so
  tidemill streams ls --json | jq -r .stream       their names alone
  tidemill streams ls -n 100 --after order-41      the hundred that follow")]
pub(super) struct ListArgs {
    /// Only streams whose names begin so
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Option<String>,
    /// Only streams after this one
    #[arg(long, value_name = "STREAM")]
    pub(super) after: Option<String>,
    /// Stop after so many streams [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill streams show order-42")]
pub(super) struct ShowArgs {
    /// Name of the stream
    pub(super) stream: String,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill streams delete order-42
  tidemill streams delete order-42 --expected-version 7    only if nothing has come since version 7")]
pub(super) struct DeleteArgs {
    /// Name of the stream
    pub(super) stream: String,
    /// What the stream must be before: any, exists, or the version of its last event
    #[arg(long, alias = "expect-version", value_name = "VERSION", value_parser = expected_version)]
    pub(super) expected_version: Option<Value>,
    /// Id of the event that ends the stream; sent again with the same id it is a retry [default: a fresh one]
    #[arg(long, value_name = "UUID")]
    pub(super) id: Option<Uuid>,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl StreamsCommand {
    /// The stream that it is about, if it must be there.
    pub(super) fn stream(&self) -> Option<&str> {
        match self {
            Self::Show(args) => Some(&args.stream),
            Self::State(args) => Some(&args.stream),
            Self::Diff(args) => Some(&args.stream),
            Self::Ls(_) | Self::Delete(_) => None,
        }
    }

    /// Where to read; deleting needs a server.
    pub(super) fn source(&self) -> SourceArgs {
        match self {
            Self::Ls(args) => args.source.clone(),
            Self::Show(args) => args.source.clone(),
            Self::Delete(_) | Self::State(_) | Self::Diff(_) => SourceArgs::default(),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    streams: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// What of a stream is shown in a row.
#[derive(Deserialize)]
struct Row {
    stream: String,
    version: u64,
    position: u64,
    deleted: bool,
}

/// What of a page of a stream is shown.
#[derive(Deserialize)]
struct Stream {
    version: u64,
    deleted: bool,
    events: Vec<Box<RawValue>>,
}

/// A stream as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    stream: &'a str,
    version: u64,
    deleted: bool,
    first: Option<&'a RawValue>,
    last: Option<&'a RawValue>,
}

/// Runs one of the commands.
pub(super) fn run(command: &StreamsCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        StreamsCommand::Ls(args) => list(args, client, output),
        StreamsCommand::Show(args) => show(args, client, output),
        StreamsCommand::State(args) => stream_state::state(args, client, output),
        StreamsCommand::Diff(args) => stream_state::diff(args, client, output),
        StreamsCommand::Delete(args) => delete(args, client, output),
    }
}

fn list(args: &ListArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut path = Query::path(&["v1", "streams"])
        .with_some("prefix", args.prefix.as_ref())
        .with_some("after", args.after.as_ref())
        .with("limit", &left.clamp(1, PAGE_STREAMS).to_string())
        .with_at_least(&args.at_least)
        .as_str()
        .to_owned();
    while left > 0 {
        let page: Page = client.get_path(&path)?;
        let count = page.streams.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let streams = page.streams.get(..count).unwrap_or_default();
        print_page(output, streams, args.source.json)?;
        output.flush()?;
        left = left.saturating_sub(count as u64);
        match page.next {
            Some(next) => path = next,
            None => break,
        }
    }
    Ok(())
}

fn print_page(output: &mut Output<'_>, streams: &[Box<RawValue>], json: bool) -> Result<(), CliError> {
    if json {
        return streams.iter().try_for_each(|stream| output.json_line(stream.get()));
    }
    let mut table = Table::new(["#VERSION", "#LAST POSITION", "STATE", "STREAM"]);
    for stream in streams {
        let row: Row = parse(stream.get())?;
        let state = if row.deleted { "deleted" } else { "open" };
        table.row([row.version.to_string(), row.position.to_string(), state.into(), shown(&row.stream, usize::MAX)]);
    }
    table.print(output)
}

fn show(args: &ShowArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let page = |direction: &str| -> Result<Stream, CliError> {
        let query = Query::path(&["v1", "streams", &args.stream]).with("direction", direction).with("limit", "1");
        client.get(&query.with_at_least(&args.at_least))
    };
    let (first, last) = (page("forwards")?.events, page("backwards")?);
    let Stream { version, deleted, events } = last;
    let (first, last) = (first.first().map(|event| &**event), events.first().map(|event| &**event));
    if args.source.json {
        return output.json(&Shown { stream: &args.stream, version, deleted, first, last });
    }
    output.heading(&format!("stream {}", shown(&args.stream, usize::MAX)))?;
    output.line(&format!("version  {version}"))?;
    output.line(&format!("state    {}", if deleted { "deleted" } else { "open" }))?;
    for (name, event) in [("first", first), ("last", last)] {
        if let Some(event) = event {
            output.line("")?;
            output.heading(name)?;
            print_event(output, event, false)?;
        }
    }
    Ok(())
}

fn delete(args: &DeleteArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let expected = args.expected_version.as_ref();
    let expected = expected.map(|version| version.as_str().map_or_else(|| version.to_string(), str::to_owned));
    let path =
        Query::path(&["v1", "streams", &args.stream]).with_some("expected_version", expected).with_some("id", args.id);
    let answer = client.send(&Method::DELETE, path.as_str()).map_err(|error| client.explain(error))?;
    let answer = String::from_utf8_lossy(&answer);
    if args.json {
        return output.json_line(&answer);
    }
    let Row { stream, version, position, .. } = parse(&answer)?;
    let stream = shown(&stream, usize::MAX);
    output.line(&format!("stream {stream} is deleted, at version {version} and position {position}"))
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, CliError> {
    serde_json::from_str(json)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))
}
