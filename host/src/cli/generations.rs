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
  tidemill plugins rebuild dashboard --force       begin, although retention has removed events of it
  tidemill plugins rebuild dashboard --cancel      end it, and drop what it has built
  tidemill plugins rebuild dashboard --verify      build in memory, and compare with the stored state

The installed component handles its events again, from its start, into a state of its own, while the live one goes
on. What it appends is dropped: it is in the log already. When it has come as far as the live one, its state becomes
live in one commit, and the one before is kept for `rollback`. Dead letters are taken over; they are not retried or
discarded meanwhile. What it sets aside itself is shown by `dead-letters ls NAME --building`. It goes on after a restart. A plugin that can send HTTP requests is not rebuilt; one of whose
events retention has removed some only with --force or --from, of what is left.

With --cancel the component that is live runs on, with its state. Where a changed component was building its own, that one
does not run then, though it is installed, until `plugins reload NAME --installed` has it begin again.

With --verify nothing changes. Exit codes: 0 the state is the same, 1 it is not, or the handler stopped on the way")]
pub(super) struct RebuildArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Compare with the stored state and change nothing
    #[arg(long, conflicts_with_all = ["cancel", "wait", "force"])]
    pub(super) verify: bool,
    /// End a rebuild and drop what it has built
    #[arg(long, conflicts_with_all = ["wait", "from", "force"])]
    pub(super) cancel: bool,
    /// Come back when what is built is live
    #[arg(long)]
    pub(super) wait: bool,
    /// First position; where the plugin began unless given
    #[arg(long, value_name = "POSITION")]
    pub(super) from: Option<u64>,
    /// Build it of what is left where retention has removed events
    #[arg(long)]
    pub(super) force: bool,
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
    let query =
        path(&args.plugin, &["rebuild"]).with_some("from", args.from).with_some("force", args.force.then_some("true"));
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
    let notes = [rebuilt, removed, held_up, due, instead].map(|note| note(plugin, name));
    notes.iter().flatten().for_each(|note| talk(note));
}

/// A part of what is known of a plugin, as a word.
fn text(plugin: &Value, pointer: &str) -> String {
    match plugin.pointer(pointer) {
        Some(Value::String(text)) => shown(text, 64),
        Some(other) => shown(&other.to_string(), 64),
        None => "?".into(),
    }
}

/// How far a rebuild is, and when it may be through.
fn rebuilt(plugin: &Value, name: &str) -> Option<String> {
    let rebuild = plugin.pointer("/status/rebuild")?;
    let part = |pointer: &str| text(rebuild, pointer);
    let (state, position, target) = (part("/state"), part("/position"), part("/target"));
    let left = rebuild.pointer("/seconds_left").map(|_| {
        let (rate, left) = (part("/rate"), part("/seconds_left"));
        format!(", {rate} positions/s, {left} s left")
    });
    let left = left.unwrap_or_default();
    Some(format!("plugin {name} is being rebuilt ({state}): at {position} of {target}{left}"))
}

/// Why what is built is not live, and what ends that where it stands.
fn held_up(plugin: &Value, name: &str) -> Option<String> {
    let reason = shown(plugin.pointer("/status/rebuild/held_up")?.as_str()?, usize::MAX);
    let way_out = match plugin.pointer("/status/rebuild/state").and_then(Value::as_str) {
        Some("halted" | "quarantined") => format!(
            "; `tidemill plugins resume {name}` has it tried again, `tidemill plugins rebuild {name} --cancel` ends it, \
             `tidemill dead-letters ls {name} --building` shows what it has set aside"
        ),
        _ => String::new(),
    };
    Some(format!("plugin {name}: what is built is not live yet: {reason}{way_out}"))
}

/// Without what a state was, or is being, built.
fn removed(plugin: &Value, name: &str) -> Option<String> {
    let (verb, place) = [("is being", "/status/rebuild/removed_before"), ("was", "/status/removed_before")]
        .into_iter()
        .find(|(_, place)| plugin.pointer(place).is_some())?;
    let before = text(plugin, place);
    Some(format!("plugin {name}: its state {verb} built without what retention had removed before position {before}"))
}

/// Why a state should be built anew.
fn due(plugin: &Value, name: &str) -> Option<String> {
    let reason = shown(plugin.pointer("/status/rebuild_due")?.as_str()?, usize::MAX);
    Some(format!("plugin {name}: {reason}; `tidemill plugins rebuild {name}` builds it anew"))
}

/// Why something else runs than is installed, and what ends that.
fn instead(plugin: &Value, name: &str) -> Option<String> {
    let instead = plugin.pointer("/generations/instead")?;
    let (run, of) = (text(instead, "/run"), text(instead, "/of"));
    let why = match instead.pointer("/cancelled") {
        Some(Value::Bool(true)) => "the rebuild was cancelled",
        _ => "it was rolled back",
    };
    Some(format!(
        "plugin {name}: {why}, so component {run} runs instead of {of}, which is installed; `tidemill plugins reload \
         {name} --installed` has that one run"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_is_told_without_an_estimate_and_with_its_reason() {
        let rebuild = json!({"state": "running", "position": 5, "target": 9, "rate": 2, "seconds_left": 2});
        let plugin = json!({"status": {"rebuild": rebuild}});
        assert_eq!(
            rebuilt(&plugin, "p").unwrap(),
            "plugin p is being rebuilt (running): at 5 of 9, 2 positions/s, 2 s left"
        );
        assert_eq!(held_up(&plugin, "p"), None);
        let rebuild = json!({"state": "halted", "position": 5, "target": 9, "rate": 2, "held_up": "no further"});
        let plugin = json!({"status": {"rebuild": rebuild}});
        assert_eq!(rebuilt(&plugin, "p").unwrap(), "plugin p is being rebuilt (halted): at 5 of 9");
        assert_eq!(
            held_up(&plugin, "p").unwrap(),
            "plugin p: what is built is not live yet: no further; `tidemill plugins resume p` has it tried again, \
             `tidemill plugins rebuild p --cancel` ends it, `tidemill dead-letters ls p --building` shows what it has set \
             aside"
        );
    }

    #[test]
    fn why_something_else_runs_is_told_with_the_way_out() {
        let told = |cancelled: bool| {
            let kept = json!({"run": "aa", "of": "bb", "cancelled": cancelled});
            instead(&json!({"generations": {"instead": kept}}), "p").unwrap()
        };
        assert_eq!(
            told(false),
            "plugin p: it was rolled back, so component aa runs instead of bb, which is installed; `tidemill plugins \
             reload p --installed` has that one run"
        );
        assert!(told(true).starts_with("plugin p: the rebuild was cancelled, so component aa runs"));
    }
}
