//! `validators/NAME.toml`: what the operator says about one validator.

use std::collections::BTreeMap;

use super::{ManifestError, config, keys, read_limits};
use crate::document::{Document, Value};
use crate::event::Pattern;
use crate::runtime::Limits;

/// What the operator says about one validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plugin) struct ValidatorManifest {
    /// Which commands it is asked of, as `aggregate:Type`; `*` at the end matches any rest.
    pub(in crate::plugin) commands: Vec<Pattern>,
    /// What it may use.
    pub(in crate::plugin) limits: Limits,
    /// What it is configured with.
    pub(in crate::plugin) config: BTreeMap<String, String>,
}

impl Default for ValidatorManifest {
    fn default() -> Self {
        Self { commands: vec![Pattern::all()], limits: Limits::default(), config: BTreeMap::new() }
    }
}

impl ValidatorManifest {
    /// Reads one; `file` is its name in errors.
    pub(in crate::plugin) fn parse(file: &str, text: &str) -> Result<Self, ManifestError> {
        let (document, table) = Document::parse(file, text, keys::VALIDATOR_TABLES)?;
        let root = document.root(table.get_ref(), &keys::VALIDATOR)?;
        let mut manifest = Self::default();
        if let Some(value) = root.get("commands") {
            manifest.commands = read_commands(&value)?;
        }
        if let Some(limits) = root.section("limits", &keys::LIMITS)? {
            manifest.limits = read_limits(&limits)?;
        }
        if let Some(entries) = root.section("config", &keys::CONFIG)? {
            manifest.config = config::read(&entries)?;
        }
        Ok(manifest)
    }
}

/// Reads which commands are meant.
pub(super) fn read_commands(value: &Value<'_>) -> Result<Vec<Pattern>, ManifestError> {
    value.list("commands, such as \"account:Withdraw\", \"account:*\" or \"*\"", |text| {
        let named = text == "*" || text.contains(':');
        let pattern = Pattern::new(text).map_err(|error| error.to_string());
        pattern.and_then(|pattern| if named { Ok(pattern) } else { Err("it names no aggregate".to_owned()) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_validator_is_read_and_checked() {
        let text = "commands = [\"account:*\"]\n[limits]\nbatch_time = \"50ms\"\n[config]\nmax = 5";
        let manifest = ValidatorManifest::parse("v.toml", text).unwrap();
        assert!(manifest.commands[0].matches("account:Open") && !manifest.commands[0].matches("order:Open"));
        assert_eq!((manifest.limits.batch_time_ms, manifest.config["max"].as_str()), (50, "5"));
        assert_eq!(ValidatorManifest::parse("v.toml", "").unwrap(), ValidatorManifest::default());
        for (bad, words) in [("command = []", "commands"), ("commands = [\"Open\"]", "names no aggregate")] {
            let error = ValidatorManifest::parse("v.toml", bad).unwrap_err().to_string();
            assert!(error.contains("v.toml") && error.contains(words), "{error}");
        }
    }
}
