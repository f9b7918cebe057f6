//! `tidemill dead-letters ls|show|retry|discard`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::args::SourceArgs;
use super::client::{Client, Server};
use super::error::{CliError, Exit};
use super::output::{Output, shown, talk};
use super::progress::Progress;
use super::query::Query;
use super::rehearsals::last_line;
use super::table::Table;
use super::waiting::AtLeastArgs;

/// Dead letters asked for at a time.
const PAGE: &str = "1000";

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List the events that a plugin could not handle
    Ls(ListArgs),
    /// Show one with its evidence: reason, stderr, backtrace, and the event itself
    Show(ShowArgs),
    /// Hand events to the plugin again, in order for each key; those it handles are dead letters no more
    Retry(RetryArgs),
    /// Give events up: the plugin will not handle them, and those behind them go on
    Discard(DiscardArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill dead-letters ls billing
  tidemill dead-letters ls billing --json | jq -r .reason
  tidemill dead-letters ls billing --building      what a state that is being built has set aside")]
pub(super) struct ListArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Only those of this key
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Those of the state that is being built, instead of the live one
    #[arg(long)]
    pub(super) building: bool,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill dead-letters show billing 42            what stands at position 42, and what became of it")]
pub(super) struct ShowArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Position of the event
    pub(super) position: u64,
    /// As the state that is being built has set it aside, instead of the live one
    #[arg(long)]
    pub(super) building: bool,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill dead-letters retry billing --all
  tidemill dead-letters retry billing --key customer-7

Each key's events are handed over in order, beginning with the first that failed. The first that fails again
stops its key; other keys go on. What the plugin handles meanwhile is not held up.")]
pub(super) struct RetryArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    #[command(flatten)]
    pub(super) which: WhichArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct WhichArgs {
    /// Positions of events, each the first of its key
    pub(super) positions: Vec<u64>,
    /// The same, one position
    #[arg(long, value_name = "POSITION")]
    pub(super) position: Option<u64>,
    /// Those of one key
    #[arg(long)]
    pub(super) key: Option<String>,
    /// All of the plugin's dead letters
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill dead-letters discard billing 42 57      the plugin will never handle these two
  tidemill dead-letters discard billing --key customer-7
  tidemill dead-letters discard billing --all      all that it has set aside up to now")]
pub(super) struct DiscardArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    #[command(flatten)]
    pub(super) which: GivenUpArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct GivenUpArgs {
    /// Positions of the events
    pub(super) positions: Vec<u64>,
    /// Those of one key
    #[arg(long)]
    pub(super) key: Option<String>,
    /// All of the plugin's dead letters
    #[arg(long)]
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
    key: Option<String>,
    kind: String,
    attempts: u32,
    #[serde(default)]
    faults: u32,
    due: Option<String>,
    last: String,
    reason: String,
}

/// What became of events that were handed over again.
#[derive(Deserialize)]
struct Redriven {
    handled: u64,
    failed: u64,
    failing: Vec<Failing>,
    interrupted: Option<String>,
}

/// How many events were given up.
#[derive(Deserialize)]
struct Discarded {
    discarded: u64,
}

#[derive(Deserialize)]
struct Failing {
    position: u64,
    key: Option<String>,
    reason: String,
}

impl DeadLettersCommand {
    /// The plugin that it is about.
    pub(super) fn plugin(&self) -> &str {
        match self {
            Self::Ls(args) => &args.plugin,
            Self::Show(args) => &args.plugin,
            Self::Retry(args) => &args.plugin,
            Self::Discard(args) => &args.plugin,
        }
    }

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
        DeadLettersCommand::Ls(args) => list(args, client, output),
        DeadLettersCommand::Show(args) => show(args, client, output),
        DeadLettersCommand::Retry(args) => retry(args, client),
        DeadLettersCommand::Discard(args) => discard(args, client),
    }
}

/// Prints the dead letters of a plugin, page by page.
fn list(args: &ListArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = Query::path(&["v1", "plugins", &args.plugin, "dead-letters"])
        .with("limit", PAGE)
        .with_some("building", args.building.then_some("true"));
    let mut page: Page = client.get(&query.with_some("key", args.key.as_ref()).with_at_least(&args.at_least))?;
    let mut is_first = true;
    loop {
        if args.source.json {
            page.dead_letters.iter().try_for_each(|letter| output.json_line(letter.get()))?;
        } else {
            table(&page.dead_letters)?.print_page(output, is_first)?;
        }
        is_first = false;
        match page.next {
            Some(next) => page = client.get_path(&next)?,
            None => return Ok(()),
        }
    }
}

fn table(letters: &[Box<RawValue>]) -> Result<Table<8>, CliError> {
    let headings = ["#POSITION", "KEY", "KIND", "#ATTEMPTS", "#FAULTS", "DUE", "LAST ATTEMPT", "REASON"];
    let mut table = Table::new(headings);
    for letter in letters {
        let row: Row = parse(letter)?;
        let key = row.key.map_or_else(|| "-".into(), |key| shown(&key, 48));
        let due = row.due.unwrap_or_else(|| "-".into());
        let (attempts, faults, reason) = (row.attempts.to_string(), row.faults.to_string(), shown(&row.reason, 96));
        table.row([row.position.to_string(), key, row.kind, attempts, faults, due, row.last, reason]);
    }
    Ok(table)
}

fn show(args: &ShowArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let position = args.position.to_string();
    let query = Query::path(&["v1", "plugins", &args.plugin, "dead-letters", &position])
        .with_some("building", args.building.then_some("true"));
    let letter: Box<RawValue> = client.get(&query.with_at_least(&args.at_least))?;
    if args.source.json {
        return output.json_line(letter.get());
    }
    let letter: Value = parse(&letter)?;
    let text = |pointer: &str| letter.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    output.heading(&format!("event {position}, set aside by {}", shown(text("/plugin"), 64)))?;
    for (name, pointer) in [
        ("reason", "/reason"),
        ("kind", "/kind"),
        ("key", "/key"),
        ("due", "/due"),
        ("first", "/first"),
        ("last", "/last"),
        ("digest", "/component_digest"),
    ] {
        if letter.pointer(pointer).is_some() {
            output.line(&format!("{name:<9} {}", shown(text(pointer), usize::MAX)))?;
        }
    }
    output.line(&format!("attempts  {}", letter.pointer("/attempts").unwrap_or(&Value::Null)))?;
    output.line(&format!("faults    {}", letter.pointer("/faults").unwrap_or(&Value::Null)))?;
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

fn retry(args: &RetryArgs, client: &Client) -> Result<(), CliError> {
    let RetryArgs { plugin, which } = args;
    let many = || Query::path(&["v1", "plugins", plugin, "dead-letters", "retry"]);
    let one = |position: &u64| Query::path(&["v1", "plugins", plugin, "dead-letters", &position.to_string(), "retry"]);
    let queries: Vec<_> = match &which.key {
        Some(key) => vec![many().with("key", key)],
        None if which.all => vec![many()],
        None => which.positions.iter().chain(&which.position).map(one).collect(),
    };
    let (mut handled, mut failed) = (0, 0);
    for query in queries {
        let redriven = redrive(&query, client)?;
        handled += redriven.handled;
        failed += redriven.failed;
        tell(&redriven)?;
    }
    talk(&format!("{} handled", counted(handled, "event")));
    if failed == 0 {
        return Ok(());
    }
    let verb = if failed == 1 { "fails" } else { "fail" };
    Err(CliError::new(Exit::Failure, format_args!("{} still {verb}", counted(failed, "event")))
        .hint(format_args!("`tidemill dead-letters show {plugin} POSITION` has the evidence")))
}

fn redrive(query: &Query, client: &Client) -> Result<Redriven, CliError> {
    let answer = match client {
        Client::Server(server) => through_lines(server, query)?,
        Client::Directory(_) => text(client, &Method::POST, query)?,
    };
    understood(&answer)
}

/// Follows a server that tells how many are left, so that its silence does not end it.
fn through_lines(server: &Server, query: &Query) -> Result<String, CliError> {
    let (bar, mut of) = (Progress::set_aside(), 0);
    let answered = last_line(server, query, None, "outcome", |line| {
        let left = line.get("set_aside").and_then(Value::as_u64).unwrap_or_default();
        of = left.max(of);
        bar.at(of - left, of);
    });
    bar.finish();
    answered
}

fn text(client: &Client, method: &Method, query: &Query) -> Result<String, CliError> {
    let answer = client.send(method, query.as_str()).map_err(|error| client.explain(error))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn tell(redriven: &Redriven) -> Result<(), CliError> {
    for Failing { position, key, reason } in &redriven.failing {
        let key = key.as_ref().map(|key| format!(" of key {}", shown(key, 64))).unwrap_or_default();
        talk(&format!("event {position}{key}: still failing: {}", shown(reason, usize::MAX)));
    }
    let Some(reason) = &redriven.interrupted else { return Ok(()) };
    let handled = counted(redriven.handled, "event");
    Err(CliError::new(Exit::Failure, format_args!("it ended after {handled}: {}", shown(reason, usize::MAX)))
        .hint("what was not handled is still set aside; retry it when the plugin goes on"))
}

pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn discard(args: &DiscardArgs, client: &Client) -> Result<(), CliError> {
    let which = &args.which;
    if which.all || which.key.is_some() {
        let query = Query::path(&["v1", "plugins", &args.plugin, "dead-letters"]).with_some("key", which.key.as_ref());
        let query = query.with_some("all", which.all.then_some("true"));
        let Discarded { discarded } = understood(&text(client, &Method::DELETE, &query)?)?;
        talk(&format!("{} discarded", counted(discarded, "event")));
        return Ok(());
    }
    for position in &which.positions {
        let path = Query::path(&["v1", "plugins", &args.plugin, "dead-letters", &position.to_string()]);
        client.send(&Method::DELETE, path.as_str()).map_err(|error| client.explain(error))?;
        talk(&format!("event {position}: discarded"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(json: &RawValue) -> Result<T, CliError> {
    understood(json.get())
}

fn understood<T: DeserializeOwned>(json: &str) -> Result<T, CliError> {
    serde_json::from_str(json)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))
}
