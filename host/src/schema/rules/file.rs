//! A file of declared lifts: `[[upcast]]` tables in TOML.

use std::sync::Arc;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::path::JsonPath;
use super::rule::{Kind, Rule};
use super::{Declared, Output};
use crate::document::{Document, DocumentError, Known, Section, Value, integer};
use crate::event::EventType;
use crate::schema::lifted::PARTS_MAX;
use crate::schema::{Lift, Step, Target};

const ROOT: Known<'static> = Known::table("", &["upcast"], &[]);
const UPCAST: Known<'static> = Known::table("upcast", &["type", "from", "to", "as", "rules", "into", "drop"], &[]);
const INTO: Known<'static> = Known::table("upcast.into", &["type", "to", "rules"], &[]);
const RULE: Known<'static> =
    Known { inline: true, ..Known::table("rule", &["add", "value", "remove", "rename", "move", "convert", "to"], &[]) };
const TABLES: &[&Known<'static>] = &[&UPCAST];

/// Reads a file; `file` is its name in errors.
///
/// # Errors
/// What is wrong with it, and on which line.
pub fn read(file: &str, text: &str) -> Result<Vec<Step>, DocumentError> {
    let (document, table) = Document::parse(file, text, TABLES)?;
    let root = document.root(table.get_ref(), &ROOT)?;
    let Some(upcasts) = root.get("upcast") else { return Ok(Vec::new()) };
    tables(&upcasts, "tables, each written [[upcast]]")?.iter().map(|upcast| step(file, upcast)).collect()
}

fn tables<'a>(value: &Value<'a>, what: &str) -> Result<Vec<Value<'a>>, DocumentError> {
    if value.raw().as_array().is_none() {
        return Err(value.bad(what));
    }
    value.items()
}

fn step(file: &str, value: &Value<'_>) -> Result<Step, DocumentError> {
    let section = value.table(&UPCAST)?;
    let event_type = required(value, &section, "type")?;
    let event_type = type_of(&event_type)?;
    let from = version(&required(value, &section, "from")?)?;
    let to = version_of(&section)?.unwrap_or(from.saturating_add(1));
    let mut into: Vec<Target> = Vec::new();
    let mut outputs = Vec::new();
    for (made, output) in made(&section, &event_type, to)? {
        if !into.contains(&made) {
            into.push(made);
        }
        outputs.push(output);
    }
    let lift = Lift { event_type, from, into };
    let declared = Declared { outputs };
    let identity = declared.identity();
    Ok(Step { lift, origin: format!("{file}:{}", value.line()), identity, upcast: Arc::new(declared) })
}

/// What a lift makes: one event unless it is told to make others, or none. `to` is the version of what says none.
fn made(section: &Section<'_>, event_type: &EventType, to: u32) -> Result<Vec<(Target, Output)>, DocumentError> {
    let (renamed, rules, into) = (section.get("as"), section.get("rules"), section.get("into"));
    if let Some(drop) = section.get("drop")
        && drop.boolean()?
    {
        return match renamed.or(rules).or(into).or(section.get("to")) {
            Some(other) => Err(other.bad("nothing beside drop = true")),
            None => Ok(Vec::new()),
        };
    }
    let Some(into) = into else {
        let event_type = renamed.map(|renamed| type_of(&renamed)).transpose()?.unwrap_or_else(|| event_type.clone());
        return Ok(vec![output(event_type, to, rules_of(rules)?)]);
    };
    if let Some(other) = renamed.or(rules) {
        return Err(other.bad("nothing beside [[upcast.into]], each of which has its own type and rules"));
    }
    let parts = tables(&into, "tables, each written [[upcast.into]]")?;
    if parts.is_empty() {
        return Err(into.bad("at least one table; `drop = true` makes no event"));
    }
    if parts.len() > PARTS_MAX {
        return Err(into.bad(&format!("at most {PARTS_MAX} tables")));
    }
    let part = |value: &Value<'_>| {
        let section = value.table(&INTO)?;
        let event_type = type_of(&required(value, &section, "type")?)?;
        Ok(output(event_type, version_of(&section)?.unwrap_or(to), rules_of(section.get("rules"))?))
    };
    parts.iter().map(part).collect()
}

fn output(event_type: EventType, version: u32, rules: Vec<Rule>) -> (Target, Output) {
    (Target { event_type: event_type.clone(), version }, Output { event_type, rules })
}

