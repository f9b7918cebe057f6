//! The forms in which events are answered: one JSON object with all around it, NDJSON, or `CloudEvents`, of
//! which one alone may also be binary. The link to the next page is in the header `Link` in each.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::append_stream::NDJSON_CONTENT_TYPE;
use super::cloud_event::{BATCH_CONTENT_TYPE, BINARY_HEADER, EVENT_CONTENT_TYPE};
use super::cloud_event_binary;
use super::cloud_event_view::CloudEventView;
use super::event_view::EventView;
use super::problem::Problem;
use crate::error::ErrorClass;
use crate::event::RecordedEvent;
use crate::store::ReadPage;

/// Header: where the log ended when it was read.
pub(super) const HEAD: HeaderName = HeaderName::from_static("tidemill-head");
/// Header: the position before which events may be missing, as retention removed some.
pub(super) const REMOVED_BEFORE: HeaderName = HeaderName::from_static("tidemill-removed-before");

/// How a client wants events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Ndjson,
    CloudEvents,
    /// One `CloudEvent` whose attributes are in the header. A page has no such form and is a batch.
    CloudEventBinary,
}

impl Form {
    /// The first form that `Accept` names; JSON if it names none. As with appending, the header
    /// [`BINARY_HEADER`] asks for the binary form unless another of `CloudEvents` is named.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let types = accepted.flat_map(|value| value.split(',')).map(|item| item.split(';').next().unwrap_or_default());
        let known = |media_type: &str| match media_type.trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            NDJSON_CONTENT_TYPE | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            EVENT_CONTENT_TYPE | BATCH_CONTENT_TYPE => Some(Self::CloudEvents),
            _ => None,
        };
        match types.filter_map(known).next() {
            Some(Self::CloudEvents) => Self::CloudEvents,
            _ if headers.contains_key(BINARY_HEADER) => Self::CloudEventBinary,
            named => named.unwrap_or(Self::Json),
        }
    }

    /// Renders one event.
    pub(super) fn one(self, event: &RecordedEvent) -> Result<Answer, Problem> {
        Ok(match self {
            Self::Json => Answer::of("application/json", json(&EventView::from(event))?),
            Self::Ndjson => Answer::of(NDJSON_CONTENT_TYPE, lines(std::slice::from_ref(event))?),
            Self::CloudEvents => Answer::of(EVENT_CONTENT_TYPE, json(&CloudEventView(event))?),
            Self::CloudEventBinary => {
                let (headers, body) = cloud_event_binary::render(event)?;
                Answer { headers, body }.varying()
            }
        })
    }

    /// Renders a page; `whole` is the JSON object with it.
    pub(super) fn page(self, page: &ReadPage, whole: &impl Serialize, next: Option<&str>) -> Result<Answer, Problem> {
        let answer = match self {
            Self::Json => Answer::of("application/json", json(whole)?),
            Self::Ndjson => Answer::of(NDJSON_CONTENT_TYPE, lines(&page.events)?),
            Self::CloudEvents | Self::CloudEventBinary => {
                Answer::of(BATCH_CONTENT_TYPE, json(&page.events.iter().map(CloudEventView).collect::<Vec<_>>())?)
            }
        };
        let link = next.map(|next| (header::LINK, format!("<{next}>; rel=\"next\"")));
        let removed = page.removed_before.map(|before| (REMOVED_BEFORE, before.to_string()));
        Ok([(HEAD, page.head.to_string())].into_iter().chain(removed).chain(link).fold(answer, Answer::with))
    }
}

/// An answer, rendered already: large pages are rendered on the blocking thread that read them.
pub(super) struct Answer {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn of(content_type: &'static str, body: Vec<u8>) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { headers, body }.varying()
    }

    /// Adds what the form depends on.
    fn varying(mut self) -> Self {
        self.headers.insert(header::VARY, HeaderValue::from_static("accept, ce-specversion"));
        self
    }

    /// Adds a header.
    fn with(mut self, (name, value): (HeaderName, String)) -> Self {
        // Numbers and percent-encoded links are ASCII.
        if let Ok(value) = value.parse() {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds an `ETag`.
    pub(super) fn tagged(mut self, etag: HeaderValue) -> Self {
        self.headers.insert(header::ETAG, etag);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        // Bytes by themselves would name a content type where there is none.
        (self.headers, Body::from(self.body)).into_response()
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| unrenderable(&error))
}

/// One event a line.
fn lines(events: &[RecordedEvent]) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    for event in events {
        event_line(&mut text, event).map_err(|error| unrenderable(&error))?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Renders an event on one line.
pub(super) fn event_line(text: &mut Vec<u8>, event: &RecordedEvent) -> Result<(), serde_json::Error> {
    let begin = text.len();
    serde_json::to_writer(&mut *text, &EventView::from(event))?;
    // Line breaks stand only between the tokens of JSON, where a space means the same.
    for byte in text.iter_mut().skip(begin).filter(|byte| matches!(**byte, b'\r' | b'\n')) {
        *byte = b' ';
    }
    Ok(())
}

fn unrenderable(error: &serde_json::Error) -> Problem {
    Problem::of_class(ErrorClass::Bug, format!("the answer could not be rendered: {error}"))
}
