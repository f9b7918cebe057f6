//! Outcomes of commands in a fixture: what had to come of each, and what came.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alike::{alike, both_alike};
use super::fixture::{first_schema, is_first_schema};
use super::run::json_or_text;
use crate::command::{CommandError, Faulted, FieldFault, Outcome, Settled};
use crate::event::RecordedEvent;

/// What must come of a command: events, a rejection, what a validator finds wrong in it, or an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameOf {
    /// The events that follow from it, maybe none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<Followed>>,
    /// The code of the rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<String>,
    /// The details of the rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// What is wrong in its data, place by place; nothing where it may be decided. Of a validator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<Wrong>>,
    /// Why it has no outcome: the fault, or `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it is the outcome that a command of the same id had before, so that nothing was decided.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Texts that the reason of the rejection or the error holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<String>,
}

/// A place in a command's data, and what is wrong there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// A JSON pointer; empty for the whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// What kind of fault it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// Texts that the words for people hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub message: Vec<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.pointer, self.code, self.message.concat())
    }
}

impl Wrong {
    fn of(FieldFault { pointer, code, message }: FieldFault) -> Self {
        Self { pointer, code, message: vec![message] }
    }

    fn fits(&self, is: &Self) -> bool {
        let message = is.message.concat();
        (&self.pointer, &self.code) == (&is.pointer, &is.code) && self.message.iter().all(|word| message.contains(word))
    }
}

/// An event that follows from a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followed {
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
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

impl CameOf {
    /// An outcome, with the events that it led to.
    pub(super) fn settled(settled: &Settled, events: &[RecordedEvent]) -> Self {
        let repeated = settled.repeated;
        match &settled.outcome {
            Outcome::Accepted(_) => {
                Self { events: Some(events.iter().map(Followed::of).collect()), repeated, ..Self::default() }
            }
            Outcome::Rejected(rejection) => Self {
                rejection: Some(rejection.code.clone()),
                details: rejection.details.clone(),
                reason: vec![rejection.reason.clone()],
                repeated,
                ..Self::default()
            },
        }
    }

    /// What a validator says.
    pub(super) fn checked(said: Result<Vec<FieldFault>, Faulted>) -> Self {
        match said {
            Ok(errors) => Self { errors: Some(errors.into_iter().map(Wrong::of).collect()), ..Self::default() },
            Err(Faulted { fault, reason, .. }) => {
                Self { error: Some(fault.as_str().to_owned()), reason: vec![reason], ..Self::default() }
            }
        }
    }

    /// No outcome.
    pub(super) fn failed(error: &CommandError) -> Self {
        let what = error.fault().map_or("refused", |(fault, _)| fault);
        Self { error: Some(what.to_owned()), reason: vec![error.to_string()], ..Self::default() }
    }

    /// Whether what came is what had to.
    #[must_use]
    pub fn fits(&self, is: &Self) -> bool {
        let reason = is.reason.first().map(String::as_str).unwrap_or_default();
        all_fit(&self.events, &is.events, Followed::fits)
            && all_fit(&self.errors, &is.errors, Wrong::fits)
            && (&self.rejection, &self.error) == (&is.rejection, &is.error)
            && both_alike(self.details.as_ref(), is.details.as_ref())
            && self.repeated == is.repeated
            && self.reason.iter().all(|word| reason.contains(word))
    }

    /// Leaves out of its events' metadata what nobody asked for: most is the host's.
    pub(super) fn keep_what_is_said(&mut self, wanted: Option<&Self>) {
        let wanted = wanted.and_then(|wanted| wanted.events.as_deref()).unwrap_or_default();
        for (index, event) in self.events.iter_mut().flatten().enumerate() {
            event.metadata.retain(|key, _| wanted.get(index).is_some_and(|wanted| wanted.metadata.contains_key(key)));
        }
    }

    /// Whether it says what must come: one thing.
    pub(super) fn says_one_thing(&self) -> bool {
        let said = [self.events.is_some(), self.rejection.is_some(), self.errors.is_some(), self.error.is_some()];
        said.iter().filter(|said| **said).count() == 1
    }
}

/// Whether lists are the same, item by item, or neither is there.
fn all_fit<T>(wanted: &Option<Vec<T>>, are: &Option<Vec<T>>, fits: impl Fn(&T, &T) -> bool) -> bool {
    match (wanted, are) {
        (Some(wanted), Some(are)) => {
            wanted.len() == are.len() && wanted.iter().zip(are).all(|(wanted, is)| fits(wanted, is))
        }
        (wanted, are) => wanted.is_none() && are.is_none(),
    }
}

impl Followed {
    fn of(event: &RecordedEvent) -> Self {
        Self {
            event_type: event.event_type.to_string(),
            tags: event.tags.iter().map(ToString::to_string).collect(),
            schema_version: event.schema_version,
            metadata: event.metadata.clone(),
            data: json_or_text(&event.data),
        }
    }

    /// Whether what came is this one: all of it, and of its metadata what is said.
    fn fits(&self, is: &Self) -> bool {
        (&self.event_type, &self.tags, self.schema_version) == (&is.event_type, &is.tags, is.schema_version)
            && alike(&self.data, &is.data)
            && self.metadata.iter().all(|(key, value)| is.metadata.get(key) == Some(value))
    }
}
