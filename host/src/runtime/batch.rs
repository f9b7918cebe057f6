//! Handing a batch over by the plain lane: events borrow from the batch, and nothing is allocated for one of them.
//!
//! The exception is the context (tags, metadata, content type), which crosses as JSON: it is written for
//! all events of a batch into one buffer, which is kept between calls.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::bindings::{Event, EventId, Payload};
use crate::event::{RecordedEvent, StreamName, Tag};

/// Buffer bytes kept between calls; a larger one is given back.
const KEEP_BYTES_MAX: usize = 1 << 20;

/// The contexts of a batch's events.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    json: Vec<u8>,
    ranges: Vec<Option<Range<usize>>>,
}

/// `event.context`: what of it an event does not have is left out.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(skip_serializing_if = "<[Tag]>::is_empty")]
    tags: &'a [Tag],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
}

impl Contexts {
    /// Writes the contexts of a batch in place of the last one's.
    pub(super) fn write(&mut self, batch: &[RecordedEvent]) -> serde_json::Result<()> {
        self.json.clear();
        self.json.shrink_to(KEEP_BYTES_MAX);
        self.ranges.clear();
        for event in batch {
            let range = self.write_one(event)?;
            self.ranges.push(range);
        }
        Ok(())
    }

    fn write_one(&mut self, event: &RecordedEvent) -> serde_json::Result<Option<Range<usize>>> {
        let start = self.json.len();
        write_context(&mut self.json, event)?;
        let range = start..self.json.len();
        Ok(Some(range).filter(|range| !range.is_empty()))
    }

    /// The events of the batch that was written last, in the form that crosses.
    pub(super) fn lower<'a>(&'a self, batch: &'a [RecordedEvent]) -> Vec<Event<'a>> {
        batch.iter().zip(&self.ranges).map(|(event, range)| lower(event, self.context(range.as_ref()))).collect()
    }

    fn context(&self, range: Option<&Range<usize>>) -> Option<&str> {
        std::str::from_utf8(self.json.get(range?.clone())?).ok()
    }
}

/// Writes an event's context; nothing if it has none.
pub(super) fn write_context(json: &mut Vec<u8>, event: &RecordedEvent) -> serde_json::Result<()> {
    if event.tags.is_empty() && event.metadata.is_empty() && event.content_type.is_none() {
        return Ok(());
    }
    let content_type = event.content_type.as_deref();
    serde_json::to_writer(json, &Context { tags: &event.tags, metadata: &event.metadata, content_type })
}

fn lower<'a>(event: &'a RecordedEvent, context: Option<&'a str>) -> Event<'a> {
    let (high, low) = event.id.as_u64_pair();
    Event {
        position: event.position.0,
        id: EventId { high, low },
        event_type: event.event_type.as_str(),
        stream: event.stream.as_ref().map(StreamName::as_str),
        version: event.version.0,
        timestamp_us: event.timestamp_us,
        schema_version: event.schema_version,
        payload: event.json().map_or(Payload::Binary(&event.data), Payload::Json),
        context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, Position, Version};

    fn recorded(event: NewEvent) -> RecordedEvent {
        RecordedEvent::record(event, Position(7), Version(3), 9)
    }

    #[test]
    fn only_events_with_a_context_have_one() {
        let plain = NewEvent::json(EventType::new("T").unwrap(), "{}");
        let mut rich = plain.clone().with_content_type(Some("image/png".into()));
        rich.tags = vec![Tag::new("a:1").unwrap()];
        rich.metadata.insert("actor".into(), "\"me\"".into());
        let batch = [recorded(plain.clone()), recorded(rich), recorded(plain)];
        let mut contexts = Contexts::default();
        for _ in 0..2 {
            contexts.write(&batch).unwrap();
            let events = contexts.lower(&batch);
            let context: Vec<_> = events.iter().map(|event| event.context).collect();
            let json = r#"{"tags":["a:1"],"metadata":{"actor":"\"me\""},"content_type":"image/png"}"#;
            assert_eq!(context, [None, Some(json), None]);
            assert!(matches!(events[0].payload, Payload::Json("{}")));
            assert!(matches!(events[1].payload, Payload::Binary(b"{}")));
        }
    }
}
