//! Queries of a fixture: asked when all events are settled.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::alike::both_alike;
use super::run::{json_or_text, text};
use crate::projection::{Moment, NoAnswer, Projection, Query};

/// A query, and what must come of it: an answer, or an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Its name.
    pub query: String,
    /// Its parameters; each a text, a number, true or false, or a list of those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// What is answered: JSON, or text.
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// Why nothing is: `unknown`, `invalid`, `failed`, or the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Texts that the reason holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reason: Vec<String>,
}

impl Asked {
    /// Asks a projection, and says what came of it.
    pub(super) fn ask(&self, projection: &mut dyn Projection, moment: Moment) -> Self {
        let values = |value: &Value| match value {
            Value::Array(values) => values.iter().map(text).collect(),
            value => vec![text(value)],
        };
        let each = |(name, value): (&String, &Value)| {
            values(value).into_iter().map(|value| (name.clone(), value)).collect::<Vec<_>>()
        };
        let parameters = self.parameters.iter().flat_map(each).collect();
        let query = Query { name: self.query.clone(), parameters, ..Query::default() };
        let (answer, error, reason) = match projection.query(&query, moment) {
            Ok(answer) => (Some(json_or_text(&answer.body)), None, None),
            Err(why) => (None, Some(why.as_str().to_owned()), reason(why)),
        };
        Self { answer, error, reason: reason.into_iter().collect(), ..self.clone() }
    }

    /// Whether what came of it is what had to.
    pub(super) fn fits(&self, is: &Self) -> bool {
        let reason = is.reason.first().map(String::as_str).unwrap_or_default();
        (&self.query, &self.error) == (&is.query, &is.error)
            && both_alike(self.answer.as_ref(), is.answer.as_ref())
            && self.reason.iter().all(|word| reason.contains(word))
    }
}

/// A null that is said is an answer, too.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn reason(why: NoAnswer) -> Option<String> {
    match why {
        NoAnswer::Unknown => None,
        NoAnswer::Invalid(reason) | NoAnswer::Failed(reason) | NoAnswer::Fault { reason, .. } => Some(reason),
    }
}
