//! What messages mean, and what they are made from.

use uuid::Uuid;

use tonic::Status;

use super::limits::{BATCH_EVENTS, BATCH_EVENTS_MAX, MESSAGE_BYTES};
use super::message::{self, Event, MetadataEntry, QueryItem, SequencedEvent, TrackingInfo};
use super::status::invalid;
use crate::event::{EventType, Filter, NewEvent, Pattern, Position, Query, RecordedEvent, TRACKING_KEY, Tag};
use crate::gate::Caller;
use crate::store::{AppendCondition, Tracking};

/// The event at an index of an append.
pub(super) fn new_event((index, event): (usize, Event)) -> Result<NewEvent, Status> {
    let Event { event_type, tags, data, uuid, metadata } = event;
    let refuse = |reason: &dyn std::fmt::Display| invalid(format!("event {index}: {reason}"));
    let event_type = EventType::new(event_type).map_err(|error| refuse(&error))?;
    let mut event = NewEvent::untold(event_type, data);
    if !uuid.is_empty() {
        let id = Uuid::try_parse(&uuid).map_err(|error| refuse(&format!("uuid {uuid:?} is none: {error}")))?;
        // Some clients send zeros when they have none.
        event.id = if id.is_nil() { event.id } else { id };
    }
    event.tags = tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(|error| refuse(&error))?;
    for MetadataEntry { key, value } in metadata {
        let key_again = format!("metadata {key:?} is there twice; give each key one value");
        if event.metadata.insert(key, value).is_some() {
            return Err(refuse(&key_again));
        }
    }
    Ok(event)
}

/// The same event as a stored one, under an id of its own.
pub(super) fn again(event: RecordedEvent) -> NewEvent {
    let RecordedEvent { event_type, data, tags, content_type, metadata, .. } = event;
    NewEvent { tags, content_type, metadata, ..NewEvent::json(event_type, data) }
}

/// A query; none is every event.
pub(super) fn query(query: Option<message::Query>) -> Result<Query, Status> {
    let items = query.unwrap_or_default().items.into_iter().enumerate().map(filter);
    let query = Query { items: items.collect::<Result<_, _>>()? };
    query.validate().map_err(|error| invalid(error.to_string()))?;
    Ok(query)
}

/// A query, less what the caller may not see.
pub(super) fn narrowed(caller: &Caller, asked: Option<message::Query>) -> Result<Query, Status> {
    caller.narrow(query(asked)?).map_err(|error| invalid(error.to_string()))
}

fn filter((index, item): (usize, QueryItem)) -> Result<Filter, Status> {
    let refuse = |error| invalid(format!("query item {index}: {error}"));
    let types = item.types.into_iter().map(Pattern::literal).collect::<Result<_, _>>().map_err(refuse)?;
    let tags = item.tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(refuse)?;
    Ok(Filter { types, tags, ..Filter::default() })
}

/// A condition. No event can be after the head, whatever the client says it read.
pub(super) fn condition(condition: message::AppendCondition, head: Position) -> Result<AppendCondition, Status> {
    let after = Position(condition.after.unwrap_or_default()).min(head);
    Ok(AppendCondition { fail_if_match: query(condition.fail_if_events_match)?, after })
}

/// What is tracked.
pub(super) fn tracking(info: TrackingInfo) -> Tracking {
    Tracking { source: info.source, position: info.position }
}

/// How many events a message may have.
pub(super) fn batch_size(asked: Option<u32>) -> usize {
    asked.unwrap_or(BATCH_EVENTS).clamp(1, BATCH_EVENTS_MAX) as usize
}

/// Events in messages of at most so many, and of no more bytes than clients take.
pub(super) fn batches(events: Vec<RecordedEvent>, batch_size: usize) -> Vec<Vec<SequencedEvent>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::with_capacity(events.len().min(batch_size)), 0);
    for event in events {
        let event_bytes = size(&event);
        if batch.len() == batch_size || (bytes + event_bytes > MESSAGE_BYTES && !batch.is_empty()) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += event_bytes;
        batch.push(sequenced(event));
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// Bytes that an event takes in a message, or more.
fn size(event: &RecordedEvent) -> usize {
    /// Lengths, the position and the id.
    const EVENT: usize = 96;
    /// Tag and length of a text of at most 4096 bytes.
    const TEXT: usize = 4;
    let tags: usize = event.tags.iter().map(|tag| TEXT + tag.as_str().len()).sum();
    let metadata: usize = event.metadata.iter().map(|(key, value)| 3 * TEXT + key.len() + value.len()).sum();
    EVENT + event.event_type.as_str().len() + event.data.len() + tags + metadata
}

fn sequenced(mut event: RecordedEvent) -> SequencedEvent {
    let tracking = Tracking::of(&event);
    if tracking.is_some() {
        event.metadata.remove(TRACKING_KEY);
    }
    let entry = |(key, value)| MetadataEntry { key, value };
    SequencedEvent {
        position: event.position.0,
        event: Some(Event {
            event_type: event.event_type.into(),
            tags: event.tags.into_iter().map(String::from).collect(),
            data: event.data,
            uuid: event.id.to_string(),
            metadata: event.metadata.into_iter().map(entry).collect(),
        }),
        tracking_info: tracking.map(|Tracking { source, position }| TrackingInfo { source, position }),
    }
}
