//! `tidemill events tail`.

use std::io::Read;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{Client, ClientError, Server};
use super::error::{CliError, Exit};
use super::event_row::print_event;
use super::events_read::{Page, removed};
use super::output::{Output, talk};
use super::query::{FilterArgs, Query};
use super::schema_args::SchemaArgs;
use super::sse::Messages;
use super::waiting::AtLeastArgs;

/// Wait before coming back to a server that went away.
const RECONNECT_WAIT: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill events tail                              the last ten events, then every new one
  tidemill events tail --after 0 --json             the whole log, then every new event, as JSON
  tidemill events tail --type PaymentDeclined -n 0  only what comes from now on

Comes back by itself when the server restarts, without losing or repeating an event.")]
pub(super) struct TailArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Begin with so many of the last events
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, conflicts_with = "after")]
    pub(super) last: u64,
    /// Begin after this position instead
    #[arg(long, value_name = "POSITION")]
    pub(super) after: Option<u64>,
    #[command(flatten)]
    pub(super) schema: SchemaArgs,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints events until interrupted, or until nobody reads.
pub(super) fn run(args: &TailArgs, server: Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let client = Client::Server(server);
    let mut after = match args.after {
        Some(after) => after.to_string(),
        None => print_last(args, &client, output)?.to_string(),
    };
    let Client::Server(server) = client else { return Ok(()) };
    let path = Query::path(&["v1", "events", "subscribe"]).with_filter(&args.filter).with_schema(args.schema);
    let path = path.with_at_least(&args.at_least);
    let mut lost = false;
    loop {
        match server.stream(path.as_str(), Some(&after)) {
            Ok(reader) => {
                if lost {
                    talk("connected again");
                }
                after = follow(reader, after, args.json, output)?;
            }
            Err(error @ ClientError::Connection { .. }) => {
                if !lost {
                    talk(&format!("{}; waiting for it", what(server.explain(error))));
                }
            }
            Err(error) => return Err(server.explain(error)),
        }
        lost = true;
        thread::sleep(RECONNECT_WAIT);
    }
}

/// Prints the last events there are; answers the position after which to go on.
fn print_last(args: &TailArgs, client: &Client, output: &mut Output<'_>) -> Result<u64, CliError> {
    let mut left = args.last;
    let mut events = Vec::new();
    let query = Query::path(&["v1", "events"])
        .with_filter(&args.filter)
        .with_schema(args.schema)
        .with_at_least(&args.at_least)
        .with("direction", "backwards");
    let first: Page = client.get(&query.with("limit", &left.clamp(1, 1000).to_string()))?;
    let head = first.head;
    let mut page = first;
    loop {
        let take = page.events.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left = left.saturating_sub(take as u64);
        events.extend(page.events.into_iter().take(take));
        match page.next {
            Some(next) if left > 0 => page = client.get_path(&next)?,
            _ => break,
        }
    }
    for event in events.iter().rev() {
        print_event(output, event, args.json)?;
    }
    output.flush()?;
    Ok(head)
}

/// Prints what a connection brings; answers the last id it told.
fn follow(reader: impl Read, mut after: String, json: bool, output: &mut Output<'_>) -> Result<String, CliError> {
    let mut messages = Messages::new(reader);
    // A broken connection ends like a closed one: come back after the last id.
    while let Ok(Some(message)) = messages.next() {
        if message.event == "error" {
            return Err(gave_up(&message.data));
        }
        if message.event == "removed" {
            let told: Removed = serde_json::from_str(&message.data).map_err(not_understood)?;
            talk(&removed(told.removed_before));
            continue;
        }
        let event: Box<RawValue> = serde_json::from_str(&message.data).map_err(not_understood)?;
        print_event(output, &event, json)?;
        output.flush()?;
        after = message.id.unwrap_or(after);
    }
    Ok(messages.last_id().map_or(after, str::to_owned))
}

/// Why the server ended a subscription, as it tells it: a problem.
#[derive(Deserialize)]
struct Ended {
    status: u16,
    detail: String,
}

fn gave_up(data: &str) -> CliError {
    match serde_json::from_str(data) {
        Ok(Ended { status, detail }) => {
            CliError::new(Exit::of_status(status), format_args!("the server gave up: {detail}"))
        }
        Err(_) => CliError::new(Exit::Failure, format_args!("the server gave up: {data}")),
    }
}

/// What the server says of removed events.
#[derive(Deserialize)]
struct Removed {
    removed_before: u64,
}

fn not_understood(error: serde_json::Error) -> CliError {
    CliError::new(Exit::Failure, format_args!("the server sent no event: {error}"))
}

fn what(error: CliError) -> String {
    match error {
        CliError::Failed { what, .. } => what,
        CliError::OutputClosed => String::new(),
    }
}
