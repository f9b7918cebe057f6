//! What was decided: held against bounds and grants, and made what is to be appended.

use std::collections::BTreeSet;

use super::aggregate::{Faulted, Rejection, Stage};
use super::claims::Decider;
use super::error::CommandError;
use super::record::{self, Outcome, Stamp};
use super::request::{Command, InvalidCommand, OWN_ENTRIES};
use super::shard::{Source, Unsaved};
use crate::delivery::{Evidence, Fault};
use crate::event::{EventType, ExpectedVersion, METADATA_ENTRIES_MAX, NewEvent, StreamName, Version, metadata_key};
use crate::store::{AppendError, AppendRequest, StreamExpectation};

/// Most events that one command leads to.
const DECIDED_EVENTS_MAX: usize = 1024;
/// Largest outcome: payloads, names and metadata of its events, in bytes.
pub(super) const DECIDED_BYTES_MAX: usize = 4 << 20;

/// What is to be appended.
pub(super) struct Proposal {
    pub(super) request: AppendRequest,
    pub(super) outcome: Proposed,
    /// The version that it was decided at.
    pub(super) version: Version,
    /// What no snapshot stands for.
    pub(super) unsaved: Unsaved,
}

pub(super) enum Proposed {
    Events(Vec<EventType>),
    Nothing(Outcome),
}

impl Proposal {
    /// What a decision that was [`checked`] comes to.
    pub(super) fn of(
        command: &Command,
        stamp: Stamp<'_>,
        at: (&StreamName, Version),
        decided: Result<Vec<NewEvent>, Rejection>,
        unsaved: Unsaved,
    ) -> Self {
        let (request, outcome) = match decided {
            Ok(events) if events.is_empty() => {
                let event = record::kept(command, stamp, at, None);
                let condition = command.condition.clone();
                let request = AppendRequest { condition, ..AppendRequest::unconditional(vec![event]) };
                (request, Proposed::Nothing(Outcome::Accepted(Vec::new())))
            }
            Ok(events) => followed(command, stamp, at, events),
            Err(rejection) => {
                let event = record::kept(command, stamp, at, Some(&rejection));
                let request = AppendRequest::unconditional(vec![event]);
                (request, Proposed::Nothing(Outcome::Rejected(rejection)))
            }
        };
        let (_, version) = at;
        Self { request: AppendRequest { by_host: true, ..request }, outcome, version, unsaved }
    }
}

fn followed(
    command: &Command,
    stamp: Stamp<'_>,
    (stream, version): (&StreamName, Version),
    mut events: Vec<NewEvent>,
) -> (AppendRequest, Proposed) {
    let types = events.iter().map(|event| event.event_type.clone()).collect();
    record::complete(command, stamp, stream, &mut events);
    let expected = StreamExpectation { stream: stream.clone(), expected: ExpectedVersion::Exact(version) };
    let (expected, condition) = (vec![expected], command.condition.clone());
    let request = AppendRequest { expected, condition, ..AppendRequest::unconditional(events) };
    (request, Proposed::Events(types))
}

impl Proposed {
    /// What it means that the store refused it: events that no append takes, or not together, are the fault of who decided
    /// on them.
    pub(super) fn refused(&self, source: &Source<'_>, error: AppendError) -> CommandError {
        match (self, error) {
            (Self::Events(_), AppendError::InvalidEvent { index, reason }) => {
                source.faulted(bad_reply(format!("event {index} of its decision: {reason}")))
            }
            // Whoever sent the command cannot split what it led to.
            (Self::Events(_), AppendError::TooMuchToCheck { count }) => source.faulted(bad_reply(format!(
                "it takes too much to hold the first {count} events of its decision to their schemas"
            ))),
            (_, error) => error.into(),
        }
    }
}

/// Holds what was decided against bounds and grants.
pub(super) fn checked(
    decider: &Decider,
    source: &Source<'_>,
    command: &Command,
    events: Vec<NewEvent>,
) -> Result<Vec<NewEvent>, CommandError> {
    let plugin = &decider.setup.plugin;
    let (count, bytes) = (events.len(), events.iter().map(NewEvent::size_bytes).sum::<usize>());
    if count > DECIDED_EVENTS_MAX || bytes > DECIDED_BYTES_MAX {
        return Err(source.faulted(bad_reply(format!(
            "it decided on {count} events of {bytes} bytes; at most {DECIDED_EVENTS_MAX} events of {DECIDED_BYTES_MAX} \
             bytes may follow from one command"
        ))));
    }
    for (index, event) in events.iter().enumerate() {
        let invalid = |reason: String| source.faulted(bad_reply(format!("event {index} of its decision: {reason}")));
        event.validate().map_err(|reason| invalid(reason.to_string()))?;
        let append = &decider.setup.append;
        if !append.allows(event.event_type.as_str()) {
            let (event_type, cure) = (event.event_type.clone(), append.to_append(event.event_type.as_str()));
            let error = CommandError::NotGranted { plugin: plugin.clone(), event_type, cure };
            tracing::warn!(%plugin, stream = %source.stream, reason = %error, "plugin was denied something");
            return Err(error);
        }
        if let Some(count) = too_many(event, None) {
            return Err(invalid(format!(
                "{count} metadata entries with the host's own; at most {METADATA_ENTRIES_MAX}"
            )));
        }
        if let Some(count) = too_many(event, Some(command)) {
            return Err(InvalidCommand::TooManyForEvent { index, count }.into());
        }
    }
    // Before it is on each of them.
    let metadata: usize = command.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    let bytes = bytes + count * metadata;
    if bytes > DECIDED_BYTES_MAX {
        return Err(InvalidCommand::TooMuchForEvents { events: count, bytes }.into());
    }
    Ok(events)
}

/// How many metadata entries an event will have, with those of a command if one is given, where that is too many.
fn too_many(event: &NewEvent, command: Option<&Command>) -> Option<usize> {
    let given = command.map(|command| &command.metadata);
    if event.metadata.len() + given.map_or(0, |given| given.len()) + OWN_ENTRIES <= METADATA_ENTRIES_MAX {
        return None;
    }
    // What it says in the host's place does not stay.
    let kept = event.metadata.keys().filter(|key| !metadata_key::is_of_host(key));
    let keys = kept.chain(given.into_iter().flat_map(|given| given.keys())).map(String::as_str);
    let count = keys.chain(record::OWN_KEYS).collect::<BTreeSet<_>>().len();
    (count > METADATA_ENTRIES_MAX).then_some(count)
}

fn bad_reply(reason: String) -> Faulted {
    Faulted { stage: Stage::Decide, fault: Fault::BadReply, reason, evidence: Evidence::default() }
}
