//! A stored event, as a handler sees it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::{Error, host, log, typed};

/// A stored event. Its payload and its open tail (tags, metadata) are parsed only when asked for.
#[derive(Debug)]
pub struct Event {
    fields: host::Event,
    tail: OnceCell<Box<Tail>>,
}

/// What travels in `event.context` of the contract.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tail {
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
    content_type: Option<String>,
}

impl Event {
    pub(crate) fn new(fields: host::Event) -> Self {
        Self { fields, tail: OnceCell::new() }
    }

    /// Place in the global order; the first event of the log is 1.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.fields.position
    }

    /// The event's UUID.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId(u128::from(self.fields.id.high) << 64 | u128::from(self.fields.id.low))
    }

    /// The event's type, such as `OrderPlaced`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.fields.event_type
    }

    /// The stream it belongs to, such as `order-42`, if any.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        self.fields.stream.as_deref()
    }

    /// The part of the stream's name after the first `-`: `42` of `order-42`.
    #[must_use]
    pub fn stream_id(&self) -> Option<&str> {
        self.stream()?.split_once('-').map(|(_, id)| id)
    }

    /// Place within the stream; the first event of a stream is 1. 0 outside any stream.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.fields.version
    }

    /// When the host stored it: microseconds since the Unix epoch, never decreasing with position.
    /// The only clock that a plugin has.
    #[must_use]
    pub fn timestamp_us(&self) -> u64 {
        self.fields.timestamp_us
    }

    /// Version of the payload's schema, from 1.
    #[must_use]
    pub fn schema_version(&self) -> u32 {
        self.fields.schema_version
    }

    /// The payload as text, if it is JSON.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.fields.payload {
            host::Payload::Json(text) => Some(text),
            host::Payload::Binary(_) => None,
        }
    }

    /// The payload's bytes, whatever it is.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.fields.payload {
            host::Payload::Json(text) => text.as_bytes(),
            host::Payload::Binary(bytes) => bytes,
        }
    }

    /// The payload as a `T`, which may borrow text from the event.
    ///
    /// # Errors
    /// [`Error::Decode`], with the path to the offending field, when it is not JSON or not a `T`.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        typed::decode_json(self.event_type(), self.json_text()?)
    }

    /// The event as an enum with one variant for each event type, as with [`typed`](fn@crate::typed).
    /// The enum may borrow text from the event.
    ///
    /// ```
    /// # use serde::Deserialize;
    /// #[derive(Deserialize)]
    /// enum Shop<'a> {
    ///     OrderPlaced { customer: &'a str },
    ///     OrderCancelled,
    ///     #[serde(other)]
    ///     Other,
    /// }
    /// # fn handle(event: &tidemill_sdk::Event) -> tidemill_sdk::Outcome {
    /// match event.decode()? {
    ///     Shop::OrderPlaced { customer } => println!("for {customer}"),
    ///     Shop::OrderCancelled | Shop::Other => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Decode`] when the type is none of the variants, and as [`json`](Self::json).
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        typed::decode_event(self.event_type(), self.json_text()?)
    }

    fn json_text(&self) -> Result<&str, Error> {
        self.text().ok_or_else(|| Error::Decode {
            event_type: self.event_type().into(),
            detail: format!("it is {}, not JSON", self.content_type()),
        })
    }

    /// The payload's content type.
    #[must_use]
    pub fn content_type(&self) -> &str {
        match (&self.fields.payload, &self.tail().content_type) {
            (_, Some(content_type)) => content_type,
            (host::Payload::Json(_), None) => "application/json",
            (host::Payload::Binary(_), None) => "application/octet-stream",
        }
    }

    /// The event's tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tail().tags
    }

    /// The rest of the first tag that begins with `key:`; `42` for the tag `order:42` and the key `order`.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        let rest = |tag: &'_ String| tag.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
        let tag = self.tags().iter().find(|tag| rest(tag))?;
        tag.get(key.len() + 1..)
    }

    /// The event's metadata.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.tail().metadata
    }

    /// What all events of one story share: the id of the event that began it.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.metadata().get("correlation_id").map(String::as_str)
    }

    /// The id of the event that caused this one.
    #[must_use]
    pub fn causation_id(&self) -> Option<&str> {
        self.metadata().get("causation_id").map(String::as_str)
    }

    fn tail(&self) -> &Tail {
        self.tail.get_or_init(|| {
            let Some(context) = &self.fields.context else { return Box::default() };
            serde_json::from_str(context).unwrap_or_else(|error| {
                log::warn(format_args!("context of event {} left out: {error}", self.position()));
                Box::default()
            })
        })
    }
}

/// An event's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

impl EventId {
    /// Its 128 bits, as a big-endian number.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for EventId {
    /// Writes it as other tools show it: `0190163d-8694-739b-aea5-966c26f8ad90`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            bits >> 96,
            bits >> 80 & 0xffff,
            bits >> 64 & 0xffff,
            bits >> 48 & 0xffff,
            bits & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::tidemill::plugin::types as contract;

    fn event(payload: host::Payload, context: Option<&str>) -> Event {
        Event::new(host::Event {
            position: 7,
            id: contract::EventId { high: 0x0190_163d_8694_739b, low: 0xaea5_966c_26f8_ad90 },
            event_type: "OrderPlaced".into(),
            stream: Some("order-42-b".into()),
            version: 1,
            timestamp_us: 0,
            schema_version: 1,
            payload,
            context: context.map(str::to_owned),
        })
    }

    #[test]
    fn the_open_tail_is_read_and_unknown_keys_are_not() {
        let context = r#"{"tags":["orders","order:42"],"metadata":{"correlation_id":"c"},"later":[1]}"#;
        let event = event(host::Payload::Json("{}".into()), Some(context));
        assert_eq!(event.tags(), ["orders", "order:42"]);
        assert_eq!((event.tag("order"), event.tag("ord"), event.tag("orders")), (Some("42"), None, None));
        assert_eq!((event.correlation_id(), event.causation_id()), (Some("c"), None));
        assert_eq!((event.content_type(), event.stream_id()), ("application/json", Some("42-b")));
    }

    #[test]
    fn an_event_without_tail_has_no_tags() {
        let event = event(host::Payload::Binary(vec![1]), None);
        assert!(event.tags().is_empty() && event.metadata().is_empty());
        let error = event.json::<u8>().unwrap_err().to_string();
        assert_eq!(error, "payload of OrderPlaced: it is application/octet-stream, not JSON");
    }

    #[test]
    fn ids_are_shown_as_uuids() {
        let id = event(host::Payload::Json(String::new()), None).id();
        assert_eq!(id.to_string(), "0190163d-8694-739b-aea5-966c26f8ad90");
    }
}
