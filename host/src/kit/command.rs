//! A command of a fixture, as it is sent.

use serde_json::{Value, json};

use super::Written;
use super::world::{microseconds, set};
use crate::api::parse_command;
use crate::clock::ManualClock;
use crate::command::Command;
use crate::event::Category;

/// Reads a command, and sets the clock to its time. It is written as it is sent, but that its type is called `command`;
/// ids that are not given count up.
pub(super) fn command(
    index: usize,
    written: &Written,
    (category, key): (Category, String),
    clock: &ManualClock,
) -> Result<Command, String> {
    let mut fields = written.as_object().cloned().unwrap_or_default();
    let command_type = fields.remove("command").ok_or("`command` is missing; it says what is wanted")?;
    let time = fields.remove("timestamp");
    fields.insert("type".into(), command_type);
    fields.entry("id").or_insert_with(|| json!(format!("command-{index}")));
    set(clock, time.as_ref().map(microseconds).transpose()?)?;
    let parsed = parse_command(category, key, Value::Object(fields).to_string().as_bytes())?;
    Ok(Command { data: written.data().map_or(parsed.data, Into::into), ..parsed })
}
