//! What is kept of a command, and how it is found again: in the log itself.
//!
//! The id of a command's first event follows from the command's id and the store ([`OwnIds`]), and so do those of the
//! others; a command that led to none has an event of its own, of the type `$command` in the stream `$commands`. So the
//! outcome is stored with what it is the outcome of, and a lookup by that one id tells whether there is one. The first
//! event notes what was asked (a digest), so that another command under the same id is told apart.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::aggregate::Rejection;
use super::request::Command;
use crate::event::{
    COMMAND_KEY, COMMAND_TYPE, EventType, ExpectedVersion, NewEvent, OwnIds, Position, RecordedEvent, StreamName,
    Version, metadata_key,
};
use crate::store::{AppendCondition, AppendRequest, Appended, AppendedEvent, Store, StoreError, StreamExpectation};

/// Namespace of ids that follow from a command's id: itself the UUID v5 of the URL `urn:tidemill:command`.
const NAMESPACE: Uuid = Uuid::from_u128(0xdfcc_526a_eed6_593f_8820_40db_16d2_7e98);
/// Where outcomes are that led to no event.
const STREAM: &str = "$commands";
/// Bytes of the digest that are kept.
const DIGEST_BYTES: usize = 16;
/// Metadata that each event of a command gets, whatever the command has.
pub(super) const OWN_KEYS: [&str; 4] =
    [metadata_key::COMMAND_ID, metadata_key::CAUSATION_ID, metadata_key::CORRELATION_ID, COMMAND_KEY];

/// What the host says itself of a command on the events of its outcome.
#[derive(Clone, Copy)]
pub(super) struct Stamp<'a> {
    /// Where their ids are from.
    pub(super) ids: OwnIds,
    /// What was asked.
    pub(super) digest: &'a str,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The command's id.
    pub id: String,
    /// Its type.
    pub command_type: String,
    /// The stream that it was decided against.
    pub stream: StreamName,
    /// The stream's version after it.
    pub version: Version,
    /// Position at which its outcome is in the log: that of its last event.
    pub position: Position,
    /// The outcome.
    pub outcome: Outcome,
    /// Whether it had this outcome before it was sent this time.
    pub repeated: bool,
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// These events followed, maybe none.
    Accepted(Vec<Decided>),
    /// The domain's answer was no.
    Rejected(Rejection),
}

/// An event that followed from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Its id.
    pub id: Uuid,
    /// Its type.
    pub event_type: EventType,
    /// Its position.
    pub position: Position,
    /// Its version.
    pub version: Version,
}

/// What the first event of a command notes of it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// What was asked.
    digest: String,
    #[serde(rename = "type")]
    command_type: String,
    /// How many events followed.
    events: usize,
}

/// What the event of a command without others holds.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    command_id: String,
    stream: StreamName,
    version: Version,
    rejection: Option<Rejection>,
}

