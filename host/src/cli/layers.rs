//! Reads the arguments, and for commands that need settings of `serve`, all layers of those.

use std::ffi::OsString;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::args::{Cli, Command};
use super::color::Color;
use super::dev;
use crate::config::{Layers, LoadError, Reload, Reread, load, profiles_file, with_profile};
use crate::error::with_sources;

/// Reads arguments, the first of which is the program's name.
pub(super) fn parse(arguments: &[OsString]) -> Result<(Cli, Option<Layers>), LoadError> {
    let mut root = Cli::command().color(Color::asked(arguments).of_help());
    let mut first = root.clone().try_get_matches_from(arguments)?;
    if let Some(profile) = first.get_one::<String>("profile") {
        root = with_profile(root, profile, profiles_file().as_deref())?;
        first = root.clone().try_get_matches_from(arguments)?;
    }
    let Some(path) = path_of(&first) else {
        let mut cli = Cli::from_arg_matches(&first)?;
        if let Command::Dev(args) = &mut cli.command {
            args.live |= dev::asks_for_server(&first);
        }
        return Ok((cli, None));
    };
    let (matches, layers) = match load(&root, path, arguments, &first) {
        // What is wrong is what it looks for.
        Err(LoadError::Config(error)) if path == DOCTOR => {
            let mut cli = Cli::from_arg_matches(&first)?;
            if let Command::Doctor(args) = &mut cli.command {
                args.settings = Some(Err(with_sources(&error)));
            }
            return Ok((cli, None));
        }
        loaded => loaded?,
    };
    let mut cli = Cli::from_arg_matches(&matches)?;
    match &mut cli.command {
        Command::Serve(args) => args.options.reload = Some(Reload::new(arguments.to_vec(), reread, &layers)),
        Command::Doctor(args) => args.settings = Some(Ok(layers.file.clone())),
        _ => {}
    }
    Ok((cli, Some(layers)))
}

const DOCTOR: &[&str] = &["doctor"];

/// The command, if it is one that has settings of `serve`.
fn path_of(matches: &ArgMatches) -> Option<&'static [&'static str]> {
    match matches.subcommand() {
        Some(("serve", _)) => Some(&["serve"]),
        Some(("config", command)) if command.subcommand_name() == Some("show") => Some(&["config", "show"]),
        Some(("keys", command)) => match command.subcommand_name()? {
            "new" => Some(&["keys", "new"]),
            "ls" => Some(&["keys", "ls"]),
            "rm" => Some(&["keys", "rm"]),
            _ => None,
        },
        // A server that runs is asked; only where none does its settings matter.
        Some(("doctor", command)) => command.contains_id("data").then_some(DOCTOR),
        _ => None,
    }
}

fn reread(arguments: &[OsString]) -> Result<Reread, String> {
    let (cli, layers) = parse(arguments).map_err(|error| with_sources(&error))?;
    match (cli.command, layers) {
        (Command::Serve(args), Some(layers)) => {
            args.options.check_retention().map_err(|error| with_sources(&error))?;
            Ok(Reread { log: args.log, options: args.options, layers })
        }
        _ => Err("these are not the arguments of a server".to_owned()),
    }
}
