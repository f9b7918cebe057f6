//! A stored event, as a handler sees it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::{Error, Failure, Outcome, host, json, log, typed};

/// Bit of `head.traits`: the payload is JSON.
pub(crate) const TRAIT_JSON: u32 = 1;

/// The content type of what is not JSON, if none is given.
const BINARY: &str = "application/octet-stream";

/// A stored event, borrowed from the batch. Its payload and its open tail (tags, metadata) are parsed only
/// when asked for.
#[derive(Debug)]
pub struct Event<'b> {
    head: &'b host::Head,
    event_type: &'b str,
    stream: &'b str,
    payload: &'b [u8],
    context: &'b [u8],
    content_type: OnceCell<Option<String>>,
    tail: OnceCell<Box<Tail>>,
}

/// What travels in the context.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tail {
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
}

impl<'b> Event<'b> {
    /// The event of a head. The host's offsets are checked here, once.
    pub(crate) fn read(head: &'b host::Head, blob: &'b [u8]) -> Outcome<Self> {
        let part = |span: host::Span| {
            let rest = blob.get(usize::try_from(span.start).ok()?..)?;
            rest.get(..usize::try_from(span.length).ok()?)
        };
        let text = |span| str::from_utf8(part(span)?).ok();
        let read = || {
            Some(Self {
                head,
                event_type: text(head.event_type)?,
                stream: text(head.stream)?,
                payload: part(head.payload)?,
                context: part(head.context)?,
                content_type: OnceCell::new(),
                tail: OnceCell::new(),
            })
        };
        read().ok_or_else(|| Failure::stop("the host's batch does not hold what its heads say; please report this"))
    }

