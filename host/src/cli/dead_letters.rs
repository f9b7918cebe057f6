//! `tidemill dead-letters ls|show|retry|discard`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::args::SourceArgs;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, shown, talk};
use super::query::Query;
use super::table::Table;

/// Dead letters asked for at a time.
const PAGE: &str = "1000";

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List the events that a plugin could not handle
    Ls(ListArgs),
    /// Show one with its evidence: reason, stderr, backtrace, and the event itself
    Show(ShowArgs),
    /// Hand events to the plugin again; those it handles are dead letters no more
    Retry(SettleArgs),
    /// Give events up: the plugin will not handle them
    Discard(SettleArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Position of the event
    pub(super) position: u64,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct SettleArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Positions of the events
    #[arg(required_unless_present = "all")]
    pub(super) positions: Vec<u64>,
    /// All of the plugin's dead letters
    #[arg(long, conflicts_with = "positions")]
    pub(super) all: bool,
}

#[derive(Deserialize)]
struct Page {
    dead_letters: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// What of a dead letter is shown in a row.
#[derive(Deserialize)]
struct Row {
    position: u64,
    kind: String,
    attempts: u32,
    last: String,
    reason: String,
}

impl DeadLettersCommand {
    /// Where to read; settling needs a server.
    pub(super) fn source(&self) -> SourceArgs {
        match self {
            Self::Ls(args) => args.source.clone(),
            Self::Show(args) => args.source.clone(),
            Self::Retry(_) | Self::Discard(_) => SourceArgs::default(),
        }
    }
}

/// Runs one of the commands.
pub(super) fn run(command: &DeadLettersCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        DeadLettersCommand::Ls(args) => list(&args.plugin, client, args.source.json, output),
        DeadLettersCommand::Show(args) => show(args, client, output),
        DeadLettersCommand::Retry(args) => retry(args, client),
        DeadLettersCommand::Discard(args) => discard(args, client),
    }
}

fn list(plugin: &str, client: &Client, json: bool, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut table = Table::new(["#POSITION", "KIND", "#ATTEMPTS", "LAST ATTEMPT", "REASON"]);
    each(plugin, client, |letter| {
        if json {
            return output.json_line(letter.get());
        }
        let row: Row = parse(letter)?;
        let reason = shown(&row.reason, 96);
        table.row([row.position.to_string(), row.kind, row.attempts.to_string(), row.last, reason]);
        Ok(())
    })?;
    if json { Ok(()) } else { table.print(output) }
}

/// Visits every dead letter of a plugin.
fn each(
    plugin: &str,
    client: &Client,
    mut visit: impl FnMut(&RawValue) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut page: Page = client.get(&Query::path(&["v1", "plugins", plugin, "dead-letters"]).with("limit", PAGE))?;
    loop {
        page.dead_letters.iter().try_for_each(|letter| visit(letter))?;
        match page.next {
            Some(next) => page = client.get_path(&next)?,
            None => return Ok(()),
        }
    }
}

fn show(args: &ShowArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let position = args.position.to_string();
    let letter: Box<RawValue> =
        client.get(&Query::path(&["v1", "plugins", &args.plugin, "dead-letters", &position]))?;
    if args.source.json {
        return output.json_line(letter.get());
    }
    let letter: Value = parse(&letter)?;
    let text = |pointer: &str| letter.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    output.heading(&format!("event {position}, set aside by {}", shown(text("/plugin"), 64)))?;
    for (name, pointer) in [
        ("reason", "/reason"),
        ("kind", "/kind"),
        ("first", "/first"),
        ("last", "/last"),
        ("digest", "/component_digest"),
    ] {
        output.line(&format!("{name:<9} {}", shown(text(pointer), usize::MAX)))?;
    }
    output.line(&format!("attempts  {}", letter.pointer("/attempts").unwrap_or(&Value::Null)))?;
    block(output, "event", &letter.pointer("/evidence/event").map(pretty).unwrap_or_default())?;
    block(output, "stderr and log", text("/evidence/stderr_tail"))?;
    block(output, "backtrace", text("/evidence/backtrace"))
}

/// Prints lines under a heading, if there are any.
fn block(output: &mut Output<'_>, heading: &str, text: &str) -> Result<(), CliError> {
    if text.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.heading(heading)?;
    text.lines().try_for_each(|line| output.line(&format!("  {}", shown(line, usize::MAX))))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn retry(args: &SettleArgs, client: &Client) -> Result<(), CliError> {
    #[derive(Deserialize)]
    struct Answer {
        outcome: String,
        reason: Option<String>,
    }
    let mut failing = 0;
    for position in positions(args, client)? {
        let text = position.to_string();
        let path = Query::path(&["v1", "plugins", &args.plugin, "dead-letters", &text, "retry"]);
        let answer = client.send(&Method::POST, path.as_str()).map_err(|error| client.explain(error))?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))?;
        if answer.outcome == "handled" {
            talk(&format!("event {position}: handled"));
        } else {
            failing += 1;
            let reason = shown(&answer.reason.unwrap_or_default(), usize::MAX);
            talk(&format!("event {position}: still failing: {reason}"));
        }
    }
    if failing == 0 {
        return Ok(());
    }
    let verb = if failing == 1 { "event still fails" } else { "events still fail" };
    Err(CliError::new(Exit::Failure, format_args!("{failing} {verb}"))
        .hint(format_args!("`tidemill dead-letters show {} POSITION` has the evidence", args.plugin)))
}

fn discard(args: &SettleArgs, client: &Client) -> Result<(), CliError> {
    for position in positions(args, client)? {
        let path = Query::path(&["v1", "plugins", &args.plugin, "dead-letters", &position.to_string()]);
        client.send(&Method::DELETE, path.as_str()).map_err(|error| client.explain(error))?;
        talk(&format!("event {position}: discarded"));
    }
    Ok(())
}

/// The positions given, or all there are now.
fn positions(args: &SettleArgs, client: &Client) -> Result<Vec<u64>, CliError> {
    if !args.all {
        return Ok(args.positions.clone());
    }
    let mut positions = Vec::new();
    each(&args.plugin, client, |letter| {
        positions.push(parse::<Row>(letter)?.position);
        Ok(())
    })?;
    if positions.is_empty() {
        talk(&format!("plugin {} has no dead letters", args.plugin));
    }
    Ok(positions)
}

fn parse<T: serde::de::DeserializeOwned>(json: &RawValue) -> Result<T, CliError> {
    serde_json::from_str(json.get())
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))
}
