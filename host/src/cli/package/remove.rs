//! `tidemill plugins rm`: a plugin out of a plugins directory.
//!
//! Only what `plugins install` puts there goes: a running server sees it and lets the plugin go at the end of its batch.
//! What the plugin has made is in the data directory, under its name, and stays, unless `--state` is said: see
//! [`state`](super::state).

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::args::SourceArgs;
use super::super::client::Client;
use super::super::error::{CliError, Exit};
use super::super::output::{Output, shown, talk};
use super::state::{Keeps, forget, keeps, must_not_run_from_elsewhere};
use crate::error::with_sources;
use crate::event::PluginName;
use crate::nearest::nearest;
use crate::plugin::{Kind, PlaceError, Present, RESERVED_FOLDERS};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins rm billing --plugins ./pond/plugins
  tidemill plugins rm billing --plugins plugins --yes      without being asked, as in a script
  tidemill plugins rm billing --plugins plugins --state    and what it keeps in the server's data directory
  tidemill plugins rm billing --plugins plugins --state --data ./pond/data     while no server runs

Its folder goes with all that is in it, secrets too; of a bare component, the manifest beside it. It is moved out of sight
in one step and then deleted; a running server lets the plugin go. Its state, its checkpoint and its dead letters stay in the
data directory: installed again under the same name, it goes on from there, and until then retention keeps what it needs.

With --state those go too, for good, also of a plugin that was taken out before: nothing brings them back but a backup. What
it has appended stays. Installed again under the same name, it begins as its manifest says; what it then appends once more is
not stored twice.
Exit codes: 2 nobody could be asked, 3 there is no such plugin, 4 the server runs it from elsewhere, 5 no server answers")]
pub(in crate::cli) struct RemoveArgs {
    /// Name of the plugin, or of an upcaster or a validator
    plugin: String,
    /// The plugins directory, as `serve --plugins` has it
    #[arg(long, value_name = "DIR", env = "TIDEMILL_PLUGINS")]
    plugins: PathBuf,
    /// Remove its state, its checkpoint and its dead letters too, of all its generations
    #[arg(long)]
    state: bool,
    /// Data directory that holds them, instead of a server's; only while no server uses it
    #[arg(long, value_name = "DIR", requires = "state")]
    data: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl RemoveArgs {
    /// Where what it keeps is.
    pub(in crate::cli) fn source(&self) -> SourceArgs {
        SourceArgs { data: self.data.clone(), json: self.json }
    }
}

/// Removes a plugin, if that is meant.
pub(in crate::cli) fn run(args: &RemoveArgs, client: &Client, output: &mut Output<'_>) -> Result<(), CliError> {
    let name = PluginName::new(args.plugin.as_str()).map_err(|_| missing(args))?;
    let present = Present::find(&args.plugins, &name).filter(Present::is_installed);
    let kept = if args.state { kept(args, &name, present.as_ref(), client)? } else { None };
    if present.is_none() && kept.is_none() {
        return Err(missing(args));
    }
    let path = present.as_ref().map(|present| present.path.display().to_string());
    if !args.yes && !is_meant(path.as_deref(), kept.as_ref())? {
        return Err(CliError::new(Exit::Failure, "nothing was removed"));
    }
    let failed = |error: PlaceError| CliError::new(error.class().into(), with_sources(&error));
    let kind = present.as_ref().map_or(Kind::Plugin, |present| present.kind);
    present.map(|present| present.remove(&args.plugins)).transpose().map_err(failed)?;
    let forgotten = if args.state { forget(&name, path.as_deref(), client)? } else { None };
    if args.json {
        let removed = json!({ "name": name, "removed": path, "kept": forgotten });
        return output.json(&removed);
    }
    if let Some(path) = path {
        output.line(&format!("removed {path}"))?;
    }
    output.line(&match (kind, args.state, forgotten) {
        (Kind::Upcaster, ..) => "what it lifted is from now on as it is stored".to_owned(),
        (Kind::Validator, ..) => "commands are from now on decided without asking it".to_owned(),
        (Kind::Plugin, true, Some(gone)) => format!("removed what it kept: {gone}"),
        (Kind::Plugin, true, None) => "it kept nothing".to_owned(),
        (Kind::Plugin, false, _) => {
            "its state, its checkpoint and its dead letters stay in the data directory, under its name".to_owned()
        }
    })
}

/// What a plugin keeps. Of one that is there but keeps nothing, none.
fn kept(
    args: &RemoveArgs,
    name: &PluginName,
    present: Option<&Present>,
    client: &Client,
) -> Result<Option<Keeps>, CliError> {
    if let Some(Present { kind: Kind::Upcaster | Kind::Validator, .. }) = present {
        let what = format!("{name} handles no events, and keeps no state");
        return Err(CliError::usage(what).hint("leave --state out"));
    }
    let kept = keeps(name, client)?;
    if let (Some(kept), None) = (&kept, present) {
        must_not_run_from_elsewhere(name, kept, &args.plugins)?;
    }
    Ok(kept)
}

/// Asks whoever sits there.
fn is_meant(path: Option<&str>, kept: Option<&Keeps>) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        let what = "whether it is meant cannot be asked: there is nobody at the keyboard";
        return Err(CliError::usage(what).hint("say --yes"));
    }
    let files = path.map(|path| format!("{} with all that is in it", shown(path, usize::MAX)));
    let kept = kept.map(|kept| format!("what it keeps, for good ({kept})"));
    let all: Vec<_> = files.into_iter().chain(kept).collect();
    talk(&format!("remove {}? [y/N]", all.join(", and ")));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| CliError::new(Exit::Failure, format_args!("the answer cannot be read: {error}")))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

fn missing(args: &RemoveArgs) -> CliError {
    let what = format!("there is no plugin {:?} in {}", shown(&args.plugin, 64), args.plugins.display());
    let error = CliError::new(Exit::NotFound, what);
    let entries = std::fs::read_dir(&args.plugins).into_iter().flatten().flatten().map(|entry| entry.path());
    let stems = entries.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let names: Vec<_> = stems.filter(|name| !name.starts_with('.') && !RESERVED_FOLDERS.contains(&&**name)).collect();
    let known: Vec<_> = names.iter().map(String::as_str).collect();
    match nearest(&args.plugin, &known) {
        Some(name) => error.hint(format_args!("did you mean {}?", shown(name, 64))),
        None => error,
    }
}
