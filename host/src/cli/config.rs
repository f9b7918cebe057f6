//! `tidemill config`: which settings count and where they come from; the schemas of the files.

use clap::{Args, CommandFactory as _, Subcommand};
use serde_json::json;

use super::args::{Cli, ServeArgs};
use super::error::{CliError, Exit};
use super::output::{Output, shown, talk};
use super::table::Table;
use crate::config::{Effective, Layers, Setting, Slip, schema};
use crate::plugin::MANIFEST_SCHEMA;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting of `serve`: the value that counts, and where it comes from
    Show(Box<ShowArgs>),
    /// Print the JSON schema of `tidemill.toml`, or of `plugin.toml`
    Schema(SchemaArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill config show                             as `tidemill serve` would start here
  tidemill config show --data ./pond --log debug   the same flags as `tidemill serve`
  tidemill config show --config new.toml           is a file understood? the exit code tells
  tidemill config show --json | jq -r 'select(.from != \"default\") | .setting'

A flag counts before its environment variable, that before the file, and that before the default. The file is the
one of --config, else `tidemill.toml` in the data directory, else /etc/tidemill/tidemill.toml. Secrets are not shown.")]
pub(super) struct ShowArgs {
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill config schema > tidemill.schema.json
  tidemill config schema --plugin > plugin.schema.json")]
pub(super) struct SchemaArgs {
    /// The schema of `plugin.toml`, a plugin's manifest
    #[arg(long)]
    plugin: bool,
}

/// Runs one of the commands; `layers` is what counts.
pub(super) fn run(command: &ConfigCommand, layers: Option<&Layers>, output: &mut Output<'_>) -> Result<(), CliError> {
    match (command, layers) {
        (ConfigCommand::Show(args), Some(layers)) => show(args, layers, output),
        (ConfigCommand::Show(_), None) => Err(CliError::new(Exit::Failure, "the settings were not read")),
        (ConfigCommand::Schema(SchemaArgs { plugin: true }), _) => output.bytes(MANIFEST_SCHEMA.as_bytes()),
        (ConfigCommand::Schema(_), _) => output.line(&settings_schema()),
    }
}

/// The schema of `tidemill.toml`, as text without a line break at its end.
pub(super) fn settings_schema() -> String {
    let cli = Cli::command();
    let settings = cli.find_subcommand("serve").map(Setting::all).unwrap_or_default();
    format!("{:#}", schema::of(&settings))
}

fn show(args: &ShowArgs, layers: &Layers, output: &mut Output<'_>) -> Result<(), CliError> {
    for Slip { name, meant } in &layers.slips {
        talk(&format!("warning: nobody reads {}; did you mean {meant}?", shown(name, 64)));
    }
    if args.json {
        return layers.settings.iter().try_for_each(|effective| line(effective, layers, output));
    }
    let file = layers.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    output.line(&format!("file: {}\n", shown(&file, usize::MAX)))?;
    let mut table = Table::new(["SETTING", "VALUE", "UNIT", "FROM", "SIGHUP"]);
    for effective in &layers.settings {
        let Effective { setting, origin, .. } = effective;
        table.row([
            setting.key().to_owned(),
            shown(&effective.shown(), usize::MAX),
            setting.unit().unwrap_or("-").to_owned(),
            shown(&origin.to_string(), usize::MAX),
            if setting.is_reloaded() { "reloads" } else { "-" }.to_owned(),
        ]);
    }
    table.print(output)
}

fn line(effective: &Effective, layers: &Layers, output: &mut Output<'_>) -> Result<(), CliError> {
    let Effective { setting, origin, .. } = effective;
    let mut line = json!({
        "setting": setting.key(),
        "value": effective.json(),
        "unit": setting.unit(),
        "reloaded": setting.is_reloaded(),
        "secret": setting.is_secret(),
        "flag": setting.flag(),
        "variable": setting.variable(),
        "config": layers.file,
    });
    if let (Some(fields), Ok(serde_json::Value::Object(origin))) = (line.as_object_mut(), serde_json::to_value(origin))
    {
        fields.extend(origin);
    }
    output.json(&line)
}
