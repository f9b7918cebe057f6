//! Outcomes of commands in a fixture: what had to come of each, and what came.

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
    /// Its payload.
    #[serde(default)]
    pub data: Value,
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
        (&self.events, &self.rejection, &self.details, &self.error)
            == (&is.events, &is.rejection, &is.details, &is.error)
            && self.reason.iter().all(|word| reason.contains(word))
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
            data: json_or_text(&event.data),
        }
    }
}