/// What was asked by a command: two with the same digest are the same. How long it may take is not part of that.
pub(super) fn digest(command: &Command) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for text in [command.aggregate.as_str(), &command.key, &command.id, &command.command_type] {
        part(text.as_bytes());
    }
    part(&command.data);
    part(command.content_type.as_deref().unwrap_or_default().as_bytes());
    for (key, value) in command.metadata.iter().filter(|(key, _)| *key != metadata_key::TRACEPARENT) {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    // Only where they ask for something, as the log holds digests from before they counted. No metadata has such keys.
    let pin = match command.expected.canonical() {
        ExpectedVersion::Any => None,
        ExpectedVersion::NoStream => Some("no stream".to_owned()),
        ExpectedVersion::Exists => Some("exists".to_owned()),
        ExpectedVersion::Exact(version) => Some(version.to_string()),
    };
    if let Some(pin) = pin {
        part(b"$expected");
        part(pin.as_bytes());
    }
    if let Some(AppendCondition { fail_if_match, after }) = &command.condition {
        part(b"$condition");
        part(&after.0.to_be_bytes());
        // Lists of texts always serialise.
        part(&serde_json::to_vec(&fail_if_match.items).unwrap_or_default());
    }
    hash.finalize().iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The digests under which the outcome of a command that was accepted may be in the log: its own, and that of before what
/// it expects counted. That one is no other's, as nobody else has had the id since it was accepted.
pub(super) fn digests_of_accepted(command: &Command) -> Vec<String> {
    let mut digests = vec![digest(command)];
    if command.expected != ExpectedVersion::Any || command.condition.is_some() {
        digests.push(digest(&Command { expected: ExpectedVersion::Any, condition: None, ..command.clone() }));
    }
    digests
}

/// The id of a command's event at `index`.
pub(super) fn event_id(ids: OwnIds, command_id: &str, index: usize) -> Uuid {
    ids.id(&NAMESPACE, &event_name(command_id, index))
}

/// The id that such events have that were written before ids followed from the store: a UUID v5. It is looked for, and
/// not given any more, as everybody can tell it in advance.
pub(super) fn event_id_of_before(command_id: &str, index: usize) -> Uuid {
    Uuid::new_v5(&NAMESPACE, event_name(command_id, index).as_bytes())
}

fn event_name(command_id: &str, index: usize) -> String {
    format!("{index}\n{command_id}")
}

/// Completes the events that follow from a command: ids, stream, and what they say of it. What the host says itself is
/// the command's, or is not said: an event that called itself the first of its story would hide what feeds itself.
pub(super) fn complete(command: &Command, stamp: Stamp<'_>, stream: &StreamName, events: &mut [NewEvent]) {
    let count = events.len();
    for (index, event) in events.iter_mut().enumerate() {
        event.id = event_id(stamp.ids, &command.id, index);
        event.stream = Some(stream.clone());
        event.metadata.retain(|key, _| !metadata_key::is_of_host(key));
        for (key, value) in &command.metadata {
            event.metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
        about(command, event);
        if index == 0 {
            note(command, stamp.digest, count, event);
        }
    }
}

/// The event of a command that led to no other.
pub(super) fn kept(
    command: &Command,
    stamp: Stamp<'_>,
    (stream, version): (&StreamName, Version),
    rejection: Option<&Rejection>,
) -> NewEvent {
    let (command_id, rejection) = (command.id.clone(), rejection.cloned());
    let kept = Kept { command_id, stream: stream.clone(), version, rejection };
    // Texts and numbers always serialise.
    let data = serde_json::to_vec(&kept).unwrap_or_default();
    let mut event = NewEvent::json(EventType::from_stored(COMMAND_TYPE), data).on(StreamName::from_stored(STREAM));
    event.id = event_id(stamp.ids, &command.id, 0);
    event.metadata.clone_from(&command.metadata);
    about(command, &mut event);
    note(command, stamp.digest, 0, &mut event);
    event
}

/// Says of which command an event is, and of which story.
pub(super) fn about(command: &Command, event: &mut NewEvent) {
    let correlation = command.metadata.get(metadata_key::CORRELATION_ID).unwrap_or(&command.id);
    for (key, value) in [
        (metadata_key::COMMAND_ID, &command.id),
        (metadata_key::CAUSATION_ID, &command.id),
        (metadata_key::CORRELATION_ID, correlation),
    ] {
        event.metadata.insert(key.to_owned(), value.clone());
    }
}

fn note(command: &Command, digest: &str, events: usize, event: &mut NewEvent) {
    let note = Note { digest: digest.to_owned(), command_type: command.command_type.clone(), events };
    let text = serde_json::to_string(&note).unwrap_or_default();
    event.metadata.insert(COMMAND_KEY.to_owned(), text);
}

/// Events as they stand in the log now.
pub(super) fn recorded(events: Vec<NewEvent>, appended: &Appended) -> Vec<RecordedEvent> {
    let place = |(event, at): (NewEvent, &AppendedEvent)| {
        RecordedEvent::record(event, at.position, at.version, at.timestamp_us)
    };
    events.into_iter().zip(&appended.events).map(place).collect()
}

/// The outcome of a command whose events were appended just now.
pub(super) fn accepted(command: &Command, stream: &StreamName, types: Vec<EventType>, appended: Appended) -> Settled {
    let decided = |(event, event_type): (AppendedEvent, EventType)| Decided {
        id: event.id,
        event_type,
        position: event.position,
        version: event.version,
    };
    let events: Vec<_> = appended.events.into_iter().zip(types).map(decided).collect();
    let last = events.last();
    Settled {
        id: command.id.clone(),
        command_type: command.command_type.clone(),
        stream: stream.clone(),
        version: last.map(|event| event.version).unwrap_or_default(),
        position: last.map(|event| event.position).unwrap_or_default(),
        outcome: Outcome::Accepted(events),
        repeated: false,
    }
}

/// An outcome as the append that it came of, for who judges whether somebody may append it; none where no events followed.
pub(super) fn as_appended(command: &Command, settled: &Settled) -> Option<AppendRequest> {
    let Outcome::Accepted(decided) = &settled.outcome else { return None };
    let event = |decided: &Decided| NewEvent::json(decided.event_type.clone(), "null").on(settled.stream.clone());
    let events: Vec<_> = decided.iter().map(event).collect();
    let expected = vec![StreamExpectation { stream: settled.stream.clone(), expected: command.expected }];
    let condition = command.condition.clone();
    (!events.is_empty()).then(|| AppendRequest { expected, condition, ..AppendRequest::unconditional(events) })
}

/// The outcome of a command, if it is in the log, and the digest of what was asked. Blocks.
pub(super) fn find(store: &dyn Store, command_id: &str) -> Result<Option<(String, Settled)>, StoreError> {
    let ids = store.own_ids();
    match find_under(store, command_id, |index| event_id(ids, command_id, index))? {
        None => find_under(store, command_id, |index| event_id_of_before(command_id, index)),
        found => Ok(found),
    }
}

/// The same, where its events have these ids.
fn find_under(
    store: &dyn Store,
    command_id: &str,
    id_at: impl Fn(usize) -> Uuid,
) -> Result<Option<(String, Settled)>, StoreError> {
    let Some(first) = store.event(id_at(0))? else { return Ok(None) };
    // An event that somebody else gave this id is of no command.
    let noted = first.metadata.get(COMMAND_KEY).and_then(|text| serde_json::from_str::<Note>(text).ok());
    let Some(Note { digest, command_type, events }) = noted else { return Ok(None) };
    let id = command_id.to_owned();
    let settled = if events == 0 {
        let corrupted = |error: serde_json::Error| StoreError::CorruptedRow {
            what: format!("the outcome of a command at position {}", first.position),
            reason: error.to_string(),
        };
        let Kept { stream, version, rejection, .. } = serde_json::from_slice(&first.data).map_err(corrupted)?;
        let outcome = rejection.map_or(Outcome::Accepted(Vec::new()), Outcome::Rejected);
        Settled { id, command_type, stream, version, position: first.position, outcome, repeated: true }
    } else {
        let mut decided = vec![decided(&first)];
        for index in 1..events {
            let event = store.event(id_at(index))?;
            decided.extend(event.as_ref().map(self::decided));
        }
        let last = decided.last().map(|event| (event.version, event.position)).unwrap_or_default();
        let stream = first.stream.clone().unwrap_or_else(|| StreamName::from_stored(STREAM));
        let (version, position) = last;
        Settled { id, command_type, stream, version, position, outcome: Outcome::Accepted(decided), repeated: true }
    };
    Ok(Some((digest, settled)))
}

fn decided(event: &RecordedEvent) -> Decided {
    Decided { id: event.id, event_type: event.event_type.clone(), position: event.position, version: event.version }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::event::{Category, Filter, Pattern};

    fn command(metadata: &[(&str, &str)]) -> Command {
        Command {
            aggregate: Category::new("purse").unwrap(),
            key: "1".into(),
            id: "c1".into(),
            command_type: "Add".into(),
            data: b"1".to_vec(),
            content_type: None,
            metadata: entries(metadata),
            expected: ExpectedVersion::Any,
            condition: None,
            deadline_ms: None,
        }
    }

    fn entries(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn what_an_aggregate_says_in_the_place_of_the_host_is_replaced_or_goes() {
        let own = ("note", "mine");
        let feigned = metadata_key::OF_HOST.map(|key| (key, "feigned")).into_iter().chain([own]).collect::<Vec<_>>();
        let stream = StreamName::new("purse-1").unwrap();
        let completed = |metadata: &[(&str, &str)]| {
            let mut event = NewEvent::json(EventType::new("Added").unwrap(), "1");
            event.metadata = entries(&feigned);
            let mut events = [event];
            let stamp = Stamp { ids: OwnIds::FORESEEABLE, digest: "digest" };
            complete(&command(metadata), stamp, &stream, &mut events);
            let [mut event] = events;
            event.metadata.remove(COMMAND_KEY);
            event.metadata
        };
        let of_command = [("causation_depth", "7"), ("causation_root", "root"), ("traceparent", "trace")];
        let always = [own, ("causation_id", "c1"), ("command_id", "c1"), ("correlation_id", "c1")];
        assert_eq!(completed(&[]), entries(&always));
        assert_eq!(completed(&of_command), entries(&[&of_command[..], &always[..]].concat()));
    }

    #[test]
    fn commands_that_expect_something_else_are_others_and_what_expects_nothing_has_the_digest_of_before() {
        let plain = command(&[]);
        assert_eq!(digest(&plain), "47e2781c6706c608d3b4203553e82231");
        assert_eq!(digest(&Command { deadline_ms: Some(5), ..plain.clone() }), digest(&plain));
        assert_eq!(digest(&command(&[("traceparent", "t")])), digest(&plain));
        let pinned = |expected| digest(&Command { expected, ..command(&[]) });
        let guarded = |event_type: &str, after| {
            let items = vec![Filter { types: vec![Pattern::new(event_type).unwrap()], ..Filter::all() }];
            let condition = Some(AppendCondition { fail_if_match: items.into(), after: Position(after) });
            digest(&Command { condition, ..command(&[]) })
        };
        let mut others = vec![
            digest(&plain),
            digest(&command(&[("expected", "3")])),
            pinned(ExpectedVersion::NoStream),
            pinned(ExpectedVersion::Exists),
            pinned(ExpectedVersion::Exact(Version(3))),
            pinned(ExpectedVersion::Exact(Version(4))),
            guarded("Added", 3),
            guarded("Added", 4),
            guarded("Taken", 3),
        ];
        let count = others.len();
        others.sort();
        others.dedup();
        assert_eq!(others.len(), count, "{others:?}");
        assert_eq!(pinned(ExpectedVersion::Exact(Version(0))), pinned(ExpectedVersion::NoStream), "the same pin");
    }
}
