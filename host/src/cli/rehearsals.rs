//! `tidemill plugins replay|shadow|promote|rebuild --verify`: asks a server, shows how far it is, then what it found.

use std::fs;
use std::io::BufRead as _;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Method;

use super::client::{Client, ClientError, Refusal, Server};
use super::error::{CliError, Exit};
use super::output::{Output, talk};
use super::progress::Progress;
use super::query::Query;
use super::rehearsal_report as show;
use crate::delivery::rehearsal::{RehearsalProgress, ReplayReport, VerifyStateReport};
use crate::plugin::{CandidateReport, Promoted};

/// Media type of a component.
const COMPONENT: &str = "application/wasm";
/// Longest manifest that fits into a request's line, in bytes.
const MANIFEST_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins replay orders --from 1200 --to 1300     what would it do with these events now
  tidemill plugins replay orders --from 1 --json

A fresh instance of the installed component handles the events, on top of a copy of the live state that is
dropped in the end: no state, no event, no checkpoint and no dead letter changes. Retries are not waited for.
A plugin that can send HTTP requests is not replayed.")]
pub(super) struct ReplayArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// First position
    #[arg(long, value_name = "POSITION")]
    pub(super) from: u64,
    /// Last position; the head of the log unless given
    #[arg(long, value_name = "POSITION")]
    pub(super) to: Option<u64>,
    /// Most bytes of state that one version may build up in the server's memory; 256 MiB unless given
    #[arg(long, value_name = "BYTES")]
    pub(super) state_bytes: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins shadow orders --component new.wasm                    from its start to its checkpoint
  tidemill plugins shadow orders --component new.wasm --manifest new.toml --from 1 --to 5000

Both versions handle the same events, each in an empty state of its own, and nothing of it is kept but the
candidate and its report. Compared are how each event ends, what is emitted, and every key of the state.

Exit codes: 0 nothing differs but the cost, 1 something does, 2 the candidate or the range is refused")]
pub(super) struct ShadowArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// The component to try
    #[arg(long, value_name = "FILE")]
    pub(super) component: PathBuf,
    /// Its manifest; that of the version that runs unless given
    #[arg(long, value_name = "FILE")]
    pub(super) manifest: Option<PathBuf>,
    /// First position; where the plugin began unless given
    #[arg(long, value_name = "POSITION")]
    pub(super) from: Option<u64>,
    /// Last position; the plugin's checkpoint unless given
    #[arg(long, value_name = "POSITION")]
    pub(super) to: Option<u64>,
    /// Most bytes of state that one version may build up in the server's memory; 256 MiB unless given
    #[arg(long, value_name = "BYTES")]
    pub(super) state_bytes: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins promote counter                 what was shadowed last, if its report is clean
  tidemill plugins promote counter --force         even if it is not

