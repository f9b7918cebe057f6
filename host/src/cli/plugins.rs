//! `tidemill plugins`: `ls` and `inspect` are here, what rehearses is beside.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::args::SourceArgs;
use super::client::Client;
use super::error::CliError;
use super::output::{Output, shown, talk};
use super::query::Query;
use super::rehearsal_report;
use super::rehearsals::{self, PromoteArgs, RebuildArgs, ReplayArgs, ShadowArgs};
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(super) enum PluginsCommand {
    /// List the plugins: what each does now, how far it has come
    Ls(ListArgs),
    /// Show everything about one plugin
    Inspect(InspectArgs),
    /// Hand a range of the log to a plugin again, without effect, and see what it would do
    Replay(ReplayArgs),
    /// Run a candidate beside the installed version over real history, and see how they differ
    Shadow(ShadowArgs),
    /// Put the candidate that was shadowed in place of the installed version
    Promote(PromoteArgs),
    /// Build a plugin's state anew, in memory, and compare it with the stored one
    Rebuild(RebuildArgs),
}

/// Whom to ask what needs a running plugin.
static SERVER: SourceArgs = SourceArgs { data: None, json: false };

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

impl PluginsCommand {
    /// Where to read.
    pub(super) fn source(&self) -> &SourceArgs {
        match self {
            Self::Ls(args) => &args.source,
            Self::Inspect(args) => &args.source,
            Self::Replay(_) | Self::Shadow(_) | Self::Promote(_) | Self::Rebuild(_) => &SERVER,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    plugins: Vec<Box<RawValue>>,
    /// What is wrong beyond single plugins.
    #[serde(default)]
    problems: Vec<String>,
}

/// Runs one of the commands.
pub(super) fn run(command: &PluginsCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        PluginsCommand::Ls(args) => list(client, args.source.json, output),
        PluginsCommand::Inspect(args) => inspect(&args.plugin, client, args.source.json, output),
        PluginsCommand::Replay(args) => rehearsals::replay(args, client, output),
        PluginsCommand::Shadow(args) => rehearsals::shadow(args, client, output),
        PluginsCommand::Promote(args) => rehearsals::promote(args, client, output),
        PluginsCommand::Rebuild(args) => rehearsals::rebuild(args, client, output),
    }
}

fn list(client: &Client, json: bool, output: &mut Output<'_>) -> Result<(), CliError> {
    let answer: Answer = client.get(&Query::path(&["v1", "plugins"]))?;
    for problem in &answer.problems {
        talk(&format!("warning: {}", shown(problem, usize::MAX)));
    }
    if json {
        return answer.plugins.iter().try_for_each(|plugin| output.json_line(plugin.get()));
    }
    let mut table =
        Table::new(["PLUGIN", "STATE", "#CHECKPOINT", "#LAG", "#HANDLED", "#EMITTED", "#RETRIED", "#DEAD LETTERS"]);
    for plugin in &answer.plugins {
        let plugin = serde_json::from_str(plugin.get()).unwrap_or_default();
        let cell = |pointer: &str| text(&plugin, pointer);
        if let Some(Value::String(reason)) = plugin.pointer("/problem/reason") {
            talk(&format!("warning: plugin {}: {}", cell("/name"), shown(reason, usize::MAX)));
        }
        table.row([
            cell("/name"),
            state(&plugin),
            cell("/checkpoint"),
            cell("/lag_events"),
            cell("/status/counters/handled"),
            cell("/status/counters/emitted"),
            cell("/status/counters/retried"),
            cell("/dead_letters"),
        ]);
    }
    table.print(output)
}

/// What a plugin is doing, in a word.
fn state(plugin: &Value) -> String {
    if plugin.pointer("/installed") == Some(&Value::Bool(false)) {
        return "not installed".into();
    }
    match plugin.pointer("/status/state") {
        Some(Value::String(state)) => shown(&state.replace('_', " "), 32),
        _ => "not running".into(),
    }
}

/// A value as a cell; `-` when it is not there.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => shown(text, 64),
        Some(other) => shown(&other.to_string(), 64),
    }
}

fn inspect(name: &str, client: &Client, json: bool, output: &mut Output<'_>) -> Result<(), CliError> {
    let plugin: Box<RawValue> = client.get(&Query::path(&["v1", "plugins", name]))?;
    if json {
        return output.json_line(plugin.get());
    }
    let mut plugin: Value = serde_json::from_str(plugin.get()).unwrap_or_default();
    let candidate = plugin.as_object_mut().and_then(|fields| fields.remove("candidate"));
    print_tree(output, &plugin, 0)?;
    match candidate.and_then(|report| serde_json::from_value(report).ok()) {
        Some(report) => {
            output.line("\nA candidate was compared with it:")?;
            rehearsal_report::candidate(&report, output)
        }
        None => Ok(()),
    }
}

/// Prints an object as indented lines.
fn print_tree(output: &mut Output<'_>, value: &Value, depth: usize) -> Result<(), CliError> {
    let Value::Object(fields) = value else { return output.line(&shown(&value.to_string(), usize::MAX)) };
    let indent = "  ".repeat(depth);
    for (name, value) in fields {
        let name = shown(name, 64);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                output.line(&format!("{indent}{name}:"))?;
                print_tree(output, value, depth + 1)?;
            }
            Value::String(text) if text.contains('\n') => {
                output.line(&format!("{indent}{name}:"))?;
                for line in text.lines() {
                    output.line(&format!("{indent}  {}", shown(line, usize::MAX)))?;
                }
            }
            Value::String(text) => output.line(&format!("{indent}{name}: {}", shown(text, usize::MAX)))?,
            Value::Null => output.line(&format!("{indent}{name}: -"))?,
            other => output.line(&format!("{indent}{name}: {}", shown(&other.to_string(), usize::MAX)))?,
        }
    }
    Ok(())
}
