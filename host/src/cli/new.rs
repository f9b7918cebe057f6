//! `tidemill new`: a plugin's project, ready to be built with its language's own tools.
//!
//! Writes what `tidemill_templates` renders into a folder of its own, and nothing else: it installs nothing
//! and asks nobody.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValue;
use clap::builder::PossibleValuesParser;
use tidemill_templates::{LANGUAGES, Language, ROLES, Role, contract};

use super::error::{CliError, Exit};
use super::output::Output;
use crate::plugin::RESERVED_FOLDERS;

/// Most bytes of a name; crates, modules and plugins all take that.
const NAME_BYTES_MAX: usize = 64;
/// What the package is called that projects carry as their SDK.
const SDK: &str = "tidemill-sdk";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill new big-orders                  a plugin in Rust, in ./big-orders
  tidemill new big-orders --lang js        in TypeScript or JavaScript
  tidemill new big-orders --lang python
  tidemill new order-totals --role projection   makes state of events, and answers queries from it
  tidemill new orders --role aggregate          decides commands
  tidemill new order-cents --role upcaster      lifts events of an older schema
  tidemill new order-limit --role validator     holds commands against rules before they are decided

The project carries the SDK's sources and the contract that it was made for, a manifest, and fixtures:
events it is given, and what must come of them. Its README says how to build and run it; `tidemill dev` in
its folder does both on every change.")]
pub(super) struct NewArgs {
    /// What to call it: lower-case letters, digits and '-'; also the name of the folder that is made
    name: String,
    /// The language to write it in
    #[arg(long, default_value = "rust", value_parser = languages())]
    lang: String,
    /// What it does for the host
    #[arg(long, default_value = "subscriber", value_parser = roles())]
    role: String,
}

fn languages() -> PossibleValuesParser {
    let value = |language: &Language| PossibleValue::new(language.name).aliases(language.aliases);
    LANGUAGES.iter().map(value).collect::<Vec<_>>().into()
}

fn roles() -> PossibleValuesParser {
    ROLES.iter().map(|role| PossibleValue::new(role.name).help(role.does)).collect::<Vec<_>>().into()
}

/// Makes the project, and says what to do with it.
pub(super) fn run(args: &NewArgs, output: &mut Output<'_>) -> Result<(), CliError> {
    let NewArgs { name, lang, role } = args;
    check(name)?;
    let language = Language::named(lang).ok_or_else(|| CliError::usage(format_args!("no language {lang:?}")))?;
    let role = Role::named(role).ok_or_else(|| CliError::usage(format_args!("no role {role:?}")))?;
    let files = language.project(role, name).ok_or_else(|| lacks(language, role))?;
    let folder = PathBuf::from(name);
    write(&folder, &files)?;
    output.line(&format!("{name}/ is a {} plugin for {}. Next:", language.title, contract()))?;
    for command in [&format!("cd {name}")[..]].into_iter().chain(language.install.iter().copied()) {
        output.line(&format!("  {command}"))?;
    }
    output.line(&format!("  {}", language.build))?;
    output.line(&format!("The plugin is then {}.", language.component(name)))?;
    output.line("Or `tidemill dev`: it builds on every change and shows what the plugin does. README.md has more.")
}

/// Which languages have the role, and which roles the language has.
fn lacks(language: &Language, role: &Role) -> CliError {
    let with = LANGUAGES.iter().filter(|other| other.roles().any(|has| has == role));
    let with: Vec<_> = with.map(|other| format!("--lang {}", other.name)).collect();
    let has: Vec<_> = language.roles().map(|has| format!("--role {}", has.name)).collect();
    let what = format!("there is no template of {} in {}", role.title, language.title);
    CliError::usage(what).hint(format_args!(
        "it is there by {}; {} has {}; any language that makes components can export the role of wit/ itself",
        with.join(", "),
        language.title,
        has.join(", ")
    ))
}

/// A name becomes a folder, a crate, a module and a plugin: what all of them take.
fn check(name: &str) -> Result<(), CliError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(allowed)
        && !name.ends_with('-')
        && !name.contains("--")
        && name.len() <= NAME_BYTES_MAX;
    let taken = match name {
        SDK => Some("the SDK that the project carries"),
        name if RESERVED_FOLDERS.contains(&name) => Some("a folder that the host keeps for other things"),
        _ => None,
    };
    if let Some(by) = taken {
        return Err(CliError::usage(format_args!("{name} is {by}, and no name for a plugin")).hint("give another name"));
    }
    if good {
        return Ok(());
    }
    let what = format!("{name:?} is no name for a plugin's project");
    Err(CliError::usage(what).hint(format_args!(
        "use at most {NAME_BYTES_MAX} lower-case letters, digits and single '-' between them, such as big-orders"
    )))
}

/// Writes the files into a folder that is not there yet.
fn write(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), CliError> {
    fs::create_dir(folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            CliError::new(Exit::Conflict, format_args!("{} is there already; nothing was written", folder.display()))
                .hint("give another name, or remove it first")
        }
        _ => failed(folder, &error),
    })?;
    for (path, bytes) in files {
        let file = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        fs::write(&file, bytes).map_err(|error| failed(&file, &error))?;
    }
    Ok(())
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::Failure, format_args!("writing {} failed: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_do_for_a_folder_a_crate_a_module_and_a_plugin() {
        for good in ["a", "big-orders", "x2", &"a".repeat(64)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "Big", "2x", "-a", "a-", "a--b", "a_b", "a/b", "../a", "a b", "é", &"a".repeat(65)]
            .into_iter()
            .chain([SDK])
            .chain(RESERVED_FOLDERS)
        {
            let Err(CliError::Failed { exit, what, hint }) = check(bad) else { panic!("{bad:?} was taken") };
            assert_eq!((exit, hint.is_some()), (Exit::Usage, true), "{what}");
        }
    }

    #[test]
    fn a_folder_that_is_there_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("mine");
        let files = [("a/b.txt".to_owned(), b"one".to_vec())];
        write(&folder, &files).unwrap();
        let Err(CliError::Failed { exit, .. }) = write(&folder, &[("a/b.txt".into(), b"two".to_vec())]) else {
            panic!("it was written over")
        };
        assert_eq!(exit, Exit::Conflict);
        assert_eq!(fs::read_to_string(folder.join("a/b.txt")).unwrap(), "one");
    }
}
