//! `tidemill keys`: makes, lists and takes back keys, in the file that a server reads.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::{CliError, Exit};
use super::output::{Output, talk};
use super::table::Table;
use crate::access::{Key, KeyError, KeyName, NewKey, Scope};
use crate::clock::{Clock as _, SystemClock};
use crate::config::default_keys_file;
use crate::event::Pattern;
use crate::gate::{KeysFile, KeysFileError, new_secret};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key, and print it: it is shown this once
    New(NewArgs),
    /// List the keys: what they are for, never what they are
    Ls(LsArgs),
    /// Take a key back: within a second it opens nothing, and what it has begun ends
    Rm(RmArgs),
}

/// Which file.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// Data directory of the server, whose `keys.toml` holds the keys
    #[arg(long, value_name = "DIR", env = "TIDEMILL_DATA", default_value = "tidemill-data")]
    data: PathBuf,
    /// File of the keys, if `serve --keys` names one
    #[arg(long, value_name = "FILE", env = "TIDEMILL_KEYS")]
    keys: Option<PathBuf>,
    /// File with the server's settings, which says what the two above do not [default: `tidemill.toml` in the data
    /// directory, else /etc/tidemill/tidemill.toml]
    #[arg(long, value_name = "FILE", env = "TIDEMILL_CONFIG")]
    config: Option<PathBuf>,
}

impl FileArgs {
    fn file(&self) -> KeysFile {
        KeysFile::at(self.keys.clone().unwrap_or_else(|| default_keys_file(&self.data)))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill keys new operator --scope admin
  tidemill keys new shop --scope append --scope read --stream order- --type 'Order*'
  TIDEMILL_KEY=$(tidemill keys new me --scope read) tidemill events read

Scopes: read (events, streams, state), append, admin (plugins, dead letters, backups, retention, and the other two).
The first key closes the server to everybody without one, within a second. Programs send a key as
`Authorization: Bearer KEY`. Exit codes: 4 there is a key of that name")]
pub(super) struct NewArgs {
    /// What it is called in listings and logs
    #[arg(value_name = "NAME")]
    name: KeyName,
    /// What it is for: read, append or admin; repeat it for several
    #[arg(long, value_name = "SCOPE", required = true)]
    scope: Vec<Scope>,
    /// Only streams whose name begins so; repeat it for several [default: all, and events on no stream]
    #[arg(long, value_name = "PREFIX")]
    stream: Vec<String>,
    /// Only this type of event, or with a `*` at the end every one that begins so; repeat it for several
    #[arg(long = "type", value_name = "TYPE", value_parser = pattern)]
    types: Vec<Pattern>,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill keys ls
  tidemill keys ls --data /var/lib/tidemill")]
pub(super) struct LsArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill keys rm shop")]
pub(super) struct RmArgs {
    /// What it is called
    #[arg(value_name = "NAME")]
    name: KeyName,
    #[command(flatten)]
    file: FileArgs,
}

/// A key, without its hash.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a KeyName,
    scopes: &'a [Scope],
    streams: &'a [String],
    types: &'a [Pattern],
    created: Option<&'a str>,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}

/// Runs a command on the file.
pub(super) fn run(command: KeysCommand, output: &mut Output<'_>) -> Result<(), CliError> {
    match command {
        KeysCommand::New(args) => make(args, output),
        KeysCommand::Ls(args) => list(&args, output),
        KeysCommand::Rm(args) => remove(&args),
    }
}

fn make(args: NewArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let NewArgs { name, scope: scopes, stream: streams, types, file } = args;
    let file = file.file();
    let secret =
        new_secret().map_err(|error| CliError::new(Exit::Failure, format_args!("no key can be made: {error}")))?;
    let now_us = i64::try_from(SystemClock.now_us()).unwrap_or(i64::MAX);
    let created = jiff::Timestamp::from_microsecond(now_us).map_or_else(|_| String::new(), |now| format!("{now:.0}"));
    let told = format!("made key {name} in {}; it is shown this once", file.path().display());
    let new = NewKey { name, scopes, streams, types, created };
    file.change(|keys| Ok::<_, KeysFileError>(keys.add(new, &secret)?))?;
    talk(&told);
    output.line(secret.reveal())
}

fn list(args: &LsArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let keys = args.file.file().read()?.unwrap_or_default();
    if args.json {
        return keys.iter().try_for_each(|key| output.json(&Row::from(key)));
    }
    let mut table = Table::new(["NAME", "SCOPES", "STREAMS", "TYPES", "CREATED"]);
    for key in keys.iter() {
        let or_all = |words: Vec<String>| if words.is_empty() { "all".to_owned() } else { words.join(", ") };
        table.row([
            key.name.to_string(),
            or_all(key.scopes.iter().map(Scope::to_string).collect()),
            or_all(key.streams.iter().map(|prefix| format!("{prefix}*")).collect()),
            or_all(key.types.iter().map(Pattern::to_string).collect()),
            key.created.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.print(output)
}

fn remove(args: &RmArgs) -> Result<(), CliError> {
    let file = args.file.file();
    let path = file.path().display();
    let missing = || CliError::new(Exit::NotFound, format_args!("there is no key {} in {path}", args.name));
    if file.read()?.is_none() {
        return Err(missing());
    }
    file.change(|keys| if keys.remove(&args.name) { Ok(()) } else { Err(missing()) })?;
    talk(&format!("took key {} back from {path}", args.name));
    Ok(())
}

impl<'a> From<&'a Key> for Row<'a> {
    fn from(key: &'a Key) -> Self {
        let Key { name, scopes, streams, types, created, .. } = key;
        Self { name, scopes, streams, types, created: created.as_deref() }
    }
}

impl From<KeysFileError> for CliError {
    fn from(error: KeysFileError) -> Self {
        Self::new(error.class().into(), crate::error::with_sources(&error))
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self::new(error.class().into(), error)
    }
}
