//! A stored event as JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

pub(super) use crate::clock::rfc3339 as timestamp;
use crate::event::{EventType, Position, RecordedEvent, StreamName, Tag, Version};

/// An event of the log. JSON payloads stand in `data` with their bytes as they are, anything else in `data_base64`;
/// `stream` and `version` are null outside any stream.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(super) struct EventView<'a> {
    position: Position,
    id: Uuid,
    #[serde(rename = "type")]
    #[schema(value_type = EventType)]
    event_type: &'a str,
    #[schema(value_type = Option<StreamName>)]
    stream: Option<&'a str>,
    version: Option<Version>,
    /// When it was stored.
    #[schema(format = DateTime)]
    timestamp: String,
    tags: &'a [Tag],
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(content_encoding = "base64")]
    data_base64: Option<String>,
    content_type: &'a str,
    metadata: &'a BTreeMap<String, String>,
    schema_version: u32,
}

impl<'a> From<&'a RecordedEvent> for EventView<'a> {
    fn from(event: &'a RecordedEvent) -> Self {
        let data = json_data(event);
        Self {
            position: event.position,
            id: event.id,
            event_type: event.event_type.as_str(),
            stream: event.stream.as_ref().map(StreamName::as_str),
            version: event.stream.is_some().then_some(event.version),
            timestamp: timestamp(event.timestamp_us),
            tags: &event.tags,
            data,
            data_base64: data.is_none().then(|| STANDARD.encode(&event.data)),
            content_type: event.content_type(),
            metadata: &event.metadata,
            schema_version: event.schema_version,
        }
    }
}

/// The wire form of many events.
pub(super) fn views(events: &[RecordedEvent]) -> Vec<EventView<'_>> {
    events.iter().map(EventView::from).collect()
}

/// Whether a payload of this content type is JSON text: `application/json` or a `+json` type (RFC 6839).
pub(super) fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// The payload as JSON; none if it is something else, or says so.
pub(super) fn json_data(event: &RecordedEvent) -> Option<&RawValue> {
    if is_json(event.content_type.as_deref()) { serde_json::from_slice(&event.data).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent};

    fn rendered(event: NewEvent) -> String {
        let event = RecordedEvent::record(event, Position(7), Version(0), 1_700_000_000_000_001);
        serde_json::to_string(&EventView::from(&event)).unwrap()
    }

    fn event(data: &[u8]) -> NewEvent {
        NewEvent { id: Uuid::from_u128(1), ..NewEvent::json(EventType::new("T").unwrap(), data) }
    }

    #[test]
    fn json_data_keeps_its_bytes() {
        assert_eq!(
            rendered(event(br#"{"a": 1.50,"a":"\u00e9"}"#)),
            r#"{"position":7,"id":"00000000-0000-0000-0000-000000000001","type":"T","stream":null,"version":null,"#
                .to_owned()
                + r#""timestamp":"2023-11-14T22:13:20.000001Z","tags":[],"data":{"a": 1.50,"a":"\u00e9"},"#
                + r#""content_type":"application/json","metadata":{},"schema_version":1}"#
        );
    }

    #[test]
    fn other_data_is_base64() {
        let text = rendered(event(b"\xff\x00").with_content_type(Some("image/png".into())));
        assert!(text.contains(r#""data_base64":"/wA=","content_type":"image/png""#), "{text}");
        let text = rendered(event(b"[1]").with_content_type(Some("application/vnd.x+json".into())));
        assert!(text.contains(r#""data":[1]"#), "{text}");
        let text = rendered(event(b"[1").with_content_type(Some("application/vnd.x+json".into())));
        assert!(text.contains(r#""data_base64":"WzE=""#), "a +json type promises nothing: {text}");
    }
}
