//! What a fixture is made of. How it is written, in JSON or YAML, is `format`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::alike::{alike, by_value};
use super::run::json_or_text;
use super::{Asked, CameOf, Written};
use crate::delivery::Envelope;
use crate::event::metadata_key;
use crate::runtime::LogLine;

/// Events, or commands, that a plugin is given, and what must come of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Put over the manifest's `[config]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Value>,
    /// What was there before.
    #[serde(default, skip_serializing_if = "Given::is_empty")]
    pub given: Given,
    /// The events that it handles or lifts, as they are appended; of an aggregate, the commands that it decides, and of a
    /// validator those that it is asked about. Each may say its `timestamp`.
    pub when: Vec<Written>,
    /// What must come of them.
    #[serde(default, deserialize_with = "nothing_if_null")]
    pub then: Then,
}

/// What was there before the first event that is handled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The plugin's state, as JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Value>,
    /// Events of the log, handled long ago; of an aggregate, its history.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Written>,
}

/// What must come of the events. What is not said may be anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// The plugin's whole state, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BTreeMap<String, Value>>,
    /// The events that it appended, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appended: Option<Vec<Appended>>,
    /// The commands that it sent to be decided, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatched: Option<Vec<Dispatched>>,
    /// The events that were set aside, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<Vec<Dead>>,
    /// The waits that it asked for and was given, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Vec<Waited>>,
    /// What it answers when all that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<Vec<Asked>>,
    /// What it logged, in order: of calls that were handled, and of each attempt that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<LogLine>>,
    /// When it has to stop: texts of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Vec<String>>,
    /// What came of each command, in order: of an aggregate, or of a validator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<Vec<CameOf>>,
    /// What the events are in today's schema, in order: of an upcaster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<Vec<Lifted>>,
    /// The events that cannot be lifted, in order: of an upcaster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Vec<Refused>>,
}

/// An event in today's schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifted {
    /// Index of the event that it was made of, in `when`.
    pub event: usize,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Version of its payload's schema.
    pub schema_version: u32,
    /// Its payload.
    #[serde(default)]
    pub data: Value,
}

/// An event that cannot be lifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Its index in `when`.
    pub event: usize,
    /// Texts that the reason holds, which is the lift's own words.
    #[serde(default)]
    pub reason: Vec<String>,
}

/// An event that the plugin appended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appended {
    /// Index of the event that caused it, in `when`.
    pub cause: usize,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Version of its payload's schema; 1 where nothing is said.
    #[serde(default = "first_schema", skip_serializing_if = "is_first_schema")]
    pub schema_version: u32,
    /// Entries that its metadata has; others it may have beside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its payload.
    #[serde(default)]
    pub data: Value,
}

/// Whether an entry of metadata is what a plugin says itself.
pub(super) fn is_own(key: &str) -> bool {
    !metadata_key::is_of_host(key)
}

/// The schema version of a payload of which none is said.
pub(super) const fn first_schema() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
pub(super) const fn is_first_schema(version: &u32) -> bool {
    *version == 1
}

/// A command that the plugin sent to be decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatched {
    /// Index of the event that caused it, in `when`.
    pub cause: usize,
    /// To which kind of aggregate.
    pub aggregate: String,
    /// To which one.
    pub key: String,
    /// What is wanted.
    #[serde(rename = "type")]
    pub command_type: String,
    /// With what.
    #[serde(default)]
    pub data: Value,
}

impl Lifted {
    /// Whether what came is this one.
    pub(super) fn fits(&self, is: &Self) -> bool {
        (self.event, &self.event_type, self.schema_version) == (is.event, &is.event_type, is.schema_version)
            && alike(&self.data, &is.data)
    }
}

impl Dispatched {
    /// Whether what came is this one.
    pub(super) fn fits(&self, is: &Self) -> bool {
        (self.cause, &self.aggregate, &self.key, &self.command_type)
            == (is.cause, &is.aggregate, &is.key, &is.command_type)
            && alike(&self.data, &is.data)
    }

    pub(super) fn new(cause: usize, envelope: Envelope, data: &[u8]) -> Self {
        let Envelope { aggregate, key, command_type, .. } = envelope;
        Self { cause, aggregate: aggregate.to_string(), key, command_type, data: json_or_text(data) }
    }
}

/// An event that was set aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// Its index in `when`.
    pub event: usize,
    /// What the plugin said, `reject` or `retry`, or what went wrong.
    pub kind: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Texts that the reason holds.
    #[serde(default)]
    pub reason: Vec<String>,
}

/// A wait that the plugin asked for, after which it was handed the event again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waited {
    /// Index of the event in `when`.
    pub event: usize,
    /// How long it asked for, in milliseconds.
    pub after_ms: u64,
    /// Texts that the reason holds.
    #[serde(default)]
    pub reason: Vec<String>,
}

impl Appended {
    /// Whether what came is this one: all of it, and of its metadata what is said.
    #[must_use]
    pub fn fits(&self, is: &Self) -> bool {
        (self.cause, &self.event_type, &self.stream, &self.tags, self.schema_version)
            == (is.cause, &is.event_type, &is.stream, &is.tags, is.schema_version)
            && alike(&self.data, &is.data)
            && self.metadata.iter().all(|(key, value)| is.metadata.get(key) == Some(value))
    }
}

impl Then {
    /// Leaves out of the metadata of what was appended what the host says of it, but for what is asked for.
    pub(super) fn leave_out_the_hosts(&mut self, wanted: &Self) {
        let wanted = wanted.appended.as_deref().unwrap_or_default();
        for (index, event) in self.appended.iter_mut().flatten().enumerate() {
            let asked = |key: &str| wanted.get(index).is_some_and(|wanted| wanted.metadata.contains_key(key));
            event.metadata.retain(|key, _| is_own(key) || asked(key));
        }
    }

    /// Brings appended events, commands, lines and waits into an order that does not follow from when they came.
    pub(super) fn sort(&mut self) {
        let event = |event: &Appended| (event.cause, event.event_type.clone(), by_value(&event.data).to_string());
        self.appended.iter_mut().for_each(|appended| appended.sort_by_key(event));
        let command = |sent: &Dispatched| {
            (sent.cause, sent.command_type.clone(), sent.key.clone(), by_value(&sent.data).to_string())
        };
        self.dispatched.iter_mut().for_each(|dispatched| dispatched.sort_by_key(command));
        let line = |line: &LogLine| (line.message.clone(), line.level.clone());
        self.log.iter_mut().for_each(|log| log.sort_by_key(line));
        self.waits.iter_mut().for_each(|waits| waits.sort_by_key(|wait| wait.event));
    }
}

impl Given {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What nobody filled in is nothing.
fn nothing_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Then, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
