//! What the header of an append says about its events: an idempotency key, a trace, the version expected of
//! the stream.
//!
//! An event without an id gets one from the key and its place, so that the same request sent again finds
//! what it has stored. Two API keys do not share idempotency keys: neither meets what the other has stored. The trace context is put into the metadata of events that carry none.

use axum::http::{HeaderMap, HeaderName, header};
use uuid::Uuid;

use super::append_body::AppendBody;
use super::problem::Problem;
use crate::event::{ExpectedVersion, METADATA_ENTRIES_MAX, NewEvent, Version, metadata_key};
use crate::gate::Caller;
use crate::store::StreamExpectation;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longest idempotency key, in bytes.
pub(super) const KEY_BYTES_MAX: usize = 255;
/// Namespace of ids that follow from an idempotency key: UUID v5 of the URL `urn:tidemill:idempotency-key`.
const NAMESPACE: Uuid = Uuid::from_u128(0xb383_f3ab_a6d1_5d7d_841c_ed63_1cf6_6187);

/// What the header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AppendContext {
    key: Option<String>,
    traceparent: Option<String>,
    expected: Option<ExpectedVersion>,
}

impl AppendContext {
    /// Takes `Idempotency-Key`, `traceparent`, `If-Match` and `If-None-Match`.
    ///
    /// # Errors
    /// When a key or a condition is malformed. A malformed `traceparent` is left out, as its specification
    /// asks.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let key = headers.get(IDEMPOTENCY_KEY).map(|value| value.to_str().unwrap_or_default());
        if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
            let detail = format!("header Idempotency-Key must be 1 to {KEY_BYTES_MAX} visible ASCII characters");
            return Err(Problem::invalid(detail));
        }
        let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        Ok(Self {
            key: key.map(str::to_owned),
            traceparent: traceparent.filter(|text| is_traceparent(text)).map(str::to_owned),
            expected: expected_of(headers)?,
        })
    }

    /// The same, of somebody's request.
    #[must_use]
    pub(super) fn by(self, caller: &Caller) -> Self {
        // No name and no key has a line break.
        let key = self.key.map(|key| match caller.key() {
            Some(name) => format!("{name}\n{key}"),
            None => key,
        });
        Self { key, ..self }
    }

    /// The trace that the request belongs to.
    pub(super) fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Whether a stream must be at some version.
    pub(super) const fn has_precondition(&self) -> bool {
        self.expected.is_some()
    }

    /// What a stream must be at.
    pub(super) const fn expected(&self) -> Option<ExpectedVersion> {
        self.expected
    }

    /// The id of the event at `index`, if it follows from an idempotency key.
    pub(super) fn id(&self, index: usize) -> Option<Uuid> {
        self.key.as_ref().map(|key| Uuid::new_v5(&NAMESPACE, format!("{key}\n{index}").as_bytes()))
    }

    /// Completes an append.
    ///
    /// # Errors
    /// When `If-Match` is given and the events are not all of one stream.
    pub(super) fn apply(&self, body: &mut AppendBody) -> Result<(), Problem> {
        for (index, (event, has_id)) in body.request.events.iter_mut().zip(&body.has_ids).enumerate() {
            self.complete(event, *has_id, index);
        }
        let Some(expected) = self.expected else { return Ok(()) };
        let mut streams = body.request.events.iter().map(|event| event.stream.as_ref());
        match streams.next().flatten() {
            Some(stream) if streams.all(|other| other == Some(stream)) => {
                let stream = stream.clone();
                body.request.expected.push(StreamExpectation { stream, expected });
                Ok(())
            }
            _ => Err(Problem::invalid(
                "If-Match and If-None-Match are about one stream, but the events are not all of one; give `expected` instead",
            )),
        }
    }

    /// Completes one event, the one at `index`.
    pub(super) fn complete(&self, event: &mut NewEvent, has_id: bool, index: usize) {
        if !has_id {
            event.id = self.id(index).unwrap_or(event.id);
        }
        let Some(traceparent) = &self.traceparent else { return };
        if event.metadata.len() < METADATA_ENTRIES_MAX && !event.metadata.contains_key(metadata_key::TRACEPARENT) {
            event.metadata.insert(metadata_key::TRACEPARENT.into(), traceparent.clone());
        }
    }
}

/// The version that `If-Match` or `If-None-Match` expects of a stream; none when neither is given.
fn expected_of(headers: &HeaderMap) -> Result<Option<ExpectedVersion>, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (Some("*"), None) => Ok(Some(ExpectedVersion::Exists)),
        (None, Some("*")) => Ok(Some(ExpectedVersion::NoStream)),
        (Some(tag), None) => match tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse().ok()) {
            Some(version) => Ok(Some(ExpectedVersion::Exact(Version(version)))),
            None => Err(Problem::invalid(
                "header If-Match must be the ETag of the stream, such as \"7\", or * for a stream that exists",
            )),
        },
        _ => Err(Problem::invalid(
            "give If-Match with the stream's ETag, or If-None-Match: * for a stream that does not exist yet",
        )),
    }
}

/// Whether a text is a trace context (W3C Trace Context §3.2): version, trace, parent and flags in hex.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &str| part.bytes().any(|byte| byte != b'0');
    match parts.as_slice() {
        [version, trace, parent, flags] => {
            hex(version, 2)
                && *version != "ff"
                && hex(trace, 32)
                && some(trace)
                && hex(parent, 16)
                && some(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_has_its_shape_or_is_left_out() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in [
            "",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn an_expected_version_is_an_etag_or_a_star() {
        let expected = |name, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert::<HeaderName>(name, value.parse().unwrap());
            expected_of(&headers).ok().flatten()
        };
        assert_eq!(expected(header::IF_MATCH, "\"7\""), Some(ExpectedVersion::Exact(Version(7))));
        assert_eq!(expected(header::IF_MATCH, "*"), Some(ExpectedVersion::Exists));
        assert_eq!(expected(header::IF_NONE_MATCH, "*"), Some(ExpectedVersion::NoStream));
        for (name, bad) in [(header::IF_MATCH, "7"), (header::IF_MATCH, "W/\"7\""), (header::IF_NONE_MATCH, "\"7\"")] {
            assert_eq!(expected(name, bad), None, "{bad}");
        }
    }
}
