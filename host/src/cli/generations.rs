//! `tidemill plugins rebuild` and `rollback`: asks a server, and shows how far it is.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use ureq::http::Method;

use super::client::Client;
use super::error::CliError;
use super::output::{Output, shown, talk};
use super::rehearsals::{ask, path, understood, verify};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins rebuild dashboard               begin, and come back at once
  tidemill plugins rebuild dashboard --wait        come back when what is built is live
  tidemill plugins rebuild dashboard --cancel      end it, and drop what it has built
  tidemill plugins rebuild dashboard --verify      build in memory, and compare with the stored state

The installed component handles its events again, from its start, into a state of its own, while the live one goes
on. What it appends is dropped: it is in the log already. When it has come as far as the live one, its state becomes
live in one commit, and the one before is kept for `rollback`. Dead letters are taken over; they are not retried or
discarded meanwhile. It goes on after a restart. A plugin that can send HTTP requests is not rebuilt.

With --cancel the component that is live runs on, with its state. Where a changed component was building its own, that one
does not run then, though it is installed, until `plugins reload NAME --installed` has it begin again.

With --verify nothing changes. Exit codes: 0 the state is the same, 1 it is not")]
pub(super) struct RebuildArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Compare with the stored state and change nothing
    #[arg(long, conflicts_with_all = ["cancel", "wait"])]
    pub(super) verify: bool,
    /// End a rebuild and drop what it has built
    #[arg(long, conflicts_with_all = ["wait", "from"])]
    pub(super) cancel: bool,
    /// Come back when what is built is live
    #[arg(long)]
    pub(super) wait: bool,
    /// First position; where the plugin began unless given
    #[arg(long, value_name = "POSITION")]
    pub(super) from: Option<u64>,
    /// Most bytes of state that one version may build up in the server's memory; 256 MiB unless given
    #[arg(long, value_name = "BYTES", requires = "verify")]
    pub(super) state_bytes: Option<u64>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins rollback dashboard

The component that was live before runs again, and where it had a state of its own, with that: it catches up without
appending again what is in the log. The plugins directory stays as it is: what lies there runs when it changes, or by
`plugins reload NAME --installed`. A second rollback returns to what ran before the first.")]
pub(super) struct RollbackArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Print what is live now as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Deserialize)]
struct Rebuilt {
    state_generation: u32,
    pause_us: u64,
}

/// Rebuilds, or verifies, or cancels.
pub(super) fn rebuild(args: &RebuildArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let name = shown(&args.plugin, 64);
    if args.verify {
        return verify(&args.plugin, (args.from, args.state_bytes), args.json, client, output);
    }
    let server = client.server()?;
    let query = path(&args.plugin, &["rebuild"]).with_some("from", args.from);
    if args.cancel {
        client.send(&Method::DELETE, query.as_str()).map_err(|error| client.explain(error))?;
        talk(&format!("plugin {name}: the rebuild is ended, and what it had built is dropped"));
        // It is ended, whether what runs can be read or not.
        let plugin: Value = client.get(&path(&args.plugin, &[])).unwrap_or_default();
        note(&plugin, &name);
        return Ok(());
    }
    if args.wait {
        let (rebuilt, line) = ask::<Rebuilt>(server, &query.with_some("wait", Some("true")), None)?;
        if args.json {
            return output.json_line(&line);
        }
        let (generation, pause) = (rebuilt.state_generation, rebuilt.pause_us / 1000);
        return output.line(&format!("state generation {generation} is live; nothing was handled for {pause} ms"));
    }
    let body = client.send(&Method::POST, query.as_str()).map_err(|error| client.explain(error))?;
    if args.json {
        return output.json_line(&String::from_utf8_lossy(&body));
    }
    talk(&format!("plugin {name} is being rebuilt; `tidemill plugins inspect {name}` shows how far it is"));
    Ok(())
}

/// Returns to what was live before.
pub(super) fn roll_back(args: &RollbackArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let (server, query) = (client.server()?, path(&args.plugin, &["rollback"]));
    let body = client.send(&Method::POST, query.as_str()).map_err(|error| client.explain(error))?;
    let line = String::from_utf8_lossy(&body);
    if args.json {
        return output.json_line(&line);
    }
    let live: Value = understood(server, &line)?;
    talk(&format!("plugin {} runs what was live before", shown(&args.plugin, 64)));
    output.line(&shown(live.pointer("/component").and_then(Value::as_str).unwrap_or_default(), 64))
}

/// Says what a list has no column for: a plugin that is rebuilt, or should be, and one that runs something else than is installed.
pub(super) fn note(plugin: &Value, name: &str) {
    let text = |pointer: &str| match plugin.pointer(pointer) {
        Some(Value::String(text)) => shown(text, 64),
        Some(other) => shown(&other.to_string(), 64),
        None => "?".into(),
    };
    if plugin.pointer("/status/rebuild").is_some() {
        talk(&format!(
            "plugin {name} is being rebuilt ({}): at {} of {}, {} events/s, {} s left",
            text("/status/rebuild/state"),
            text("/status/rebuild/position"),
            text("/status/rebuild/target"),
            text("/status/rebuild/rate"),
            text("/status/rebuild/seconds_left"),
        ));
    }
    if let Some(Value::String(reason)) = plugin.pointer("/status/rebuild/held_up") {
        talk(&format!("plugin {name}: what is built is not live yet: {}", shown(reason, usize::MAX)));
    }
    if let Some(Value::String(reason)) = plugin.pointer("/status/rebuild_due") {
        let reason = shown(reason, usize::MAX);
        talk(&format!("plugin {name}: {reason}; `tidemill plugins rebuild {name}` builds it anew"));
    }
    if plugin.pointer("/generations/instead").is_some() {
        let (run, of) = (text("/generations/instead/run"), text("/generations/instead/of"));
        let why = match plugin.pointer("/generations/instead/cancelled") {
            Some(Value::Bool(true)) => "the rebuild was cancelled",
            _ => "it was rolled back",
        };
        talk(&format!(
            "plugin {name}: {why}, so component {run} runs instead of {of}, which is installed; `tidemill plugins reload \
             {name} --installed` has that one run"
        ));
    }
}
