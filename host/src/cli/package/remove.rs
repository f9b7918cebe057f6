//! `tidemill plugins rm`: a plugin out of a plugins directory.
//!
//! Only what `plugins install` puts there goes: a running server sees it and lets the plugin go at the end of its batch.
//! What the plugin has made is in the data directory, under its name, and stays.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::error::{CliError, Exit};
use super::super::output::{Output, shown, talk};
use crate::error::with_sources;
use crate::event::PluginName;
use crate::nearest::nearest;
use crate::plugin::{Kind, PlaceError, Present, RESERVED_FOLDERS};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill plugins rm billing --plugins ./pond/plugins
  tidemill plugins rm billing --plugins plugins --yes      without being asked, as in a script

Its folder goes with all that is in it, secrets too; of a bare component, the manifest beside it. It is moved out of sight
in one step and then deleted; a running server lets the plugin go. Its state, its checkpoint and its dead letters stay in the
data directory: installed again under the same name, it goes on from there.
Exit codes: 2 nobody could be asked, 3 there is no such plugin")]
pub(in crate::cli) struct RemoveArgs {
    /// Name of the plugin, or of an upcaster or a validator
    plugin: String,
    /// The plugins directory, as `serve --plugins` has it
    #[arg(long, value_name = "DIR", env = "TIDEMILL_PLUGINS")]
    plugins: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Removes a plugin, if that is meant.
pub(in crate::cli) fn run(args: &RemoveArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let known = PluginName::new(args.plugin.as_str()).ok();
    let present = known.as_ref().and_then(|name| Present::find(&args.plugins, name));
    let present = present.filter(Present::is_installed).ok_or_else(|| missing(args))?;
    let path = present.path.display().to_string();
    if !args.yes && !is_meant(&path)? {
        return Err(CliError::new(Exit::Failure, "nothing was removed"));
    }
    let failed = |error: PlaceError| CliError::new(error.class().into(), with_sources(&error));
    present.remove(&args.plugins).map_err(failed)?;
    if args.json {
        return output.json(&json!({ "name": args.plugin, "removed": path }));
    }
    output.line(&format!("removed {path}"))?;
    output.line(match present.kind {
        Kind::Upcaster => "what it lifted is from now on as it is stored",
        Kind::Validator => "commands are from now on decided without asking it",
        Kind::Plugin => "its state, its checkpoint and its dead letters stay in the data directory, under its name",
    })
}

/// Asks whoever sits there.
fn is_meant(path: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        let what = "whether it is meant cannot be asked: there is nobody at the keyboard";
        return Err(CliError::usage(what).hint("say --yes"));
    }
    talk(&format!("remove {} with all that is in it? [y/N]", shown(path, usize::MAX)));
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
