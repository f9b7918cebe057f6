//! What a setting is: the flag of `serve` that sets it, which is its only declaration.
//!
//! Name, type, unit, default, help and variable are read off the flag, so the file's reader, `config show` and the
//! JSON schema know a setting as soon as `serve` takes it. A flag under the heading [`RELOADED`] is read again on
//! SIGHUP; one that hides its variable's value (`hide_env_values`) is a secret and never shown.

use std::any::TypeId;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use crate::document::{DocumentError, Known, Value, integer};

/// The heading in the help under which those flags stand whose settings are read again on SIGHUP.
pub const RELOADED: &str = "Options that are read again on SIGHUP";

/// Names the file of settings.
pub(super) const CONFIG_FLAG: &str = "config";
/// Flags that say where to read, and so cannot stand there; and those that print.
const NO_SETTINGS: &[&str] = &[CONFIG_FLAG, "profile", "color", "help", "version"];

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    flag: Arg,
    /// Its name in the file: the flag's, with `_` for `-`.
    key: String,
}

/// What one value of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Switch,
    Number,
    /// From a file, it is relative to that file's folder.
    Path,
    Text,
}

/// How many values a setting has, and how they are written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    /// An array.
    Many,
    /// A table: the flag takes `KEY=VALUE`.
    Pairs,
}

impl Setting {
    /// All settings of a command, in the order of its help.
    #[must_use]
    pub fn all(command: &Command) -> Vec<Self> {
        let settings = command.get_arguments().filter(|flag| !NO_SETTINGS.contains(&flag.get_id().as_str()));
        settings.filter_map(|flag| Some(Self { key: flag.get_long()?.replace('-', "_"), flag: flag.clone() })).collect()
    }

    /// Its name in the file.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What clap knows it by.
    pub(super) fn id(&self) -> &str {
        self.flag.get_id().as_str()
    }

    /// The flag, with its dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.flag.get_long().unwrap_or_default())
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        self.flag.get_env().map(|name| name.to_string_lossy().into_owned())
    }

    /// What its value is: a unit, or a word for it; none for a switch.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        if self.element() == Element::Switch {
            return None;
        }
        self.flag.get_value_names()?.first().map(|name| name.as_str())
    }

    /// What it is for.
    #[must_use]
    pub fn help(&self) -> String {
        self.flag.get_help().map(ToString::to_string).unwrap_or_default()
    }

    /// Whether it is read again on SIGHUP.
    #[must_use]
    pub fn is_reloaded(&self) -> bool {
        self.flag.get_help_heading() == Some(RELOADED)
    }

    /// Whether its value is never shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.flag.is_hide_env_values_set()
    }

    /// The default that its flag declares.
    pub(super) fn default(&self) -> Option<String> {
        self.flag.get_default_values().first().map(|value| value.to_string_lossy().into_owned())
    }

    /// The only values there are, if they can be counted.
    pub(super) fn choices(&self) -> Vec<PossibleValue> {
        if self.element() == Element::Switch { Vec::new() } else { self.flag.get_possible_values() }
    }

    pub(super) fn element(&self) -> Element {
        let parsed = self.flag.get_value_parser().type_id();
        let is = |one: TypeId| parsed == one;
        if matches!(self.flag.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
            Element::Switch
        } else if [TypeId::of::<u64>(), TypeId::of::<u32>(), TypeId::of::<u16>(), TypeId::of::<usize>()]
            .map(is)
            .contains(&true)
        {
            Element::Number
        } else if is(TypeId::of::<PathBuf>()) {
            Element::Path
        } else {
            Element::Text
        }
    }

    pub(super) fn shape(&self) -> Shape {
        match (self.flag.get_action(), self.unit()) {
            (ArgAction::Append, Some(unit)) if unit.contains('=') => Shape::Pairs,
            (ArgAction::Append, _) => Shape::Many,
            _ => Shape::One,
        }
    }

    /// What the flag would be given for a value of the file; paths begin at `folder`.
    pub(super) fn texts(&self, value: &Value<'_>, folder: &Path) -> Result<Vec<String>, DocumentError> {
        let texts = match self.shape() {
            Shape::One => vec![self.text(value, folder)?],
            Shape::Many => value.items()?.iter().map(|item| self.text(item, folder)).collect::<Result<_, _>>()?,
            Shape::Pairs => {
                let table = value.table(&Known { any: true, ..Known::table(&self.key, &[], &[]) })?;
                let pair = |(key, value): (&str, Value<'_>)| Ok(format!("{key}={}", value.text("a text")?));
                table.values().map(pair).collect::<Result<_, _>>()?
            }
        };
        texts.iter().try_for_each(|text| self.check(text).map_err(|allowed| value.bad(&allowed)))?;
        Ok(texts)
    }

    fn text(&self, value: &Value<'_>, folder: &Path) -> Result<String, DocumentError> {
        match self.element() {
            Element::Switch => value.boolean().map(|truth| truth.to_string()),
            Element::Number => {
                let number = integer(value.raw()).ok_or_else(|| value.bad("a whole number"));
                number.map(|number| number.to_string())
            }
            Element::Path => value.text("a path, as text").map(|path| folder.join(path).to_string_lossy().into_owned()),
            Element::Text => value.text("a text").map(str::to_owned),
        }
    }

    /// Has the flag itself judge a value. The error says what is allowed.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        if self.element() == Element::Switch {
            return Ok(());
        }
        let alone = Command::new("setting").no_binary_name(true).arg(
            Arg::new("value")
                .long("value")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .value_parser(self.flag.get_value_parser().clone()),
        );
        let Err(error) = alone.try_get_matches_from([format!("--value={text}")]) else { return Ok(()) };
        let unit = self.unit().unwrap_or("a value");
        match error.kind() {
            ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) if !valid.is_empty() => Err(format!("one of {}", valid.join(", "))),
                _ => Err(format!("{unit}, which is not empty")),
            },
            _ => {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                Err(reason.map_or_else(|| unit.to_owned(), |reason| format!("{unit} ({reason})")))
            }
        }
    }
}
