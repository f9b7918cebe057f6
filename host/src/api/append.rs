//! `POST /v1/events`: appends events, atomically unless they come as a stream of lines.

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::append_body::AppendBody;
use super::append_context::AppendContext;
use super::append_stream;
use super::blocking::{Json, blocking};
use super::cloud_event::BINARY_HEADER;
use super::cloud_event_body as cloud_event;
use super::params::Params;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use super::wait_for::{Behind, WaitFor};
use super::whole_body::whole_body;
use crate::error::ErrorClass;
use crate::event::{Position, StreamName, Version};
use crate::gate::Caller;
use crate::store::{AppendError, Appended};

/// Bodies up to this size, in bytes, are read on the async thread; larger ones would hold it up.
const INLINE_BYTES_MAX: usize = 64 << 10;

const PARAMS: &[&str] = &["wait_for", "timeout_ms"];
const LINES_PARAMS: &[&str] = &["wait_for", "timeout_ms", "atomic", "stop_on_error", "results"];

/// Appends what the body holds.
pub(super) async fn append(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let format = Format::of(request.headers())?;
    let known = if format == Format::Ndjson { LINES_PARAMS } else { PARAMS };
    let params = Params::parse(query.as_deref(), known)?;
    let context = AppendContext::of(request.headers())?.by(&caller);
    let wait_for = WaitFor::parse(&params)?;
    if let Some(wait_for) = &wait_for {
        wait_for.check(&state)?;
    }
    if format == Format::Ndjson && !params.flag("atomic")? {
        return append_stream::append((state, caller), &params, context, wait_for, request.into_body()).await;
    }
    let (appended, behind) = whole((&state, &caller), format, &context, wait_for, request).await?;
    let mut response = (StatusCode::CREATED, Json::render(&AppendedView::new(&appended, behind))?).into_response();
    if let Some(etag) = etag_of(&appended) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

/// Appends a body as one append; answers where its events stand, and which plugins are behind if that was
/// asked.
async fn whole(
    (state, caller): (&ApiState, &Caller),
    format: Format,
    context: &AppendContext,
    wait_for: Option<WaitFor>,
    request: Request,
) -> Result<(Appended, Option<Vec<Behind>>), Problem> {
    let headers = request.headers().clone();
    let bytes_max = state.limits().max_body_bytes;
    let body = whole_body(state, request, bytes_max, "split the append, or send lines as NDJSON").await?;
    let mut body = if body.len() <= INLINE_BYTES_MAX {
        parse(format, &headers, &body)?
    } else {
        blocking(state, move |_| parse(format, &headers, &body)).await?
    };
    context.apply(&mut body)?;
    let AppendBody { request, lines, .. } = body;
    caller.may_append(&request)?;
    let appended = caller.append(state.log(), request).await.map_err(|error| refused(error, &lines, context))?;
    let behind = match wait_for {
        Some(wait_for) => Some(wait_for.settled(state, appended.last_position()).await),
        None => None,
    };
    Ok((appended, behind))
}

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
    CloudEvent,
    CloudEvents,
    /// One `CloudEvent` whose attributes are in the header.
    CloudEventBinary,
}

impl Format {
    /// Takes the format from the header: JSON when it says nothing.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = headers.get(header::CONTENT_TYPE).map(|given| given.to_str().unwrap_or_default());
        let essence = text.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/cloudevents+json" => Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            _ if headers.contains_key(BINARY_HEADER) => Ok(Self::CloudEventBinary),
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Self::Ndjson),
            _ => Err(Problem::http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Kind::UnsupportedMediaType,
                format!(
                    "content type {:?} is not understood; send application/json, application/x-ndjson, or CloudEvents",
                    text.unwrap_or_default()
                ),
            )),
        }
    }
}

fn parse(format: Format, headers: &HeaderMap, body: &[u8]) -> Result<AppendBody, Problem> {
    match format {
        Format::Json => AppendBody::from_json(body),
        Format::Ndjson => AppendBody::from_ndjson(body),
        Format::CloudEvent => cloud_event::structured(body),
        Format::CloudEvents => cloud_event::batch(body),
        Format::CloudEventBinary => cloud_event::binary(headers, body),
    }
}

/// Tells of a refused append; `lines` has the line of each event if the body was NDJSON.
fn refused(error: AppendError, lines: &[usize], context: &AppendContext) -> Problem {
    let problem = on_line(error, lines);
    if problem.kind() == Kind::WrongExpectedVersion && context.has_precondition() {
        return problem.under(StatusCode::PRECONDITION_FAILED);
    }
    problem
}

fn on_line(error: AppendError, lines: &[usize]) -> Problem {
    match (index_of(&error).and_then(|index| lines.get(index)), error) {
        (Some(line), AppendError::InvalidEvent { index, reason }) => {
            Problem::new(ErrorClass::Invalid, Kind::InvalidEvent, format!("line {line}: {reason}"))
                .with("index", index)
                .with("line", *line)
        }
        (Some(line), error) => Problem::from(error).with("line", *line),
        (None, error) => error.into(),
    }
}

/// The event of the append that an error is about.
const fn index_of(error: &AppendError) -> Option<usize> {
    match error {
        AppendError::InvalidEvent { index, .. }
        | AppendError::IdConflict { index, .. }
        | AppendError::IdTaken { index, .. }
        | AppendError::PartlyStored { index, .. }
        | AppendError::DuplicateId { second: index, .. } => Some(*index),
        AppendError::Empty
        | AppendError::TooManyEvents { .. }
        | AppendError::TooLarge { .. }
        | AppendError::TooMuchToCheck { .. }
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
    }
}

/// The version of the stream after an append to one stream, as the `ETag` that a further append expects.
fn etag_of(appended: &Appended) -> Option<HeaderValue> {
    let last = appended.events.last()?;
    let one = last.stream.is_some() && appended.events.iter().all(|event| event.stream == last.stream);
    one.then(|| super::streams::etag(last.version))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Appended)]
pub(super) struct AppendedView<'a> {
    first_position: Position,
    last_position: Position,
    events: Vec<AppendedEventView<'a>>,
    /// The plugins waited for that have not settled the append in time; absent when none was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<Vec<Behind>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AppendedEvent)]
pub(super) struct AppendedEventView<'a> {
    id: Uuid,
    position: Position,
    #[schema(value_type = Option<StreamName>)]
    stream: Option<&'a str>,
    version: Option<Version>,
}

impl<'a> AppendedView<'a> {
    fn new(appended: &'a Appended, behind: Option<Vec<Behind>>) -> Self {
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
            behind,
        }
    }
}
