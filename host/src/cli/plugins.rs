//! `tidemill plugins`: `ls`, `inspect`, `pause`, `resume` and `reload` are here; what rehearses, and what rebuilds, is beside.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use ureq::http::Method;

use super::args::SourceArgs;
use super::check::{self, CheckArgs};
use super::client::Client;
use super::error::CliError;
use super::generations::{self, RebuildArgs, RollbackArgs};
use super::identity::Identity;
use super::output::{Output, shown, talk};
use super::package::{self, InstallArgs, PackArgs, RemoveArgs};
use super::plugin_test::{self, TestArgs};
use super::query::Query;
use super::rehearsal_report;
use super::rehearsals::{self, PromoteArgs, ReplayArgs, ShadowArgs};
use super::table::Table;
use super::waiting::AtLeastArgs;

const RELOAD_HELP: &str = "\
Examples:
  tidemill plugins reload billing
  tidemill plugins reload billing --installed   have what is installed run after a rollback

Its files, and the secrets that its manifest names, are read again and replace what runs at a batch boundary: nothing is
lost, nothing is handled twice. Where they cannot run, what ran goes on, and the reason is printed. Needed for what no file
of the plugin shows, such as a secret that has changed, or a plugin that could not start: changed files are taken by
themselves. New instances end a halt or a quarantine, and come into it again if what caused it is still there; `resume` does
that without loading. A pause stays. After a rollback, or where the rebuild by a changed component was cancelled, what runs
instead of the installed component is loaded anew; with --installed the installed one runs, or builds its state first.";

#[derive(Debug, Subcommand)]
pub(super) enum PluginsCommand {
    /// List the plugins: what each does now, how far it has come
    Ls(ListArgs),
    /// Show everything about one plugin
    Inspect(InspectArgs),
    /// Say what a component is and asks for, and whether the host would run it
    Check(CheckArgs),
    /// Make one file of a component, its manifest, and what its authors say of it
    Pack(PackArgs),
    /// Put a plugin from a file, a URL or a registry into a plugins directory
    Install(Box<InstallArgs>),
    /// Take a plugin out of a plugins directory
    Rm(RemoveArgs),
    /// Give a component the events of fixtures, and see whether what must come of them comes; without a server
    Test(TestArgs),
    /// Have a plugin handle nothing until it is resumed, restarts included
    #[command(after_help = "Examples:\n  tidemill plugins pause billing")]
    Pause(NameArgs),
    /// End a pause, a halt or a quarantine
    #[command(after_help = "Examples:\n  tidemill plugins resume billing")]
    Resume(NameArgs),
    /// Load a plugin's files anew, changed or not
    #[command(after_help = RELOAD_HELP)]
    Reload(ReloadArgs),
    /// Hand a range of the log to a plugin again, without effect, and see what it would do
    Replay(ReplayArgs),
    /// Run a candidate beside the installed version over real history, and see how they differ
    Shadow(ShadowArgs),
    /// Put the candidate that was shadowed in place of the installed version
    Promote(PromoteArgs),
    /// Build a plugin's state anew beside the live one, which goes on until it is replaced
    Rebuild(RebuildArgs),
    /// Return to the component, and the state, that were live before
    Rollback(RollbackArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins ls
  tidemill plugins ls --json | jq -r 'select(.lag_events > 0) | .name'")]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins inspect billing
  tidemill plugins inspect billing --json | jq .status.counters")]
pub(super) struct InspectArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    #[command(flatten)]
    pub(super) at_least: AtLeastArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Name of the plugin
    pub(super) plugin: String,
}

#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Have the installed component run, though it was rolled back or its rebuild was cancelled
    #[arg(long)]
    pub(super) installed: bool,
}

impl PluginsCommand {
    /// The plugin that it is about.
    pub(super) fn plugin(&self) -> Option<&str> {
        match self {
            Self::Ls(_) | Self::Check(_) | Self::Pack(_) | Self::Install(_) | Self::Rm(_) | Self::Test(_) => None,
            Self::Inspect(args) => Some(&args.plugin),
            Self::Pause(args) | Self::Resume(args) => Some(&args.plugin),
            Self::Reload(args) => Some(&args.plugin),
            Self::Replay(args) => Some(&args.plugin),
            Self::Shadow(args) => Some(&args.plugin),
            Self::Promote(args) => Some(&args.plugin),
            Self::Rebuild(args) => Some(&args.plugin),
            Self::Rollback(args) => Some(&args.plugin),
        }
    }

