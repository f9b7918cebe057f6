//! Refuses orders above a limit, before they are decided.

use serde::Deserialize;
use tidemill_sdk::{CheckedCommand, Config, Error, FieldError, Validator, export_validator};

/// What it looks at in a command's data.
#[derive(Deserialize)]
struct Place {
    total_cents: u64,
}

/// The rules, as they are configured.
struct Limit {
    cents_max: u64,
}

impl Validator for Limit {
    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { cents_max: config.get_or("cents_max", 1_000_000)? })
    }

    /// Sees the command and its configuration, nothing else. What it says is told to who sent the command.
    fn validate(&self, command: &CheckedCommand) -> Vec<FieldError> {
        match command.json::<Place>() {
            Ok(Place { total_cents }) if total_cents > self.cents_max => {
                vec![FieldError::new("/total_cents", "too-large", format!("at most {} cents", self.cents_max))]
            }
            Ok(_) => Vec::new(),
            Err(error) => vec![FieldError::new("", "malformed", error.to_string())],
        }
    }
}

export_validator!(Limit);
