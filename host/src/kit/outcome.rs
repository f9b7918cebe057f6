//! Outcomes of commands in a fixture: what had to come of each, and what came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run::json_or_text;
use crate::command::{CommandError, Outcome, Settled};
use crate::event::RecordedEvent;

/// What must come of a command: events, a rejection, or an error.
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
    /// Why it has no outcome: the fault, or `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Texts that the reason of the rejection or the error holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<String>,
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
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub schema_version: u32,
    /// Entries that its metadata has; others it may have beside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its payload.
    #[serde(default)]
    pub data: Value,
}

const fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
const fn is_first(version: &u32) -> bool {
    *version == 1
}

impl CameOf {
    /// An outcome, with the events that it led to.
    pub(super) fn settled(settled: &Settled, events: &[RecordedEvent]) -> Self {
        match &settled.outcome {
            Outcome::Accepted(_) => Self { events: Some(events.iter().map(Followed::of).collect()), ..Self::default() },
            Outcome::Rejected(rejection) => Self {
                rejection: Some(rejection.code.clone()),
                details: rejection.details.clone(),
                reason: vec![rejection.reason.clone()],
                ..Self::default()
            },
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
        let events = match (&self.events, &is.events) {
            (Some(wanted), Some(are)) => {
                wanted.len() == are.len() && wanted.iter().zip(are).all(|(wanted, is)| wanted.fits(is))
            }
            (wanted, are) => wanted.is_none() && are.is_none(),
        };
        events
            && (&self.rejection, &self.details, &self.error) == (&is.rejection, &is.details, &is.error)
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
        [self.events.is_some(), self.rejection.is_some(), self.error.is_some()].iter().filter(|said| **said).count()
            == 1
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
        (&self.event_type, &self.tags, self.schema_version, &self.data)
            == (&is.event_type, &is.tags, is.schema_version, &is.data)
            && self.metadata.iter().all(|(key, value)| is.metadata.get(key) == Some(value))
    }
}
