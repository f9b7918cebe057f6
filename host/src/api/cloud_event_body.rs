//! Reads `CloudEvents` 1.0 from the body of an append: structured, in batches, and binary, whose attributes
//! are in the header. What stands for what is said in `cloud_event`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::append_body::{AppendBody, ParsedEvent, bad_event, check_count};
use super::cloud_event::{
    ABSENT, CONTENT_TYPE_KEY, DATA_KEY, ID_KEY, JSON_PREFIX, SPEC_VERSION, TEXT_PREFIX, event_id, is_attribute,
};
use super::event_view::is_json;
use super::fields::{Fields, brief};
use super::percent;
use super::problem::Problem;
use crate::event::{EventType, JSON_CONTENT_TYPE, NewEvent, StreamName, Tag, metadata_key};

/// Reads one event.
pub(super) fn structured(body: &[u8]) -> Result<AppendBody, Problem> {
    let parsed = text(body).and_then(event).map_err(|reason| bad_event(0, &reason))?;
    Ok(AppendBody::of(vec![parsed]))
}

/// Reads a list of events.
pub(super) fn batch(body: &[u8]) -> Result<AppendBody, Problem> {
    let text = text(body).map_err(Problem::invalid)?;
    let events: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| Problem::invalid(format!("the body is not a JSON list of CloudEvents: {error}")))?;
    check_count(events.len())?;
    let parse = |(index, raw): (usize, &RawValue)| event(raw.get()).map_err(|reason| bad_event(index, &reason));
    Ok(AppendBody::of(events.into_iter().enumerate().map(parse).collect::<Result<_, _>>()?))
}

/// Reads one event whose attributes are in the header and whose data is the body.
pub(super) fn binary(headers: &HeaderMap, body: &[u8]) -> Result<AppendBody, Problem> {
    let parsed = binary_event(headers, body).map_err(|reason| bad_event(0, &reason))?;
    Ok(AppendBody::of(vec![parsed]))
}

fn binary_event(headers: &HeaderMap, body: &[u8]) -> Result<ParsedEvent, String> {
    let mut attributes = Attributes::default();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let value = std::str::from_utf8(value.as_bytes()).ok().and_then(percent::decode);
        let value = value.ok_or_else(|| format!("header ce-{name} is not percent-encoded UTF-8"))?;
        attributes.insert(name, Attribute::Text(value))?;
    }
    if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
        let content_type = content_type.to_str().map_err(|_| "header Content-Type is not ASCII")?;
        attributes.insert("datacontenttype", Attribute::Text(content_type.into()))?;
    }
    attributes.into_event((!body.is_empty()).then(|| body.to_vec()))
}

fn text(body: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(body).map_err(|error| format!("the body is not valid UTF-8 at byte {}", error.valid_up_to()))
}

fn event(text: &str) -> Result<ParsedEvent, String> {
    let fields = Fields::parse(text)?;
    let mut attributes = Attributes::default();
    for (name, value) in fields.iter().filter(|(name, _)| !matches!(*name, "data" | "data_base64")) {
        match value.get() {
            "null" => continue,
            json if json.starts_with('"') => {
                let text = serde_json::from_str(json).map_err(|error| format!("`{name}`: {error}"))?;
                attributes.insert(name, Attribute::Text(text))?;
            }
            json if json.starts_with(['{', '[']) => {
                return Err(format!("`{name}` is {}; attributes are texts, numbers or booleans", brief(json)));
            }
            json => attributes.insert(name, Attribute::Json(json.into()))?,
        }
    }
    let data = data(&fields, attributes.text("datacontenttype")?)?;
    attributes.into_event(data)
}

/// The bytes of the data; none if there are none.
fn data(fields: &Fields<'_>, content_type: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    let encoded = fields.get::<String>("data_base64", "a text in base64")?;
    match (fields.raw("data"), encoded) {
        (Some(_), Some(_)) => Err("both `data` and `data_base64` are given; give one".into()),
        (None, None) => Ok(None),
        (None, Some(encoded)) => {
            STANDARD.decode(&encoded).map(Some).map_err(|error| format!("`data_base64` is not base64: {error}"))
        }
        (Some(data), None) if is_json(content_type) => Ok(Some(data.get().into())),
        (Some(data), None) => match serde_json::from_str::<String>(data.get()) {
            Ok(text) => Ok(Some(text.into())),
            Err(_) => Err(format!(
                "`data` is JSON, but datacontenttype is {:?}; give it as a text or as `data_base64`",
                brief(content_type.unwrap_or_default())
            )),
        },
    }
}