    /// Where to read; everything else needs a server.
    pub(super) fn source(&self) -> SourceArgs {
        match self {
            Self::Ls(args) => args.source.clone(),
            Self::Inspect(args) => args.source.clone(),
            Self::Rm(args) => args.source(),
            Self::Check(_)
            | Self::Pack(_)
            | Self::Install(_)
            | Self::Test(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Reload(_)
            | Self::Replay(_)
            | Self::Shadow(_)
            | Self::Promote(_)
            | Self::Rebuild(_)
            | Self::Rollback(_) => SourceArgs::default(),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    plugins: Vec<Box<RawValue>>,
    /// What is wrong beyond single plugins.
    #[serde(default)]
    problems: Vec<String>,
    /// Whether not all of them are told of yet.
    #[serde(default)]
    loading: bool,
}

/// Runs one of the commands.
pub(super) fn run(command: &PluginsCommand, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        PluginsCommand::Ls(args) => list(args, client, output),
        PluginsCommand::Inspect(args) => inspect(args, client, output),
        PluginsCommand::Pause(args) => tell(&args.plugin, ("pause", "paused"), client),
        PluginsCommand::Resume(args) => tell(&args.plugin, ("resume", "resumed"), client),
        PluginsCommand::Reload(args) => reload(args, client),
        PluginsCommand::Replay(args) => rehearsals::replay(args, client, output),
        PluginsCommand::Shadow(args) => rehearsals::shadow(args, client, output),
        PluginsCommand::Check(args) => check::run(args, output),
        PluginsCommand::Pack(args) => package::pack(args, output),
        PluginsCommand::Install(args) => package::install(args, Identity::default(), output),
        PluginsCommand::Rm(args) => package::remove(args, client, output),
        PluginsCommand::Test(args) => plugin_test::run(args, output),
        PluginsCommand::Promote(args) => rehearsals::promote(args, client, output),
        PluginsCommand::Rebuild(args) => generations::rebuild(args, client, output),
        PluginsCommand::Rollback(args) => generations::roll_back(args, client, output),
    }
}

fn tell(plugin: &str, (verb, done): (&str, &str), client: &Client) -> Result<(), CliError> {
    let path = Query::path(&["v1", "plugins", plugin, verb]);
    client.send(&Method::POST, path.as_str()).map_err(|error| client.explain(error))?;
    talk(&format!("plugin {}: {done}", shown(plugin, 64)));
    Ok(())
}

/// Has files loaded anew; says so where something else runs instead of them.
fn reload(args: &ReloadArgs, client: &Client) -> Result<(), CliError> {
    let query = Query::path(&["v1", "plugins", &args.plugin, "reload"]);
    let query = query.with_some("installed", args.installed.then_some("true"));
    client.send(&Method::POST, query.as_str()).map_err(|error| client.explain(error))?;
    // It is reloaded, whether what runs can be read or not.
    let plugin: Value = client.get(&Query::path(&["v1", "plugins", &args.plugin])).unwrap_or_default();
    let name = shown(&args.plugin, 64);
    let instead = plugin.pointer("/generations/instead").is_some();
    talk(&format!("plugin {name}: {}", if instead { "what runs is reloaded" } else { "reloaded" }));
    generations::note(&plugin, &name);
    Ok(())
}

fn list(args: &ListArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let answer: Answer = client.get(&Query::path(&["v1", "plugins"]).with_at_least(&args.at_least))?;
    for problem in &answer.problems {
        talk(&format!("warning: {}", shown(problem, usize::MAX)));
    }
    if answer.loading {
        talk("the plugins are being loaded: not all of them are told of yet");
    }
    if args.source.json {
        return answer.plugins.iter().try_for_each(|plugin| output.json_line(plugin.get()));
    }
    let mut table = Table::new([
        "PLUGIN",
        "STATE",
        "#CHECKPOINT",
        "#LAG",
        "#LAG S",
        "#HANDLED",
        "#EMITTED",
        "#FAILURES",
        "#DEAD LETTERS",
        "#WAITING",
        "#US/EVENT",
        "#FUEL/EVENT",
        "#MEMORY",
    ]);
    for plugin in &answer.plugins {
        let plugin = serde_json::from_str(plugin.get()).unwrap_or_default();
        let cell = |pointer: &str| text(&plugin, pointer);
        if let Some(Value::String(reason)) = plugin.pointer("/problem/reason") {
            talk(&format!("warning: plugin {}: {}", cell("/name"), shown(reason, usize::MAX)));
        }
        if let Some(Value::String(reason)) = plugin.pointer("/status/reason") {
            let state = state(&plugin);
            talk(&format!("warning: plugin {} is {state}: {}", cell("/name"), shown(reason, usize::MAX)));
        }
        if let Some(Value::String(reason)) = plugin.pointer("/history_gone/reason") {
            talk(&format!("warning: plugin {}: {}", cell("/name"), shown(reason, usize::MAX)));
        }
        generations::note(&plugin, &cell("/name"));
        let running = plugin.pointer("/status/parked").is_some();
        table.row([
            cell("/name"),
            state(&plugin),
            cell("/checkpoint"),
            cell("/lag_events"),
            cell("/lag_seconds"),
            cell("/status/counters/handled"),
            cell("/status/counters/emitted"),
            cell("/status/counters/retried"),
            cell(if running { "/status/parked" } else { "/dead_letters" }),
            cell("/status/waiting"),
            per_event(&plugin, "/status/cost", "handler_us"),
            per_event(&plugin, "/status/cost", "fuel"),
            plugin.pointer("/status/cost/memory_bytes").map_or_else(|| "-".into(), memory),
        ]);
    }
    table.print(output)
}

/// A part of a cost for each event that was handled; `-` before the first.
fn per_event(plugin: &Value, cost: &str, part: &str) -> String {
    let number = |name: &str| plugin.pointer(&format!("{cost}/{name}")).and_then(Value::as_u64);
    let each = number(part).zip(number("events")).and_then(|(sum, events)| sum.checked_div(events));
    each.map_or_else(|| "-".into(), |each| each.to_string())
}

/// Bytes of memory, in whole KiB.
fn memory(bytes: &Value) -> String {
    format!("{} KiB", bytes.as_u64().unwrap_or_default().div_ceil(1024))
}

/// Adds what people ask of numbers, and says shortly what is shortly said.
fn for_people(plugin: &mut Value) {
    let partitions = plugin.pointer("/status/partitions").and_then(Value::as_array).map_or(0, Vec::len);
    let partitions = (0..partitions).map(|index| format!("/status/partitions/{index}/cost"));
    for cost in std::iter::once("/status/cost".to_owned()).chain(partitions) {
        let (us, fuel) = (per_event(plugin, &cost, "handler_us"), per_event(plugin, &cost, "fuel"));
        if let Some(Value::Object(fields)) = plugin.pointer_mut(&cost) {
            fields.insert("handler_us_per_event".into(), us.into());
            fields.insert("fuel_per_event".into(), fuel.into());
        }
    }
    if let Some(size) = plugin.get_mut("state_size") {
        let (keys, bytes) = (text(size, "/keys"), text(size, "/bytes"));
        *size = format!("{keys} keys, {bytes} bytes").into();
    }
}

/// What a plugin is doing, in a word or two.
pub(super) fn state(plugin: &Value) -> String {
    match plugin.pointer("/status/state") {
        Some(Value::String(state)) => shown(&state.replace('_', " "), 32),
        // Also of one that is not known to be installed yet.
        _ if plugin.pointer("/loading") == Some(&Value::Bool(true)) => "loading".into(),
        _ if plugin.pointer("/installed") == Some(&Value::Bool(false)) => "not installed".into(),
        _ if plugin.pointer("/aggregate").is_some() => "deciding".into(),
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

fn inspect(args: &InspectArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = Query::path(&["v1", "plugins", &args.plugin]).with_at_least(&args.at_least);
    let plugin: Box<RawValue> = client.get(&query)?;
    if args.source.json {
        return output.json_line(plugin.get());
    }
    let mut plugin: Value = serde_json::from_str(plugin.get()).unwrap_or_default();
    let candidate = plugin.as_object_mut().and_then(|fields| fields.remove("candidate"));
    for_people(&mut plugin);
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
            Value::Array(items) if items.iter().any(Value::is_object) => {
                output.line(&format!("{indent}{name}:"))?;
                for (index, item) in items.iter().enumerate() {
                    output.line(&format!("{indent}  {index}:"))?;
                    print_tree(output, item, depth + 2)?;
                }
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
