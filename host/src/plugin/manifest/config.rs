//! The `[config]` table, as a guest sees it: text as it is, a date as its text, anything else as JSON.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::ManifestError;
use crate::document::{Section, Value, integer};

/// Every key of the table with the text that a guest reads.
pub(super) fn read(section: &Section<'_>) -> Result<BTreeMap<String, String>, ManifestError> {
    section.values().map(|(key, value)| Ok((key.to_owned(), read_value(&value)?))).collect()
}

fn read_value(value: &Value<'_>) -> Result<String, ManifestError> {
    let bad = || value.bad("text, true or false, a number that JSON can hold, a date, or arrays and tables of these");
    match to_json(value.raw()).ok_or_else(bad)? {
        Json::String(text) => Ok(text),
        other => Ok(other.to_string()),
    }
}

/// The value as JSON; none for numbers that JSON does not have: infinite ones, and `nan`.
fn to_json(value: &DeValue<'_>) -> Option<Json> {
    Some(match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(_) => Json::from(integer(value)?),
        DeValue::Float(number) => Json::Number(serde_json::Number::from_f64(number.as_str().parse().ok()?)?),
        DeValue::Boolean(truth) => Json::Bool(*truth),
        DeValue::Datetime(time) => Json::String(time.to_string()),
        DeValue::Array(items) => Json::Array(items.iter().map(|item| to_json(item.get_ref())).collect::<Option<_>>()?),
        DeValue::Table(table) => {
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                Some((key.to_string(), to_json(value.get_ref())?))
            };
            Json::Object(table.iter().map(entry).collect::<Option<_>>()?)
        }
    })
}
