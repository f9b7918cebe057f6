//! Refuses amounts above its configured `cents_max`, in every place where there is one. What data say, it does: a `do` of
//! `trap` traps, of `spin` never ends.

use serde_json::Value;
use tidemill_sdk::{CheckedCommand, Config, Error, FieldError, Validator, export_validator};

/// The component.
pub struct Limit {
    cents_max: i64,
}

impl Validator for Limit {
    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { cents_max: config.get_or("cents_max", i64::MAX)? })
    }

    fn validate(&self, command: &CheckedCommand) -> Vec<FieldError> {
        let Ok(data) = command.json::<Value>() else { return vec![FieldError::new("", "malformed", "no JSON")] };
        match data.get("do").and_then(Value::as_str) {
            Some("trap") => panic!("no way to check this"),
            Some("spin") => loop {
                std::hint::black_box(());
            },
            _ => {}
        }
        let too_large = |(name, value): (&String, &Value)| {
            let found = value.as_i64().filter(|cents| *cents > self.cents_max)?;
            Some(FieldError::new(format!("/{name}"), "too-large", format!("{found} is above {}", self.cents_max)))
        };
        data.as_object().into_iter().flatten().filter_map(too_large).collect()
    }
}

export_validator!(Limit);