/// The value of an attribute.
#[derive(Debug)]
enum Attribute {
    Text(String),
    /// A number or a boolean.
    Json(String),
}

/// Context attributes, by name.
#[derive(Debug, Default)]
struct Attributes(BTreeMap<String, Attribute>);

impl Attributes {
    fn insert(&mut self, name: &str, value: Attribute) -> Result<(), String> {
        if !is_attribute(name) {
            return Err(format!("`{}` does not name an attribute; use small letters and digits", brief(name)));
        }
        match self.0.insert(name.into(), value) {
            None => Ok(()),
            Some(_) => Err(format!("attribute `{name}` stands twice")),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Attribute::Text(text)) => Ok(Some(text)),
            Some(Attribute::Json(json)) => Err(format!("`{name}` is {}; it must be a text", brief(json))),
        }
    }

    fn take(&mut self, name: &str) -> Result<Option<String>, String> {
        self.text(name)?;
        Ok(self.0.remove(name).map(|(Attribute::Text(text) | Attribute::Json(text))| text))
    }

    fn required(&mut self, name: &str) -> Result<String, String> {
        let text = self.take(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("`{name}` is missing; every CloudEvent has one"))
    }

    fn into_event(mut self, data: Option<Vec<u8>>) -> Result<ParsedEvent, String> {
        let version = self.required("specversion")?;
        if version != SPEC_VERSION {
            return Err(format!("`specversion` is {:?}; known is {SPEC_VERSION:?}", brief(&version)));
        }
        let (id, event_type) = (self.required("id")?, self.required("type")?);
        let source = self.text("source")?.filter(|source| !source.is_empty());
        let (uuid, is_uuid) = event_id(source.ok_or("`source` is missing; every CloudEvent has one")?, &id);
        self.check_time()?;
        let content_type = self.take("datacontenttype")?;
        let event_type = EventType::new(event_type).map_err(|error| error.to_string())?;
        let has_data = data.is_some();
        let empty = if is_json(content_type.as_deref()) { b"null".to_vec() } else { Vec::new() };
        let mut event = NewEvent { id: uuid, ..NewEvent::json(event_type, data.unwrap_or(empty)) };
        self.take_own(&mut event)?;
        let mut keep = |key: &str, value: String| event.metadata.insert(key.into(), value);
        if !is_uuid {
            keep(ID_KEY, id);
        }
        if !has_data {
            keep(DATA_KEY, ABSENT.into());
        }
        if content_type.as_deref() == Some(JSON_CONTENT_TYPE) {
            keep(CONTENT_TYPE_KEY, JSON_CONTENT_TYPE.into());
        }
        for (name, value) in self.0 {
            match value {
                Attribute::Text(text) => keep(&format!("{TEXT_PREFIX}{name}"), text),
                Attribute::Json(json) => keep(&format!("{JSON_PREFIX}{name}"), json),
            };
        }
        Ok(ParsedEvent { event: event.with_content_type(content_type), has_id: true })
    }

    fn check_time(&self) -> Result<(), String> {
        match self.text("time")? {
            Some(time) if time.parse::<jiff::Timestamp>().is_err() => {
                Err(format!("`time` is {:?}; give a time as in RFC 3339, such as 2026-01-31T12:00:00Z", brief(time)))
            }
            _ => Ok(()),
        }
    }

    /// Takes what stands for parts of the event that `CloudEvents` do not have.
    fn take_own(&mut self, event: &mut NewEvent) -> Result<(), String> {
        for set_by_host in ["tmposition", "tmversion", "tmrecordedtime"] {
            self.0.remove(set_by_host);
        }
        let json = |name: &str, shape: &str| format!("`{name}` must be {shape} as JSON text");
        event.stream =
            self.take("tmstream")?.map(StreamName::new).transpose().map_err(|error| format!("`tmstream`: {error}"))?;
        if let Some(text) = self.take("tmtags")? {
            let tags: Vec<Tag> = serde_json::from_str(&text).map_err(|_| json("tmtags", "a list of tags"))?;
            event.tags = tags;
        }
        if let Some(text) = self.take("tmmetadata")? {
            event.metadata = serde_json::from_str(&text).map_err(|_| json("tmmetadata", "an object of texts"))?;
        }
        if let Some(text) = self.take("tmschemaversion")? {
            event.schema_version = text.parse().map_err(|_| json("tmschemaversion", "a whole number from 1"))?;
        }
        if let Some(traceparent) = self.take(metadata_key::TRACEPARENT)? {
            event.metadata.insert(metadata_key::TRACEPARENT.into(), traceparent);
        }
        Ok(())
    }
}
