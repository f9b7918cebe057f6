//! `tidemill streams state|diff`, `tidemill snapshots ls|drop`: aggregates as of some point, and their snapshots.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, shown, talk};
use super::query::Query;
use super::table::Table;
use super::waiting::AtLeastArgs;
use crate::event::RESERVED_TYPE_PREFIX;

/// Snapshots asked for at a time.
const PAGE_SNAPSHOTS: &str = "1000";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill streams state account-7                 the account as it is
  tidemill streams state account-7 --at-version 3  as it was when its stream was at version 3
  tidemill streams state account-7 --at-time 2026-01-31T12:00:00Z --json | jq .state")]
pub(super) struct StateArgs {
    /// Name of the stream
    pub(super) stream: String,
    /// Whose code shows it [default: that of the stream's category]
    #[arg(long, value_name = "NAME")]
    pub(super) aggregate: Option<String>,
    /// As of this version of the stream
    #[arg(long, value_name = "N", conflicts_with_all = ["at_time", "at_position"])]
    pub(super) at_version: Option<u64>,
    /// As of this time, as in RFC 3339, with what was stored at it
    #[arg(long, value_name = "TIME", conflicts_with = "at_position")]
    pub(super) at_time: Option<String>,
    /// As of this position of the log
    #[arg(long, value_name = "N")]
    pub(super) at_position: Option<u64>,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill streams diff account-7                          what each of its events changed
  tidemill streams diff account-7 --from-version 3 --to-version 9")]
pub(super) struct DiffArgs {
    /// Name of the stream
    pub(super) stream: String,
    /// Whose code shows it [default: that of the stream's category]
    #[arg(long, value_name = "NAME")]
    pub(super) aggregate: Option<String>,
    /// From this version on [default: the beginning]
    #[arg(long, value_name = "N")]
    pub(super) from_version: Option<u64>,
    /// Up to this version [default: the end]
    #[arg(long, value_name = "N")]
    pub(super) to_version: Option<u64>,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    /// Print the server's answers as JSON, one page a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotsCommand {
    /// List the snapshots, in the order of their streams' names
    #[command(after_help = "\
Examples:
  tidemill snapshots ls
  tidemill snapshots ls --prefix account- --json")]
    Ls(SnapshotsArgs),
    /// Drop the snapshot of a stream; it is written again when it is due
    #[command(after_help = "\
Examples:
  tidemill snapshots drop account-7
  tidemill snapshots drop account-7 --force    although retention took the events that it stands for")]
    Drop {
        /// Name of the stream
        stream: String,
        /// Drop it even if its aggregate cannot be made without it, as events were removed
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct SnapshotsArgs {
    /// Only of streams whose names begin so
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Deserialize)]
struct Shown {
    aggregate: String,
    version: u64,
    position: u64,
    state: Option<Box<RawValue>>,
    state_base64: Option<String>,
}

#[derive(Deserialize)]
struct Diff {
    events: Vec<Change>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    event_type: String,
    version: u64,
    timestamp: String,
    changes: Vec<Touched>,
}

#[derive(Deserialize)]
struct Touched {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

#[derive(Deserialize)]
struct Page {
    snapshots: Vec<Box<RawValue>>,
    #[serde(default)]
    damaged: Vec<Damaged>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Damaged {
    stream: String,
    reason: String,
}

#[derive(Deserialize)]
struct Row {
    stream: String,
    schema: u32,
    version: u64,
    bytes: u64,
}

/// Shows an aggregate.
pub(super) fn state(args: &StateArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = Query::path(&["v1", "streams", &args.stream, "state"])
        .with_some("aggregate", args.aggregate.as_ref())
        .with_some("at_version", args.at_version)
        .with_some("at_time", args.at_time.as_ref())
        .with_some("at_position", args.at_position)
        .with_at_least(&args.at_least);
    let answer: Box<RawValue> = client.get(&query)?;
    if args.json {
        return output.json_line(answer.get());
    }
    let Shown { aggregate, version, position, state, state_base64 } = parse(answer.get())?;
    let (stream, aggregate) = (shown(&args.stream, usize::MAX), shown(&aggregate, 64));
    output.heading(&format!("{stream} ({aggregate}) at version {version}, position {position}"))?;
    let state = state.as_ref().map(|state| state.get().to_owned()).or(state_base64).unwrap_or_default();
    output.line(&shown(&state, usize::MAX))
}

/// Shows what changed an aggregate.
pub(super) fn diff(args: &DiffArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = Query::path(&["v1", "streams", &args.stream, "diff"])
        .with_some("aggregate", args.aggregate.as_ref())
        .with_some("from_version", args.from_version)
        .with_some("to_version", args.to_version)
        .with_at_least(&args.at_least);
    let mut path = Some(query.as_str().to_owned());
    while let Some(page) = path {
        let answer: Box<RawValue> = client.get_path(&page)?;
        let Diff { events, next } = parse(answer.get())?;
        if args.json {
            output.json_line(answer.get())?;
        } else {
            changes(&events, output)?;
        }
        path = next;
    }
    Ok(())
}

fn changes(events: &[Change], output: &mut Output<'_>) -> Result<(), CliError> {
    for Change { event_type, version, timestamp, changes } in events {
        output.heading(&format!("{version}  {}  {}", shown(event_type, usize::MAX), shown(timestamp, 64)))?;
        for Touched { path, before, after } in changes {
            let text = |value: &Option<Value>| {
                value.as_ref().map_or_else(|| "-".to_owned(), |value| shown(&value.to_string(), usize::MAX))
            };
            output.line(&format!("  {}: {} -> {}", shown(path, usize::MAX), text(before), text(after)))?;
        }
    }
    Ok(())
}

/// Lists or drops snapshots.
pub(super) fn snapshots(command: &SnapshotsCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        SnapshotsCommand::Ls(args) => list(args, client, output),
        SnapshotsCommand::Drop { stream, force } => {
            let path = Query::path(&["v1", "snapshots", stream]).with_some("force", force.then_some(true));
            client.send(&Method::DELETE, path.as_str()).map_err(|error| client.explain(error))?;
            talk(&format!("the snapshot of {} is dropped", shown(stream, usize::MAX)));
            Ok(())
        }
    }
}

fn list(args: &SnapshotsArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = Query::path(&["v1", "snapshots"]).with_some("prefix", args.prefix.as_ref());
    let mut path = Some(query.with("limit", PAGE_SNAPSHOTS).as_str().to_owned());
    let mut first = true;
    while let Some(page) = path {
        let page: Page = client.get_path(&page)?;
        if args.json {
            page.snapshots.iter().try_for_each(|row| output.json_line(row.get()))?;
        } else {
            let mut table = Table::new(["STREAM", "#VERSION", "#SCHEMA", "#BYTES"]);
            for row in &page.snapshots {
                let Row { stream, schema, version, bytes } = parse(row.get())?;
                let numbers = (version.to_string(), schema.to_string(), bytes.to_string());
                table.row([shown(&stream, usize::MAX), numbers.0, numbers.1, numbers.2]);
            }
            table.print_page(output, first)?;
        }
        for Damaged { stream, reason } in &page.damaged {
            // What is told under a name of the host's is no aggregate's, and tells all by itself.
            let of_aggregate = !stream.starts_with(RESERVED_TYPE_PREFIX);
            let (stream, reason) = (shown(stream, usize::MAX), shown(reason, usize::MAX));
            if of_aggregate {
                talk(&format!("the snapshot of {stream} is damaged, and its aggregate is made without it: {reason}"));
            } else {
                talk(&format!("{stream} is damaged: {reason}"));
            }
        }
        first = false;
        path = page.next;
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, CliError> {
    serde_json::from_str(json)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))
}