fn rules_of(rules: Option<Value<'_>>) -> Result<Vec<Rule>, DocumentError> {
    const ALLOWED: &str = "an array of rules, such as [{ rename = \"/qty\", to = \"quantity\" }]";
    let Some(rules) = rules else { return Ok(Vec::new()) };
    tables(&rules, ALLOWED)?.iter().map(rule).collect()
}

fn rule(value: &Value<'_>) -> Result<Rule, DocumentError> {
    const ALLOWED: &str = "one rule: { add = PATH, value = VALUE }, { remove = PATH }, { rename = PATH, to = KEY }, \
                           { move = PATH, to = PATH } or { convert = PATH, to = KIND }";
    let section = value.table(&RULE)?;
    let mut keys: Vec<&str> = section.values().map(|(key, _)| key).collect();
    keys.sort_unstable();
    let path = |key: &str| required(value, &section, key).and_then(|value| place(&value));
    let to = || required(value, &section, "to");
    Ok(match keys.as_slice() {
        ["add", "value"] => {
            let added = required(value, &section, "value")?;
            let json = json(added.raw()).ok_or_else(|| added.bad("a value that JSON has"))?;
            Rule::Add { path: path("add")?, value: json.to_string() }
        }
        ["remove"] => Rule::Remove { path: path("remove")? },
        ["rename", "to"] => {
            const KEY: &str = "the other key in the same object, without a /; `move` goes elsewhere";
            let to = to()?;
            let key = to.text(KEY)?;
            if key.is_empty() || key.contains('/') {
                return Err(to.bad(KEY));
            }
            Rule::Rename { path: path("rename")?, to: key.to_owned() }
        }
        ["move", "to"] => {
            let (from, into) = (required(value, &section, "move")?, to()?);
            Rule::Move { path: one_place(&from)?, to: one_place(&into)? }
        }
        ["convert", "to"] => {
            const KINDS: &str = "\"string\", \"number\", \"integer\" or \"boolean\"";
            let to = to()?;
            let name = to.text(KINDS)?;
            let kind = Kind::ALL.into_iter().find(|(known, _)| *known == name).ok_or_else(|| to.bad(KINDS))?.1;
            let path: JsonPath = required(value, &section, "convert")?.parsed("a place")?;
            Rule::Convert { path, to: kind }
        }
        _ => return Err(value.bad(ALLOWED)),
    })
}

/// A place that has a key of its own.
fn place(value: &Value<'_>) -> Result<JsonPath, DocumentError> {
    let path: JsonPath = value.parsed("a place such as \"/order/total\"")?;
    if path.ends_in_every() { Err(value.bad("a place that ends in a key, not in *")) } else { Ok(path) }
}

fn one_place(value: &Value<'_>) -> Result<JsonPath, DocumentError> {
    let path = place(value)?;
    if path.is_many() { Err(value.bad("one place, without *")) } else { Ok(path) }
}

fn required<'a>(whole: &Value<'a>, section: &Section<'a>, key: &str) -> Result<Value<'a>, DocumentError> {
    section.get(key).ok_or_else(|| whole.bad(&format!("a table that has `{key}`")))
}

fn type_of(value: &Value<'_>) -> Result<EventType, DocumentError> {
    const ALLOWED: &str = "the name of an event type";
    EventType::new(value.text(ALLOWED)?).map_err(|error| value.bad(&format!("{ALLOWED} ({error})")))
}

/// The schema version that a table says of what is made.
fn version_of(section: &Section<'_>) -> Result<Option<u32>, DocumentError> {
    section.get("to").map(|to| version(&to)).transpose()
}

fn version(value: &Value<'_>) -> Result<u32, DocumentError> {
    Ok(u32::try_from(value.integer(1..=u64::from(u32::MAX))?).unwrap_or(u32::MAX))
}

/// A TOML value as JSON; none for a time that is no text, or a number that JSON does not have.
fn json(value: &DeValue<'_>) -> Option<Json> {
    Some(match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(_) => Json::from(integer(value)?),
        DeValue::Float(number) => Json::from(number.as_str().parse::<f64>().ok().filter(|number| number.is_finite())?),
        DeValue::Boolean(truth) => Json::from(*truth),
        DeValue::Datetime(time) => Json::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect::<Option<Vec<_>>>()?.into(),
        DeValue::Table(table) => {
            let members = table.iter().map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)));
            Json::Object(members.collect::<Option<_>>()?)
        }
    })
}
