//! A command that was accepted and waits in the log to be decided: how it is written there, and read again.
//!
//! It is an event of the type `$command-accepted` in the stream `$commands-accepted`. Data, content type and metadata are
//! the command's; the metadata `$command` holds the rest. A tag that follows from the command's id finds it. What has
//! become of it is for `command` to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::{
    ACCEPTED_STREAM, ACCEPTED_TYPE, COMMAND_KEY, Category, EventType, ExpectedVersion, Filter,
    METADATA_VALUE_BYTES_MAX, NewEvent, OwnIds, Pattern, Position, Query, RecordedEvent, StreamName, Tag, Version,
};
use crate::store::{AppendCondition, ReadRequest, Store, StoreError};

/// Namespace of ids that follow from the id of an accepted command: a random UUID, fixed for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x41c5_2d0e_93b7_4f6a_8d21_6f0b_7ac3_19e4);
/// What the tag begins with.
const TAG: &str = "command:";

/// What the log holds of an accepted command, beside data and metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Its identity.
    pub id: String,
    /// To which kind of aggregate.
    pub aggregate: Category,
    /// To which one.
    pub key: String,
    /// What is wanted.
    #[serde(rename = "type")]
    pub command_type: String,
    /// A digest of what was asked; empty where nobody asks with that id again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The event types that may follow; any, where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Pattern>,
    /// How long it may take from when it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Expected>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expected {
    NoStream,
    Exists,
    Exact(Version),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Condition {
    items: Vec<Filter>,
    after: Position,
}

impl Envelope {
    /// A command without expectation, condition and deadline.
    #[must_use]
    pub fn new(id: String, aggregate: Category, key: String, command_type: String) -> Self {
        let (digest, types) = (String::new(), Vec::new());
        Self { id, aggregate, key, command_type, digest, types, deadline_ms: None, expected: None, condition: None }
    }

    /// The same, that asks something of the stream and of the log.
    #[must_use]
    pub fn expecting(mut self, expected: ExpectedVersion, condition: Option<AppendCondition>) -> Self {
        self.expected = match expected {
            ExpectedVersion::Any => None,
            ExpectedVersion::NoStream => Some(Expected::NoStream),
            ExpectedVersion::Exists => Some(Expected::Exists),
            ExpectedVersion::Exact(version) => Some(Expected::Exact(version)),
        };
        self.condition =
            condition.map(|AppendCondition { fail_if_match, after }| Condition { items: fail_if_match.items, after });
        self
    }

    /// What the stream must be when it is decided.
    #[must_use]
    pub const fn expected(&self) -> ExpectedVersion {
        match self.expected {
            None => ExpectedVersion::Any,
            Some(Expected::NoStream) => ExpectedVersion::NoStream,
            Some(Expected::Exists) => ExpectedVersion::Exists,
            Some(Expected::Exact(version)) => ExpectedVersion::Exact(version),
        }
    }

    /// What must hold of the log when its events are appended.
    #[must_use]
    pub fn condition(&self) -> Option<AppendCondition> {
        let Condition { items, after } = self.condition.clone()?;
        Some(AppendCondition { fail_if_match: Query { items }, after })
    }

    /// Writes it on an event that has its data and metadata, and no more; with an id of the store's own.
    ///
    /// # Errors
    /// When it has more than [`METADATA_VALUE_BYTES_MAX`] bytes: how many.
    pub fn seal(&self, event: NewEvent, ids: OwnIds) -> Result<NewEvent, usize> {
        // Texts, numbers and lists of them always serialise.
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.len() > METADATA_VALUE_BYTES_MAX {
            return Err(text.len());
        }
        let mut event = event.on(StreamName::from_stored(ACCEPTED_STREAM));
        event.event_type = EventType::from_stored(ACCEPTED_TYPE);
        event.id = ids.id(&NAMESPACE, &self.id);
        event.tags = vec![tag(&self.id)];
        event.metadata.insert(COMMAND_KEY.to_owned(), text);
        Ok(event)
    }

    /// Whether a plugin sent it: nobody asks with its id again.
    #[must_use]
    pub fn is_of_plugin(&self) -> bool {
        self.digest.is_empty()
    }

    /// What an event holds of an accepted command; none for an event of another kind.
    #[must_use]
    pub fn of(event: &RecordedEvent) -> Option<Self> {
        read(&event.event_type, &event.metadata)
    }

    /// The same of an event that is not stored yet.
    pub(crate) fn sealed(event: &NewEvent) -> Option<Self> {
        read(&event.event_type, &event.metadata)
    }
}

fn read(event_type: &EventType, metadata: &BTreeMap<String, String>) -> Option<Envelope> {
    let text = metadata.get(COMMAND_KEY).filter(|_| event_type.as_str() == ACCEPTED_TYPE)?;
    serde_json::from_str(text).ok()
}

/// The tag of an accepted command's event. Everybody can tell it in advance, and nobody else can use it: it is looked for
/// in a stream that only the host appends to. It is the same in every store, so that it finds what each release wrote.
fn tag(command_id: &str) -> Tag {
    Tag::from_stored(format!("{TAG}{}", Uuid::new_v5(&NAMESPACE, command_id.as_bytes())))
}

/// The first event by which a command of an id was accepted. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn find(store: &dyn Store, command_id: &str) -> Result<Option<(RecordedEvent, Envelope)>, StoreError> {
    let types = Pattern::new(ACCEPTED_TYPE).into_iter().collect();
    let stream = StreamName::from_stored(ACCEPTED_STREAM);
    let filter = Filter { types, tags: vec![tag(command_id)], ..Filter::stream(&stream) };
    let page = store.read(&ReadRequest { query: filter.into(), limit: 1, ..ReadRequest::default() })?;
    Ok(page.events.into_iter().find_map(|event| Envelope::of(&event).map(|envelope| (event, envelope))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_again() {
        let condition = AppendCondition { fail_if_match: Query { items: vec![Filter::all()] }, after: Position(7) };
        let command = Envelope::new("c 1".into(), Category::new("account").unwrap(), "7".into(), "Open".into());
        for expected in [ExpectedVersion::Any, ExpectedVersion::NoStream, ExpectedVersion::Exact(Version(3))] {
            let command = command.clone().expecting(expected, Some(condition.clone()));
            let event = command.seal(NewEvent::json(EventType::new("x").unwrap(), "1"), OwnIds::of(7)).unwrap();
            event.validate_content().unwrap();
            assert!(event.validate().is_err(), "nobody else may append such an event");
            let read = Envelope::of(&RecordedEvent::record(event, Position(1), Version(1), 1)).unwrap();
            assert_eq!((read.expected(), read.condition()), (expected, Some(condition.clone())));
            assert_eq!(read, command);
        }
        let large = Envelope { types: vec![Pattern::new("x".repeat(255)).unwrap(); 20], ..command };
        let event = NewEvent::json(EventType::new("x").unwrap(), "1");
        assert!(large.seal(event, OwnIds::of(7)).unwrap_err() > METADATA_VALUE_BYTES_MAX);
    }
}
