//! Commands that wait in the log, as the bus takes them; and those of them that were given up.
//!
//! One that was given up has an event `$command-failed` in the stream `$commands`, whose id follows from the command's and
//! from the store: the reason and the evidence are as durable as an outcome.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::CommandError;
use super::queue_checkpoint;
use super::record::{self, Settled, Stamp};
use super::request::Command;
use crate::delivery::{Envelope, Evidence, find_accepted};
use crate::event::{
    ACCEPTED_STREAM, COMMAND_KEY, EventType, FAILED_TYPE, NewEvent, OwnIds, Pattern, Position, RecordedEvent,
    StreamName,
};
use crate::store::{Store, StoreError};

/// Namespace of ids of failures: a random UUID, fixed for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d0b_61c8_27e4_4c15_b3f0_5a86_e214_7f3d);
/// Where failures are.
const STREAM: &str = "$commands";

/// What a command is, once it was sent to be decided later.
#[derive(Clone, Debug)]
pub enum TakenUp {
    /// It waits.
    Waits(Accepted),
    /// It has an outcome, from before.
    Settled(Box<Settled>),
}

/// A command that was accepted, and is not decided yet.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// The stream that it will be decided against.
    pub stream: StreamName,
    /// Position at which it was accepted.
    pub position: Position,
    /// Whether it was accepted before it was sent this time.
    pub repeated: bool,
}

/// Why an accepted command was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The command's id.
    pub command_id: String,
    /// The stream that it was for.
    pub stream: StreamName,
    /// What kind of failure it is: a fault's name, or what the API names the problem; before it did so, a class of errors.
    pub kind: String,
    /// Why, for people.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The last of what the component wrote to stderr and to the log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr_tail: String,
    /// The component's backtrace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backtrace: String,
}

impl Failure {
    /// How often it was tried, in words.
    pub(super) fn tried(&self) -> String {
        if self.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", self.attempts) }
    }
}

/// The event by which a command is accepted; who sent it may lead to events of these types only, if any are given.
pub(super) fn event(command: &Command, stamp: Stamp<'_>, types: &[Pattern]) -> Result<NewEvent, CommandError> {
    let Command { aggregate, key, id, command_type, .. } = command.clone();
    let envelope = Envelope::new(id, aggregate, key, command_type);
    let mut envelope = envelope.expecting(command.expected, command.condition.clone());
    envelope.digest = stamp.digest.to_owned();
    envelope.types = types.to_vec();
    envelope.deadline_ms = command.deadline_ms;
    let mut event = NewEvent::json(EventType::from_stored(FAILED_TYPE), command.data.clone());
    event.content_type.clone_from(&command.content_type);
    event.metadata.clone_from(&command.metadata);
    envelope.seal(event, stamp.ids).map_err(|bytes| CommandError::TooMuchToKeep { bytes })
}

/// A command as it was accepted, and the event types that may follow.
pub(super) fn command(event: &RecordedEvent, envelope: Envelope) -> (Command, Vec<Pattern>) {
    let (expected, condition) = (envelope.expected(), envelope.condition());
    let mut metadata = event.metadata.clone();
    metadata.remove(COMMAND_KEY);
    let Envelope { id, aggregate, key, command_type, types, deadline_ms, .. } = envelope;
    let (data, content_type) = (event.data.clone(), event.content_type.clone());
    let command =
        Command { aggregate, key, id, command_type, data, content_type, metadata, expected, condition, deadline_ms };
    (command, types)
}

/// Why a command is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Why<'a> {
    /// What ended it.
    pub(super) error: &'a CommandError,
    /// Where that is its deadline: what it failed at last before, if it did.
    pub(super) before: Option<&'a CommandError>,
    /// How often it was tried.
    pub(super) attempts: u32,
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            None => f.write_str(&self.error.reason()),
            Some(before) => {
                let (failures, reason) = (self.attempts.saturating_sub(1), before.reason());
                write!(f, "{reason}; its deadline passed after it had failed so often: {failures}")
            }
        }
    }
}

