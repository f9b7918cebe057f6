//! `tidemill types ls` and `tidemill types show`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::args::SourceArgs;
use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, shown};
use super::query::Query;
use super::table::Table;
use super::waiting::AtLeastArgs;

#[derive(Debug, Subcommand)]
pub(super) enum TypesCommand {
    /// List the types of event: stored, made by an upcaster, or described by a schema
    Ls(LsArgs),
    /// Show one type: its first and last event, its versions, the lifts from it and to it, its schemas
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill types ls
  tidemill types ls --versions                       a row for each schema version
  tidemill types ls --json | jq -r 'select(.events > 0).type'
  tidemill types ls --json | jq -r 'select(.enforced).type'")]
pub(super) struct LsArgs {
    /// Count events by schema version, which reads them all
    #[arg(long)]
    pub(super) versions: bool,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill types show OrderPlaced
  tidemill types show OrderPlaced --json | jq '.schemas[].schema'")]
pub(super) struct ShowArgs {
    /// Name of the type
    #[arg(value_name = "TYPE")]
    pub(super) name: String,
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
    lifted: bool,
    schemas: Vec<u32>,
    enforced: bool,
}

#[derive(Deserialize)]
struct Type {
    events: u64,
    first: Option<End>,
    last: Option<End>,
    current_version: Option<u32>,
    lifts: Vec<Lift>,
    schemas: Vec<Schema>,
}

/// A part of what is counted.
#[derive(Deserialize)]
struct Part {
    versions: Vec<Version>,
    next: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Version {
    version: u32,
    events: u64,
}

#[derive(Deserialize)]
struct End {
    position: u64,
    schema_version: u32,
    timestamp: String,
}

#[derive(Deserialize)]
struct Lift {
    #[serde(rename = "type")]
    name: String,
    from: u32,
    into: Vec<Target>,
    origin: String,
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "type")]
    name: String,
    schema_version: u32,
}

#[derive(Deserialize)]
struct Schema {
    version: u32,
    enforced: bool,
}

impl TypesCommand {
    /// Where to read.
    pub(super) const fn source(&self) -> &SourceArgs {
        match self {
            Self::Ls(args) => &args.source,
            Self::Show(args) => &args.source,
        }
    }
}

/// Runs a command.
pub(super) fn run(command: &TypesCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        TypesCommand::Ls(args) => list(args, client, output),
        TypesCommand::Show(args) => show(args, client, output),
    }
}

fn list(args: &LsArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let answer: Answer = client.get(&Query::path(&["v1", "types"]).with_at_least(&args.at_least))?;
    if args.versions {
        return list_versions(&answer, args.source.json, client, output);
    }
    if args.source.json {
        return answer.types.iter().try_for_each(|row| output.json_line(row.get()));
    }
    let mut table = Table::new(["#EVENTS", "TYPE", "LIFTED", "SCHEMAS", "ENFORCED"]);
    let yes = |truth: bool| if truth { "yes" } else { "-" }.to_owned();
    for row in &answer.types {
        let Row { name, events, lifted, schemas, enforced } =
            serde_json::from_str(row.get()).map_err(not_understood)?;
        let versions = if schemas.is_empty() { "-".to_owned() } else { listed(&schemas) };
        table.row([events.to_string(), shown(&name, usize::MAX), yes(lifted), versions, yes(enforced)]);
    }
    table.print(output)
}

/// A row for each schema version under which events are stored.
fn list_versions(answer: &Answer, json: bool, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut table = Table::new(["#EVENTS", "TYPE", "#VERSION"]);
    for row in &answer.types {
        let Row { name, .. } = serde_json::from_str(row.get()).map_err(not_understood)?;
        for Version { version, events } in whole(client, &Query::path(&["v1", "types", &name]))?.1 {
            if json {
                output.json_line(&json!({ "type": name, "version": version, "events": events }).to_string())?;
            }
            table.row([events.to_string(), shown(&name, usize::MAX), version.to_string()]);
        }
    }
    if json { Ok(()) } else { table.print(output) }
}

/// A type as the server shows it, and its versions, counted in as many answers as that takes.
fn whole(client: &Client, query: &Query) -> Result<(Box<RawValue>, Vec<Version>), CliError> {
    let shown: Box<RawValue> = client.get(query)?;
    let mut part: Part = serde_json::from_str(shown.get()).map_err(not_understood)?;
    let mut counted: BTreeMap<u32, u64> = BTreeMap::new();
    loop {
        part.versions.iter().for_each(|part| *counted.entry(part.version).or_default() += part.events);
        let Some(next) = part.next else { break };
        part = client.get_path(&next)?;
    }
    let versions = counted.into_iter().map(|(version, events)| Version { version, events }).collect();
    Ok((shown, versions))
}

fn show(args: &ShowArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = Query::path(&["v1", "types", &args.name]).with_at_least(&args.at_least);
    let (answer, versions) = whole(client, &query)?;
    if args.source.json {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(answer.get()).map_err(not_understood)?;
        let all = serde_json::value::to_raw_value(&versions).map_err(not_understood)?;
        fields.insert("versions".into(), all);
        fields.remove("next");
        return output.json_line(&serde_json::to_string(&fields).map_err(not_understood)?);
    }
    let Type { events, first, last, current_version, lifts, schemas } =
        serde_json::from_str(answer.get()).map_err(not_understood)?;
    output.heading(&format!("type {}", shown(&args.name, usize::MAX)))?;
    output.line(&format!("events   {events}"))?;
    for (what, end) in [("first", first), ("last", last)] {
        if let Some(End { position, schema_version, timestamp }) = end {
            output.line(&format!("{what:<8} {position}, version {schema_version}, {timestamp}"))?;
        }
    }
    for Version { version, events } in versions {
        output.line(&format!("version  {version}: {events} events"))?;
    }
    if let Some(version) = current_version {
        output.line(&format!("current  version {version}"))?;
    }
    for Lift { name, from, into, origin } in lifts {
        let made: Vec<_> = into.iter().map(|made| format!("{} {}", made.name, made.schema_version)).collect();
        let into = if made.is_empty() { "nothing".to_owned() } else { made.join(" + ") };
        output.line(&shown(&format!("lift     {name} {from} to {into} ({origin})"), usize::MAX))?;
    }
    for Schema { version, enforced } in schemas {
        let held = if enforced { "appends are held to it" } else { "for reference" };
        output.line(&format!("schema   version {version}: {held}"))?;
    }
    Ok(())
}

fn listed(versions: &[u32]) -> String {
    versions.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

fn not_understood(error: serde_json::Error) -> CliError {
    CliError::new(Exit::Failure, format_args!("the answer is not understood: {error}"))
}
