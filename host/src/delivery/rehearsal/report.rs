//! What reports are made of: bounded, readable, ready to be written as JSON and read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::delivery::{Evidence, HandleError};
use crate::event::{EventType, NewEvent, Position, RecordedEvent};

/// Most entries of a list; its count is of all.
const LISTED_MAX: u64 = 100;
/// Longest value or payload shown, in characters.
const SHOWN_CHARS_MAX: usize = 200;
/// Longest output of a guest or backtrace shown, in characters.
const EVIDENCE_CHARS_MAX: usize = 2_000;

/// What differs: how much of it, and the first 100.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Differences<T> {
    /// All of them.
    pub count: u64,
    /// The first 100.
    pub first: Vec<T>,
}

impl<T> Default for Differences<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl<T> Differences<T> {
    /// Counts one, and lists it if there is room.
    pub(super) fn note(&mut self, difference: impl FnOnce() -> T) {
        self.count += 1;
        if self.count <= LISTED_MAX {
            self.first.push(difference());
        }
    }
}

/// An event that could not be handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureView {
    /// The event.
    pub position: Position,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// `retry`, `reject`, `stop`, or the fault's name.
    pub kind: String,
    /// Why, in one line.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The last of what the guest wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr_tail: String,
    /// The wasm backtrace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backtrace: String,
}

impl FailureView {
    pub(super) fn new(event: &RecordedEvent, error: &HandleError, evidence: Evidence, attempts: u32) -> Self {
        Self {
            position: event.position,
            event_type: event.event_type.clone(),
            kind: error.kind().into(),
            reason: error.reason().into(),
            attempts,
            stderr_tail: shortened(&evidence.stderr_tail, EVIDENCE_CHARS_MAX),
            backtrace: shortened(&evidence.backtrace, EVIDENCE_CHARS_MAX),
        }
    }
}

/// What became of an event, in words that two versions can be compared by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Outcome)]
pub struct OutcomeView {
    /// `handled`, `failed`, `stopped`, `behind` (an earlier event of its key failed), `no_key`, `not_subscribed`,
    /// `not_reached` (it comes after one that was stopped at) or `left_out`.
    pub outcome: String,
    /// Of a failed one: `retry`, `reject`, `stop`, or the fault's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Of a failed one: why, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An event that ended differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeDifference {
    /// The event.
    pub position: Position,
    /// How it ended with the live version.
    pub live: OutcomeView,
    /// How it ended with the candidate.
    pub candidate: OutcomeView,
}

/// An event that would be appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Emission)]
pub struct EmissionView {
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its payload, shortened.
    pub data: String,
    /// Media type of the payload, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Version of its schema.
    pub schema_version: u32,
}

impl From<&NewEvent> for EmissionView {
    fn from(event: &NewEvent) -> Self {
        Self {
            event_type: event.event_type.to_string(),
            stream: event.stream.as_ref().map(ToString::to_string),
            data: shown(&event.data),
            content_type: event.content_type.clone(),
            tags: event.tags.iter().map(ToString::to_string).collect(),
            metadata: event.metadata.clone(),
            schema_version: event.schema_version,
        }
    }
}

/// An event that would be appended by one version, and not, or not so, by the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmissionDifference {
    /// The event that caused it.
    pub position: Position,
    /// Its place among those of the same cause, from 0.
    pub index: usize,
    /// What the live version appends there.
    pub live: Option<EmissionView>,
    /// What the candidate appends there.
    pub candidate: Option<EmissionView>,
}

/// A key of the state whose value is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateDifference {
    /// The key.
    pub key: String,
    /// Its live value, shortened; none when it has none.
    pub live: Option<String>,
    /// Its value in the rehearsal (of the candidate, if there is one), shortened; none when it has none.
    pub rehearsed: Option<String>,
}

/// Every key whose values differ, in key order.
pub(super) fn compare_state(
    live: &BTreeMap<String, Vec<u8>>,
    rehearsed: &BTreeMap<String, Vec<u8>>,
) -> Differences<StateDifference> {
    let mut differences = Differences::default();
    let (mut left, mut right) = (live.iter().peekable(), rehearsed.iter().peekable());
    loop {
        let Some(key) = least(left.peek().map(|entry| entry.0), right.peek().map(|entry| entry.0)) else {
            return differences;
        };
        let of_left = left.next_if(|entry| entry.0 == key).map(|entry| entry.1);
        let of_right = right.next_if(|entry| entry.0 == key).map(|entry| entry.1);
        if of_left != of_right {
            differences.note(|| StateDifference {
                key: key.clone(),
                live: of_left.map(|value| shown(value)),
                rehearsed: of_right.map(|value| shown(value)),
            });
        }
    }
}

/// The lesser of two keys, of those that there are.
fn least<'a>(left: Option<&'a String>, right: Option<&'a String>) -> Option<&'a String> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

/// Bytes for people: as text where they are text, else as hexadecimal digits; shortened.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => shortened(text, SHOWN_CHARS_MAX),
        Err(_) => {
            let head = bytes.iter().take(SHOWN_CHARS_MAX / 2).map(|byte| format!("{byte:02x}")).collect::<String>();
            let rest = if bytes.len() > SHOWN_CHARS_MAX / 2 { "…" } else { "" };
            format!("0x{head}{rest} ({} bytes)", bytes.len())
        }
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.into(),
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(entries: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect()
    }

    #[test]
    fn keys_are_missing_extra_or_different() {
        let live = state(&[("a", b"1"), ("b", b"2"), ("d", b"\xff")]);
        let rehearsed = state(&[("a", b"1"), ("b", b"3"), ("c", b"4")]);
        let found = compare_state(&live, &rehearsed);
        let list: Vec<_> =
            found.first.iter().map(|it| (it.key.as_str(), it.live.as_deref(), it.rehearsed.as_deref())).collect();
        assert_eq!(list, [("b", Some("2"), Some("3")), ("c", None, Some("4")), ("d", Some("0xff (1 bytes)"), None)]);
        assert_eq!((found.count, compare_state(&live, &live).count), (3, 0));
    }

    #[test]
    fn lists_are_bounded_and_counts_are_not() {
        let many: BTreeMap<_, _> = (0..150).map(|n| (format!("{n:03}"), vec![b'x'; 500])).collect();
        let found = compare_state(&many, &BTreeMap::new());
        assert_eq!((found.count, found.first.len()), (150, 100));
        let value = found.first[0].live.clone().unwrap();
        assert!(value.starts_with("xxx") && value.ends_with("… (500 bytes)"), "{value}");
    }
}
