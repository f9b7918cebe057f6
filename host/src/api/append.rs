//! `POST /v1/events`: appends events atomically.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::append_body::AppendBody;
use super::blocking::{Json, blocking};
use super::problem::{Kind, Problem};
use super::state::ApiState;
use crate::error::ErrorClass;
use crate::event::{Position, StreamName, Version};
use crate::store::{AppendError, Appended, Pending, Store};

/// Largest body in bytes: an append of the largest size in base64, and as much again for JSON around it.
pub(super) const BODY_BYTES_MAX: usize = 32 << 20;
/// Bodies up to this size, in bytes, are read on the async thread; larger ones would hold it up.
const INLINE_BYTES_MAX: usize = 64 << 10;

type Answer = Pending<Result<Appended, AppendError>>;

/// Appends what the body holds.
pub(super) async fn append(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let format = Format::of(&headers)?;
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    // Submitting may hold the thread up for about one commit while the writer's queue is full.
    let (answer, lines) = if body.len() <= INLINE_BYTES_MAX {
        submit(&**state.store(), format, &body)?
    } else {
        blocking(&state, move |store| submit(store, format, &body)).await?
    };
    let appended = answer.await.map_err(|error| refused(error, &lines))?;
    Ok((StatusCode::CREATED, Json::render(&AppendedView::from(&appended))?).into_response())
}

/// How the body is written.
#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Ndjson,
}

impl Format {
    /// Takes the format from the content type; JSON when there is none.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let text = given.to_str().unwrap_or_default();
        match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Self::Ndjson),
            _ => Err(Problem::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Kind::UnsupportedMediaType,
                format!("content type {text:?} is not understood; send application/json or application/x-ndjson"),
            )),
        }
    }
}

fn submit(store: &dyn Store, format: Format, body: &[u8]) -> Result<(Answer, Vec<usize>), Problem> {
    let AppendBody { request, lines } = match format {
        Format::Json => AppendBody::from_json(body)?,
        Format::Ndjson => AppendBody::from_ndjson(body)?,
    };
    Ok((store.append(request), lines))
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes; split the append");
        return Problem::http(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLarge, detail);
    }
    Problem::invalid(format!("the body could not be read: {}", rejection.body_text()))
}

/// Tells of a refused append; `lines` has the line of each event if the body was NDJSON.
fn refused(error: AppendError, lines: &[usize]) -> Problem {
    let index = match &error {
        AppendError::InvalidEvent { index, .. }
        | AppendError::IdConflict { index, .. }
        | AppendError::PartlyStored { index, .. }
        | AppendError::DuplicateId { second: index, .. } => Some(*index),
        AppendError::Empty
        | AppendError::TooManyEvents { .. }
        | AppendError::TooLarge { .. }
        | AppendError::TooManyExpectations { .. }
        | AppendError::ContradictingExpectations { .. }
        | AppendError::InvalidCondition { .. }
        | AppendError::ConditionAheadOfLog { .. }
        | AppendError::ConditionFailed { .. }
        | AppendError::StreamDeleted { .. }
        | AppendError::NoSuchStream { .. }
        | AppendError::WrongExpectedVersion { .. }
        | AppendError::InvalidTracking { .. }
        | AppendError::TrackingNotForward { .. }
        | AppendError::Store(_) => None,
    };
    match (index.and_then(|index| lines.get(index)), error) {
        (Some(line), AppendError::InvalidEvent { index, reason }) => {
            Problem::new(ErrorClass::Invalid, Kind::InvalidEvent, format!("line {line}: {reason}"))
                .with("index", index)
                .with("line", *line)
        }
        (Some(line), error) => Problem::from(error).with("line", *line),
        (None, error) => error.into(),
    }
}

#[derive(Serialize)]
struct AppendedView<'a> {
    first_position: Position,
    last_position: Position,
    events: Vec<AppendedEventView<'a>>,
}

#[derive(Serialize)]
struct AppendedEventView<'a> {
    id: Uuid,
    position: Position,
    stream: Option<&'a str>,
    version: Option<Version>,
}

impl<'a> From<&'a Appended> for AppendedView<'a> {
    fn from(appended: &'a Appended) -> Self {
        let events = appended.events.iter().map(|event| AppendedEventView {
            id: event.id,
            position: event.position,
            stream: event.stream.as_ref().map(StreamName::as_str),
            version: event.stream.is_some().then_some(event.version),
        });
        Self {
            first_position: appended.first_position(),
            last_position: appended.last_position(),
            events: events.collect(),
        }
    }
}
