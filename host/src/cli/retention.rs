//! `tidemill retention ls`.

use std::collections::BTreeSet;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::args::SourceArgs;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, shown, talk};
use super::query::Query;
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(super) enum RetentionCommand {
    /// List the categories that have a policy, or of which something was removed
    #[command(after_help = "\
Examples:
  tidemill retention ls                            what is kept for how long, and who holds removal back
  tidemill retention ls --json")]
    Ls(SourceArgs),
}

impl RetentionCommand {
    /// Where to read.
    pub(super) const fn source(&self) -> &SourceArgs {
        match self {
            Self::Ls(source) => source,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    retention: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Row {
    category: String,
    policy: Option<String>,
    removed_before: u64,
    wanted_before: Option<u64>,
    blocked_by: Option<Blocked>,
    #[serde(default)]
    dropped: Vec<Dropped>,
    decided_by: Option<String>,
}

#[derive(Deserialize)]
struct Blocked {
    plugin: String,
    position: u64,
    kept_generation: Option<u32>,
}

#[derive(Deserialize)]
struct Dropped {
    plugin: String,
    generation: u32,
}

/// Prints every category.
pub(super) fn run(command: &RetentionCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let answer: Answer = client.get(&Query::path(&["v1", "retention"]))?;
    if command.source().json {
        return answer.retention.iter().try_for_each(|row| output.json_line(row.get()));
    }
    let mut table = Table::new(["CATEGORY", "POLICY", "#REMOVED BEFORE", "#WANTED BEFORE", "BLOCKED BY"]);
    let (mut dropped, mut ending) = (BTreeSet::new(), Vec::new());
    for row in &answer.retention {
        let row: Row = serde_json::from_str(row.get())
            .map_err(|error| CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}")))?;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let blocked = row.blocked_by.map(|Blocked { plugin, position, kept_generation }| match kept_generation {
            Some(kept) => format!("{plugin} from {position} (generation {kept}, kept to return to)"),
            None => format!("{plugin} from {position}"),
        });
        dropped.extend(row.dropped.into_iter().map(|Dropped { plugin, generation }| (plugin, generation)));
        let ends = row.decided_by.filter(|_| row.policy.is_some()).map(|plugin| (row.category.clone(), plugin));
        ending.extend(ends);
        table.row([
            shown(&row.category, usize::MAX),
            or_dash(row.policy),
            row.removed_before.to_string(),
            or_dash(row.wanted_before.map(|position| position.to_string())),
            or_dash(blocked),
        ]);
    }
    table.print(output)?;
    ending.iter().for_each(|(category, plugin)| tell_ending(category, plugin));
    for (plugin, generation) in dropped {
        talk(&format!(
            "generation {generation} of {plugin}, kept to return to, was dropped: it alone held events back"
        ));
    }
    Ok(())
}

/// Says what a policy means for aggregates.
fn tell_ending(category: &str, plugin: &str) {
    let (category, plugin) = (shown(category, usize::MAX), shown(plugin, usize::MAX));
    talk(&format!(
        "{plugin} decides for aggregates of {category}: one whose events go before a snapshot stands for them takes no more \
         commands; see snapshot_every in its manifest"
    ));
}