    /// Place in the global order; the first event of the log is 1.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.head.position
    }

    /// The event's UUID.
    #[must_use]
    pub fn id(&self) -> EventId {
        EventId(u128::from(self.head.id.high) << 64 | u128::from(self.head.id.low))
    }

    /// The event's type, such as `OrderPlaced`.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.event_type
    }

    /// The stream it belongs to, such as `order-42`, if any.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        Some(self.stream).filter(|stream| !stream.is_empty())
    }

    /// The part of the stream's name after the first `-`: `42` of `order-42`.
    #[must_use]
    pub fn stream_id(&self) -> Option<&str> {
        self.stream()?.split_once('-').map(|(_, id)| id)
    }

    /// Place within the stream; the first event of a stream is 1. 0 outside any stream.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// When the host stored it: microseconds since the Unix epoch, never decreasing with position.
    /// The only clock that a plugin has.
    #[must_use]
    pub fn timestamp_us(&self) -> u64 {
        self.head.timestamp_us
    }

    /// Version of the payload's schema, from 1.
    #[must_use]
    pub fn schema_version(&self) -> u32 {
        self.head.schema_version
    }

    /// The payload as text, if it is JSON.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        str::from_utf8(self.json_bytes()?).ok()
    }

    /// The payload's bytes, whatever it is.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.payload
    }

    /// The payload as a `T`, which may borrow text from the event.
    ///
    /// # Errors
    /// [`Error::Decode`], with the path to the offending field, when it is not JSON or not a `T`.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        typed::decode_json(self.event_type, self.require_json()?)
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
        typed::decode_event(self.event_type, self.require_json()?)
    }

    fn json_bytes(&self) -> Option<&'b [u8]> {
        (self.head.traits & TRAIT_JSON != 0).then_some(self.payload)
    }

    fn require_json(&self) -> Result<&'b [u8], Error> {
        self.json_bytes().ok_or_else(|| Error::Decode {
            event_type: self.event_type.into(),
            detail: format!("it is {}, not JSON", self.given_content_type().as_deref().unwrap_or(BINARY)),
        })
    }

    /// The payload's content type.
    #[must_use]
    pub fn content_type(&self) -> &str {
        match (self.content_type.get_or_init(|| self.given_content_type()), self.json_bytes()) {
            (Some(content_type), _) => content_type,
            (None, Some(_)) => "application/json",
            (None, None) => BINARY,
        }
    }

    /// It is read by itself: an event that is no JSON is told by it, so each component has the code.
    fn given_content_type(&self) -> Option<String> {
        json::text_field(self.context, "content_type")
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
            if self.context.is_empty() {
                return Box::default();
            }
            json::from_slice(self.context).unwrap_or_else(|error| {
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
    use crate::Verdict;
    use crate::testing::packed::Packed;

    fn packed(traits: u32, context: &str) -> Packed {
        let mut packed = Packed::new("OrderPlaced", "order-42-b", b"{}", context);
        packed.head.traits = traits;
        packed.head.id = host::EventId { high: 0x0190_163d_8694_739b, low: 0xaea5_966c_26f8_ad90 };
        packed
    }

    #[test]
    fn the_open_tail_is_read_and_unknown_keys_are_not() {
        let context = r#"{"tags":["orders","order:42"],"metadata":{"correlation_id":"c"},"later":[1]}"#;
        let packed = packed(TRAIT_JSON | 1 << 31, context);
        let event = packed.event();
        assert_eq!(event.tags(), ["orders", "order:42"]);
        assert_eq!((event.tag("order"), event.tag("ord"), event.tag("orders")), (Some("42"), None, None));
        assert_eq!((event.correlation_id(), event.causation_id()), (Some("c"), None));
        assert_eq!((event.content_type(), event.stream_id()), ("application/json", Some("42-b")));
        assert_eq!((event.text(), event.bytes()), (Some("{}"), &b"{}"[..]));
    }

    #[test]
    fn an_event_without_tail_has_no_tags() {
        let packed = packed(0, "");
        let event = packed.event();
        assert!(event.tags().is_empty() && event.metadata().is_empty());
        let error = event.json::<u8>().unwrap_err().to_string();
        assert_eq!(error, "payload of OrderPlaced: it is application/octet-stream, not JSON");
        assert_eq!((event.text(), event.bytes()), (None, &b"{}"[..]));
    }

    #[test]
    fn an_absent_stream_is_none() {
        assert_eq!(Packed::new("T", "", b"1", "").event().stream(), None);
    }

    #[test]
    fn ids_are_shown_as_uuids() {
        let id = packed(TRAIT_JSON, "").event().id();
        assert_eq!(id.to_string(), "0190163d-8694-739b-aea5-966c26f8ad90");
    }

    /// Whatever the heads say: an event, or a failure that blames no event.
    #[test]
    fn offsets_of_the_host_are_checked() {
        let sound = Packed::new("Täg", "s", b"1", "{}");
        assert!(Event::read(&sound.head, &sound.blob).is_ok());
        let parts: [fn(&mut host::Head) -> &mut host::Span; 4] =
            [|head| &mut head.event_type, |head| &mut head.stream, |head| &mut head.payload, |head| &mut head.context];
        let end = u32::try_from(sound.blob.len()).unwrap();
        for part in parts {
            for (start, length) in [(0, end + 1), (end, 1), (end + 1, 0), (u32::MAX, u32::MAX), (1, u32::MAX)] {
                let mut head = sound.head;
                *part(&mut head) = host::Span { start, length };
                let failure = Event::read(&head, &sound.blob).unwrap_err();
                assert_eq!(failure.verdict(), Verdict::Stop);
            }
        }
        let within_a_character = host::Span { start: 0, length: 2 };
        assert!(Event::read(&host::Head { event_type: within_a_character, ..sound.head }, &sound.blob).is_err());
        let head = host::Head { payload: within_a_character, traits: TRAIT_JSON, ..sound.head };
        let event = Event::read(&head, &sound.blob).unwrap();
        assert!(event.text().is_none() && event.json::<String>().is_err());
    }
}
