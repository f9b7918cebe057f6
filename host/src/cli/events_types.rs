//! `tidemill events types`.

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::SourceArgs;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, shown};
use super::query::Query;
use super::table::Table;
use super::waiting::AtLeastArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill events types
  tidemill events types --json | jq -r .type")]
pub(super) struct TypesArgs {
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Deserialize)]
struct Answer {
    types: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "type")]
    name: String,
    events: u64,
}

/// Prints every type of event, and how many events have it.
pub(super) fn run(args: &TypesArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let answer: Answer = client.get(&Query::path(&["v1", "event-types"]).with_at_least(&args.at_least))?;
    if args.source.json {
        return answer.types.iter().try_for_each(|row| output.json_line(row.get()));
    }
    let mut table = Table::new(["#EVENTS", "TYPE"]);
    for row in &answer.types {
        let Row { name, events } = serde_json::from_str(row.get())
            .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))?;
        table.row([events.to_string(), shown(&name, usize::MAX)]);
    }
    table.print(output)
}
