//! `tidemill state get|scan`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::SourceArgs;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, shown};
use super::query::Query;
use super::table::Table;
use super::waiting::AtLeastArgs;

/// Entries asked for at a time.
const PAGE_ENTRIES: u64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Print the value under a key, byte for byte
    Get(GetArgs),
    /// List keys and values, in key order
    Scan(ScanArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill state get dashboard totals              the value, byte for byte")]
pub(super) struct GetArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// The key
    pub(super) key: String,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill state scan dashboard
  tidemill state scan dashboard customer/ -n 10 --json")]
pub(super) struct ScanArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Only keys that begin so
    #[arg(default_value = "")]
    pub(super) prefix: String,
    /// Only keys after this one
    #[arg(long, value_name = "KEY")]
    pub(super) after: Option<String>,
    /// Stop after so many entries [default: all]
    #[arg(short = 'n', long, value_name = "N")]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

impl StateCommand {
    /// The plugin that it is about.
    pub(super) fn plugin(&self) -> &str {
        match self {
            Self::Get(args) => &args.plugin,
            Self::Scan(args) => &args.plugin,
        }
    }

    /// Where to read.
    pub(super) const fn source(&self) -> &SourceArgs {
        match self {
            Self::Get(args) => &args.source,
            Self::Scan(args) => &args.source,
        }
    }
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    key: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
}

impl Entry<'_> {
    fn bytes(&self) -> Result<Vec<u8>, CliError> {
        match (self.value, &self.value_base64) {
            (Some(value), _) => Ok(value.get().into()),
            (None, Some(encoded)) => STANDARD
                .decode(encoded)
                .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not base64: {error}"))),
            // The one JSON value that an optional field cannot tell from its absence.
            (None, None) => Ok(b"null".into()),
        }
    }
}

/// Runs one of the commands.
pub(super) fn run(command: &StateCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        StateCommand::Get(args) => get(args, client, output),
        StateCommand::Scan(args) => scan(args, client, output),
    }
}

fn get(args: &GetArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let entry: Box<RawValue> = {
        let query = Query::path(&["v1", "plugins", &args.plugin, "state", &args.key]);
        client.get(&query.with_at_least(&args.at_least))?
    };
    if args.source.json {
        return output.json_line(entry.get());
    }
    output.bytes(&parse(&entry)?.bytes()?)?;
    if output.is_terminal() { output.line("") } else { Ok(()) }
}

fn scan(args: &ScanArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut path = Query::path(&["v1", "plugins", &args.plugin, "state"])
        .with("prefix", &args.prefix)
        .with_some("after", args.after.as_ref())
        .with("limit", &left.clamp(1, PAGE_ENTRIES).to_string())
        .with_at_least(&args.at_least)
        .as_str()
        .to_owned();
    while left > 0 {
        let page: Page = client.get_path(&path)?;
        let entries = page.entries.iter().take(usize::try_from(left).unwrap_or(usize::MAX));
        print_page(output, entries, args.source.json)?;
        left = left.saturating_sub(page.entries.len() as u64);
        match page.next {
            Some(next) => path = next,
            None => break,
        }
    }
    Ok(())
}

fn print_page<'a>(
    output: &mut Output<'_>,
    mut entries: impl Iterator<Item = &'a Box<RawValue>>,
    json: bool,
) -> Result<(), CliError> {
    if json {
        return entries.try_for_each(|entry| output.json_line(entry.get()));
    }
    let mut table = Table::new(["KEY", "VALUE"]);
    for entry in entries {
        let entry = parse(entry)?;
        let value = match (&entry.value_base64, entry.value) {
            (Some(encoded), _) => format!("in base64: {encoded}"),
            (None, Some(value)) => value.get().to_owned(),
            (None, None) => "null".into(),
        };
        let chars_max = if output.is_terminal() { 96 } else { usize::MAX };
        table.row([shown(&entry.key, usize::MAX), shown(&value, chars_max)]);
    }
    table.print(output)
}

fn parse(json: &RawValue) -> Result<Entry<'_>, CliError> {
    serde_json::from_str(json.get())
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))
}
