//! Reads the body of an append: one JSON object, or NDJSON with one event a line.
//!
//! Data keeps its bytes. What an event must be is not decided here but in `event`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event_view::is_json;
use super::fields::{Fields, brief};
use super::problem::{Kind, Problem};
use crate::error::ErrorClass;
use crate::event::{
    APPEND_EVENTS_MAX, EventType, ExpectedVersion, Filter, NewEvent, Pattern, Position, Query, StreamName, Tag, Version,
};
use crate::store::{AppendCondition, AppendRequest, StreamExpectation};

pub(super) const BODY_FIELDS: &[&str] = &["events", "expected", "condition"];
pub(super) const CONDITION_FIELDS: &[&str] = &["fail_if_match", "after"];
pub(super) const QUERY_ITEM_FIELDS: &[&str] = &["types", "streams", "tags"];
pub(super) const EXPECTATION_FIELDS: &[&str] = &["stream", "version"];
pub(crate) const EVENT_FIELDS: &[&str] =
    &["id", "type", "stream", "tags", "data", "data_base64", "content_type", "metadata", "schema_version"];
/// Fields that events have when they are read, and that only the host sets.
pub(crate) const HOST_FIELDS: &[&str] = &["position", "version", "timestamp"];

/// What a body asks for, and on which line each event stood if it was NDJSON.
#[derive(Debug)]
pub(super) struct AppendBody {
    pub(super) request: AppendRequest,
    /// One line number, from 1, for each event; empty when the body was not NDJSON.
    pub(super) lines: Vec<usize>,
    /// Whether each event came with its id.
    pub(super) has_ids: Vec<bool>,
}

