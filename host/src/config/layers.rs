//! Which value counts, and where it comes from: flag, then variable, then file, then default.
//!
//! The file's values become the defaults of the flags, so one parser reads all layers, judges them by one rule and
//! knows by itself which of them counts.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde::Serialize;
use serde_json::Value as Json;
use thiserror::Error;

use super::file::{self, ConfigError, Said};
use super::setting::{CONFIG_FLAG, Element, Setting, Shape};
use super::variables::{self, Slip};

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The arguments are not understood, or ask for help.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The file is not.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// The command line.
    Flag {
        /// The flag, with its dashes.
        name: String,
    },
    /// The environment.
    Variable {
        /// The variable.
        name: String,
    },
    /// The file.
    File {
        /// Its path.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { name } | Self::Variable { name } => f.write_str(name),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting and the value that counts.
#[derive(Clone, Debug)]
pub struct Effective {
    /// What it is.
    pub setting: Setting,
    /// What its flag was, or would have been, given; none when it has no value.
    pub texts: Option<Vec<String>>,
    /// Who said so.
    pub origin: Origin,
}

/// What stands in place of a secret.
const HIDDEN: &str = "(secret)";

impl Effective {
    /// The value for people; a secret is not shown.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.texts {
            None => "-".to_owned(),
            Some(_) if self.setting.is_secret() => HIDDEN.to_owned(),
            Some(texts) => texts.iter().map(|text| without_password(text)).collect::<Vec<_>>().join(", "),
        }
    }

    /// The value for programs; a secret is not shown.
    #[must_use]
    pub fn json(&self) -> Json {
        let Some(texts) = &self.texts else { return Json::Null };
        if self.setting.is_secret() {
            return HIDDEN.into();
        }
        let value = |text: &String| match self.setting.element() {
            Element::Switch | Element::Number => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            Element::Path | Element::Text => Json::from(without_password(text)),
        };
        match self.setting.shape() {
            Shape::One => texts.first().map_or(Json::Null, value),
            Shape::Many | Shape::Pairs => texts.iter().map(value).collect(),
        }
    }
}

/// A URL without what stands before its `@`; other texts as they are.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://{HIDDEN}{}", rest.get(user.len()..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// All settings as they count.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Every setting, in the order of the help.
    pub settings: Vec<Effective>,
    /// Variables that nobody reads and that look like a setting's.
    pub slips: Vec<Slip>,
}

/// Reads the layers for the command at `path` below `root`, which has all flags of `serve` or some of them, `--config`
/// and `--data` among these. `first` is what the arguments say without a file.
///
/// # Errors
/// When the file is not understood, or the arguments are not.
pub fn load(
    root: &Command,
    path: &[&str],
    arguments: &[OsString],
    first: &ArgMatches,
) -> Result<(ArgMatches, Layers), LoadError> {
    let leaf = descend(first, path);
    let asked = leaf.get_one::<PathBuf>(CONFIG_FLAG).map(PathBuf::as_path);
    let data = leaf.get_one::<PathBuf>("data").map_or(Path::new(""), PathBuf::as_path);
    let settings = root.find_subcommand("serve").map(Setting::all).unwrap_or_default();
    let found = file::find(asked, data)?;
    let (file, said) = match found {
        Some((file, text)) => {
            let own = file.parent().filter(|folder| asked.is_none() && *folder == data);
            let said = file::read(&file, &text, &settings, own)?;
            (Some(file), said)
        }
        None => (None, Vec::new()),
    };
    let slips = variables::slips(root, &settings);
    let matches = with_defaults(root.clone(), path, &said).try_get_matches_from(arguments)?;
    let leaf = descend(&matches, path);
    let command = path.iter().try_fold(root, |command, name| command.find_subcommand(name));
    let has = |setting: &Setting| {
        command.is_some_and(|command| command.get_arguments().any(|flag| flag.get_id().as_str() == setting.id()))
    };
    let settings = settings.into_iter().filter(has);
    let settings = settings.map(|setting| effective(setting, leaf, file.as_deref(), &said)).collect();
    Ok((matches, Layers { file, settings, slips }))
}

fn descend<'a>(matches: &'a ArgMatches, path: &[&str]) -> &'a ArgMatches {
    path.iter().fold(matches, |matches, name| matches.subcommand_matches(name).unwrap_or(matches))
}

/// The command with what the file says as defaults.
pub(super) fn with_defaults(command: Command, path: &[&str], said: &[Said]) -> Command {
    match path.split_first() {
        Some((name, rest)) => command.mut_subcommand(*name, |command| with_defaults(command, rest, said)),
        None => command.mut_args(|flag| match said.iter().find(|said| said.id == flag.get_id().as_str()) {
            Some(said) => flag.default_values(said.texts.clone()),
            None => flag,
        }),
    }
}

fn effective(setting: Setting, leaf: &ArgMatches, file: Option<&Path>, said: &[Said]) -> Effective {
    let texts = leaf.get_raw(setting.id());
    let texts = texts.map(|texts| texts.map(|text| text.to_string_lossy().into_owned()).collect());
    let origin = match leaf.value_source(setting.id()) {
        Some(ValueSource::CommandLine) => Origin::Flag { name: setting.flag() },
        Some(ValueSource::EnvVariable) => Origin::Variable { name: setting.variable().unwrap_or_default() },
        _ => match (file, said.iter().find(|said| said.id == setting.id())) {
            (Some(file), Some(said)) => Origin::File { file: file.to_owned(), line: said.line },
            _ => Origin::Default,
        },
    };
    Effective { setting, texts, origin }
}
