//! Refuses numbers above its configured `max`, as of release 0.1.1.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({ path: "../../../wit/releases/0.1.1", world: "validator-plugin" });
}

use contract::exports::tidemill::plugin::validator::{CheckedCommand, FieldError, Guest};
use contract::tidemill::plugin::config;
use contract::tidemill::plugin::types::Payload;

/// The component.
pub struct Validator;

impl Guest for Validator {
    fn validate(command: CheckedCommand) -> Result<(), Vec<FieldError>> {
        let max = config::get("max").and_then(|max| max.parse().ok()).unwrap_or(u64::MAX);
        let error = |code: &str, message| Err(vec![FieldError { path: String::new(), code: code.into(), message }]);
        let number = match &command.data {
            Payload::Json(text) => text.parse::<u64>().ok(),
            Payload::Binary(_) => None,
        };
        match number {
            Some(number) if number <= max => Ok(()),
            Some(number) => error("too-large", format!("{number} is above {max}")),
            None => error("malformed", format!("{} of {} takes a number", command.command_type, command.aggregate)),
        }
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Validator with_types_in contract);