The candidate is what `tidemill plugins shadow` was given last. Its files replace the installed ones, and the
command ends when it runs, and says over which events it was compared. Refused without a report, with one that
is not clean, and when another component runs by now than the one that was compared, or under another manifest. A
candidate that was shadowed without --manifest keeps the installed one: after a rollback, or while another version
is refused or builds its state, that is not what it was compared under, and it is refused until it has its own.")]
pub(super) struct PromoteArgs {
    /// Name of the plugin
    pub(super) plugin: String,
    /// Promote it though it differs from the live version
    #[arg(long)]
    pub(super) force: bool,
    /// Print what runs now as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Replays a range.
pub(super) fn replay(args: &ReplayArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = path(&args.plugin, &["replay"]).with_some("from", Some(args.from)).with_some("to", args.to);
    let query = query.with_some("state_bytes", args.state_bytes);
    let (report, line) = ask::<ReplayReport>(client.server()?, &query, None)?;
    if args.json { output.json_line(&line) } else { show::replay(&report, output) }
}

/// Tries a candidate; an error when it differs.
pub(super) fn shadow(args: &ShadowArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let unreadable = |file: &PathBuf, error| CliError::usage(format_args!("{}: {error}", file.display()));
    let component = fs::read(&args.component).map_err(|error| unreadable(&args.component, error))?;
    let manifest = args.manifest.as_ref().map(|file| fs::read_to_string(file).map_err(|error| unreadable(file, error)));
    let manifest = manifest.transpose()?;
    if let Some(bytes) = manifest.as_ref().map(String::len).filter(|bytes| *bytes > MANIFEST_BYTES_MAX) {
        return Err(CliError::usage(format_args!(
            "the manifest has {bytes} bytes; at most {MANIFEST_BYTES_MAX} can be sent, shorten its comments"
        )));
    }
    let query = path(&args.plugin, &["shadow"]).with_some("from", args.from).with_some("to", args.to);
    let query = query.with_some("manifest", manifest).with_some("state_bytes", args.state_bytes);
    let (report, line) = ask::<CandidateReport>(client.server()?, &query, Some(&component))?;
    if args.json {
        output.json_line(&line)?
    } else {
        show::candidate(&report, output)?
    }
    if let Some(reach) = report.shadow.ends_before {
        let to = report.shadow.to;
        talk(&format!(
            "warning: the range ends at {to}, and the plugin has come past {reach}: nothing after {to} was compared; to \
             compare all, give --to {reach}"
        ));
    }
    if report.shadow.clean {
        return Ok(());
    }
    let (plugin, shadow) = (&args.plugin, &report.shadow);
    Err(CliError::new(
        Exit::Failure,
        format_args!(
            "the candidate differs: {} outcomes, {} emissions, {} state keys",
            shadow.outcomes.count, shadow.emissions.count, shadow.state.count
        ),
    )
    .hint(format_args!("if that is meant so, `tidemill plugins promote {plugin} --force`")))
}

/// Compares the stored state; an error when it differs.
pub(super) fn verify(
    plugin: &str,
    (from, state_bytes): (Option<u64>, Option<u64>),
    json: bool,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let query = path(plugin, &["rebuild", "verify"]).with_some("from", from);
    let query = query.with_some("state_bytes", state_bytes);
    let (report, line) = ask::<VerifyStateReport>(client.server()?, &query, None)?;
    if json {
        output.json_line(&line)?
    } else {
        show::verified(&report, output)?
    }
    match show::fault(&report) {
        None => Ok(()),
        Some((what, hint)) => Err(CliError::new(Exit::Failure, what).hint(hint)),
    }
}

/// Puts the candidate in place.
pub(super) fn promote(args: &PromoteArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let query = path(&args.plugin, &["promote"]).with_some("force", args.force.then_some("true"));
    client.server()?;
    let body = client.send(&Method::POST, query.as_str()).map_err(|error| client.explain(error))?;
    let line = String::from_utf8_lossy(&body);
    if args.json {
        return output.json_line(&line);
    }
    let promoted: Promoted = understood(client.server()?, &line)?;
    let Promoted { plugin, from, to, events, .. } = &promoted;
    talk(&format!("plugin {plugin} runs the candidate now; it was compared over {events} events from {from} to {to}"));
    output.line(&promoted.digest)
}

pub(super) fn path(plugin: &str, rest: &[&str]) -> Query {
    Query::path(&[&["v1", "plugins", plugin], rest].concat())
}

/// Sends a request whose answer takes long; answers the report, and as it came.
pub(super) fn ask<T: DeserializeOwned>(
    server: &Server,
    query: &Query,
    body: Option<&[u8]>,
) -> Result<(T, String), CliError> {
    let bar = Progress::positions();
    let answered = last_line(server, query, body, "plugin", |line| {
        if let Ok(progress) = RehearsalProgress::deserialize(line) {
            bar.at(progress.position.0, progress.to.0);
        }
    });
    bar.finish();
    let line = answered?;
    Ok((understood(server, &line)?, line))
}

/// Follows the lines of an answer up to the report, which has a text of this name, and tells of those before.
pub(super) fn last_line(
    server: &Server,
    query: &Query,
    body: Option<&[u8]>,
    last: &str,
    mut tell: impl FnMut(&Value),
) -> Result<String, CliError> {
    let explain = |error| server.explain(error);
    let body = body.map(|body| (COMPONENT, body));
    for line in server.post_for_lines(query.as_str(), body).map_err(explain)?.lines() {
        let line = line.map_err(|error| explain(ClientError::Connection { reason: error.to_string() }))?;
        let value: Value = understood(server, &line)?;
        if let Some(status) = value.get("status").and_then(Value::as_u64) {
            let status = u16::try_from(status).unwrap_or(500);
            return Err(explain(ClientError::Refused(Refusal::of(status, line.as_bytes()))));
        }
        if value.get(last).is_some_and(Value::is_string) {
            return Ok(line);
        }
        tell(&value);
    }
    Err(explain(ClientError::Connection { reason: "it went away in the middle".into() }))
}

pub(super) fn understood<T: DeserializeOwned>(server: &Server, line: &str) -> Result<T, CliError> {
    serde_json::from_str(line).map_err(|error| server.explain(ClientError::Unreadable { reason: error.to_string() }))
}