/// The event by which a command is given up.
pub(super) fn failed(ids: OwnIds, command: &Command, stream: &StreamName, why: Why<'_>) -> NewEvent {
    let error = why.before.unwrap_or(why.error);
    let Evidence { stderr_tail, backtrace } = error.evidence().cloned().unwrap_or_default();
    let kind = error.kind().to_owned();
    let (command_id, stream, reason, attempts) = (command.id.clone(), stream.clone(), why.to_string(), why.attempts);
    let failure = Failure { command_id, stream, kind, reason, attempts, stderr_tail, backtrace };
    // Texts and numbers always serialise.
    let data = serde_json::to_vec(&failure).unwrap_or_default();
    let mut event = NewEvent::json(EventType::from_stored(FAILED_TYPE), data).on(StreamName::from_stored(STREAM));
    event.id = failed_id(ids, &command.id);
    event.metadata.clone_from(&command.metadata);
    record::about(command, &mut event);
    event
}

/// The id of the event by which a command is given up.
pub(super) fn failed_id(ids: OwnIds, command_id: &str) -> Uuid {
    ids.id(&NAMESPACE, command_id)
}

/// The id that such an event has that was written before ids followed from the store: a UUID v5. It is looked for, and not
/// given any more, as everybody can tell it in advance.
pub(super) fn failed_id_of_before(command_id: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, command_id.as_bytes())
}

/// Why a command was given up, if it was. Blocks.
pub(super) fn find_failure(store: &dyn Store, command_id: &str) -> Result<Option<Failure>, StoreError> {
    match find_failure_under(store, failed_id(store.own_ids(), command_id))? {
        None => find_failure_under(store, failed_id_of_before(command_id)),
        found => Ok(found),
    }
}

/// The same, where that has this id.
fn find_failure_under(store: &dyn Store, id: Uuid) -> Result<Option<Failure>, StoreError> {
    let Some(event) = store.event(id)? else { return Ok(None) };
    let corrupted = |error: serde_json::Error| StoreError::CorruptedRow {
        what: format!("the failure of a command at position {}", event.position),
        reason: error.to_string(),
    };
    let of_host = event.event_type.as_str() == FAILED_TYPE;
    of_host.then(|| serde_json::from_slice(&event.data).map_err(corrupted)).transpose()
}

/// Whether there is an outcome or a failure that settles a command, whose digests are given. Blocks.
pub(super) fn is_settled(store: &dyn Store, command_id: &str, digests: &[String]) -> Result<bool, StoreError> {
    let outcome = record::find(store, command_id)?;
    Ok(outcome.is_some_and(|(known, _)| digests.contains(&known)) || find_failure(store, command_id)?.is_some())
}

/// The outcome of a command, and the digest of what asked for it. Refuses as [`refuse_taken`] where there is none: before
/// the command is held to anything that may have changed since it was accepted. Blocks.
pub(super) fn known(
    store: &dyn Store,
    command_id: &str,
    digest: &str,
) -> Result<Option<(String, Settled)>, CommandError> {
    let found = record::find(store, command_id)?;
    if found.is_none() {
        refuse_taken(store, command_id, digest)?;
    }
    Ok(found)
}

/// The event by which a command was accepted, if it was. Refuses one whose id another accepted one has, and one that was
/// given up, or whose outcome was removed: it is settled, though it has no outcome. Blocks.
pub(super) fn refuse_taken(
    store: &dyn Store,
    command_id: &str,
    digest: &str,
) -> Result<Option<RecordedEvent>, CommandError> {
    // Few logs hold any.
    if store.stream_head(&StreamName::from_stored(ACCEPTED_STREAM))?.is_none() {
        return Ok(None);
    }
    let accepted = find_accepted(store, command_id)?;
    if accepted.as_ref().is_some_and(|(event, envelope)| asked_by(event, envelope) != digest) {
        return Err(CommandError::IdTaken { id: command_id.to_owned(), for_now: false });
    }
    if let Some(failure) = find_failure(store, command_id)? {
        return Err(CommandError::GivenUp(Box::new(failure)));
    }
    let Some((event, _)) = accepted else { return Ok(None) };
    // It may have been settled since its outcome was looked for.
    if queue_checkpoint::read(store)?.is_settled(event.version) && record::find(store, command_id)?.is_none() {
        return Err(CommandError::OutcomeGone { id: command_id.to_owned(), position: event.position });
    }
    Ok(Some(event))
}

/// The digest of what an accepted command asks, as it is made today: what its envelope has may be of another version.
fn asked_by(event: &RecordedEvent, envelope: &Envelope) -> String {
    record::digest(&command(event, envelope.clone()).0)
}
