//! `append`: events that the plugin wants in the log.

use uuid::Uuid;

use crate::delivery::EffectError;
use crate::event::{EventType, JSON_CONTENT_TYPE, NameError, NewEvent, Position, StreamName, Tag};
use crate::runtime::bindings::append::{Host, HostError, NewEvent as Proposed, Payload};
use crate::runtime::guest::Guest;
use crate::trace::Span;

/// Content type of a binary payload that names none.
const BINARY_CONTENT_TYPE: &str = "application/octet-stream";

impl Host for Guest {
    fn append(&mut self, cause: u64, events: Vec<Proposed>) -> Result<(), HostError> {
        let _span = Span::call("append");
        self.effects()?;
        let events: Result<Vec<_>, EffectError> =
            events.into_iter().enumerate().map(|(index, event)| check(index, event)).collect();
        let events = events.map_err(|error| self.refusal(error))?;
        self.effects()?.append_all(Position(cause), events).map_err(|error| self.refusal(error))
    }
}

/// Turns a guest's proposal into an event. Its id is given when it is staged.
fn check(index: usize, proposed: Proposed) -> Result<NewEvent, EffectError> {
    let invalid = |reason: String| EffectError::Invalid(format!("event {index} of this call: {reason}"));
    let (data, content_type) = payload(proposed.payload, proposed.content_type).map_err(invalid)?;
    let name = |error: NameError| invalid(error.to_string());
    let event = NewEvent {
        id: Uuid::nil(),
        event_type: EventType::new(proposed.event_type).map_err(name)?,
        stream: proposed.stream.map(StreamName::new).transpose().map_err(name)?,
        tags: proposed.tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(name)?,
        data,
        content_type: None,
        metadata: proposed.metadata.into_iter().collect(),
        schema_version: proposed.schema_version,
    };
    Ok(event.with_content_type(content_type))
}

/// Bytes and content type of a payload.
pub(in crate::runtime) fn payload(
    payload: Payload,
    content_type: Option<String>,
) -> Result<(Vec<u8>, Option<String>), String> {
    match (payload, content_type) {
        (Payload::Binary(data), None) => Ok((data, Some(BINARY_CONTENT_TYPE.into()))),
        (Payload::Binary(data), given) => Ok((data, given)),
        (Payload::Json(_), Some(given)) if given != JSON_CONTENT_TYPE => {
            Err(format!("content type {given:?} goes with a binary payload; a json one is {JSON_CONTENT_TYPE}"))
        }
        (Payload::Json(text), _) => Ok((text.into_bytes(), None)),
    }
}
