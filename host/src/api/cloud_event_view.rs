//! A stored event as a `CloudEvent` 1.0 in JSON. What stands for what is said in `cloud_event`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::cloud_event::{
    ABSENT, CONTENT_TYPE_KEY, DATA_KEY, ID_KEY, JSON_PREFIX, OWN_ATTRIBUTES, OWN_SOURCE, SOURCE_KEY, SPEC_VERSION,
    TEXT_PREFIX, TIME_KEY, is_attribute, is_text,
};
use super::event_view::{json_data, timestamp};
use crate::event::{JSON_CONTENT_TYPE, RecordedEvent, metadata_key};

/// Attributes that stand for other things than metadata of their name.
const TAKEN: &[&str] = &["specversion", "id", "source", "type", "datacontenttype", "data", "time", "traceparent"];

/// The wire form of an event for readers of `CloudEvents`.
pub(super) struct CloudEventView<'a>(pub(super) &'a RecordedEvent);

impl Serialize for CloudEventView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        attributes(&mut map, self.0)?;
        data(&mut map, self.0)?;
        map.end()
    }
}

/// The same without its data.
pub(super) struct Attributes<'a>(pub(super) &'a RecordedEvent);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        attributes(&mut map, self.0)?;
        map.end()
    }
}

fn attributes<M: SerializeMap>(map: &mut M, event: &RecordedEvent) -> Result<(), M::Error> {
    let known = |key: &str| event.metadata.get(key).map(String::as_str);
    map.serialize_entry("specversion", SPEC_VERSION)?;
    match known(ID_KEY) {
        Some(id) => map.serialize_entry("id", id)?,
        None => map.serialize_entry("id", &event.id)?,
    }
    map.serialize_entry("source", known(SOURCE_KEY).unwrap_or(OWN_SOURCE))?;
    map.serialize_entry("type", event.event_type.as_str())?;
    match known(TIME_KEY) {
        Some(time) => map.serialize_entry("time", time)?,
        // Who sent it without a time reads it without one; when it was stored is told besides.
        None if known(SOURCE_KEY).is_some() => {}
        None => map.serialize_entry("time", &timestamp(event.timestamp_us))?,
    }
    let implied = known(SOURCE_KEY).is_some() && known(CONTENT_TYPE_KEY).is_none();
    match &event.content_type {
        Some(content_type) => map.serialize_entry("datacontenttype", content_type)?,
        None if implied => {}
        None => map.serialize_entry("datacontenttype", JSON_CONTENT_TYPE)?,
    }
    let mut rest = BTreeMap::new();
    for (key, value) in &event.metadata {
        match attribute(key, value) {
            Shown::Text(name) => map.serialize_entry(name, value)?,
            Shown::Json(name, json) => map.serialize_entry(name, json)?,
            Shown::Already => {}
            Shown::No => {
                rest.insert(key, value);
            }
        }
    }
    own(map, event, &rest)
}

/// How an entry of the metadata is shown.
enum Shown<'a> {
    Text(&'a str),
    Json(&'a str, &'a RawValue),
    /// By an attribute of the specification.
    Already,
    /// Not by an attribute of its own.
    No,
}

fn attribute<'a>(key: &'a str, value: &'a str) -> Shown<'a> {
    let free = |name: &&str| is_attribute(name) && !TAKEN.contains(name) && !OWN_ATTRIBUTES.contains(name);
    if matches!(key, ID_KEY | SOURCE_KEY | TIME_KEY) {
        return Shown::Already;
    }
    if (key == DATA_KEY && value == ABSENT) || (key == CONTENT_TYPE_KEY && value == JSON_CONTENT_TYPE) {
        return Shown::Already;
    }
    if key == metadata_key::TRACEPARENT {
        return Shown::Text(key);
    }
    if let Some(name) = key.strip_prefix(JSON_PREFIX).filter(free) {
        return serde_json::from_str(value).map_or(Shown::No, |json| Shown::Json(name, json));
    }
    key.strip_prefix(TEXT_PREFIX).filter(free).map_or(Shown::No, Shown::Text)
}

/// Writes what `CloudEvents` do not have.
fn own<M: SerializeMap>(
    map: &mut M,
    event: &RecordedEvent,
    metadata: &BTreeMap<&String, &String>,
) -> Result<(), M::Error> {
    map.serialize_entry("tmposition", &event.position.to_string())?;
    map.serialize_entry("tmrecordedtime", &timestamp(event.timestamp_us))?;
    if let Some(stream) = &event.stream {
        map.serialize_entry("tmstream", stream.as_str())?;
        map.serialize_entry("tmversion", &event.version.to_string())?;
    }
    if !event.tags.is_empty() {
        map.serialize_entry("tmtags", &json_text(&event.tags))?;
    }
    if !metadata.is_empty() {
        map.serialize_entry("tmmetadata", &json_text(metadata))?;
    }
    if event.schema_version != 1 {
        map.serialize_entry("tmschemaversion", &event.schema_version.to_string())?;
    }
    Ok(())
}

/// A list or an object of texts, as JSON text: attributes have no lists.
fn json_text(value: &impl Serialize) -> String {
    // Texts as keys and values: nothing of this can fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// Whether the event came with data.
pub(super) fn has_data(event: &RecordedEvent) -> bool {
    event.metadata.get(DATA_KEY).is_none_or(|data| data != ABSENT)
}

fn data<M: SerializeMap>(map: &mut M, event: &RecordedEvent) -> Result<(), M::Error> {
    if !has_data(event) {
        return Ok(());
    }
    if let Some(json) = json_data(event) {
        return map.serialize_entry("data", json);
    }
    match std::str::from_utf8(&event.data) {
        Ok(text) if is_text(event.content_type()) => map.serialize_entry("data", text),
        _ => map.serialize_entry("data_base64", &STANDARD.encode(&event.data)),
    }
}