impl AppendBody {
    /// Reads `{"events":[..],"expected":[..],"condition":{..}}`.
    pub(super) fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Problem::invalid(format!("the body is not valid UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let fields = body_fields(text)?;
        let events = fields
            .get::<Vec<&RawValue>>("events", "a list of events")
            .map_err(Problem::invalid)?
            .ok_or_else(|| Problem::invalid(r#"`events` is missing; send {"events":[{"type":"..."}]}"#))?;
        check_count(events.len())?;
        let parse =
            |(index, event): (usize, &RawValue)| parse_event(event.get()).map_err(|reason| bad_event(index, &reason));
        let events = events.into_iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        let (expected, condition) = (parse_expected(&fields)?, parse_condition(&fields)?);
        let mut body = Self::of(events);
        body.request = AppendRequest { expected, condition, ..body.request };
        Ok(body)
    }

    /// An append of these events, without conditions.
    pub(super) fn of(events: Vec<ParsedEvent>) -> Self {
        let (events, has_ids) = events.into_iter().map(|parsed| (parsed.event, parsed.has_id)).unzip();
        Self { request: AppendRequest::unconditional(events), lines: Vec::new(), has_ids }
    }

    /// Reads one event a line. Blank lines are skipped.
    pub(super) fn from_ndjson(body: &[u8]) -> Result<Self, Problem> {
        let (mut events, mut lines) = (Vec::new(), Vec::new());
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let text = std::str::from_utf8(line)
                .map_err(|error| bad_line(number, &format!("not valid UTF-8 at byte {}", error.valid_up_to())))?;
            if text.trim().is_empty() {
                continue;
            }
            check_count(events.len() + 1)?;
            events.push(parse_event(text).map_err(|reason| bad_line(number, &reason))?);
            lines.push(number);
        }
        Ok(Self { lines, ..Self::of(events) })
    }
}

/// An event as it was written.
#[derive(Debug)]
pub(crate) struct ParsedEvent {
    /// The event.
    pub(crate) event: NewEvent,
    /// Whether its id was given; otherwise it is fresh.
    pub(crate) has_id: bool,
}

/// Reads one event from a JSON object. What is missing gets its default: a fresh id, `null` data.
///
/// # Errors
/// One line that names the field.
pub(crate) fn parse_event(text: &str) -> Result<ParsedEvent, String> {
    let fields = Fields::parse(text)?;
    if let Some(name) = HOST_FIELDS.iter().find(|name| fields.raw(name).is_some()) {
        return Err(format!("`{name}` is set by the host; leave it out"));
    }
    fields.refuse_unknown(EVENT_FIELDS)?;
    let event_type = fields.get::<String>("type", "a text")?.ok_or("`type` is missing; every event has one")?;
    let event_type = EventType::new(event_type).map_err(|error| error.to_string())?;
    let content_type = fields.get::<String>("content_type", "a text")?;
    let mut event = NewEvent::json(event_type, parse_data(&fields, content_type.as_deref())?);
    let id = parse_id(&fields)?;
    event.id = id.unwrap_or(event.id);
    let stream = fields.get::<String>("stream", "a text")?;
    event.stream = stream.map(StreamName::new).transpose().map_err(|error| error.to_string())?;
    event.tags = parse_tags(&fields)?;
    event.metadata =
        fields.get::<BTreeMap<String, String>>("metadata", "an object whose values are texts")?.unwrap_or_default();
    event.schema_version = fields.get::<u32>("schema_version", "a whole number from 1")?.unwrap_or(1);
    Ok(ParsedEvent { event: event.with_content_type(content_type), has_id: id.is_some() })
}

fn parse_id(fields: &Fields<'_>) -> Result<Option<Uuid>, String> {
    if fields.raw("id").is_none() {
        return Ok(None);
    }
    // A null is no id: whoever writes one meant to give one.
    let text = fields.get::<String>("id", "a UUID")?.ok_or("`id` is null; give a UUID, or leave it out")?;
    let id = Uuid::try_parse(&text).map_err(|error| format!("`id` {:?} is not a UUID: {error}", brief(&text)))?;
    Ok(Some(id))
}

fn parse_tags(fields: &Fields<'_>) -> Result<Vec<Tag>, String> {
    let tags = fields.get::<Vec<String>>("tags", "a list of texts")?.unwrap_or_default();
    tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

pub(super) fn parse_data(fields: &Fields<'_>, content_type: Option<&str>) -> Result<Vec<u8>, String> {
    let encoded = fields.get::<String>("data_base64", "a text in base64")?;
    match (fields.raw("data"), encoded) {
        (Some(_), Some(_)) => Err("both `data` and `data_base64` are given; give one".into()),
        (Some(data), None) if is_json(content_type) => Ok(data.get().into()),
        (Some(_), None) => Err(format!(
            "`data` is JSON, but content_type is {:?}; give other payloads as `data_base64`",
            brief(content_type.unwrap_or_default())
        )),
        (None, Some(encoded)) => {
            STANDARD.decode(&encoded).map_err(|error| format!("`data_base64` is not base64: {error}"))
        }
        (None, None) if is_json(content_type) => Ok(b"null".into()),
        (None, None) => Ok(Vec::new()),
    }
}

fn body_fields(text: &str) -> Result<Fields<'_>, Problem> {
    let fields = Fields::parse(text).map_err(Problem::invalid)?;
    if fields.raw("type").is_some() && fields.raw("events").is_none() {
        return Err(Problem::invalid(r#"this is an event, not an append; wrap it: {"events":[ ... ]}"#));
    }
    fields.refuse_unknown(BODY_FIELDS).map_err(Problem::invalid)?;
    Ok(fields)
}

fn parse_expected(fields: &Fields<'_>) -> Result<Vec<StreamExpectation>, Problem> {
    fields
        .get::<Vec<&RawValue>>("expected", "a list of objects with `stream` and `version`")
        .map_err(Problem::invalid)?
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(index, text)| {
            parse_expectation(text.get()).map_err(|reason| Problem::invalid(format!("expected[{index}]: {reason}")))
        })
        .collect()
}

fn parse_expectation(text: &str) -> Result<StreamExpectation, String> {
    let fields = Fields::parse(text)?;
    fields.refuse_unknown(EXPECTATION_FIELDS)?;
    let stream = fields.get::<String>("stream", "a text")?.ok_or("`stream` is missing")?;
    let version = fields.raw("version").ok_or("`version` is missing")?;
    Ok(StreamExpectation {
        stream: StreamName::new(stream).map_err(|error| error.to_string())?,
        expected: parse_version(version.get())?,
    })
}

pub(super) fn parse_condition(fields: &Fields<'_>) -> Result<Option<AppendCondition>, Problem> {
    let text = fields.get::<&RawValue>("condition", "an object with `fail_if_match` and `after`");
    let text = text.map_err(Problem::invalid)?;
    let condition = text.map(|text| condition(text.get())).transpose();
    condition.map_err(|reason| Problem::invalid(format!("condition: {reason}")).with("field", "condition"))
}

fn condition(text: &str) -> Result<AppendCondition, String> {
    let fields = Fields::parse(text)?;
    fields.refuse_unknown(CONDITION_FIELDS)?;
    let items = fields.get::<Vec<&RawValue>>("fail_if_match", "a list of objects with `types` and `tags`")?;
    let items = items.ok_or("`fail_if_match` is missing; an empty list matches every event")?;
    let item = |(index, text): (usize, &&RawValue)| {
        query_item(text.get()).map_err(|reason| format!("fail_if_match[{index}]: {reason}"))
    };
    Ok(AppendCondition {
        fail_if_match: Query { items: items.iter().enumerate().map(item).collect::<Result<_, _>>()? },
        after: Position(fields.get::<u64>("after", "a position")?.unwrap_or(0)),
    })
}

fn query_item(text: &str) -> Result<Filter, String> {
    let fields = Fields::parse(text)?;
    fields.refuse_unknown(QUERY_ITEM_FIELDS)?;
    let patterns = |name| -> Result<Vec<Pattern>, String> {
        let texts = fields.get::<Vec<String>>(name, "a list of texts")?.unwrap_or_default();
        texts.into_iter().map(Pattern::new).collect::<Result<_, _>>().map_err(|error| format!("`{name}`: {error}"))
    };
    Ok(Filter { types: patterns("types")?, streams: patterns("streams")?, tags: parse_tags(&fields)? })
}

/// Reads an expected version: a JSON number or one of three words.
pub(super) fn parse_version(text: &str) -> Result<ExpectedVersion, String> {
    match text {
        r#""any""# => Ok(ExpectedVersion::Any),
        r#""no_stream""# => Ok(ExpectedVersion::NoStream),
        r#""exists""# => Ok(ExpectedVersion::Exists),
        number => number.parse().map(|number| ExpectedVersion::Exact(Version(number))).map_err(|_| {
            format!(r#"`version` is {}; it must be a whole number, "no_stream", "exists" or "any""#, brief(text))
        }),
    }
}

/// Stops before more events are held than an append may have.
pub(super) fn check_count(count: usize) -> Result<(), Problem> {
    if count <= APPEND_EVENTS_MAX {
        return Ok(());
    }
    Err(Problem::invalid(format!("more than {APPEND_EVENTS_MAX} events in one append; split it")))
}

pub(super) fn bad_event(index: usize, reason: &str) -> Problem {
    Problem::new(ErrorClass::Invalid, Kind::InvalidEvent, format!("event {index}: {reason}")).with("index", index)
}

pub(super) fn bad_line(line: usize, reason: &str) -> Problem {
    Problem::new(ErrorClass::Invalid, Kind::InvalidEvent, format!("line {line}: {reason}")).with("line", line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_the_bytes_of_its_data() {
        let event = parse_event(r#"{"type":"T","data": {"b": 1.0, "a" : [1 ,2]} ,"tags":["x"]}"#).unwrap().event;
        assert_eq!(event.data, br#"{"b": 1.0, "a" : [1 ,2]}"#);
        assert_eq!(event.tags, [Tag::new("x").unwrap()]);
        assert_eq!((event.schema_version, event.content_type), (1, None));
        assert_eq!(parse_event(r#"{"type":"T"}"#).unwrap().event.data, b"null");
    }

    #[test]
    fn binary_data_comes_as_base64() {
        let event = parse_event(r#"{"type":"T","data_base64":"/wA=","content_type":"image/png"}"#).unwrap().event;
        assert_eq!((event.data.as_slice(), event.content_type.as_deref()), (&b"\xff\x00"[..], Some("image/png")));
    }

    #[test]
    fn bad_events_name_the_field() {
        for (text, expected) in [
            (r#"{"typ":"T"}"#, "unknown field `typ`; did you mean `type`?"),
            (r#"{"type":"T","schemaVersion":2}"#, "unknown field `schemaVersion`; did you mean `schema_version`?"),
            (r#"{"data":1}"#, "`type` is missing; every event has one"),
            (r#"{"type":""}"#, "event type is empty; give it 1 to 255 bytes"),
            (r#"{"type":7}"#, "`type` is 7; it must be a text"),
            (r#"{"type":"T","id":null}"#, "`id` is null; give a UUID, or leave it out"),
            (r#"{"type":"T","id":"42"}"#, "`id` \"42\" is not a UUID"),
            (r#"{"type":"T","tags":"x"}"#, "`tags` is \"x\"; it must be a list of texts"),
            (
                r#"{"type":"T","metadata":{"a":1}}"#,
                "`metadata` is {\"a\":1}; it must be an object whose values are texts",
            ),
            (r#"{"type":"T","data":1,"data_base64":""}"#, "both `data` and `data_base64` are given; give one"),
            (
                r#"{"type":"T","data":1,"content_type":"text/plain"}"#,
                "`data` is JSON, but content_type is \"text/plain\"",
            ),
            (r#"{"type":"T","data_base64":"*"}"#, "`data_base64` is not base64"),
            (r#"{"type":"T","schema_version":-1}"#, "`schema_version` is -1; it must be a whole number from 1"),
            (r#"{"type":"T","position":1}"#, "`position` is set by the host; leave it out"),
            (r#"{"type":"T","type":"U"}"#, "field `type` stands twice"),
            ("[]", "[] is not a JSON object"),
        ] {
            let error = parse_event(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn expected_versions_are_numbers_or_words() {
        assert_eq!(parse_version("3"), Ok(ExpectedVersion::Exact(Version(3))));
        assert_eq!(parse_version("\"no_stream\""), Ok(ExpectedVersion::NoStream));
        for bad in ["\"nostream\"", "-1", "1.0", "null", "\"3\""] {
            assert!(parse_version(bad).is_err(), "{bad}");
        }
    }
}
