//! `tidemill completions` and `tidemill man`: what a shell and a reader of manuals want of the command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::args::Cli;
use super::error::{CliError, Exit};
use super::output::{Output, talk};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill completions bash > /etc/bash_completion.d/tidemill
  tidemill completions zsh > ~/.zfunc/_tidemill
  tidemill completions fish > ~/.config/fish/completions/tidemill.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill man | man -l -                          read the page of the program
  tidemill man --dir /usr/local/share/man/man1     write a page for each command")]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints what a shell completes.
pub(super) fn completions(args: &CompletionsArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidemill", &mut script);
    output.bytes(&script)
}

/// Prints the manual's page, or writes all pages.
pub(super) fn man(args: &ManArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let mut root = Cli::command();
    root.build();
    let Some(directory) = &args.dir else { return output.bytes(&page(&root)?) };
    let failed = |error: std::io::Error| {
        CliError::new(Exit::Failure, format_args!("{} cannot be written: {error}", directory.display()))
    };
    fs::create_dir_all(directory).map_err(failed)?;
    let count = write(&root, directory)?;
    talk(&format!("{count} pages are in {}", directory.display()));
    Ok(())
}

/// Writes the pages of a command and of those below it; answers how many.
fn write(command: &Command, directory: &Path) -> Result<usize, CliError> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let file = directory.join(format!("{name}.1"));
    fs::write(&file, page(command)?)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("{} cannot be written: {error}", file.display())))?;
    let below = command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    below.map(|command| write(command, directory)).try_fold(1, |count, below| Ok(count + below?))
}

fn page(command: &Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| CliError::new(Exit::Failure, format_args!("the page cannot be made: {error}")))?;
    Ok(page)
}
