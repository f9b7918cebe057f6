//! Errors as the API tells them: `application/problem+json` (RFC 9457).
//!
//! The status follows from the error's class, in [`status_of`] and nowhere else; only what HTTP itself
//! refuses (a method, a media type, a size), and what it has a word for (gone), has a status of its own.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::error::ErrorClass;
use crate::event::{ExpectedVersion, InvalidEvent, NameError};
use crate::store::{AppendError, StoreError};

/// Media type of a problem.
pub(crate) const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// What the `type` of every problem begins with.
pub(super) const TYPE_PREFIX: &str = "urn:tidemill:problem:";

/// When to try again what is not possible now, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// What kind of problem it is: the last part of its `type`, stable, for programs to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidRequest,
    InvalidEvent,
    NotSupported,
    NotFound,
    Removed,
    WrongExpectedVersion,
    ConditionFailed,
    StreamDeleted,
    IdConflict,
    Rejected,
    InvalidCommand,
    DeadlinePassed,
    CommandFailed,
    GivenUp,
    PartlyStored,
    NoProjection,
    UnknownQuery,
    InvalidQuery,
    QueryFailed,
    QueryFault,
    KeyNeeded,
    KeyUnknown,
    Denied,
    Conflict,
    Unavailable,
    TimedOut,
    Corrupted,
    Bug,
    TooLarge,
    UriTooLong,
    HeadersTooLarge,
    TooManyRequests,
    UnsupportedMediaType,
    MethodNotAllowed,
}

impl Kind {
    /// The last part of its `type`.
    pub(super) const fn slug(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::InvalidEvent => "invalid-event",
            Self::NotSupported => "not-supported",
            Self::NotFound => "not-found",
            Self::Removed => "removed",
            Self::WrongExpectedVersion => "wrong-expected-version",
            Self::ConditionFailed => "condition-failed",
            Self::StreamDeleted => "stream-deleted",
            Self::IdConflict => "id-conflict",
            Self::Rejected => "rejected",
            Self::InvalidCommand => "invalid-command",
            Self::DeadlinePassed => "deadline-passed",
            Self::CommandFailed => "command-failed",
            Self::GivenUp => "given-up",
            Self::PartlyStored => "partly-stored",
            Self::NoProjection => "no-projection",
            Self::UnknownQuery => "unknown-query",
            Self::InvalidQuery => "invalid-query",
            Self::QueryFailed => "query-failed",
            Self::QueryFault => "query-fault",
            Self::KeyNeeded => "key-needed",
            Self::KeyUnknown => "key-unknown",
            Self::Denied => "denied",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Corrupted => "corrupted",
            Self::Bug => "bug",
            Self::TooLarge => "too-large",
            Self::UriTooLong => "uri-too-long",
            Self::HeadersTooLarge => "headers-too-large",
            Self::TooManyRequests => "too-many-requests",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::MethodNotAllowed => "method-not-allowed",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is malformed",
            Self::InvalidEvent => "An event is malformed",
            Self::NotSupported => "Not supported by this store",
            Self::NotFound => "There is no such thing",
            Self::Removed => "Events were removed by retention",
            Self::WrongExpectedVersion => "The stream is not at the expected version",
            Self::ConditionFailed => "An event matches the condition",
            Self::StreamDeleted => "The stream was deleted",
            Self::IdConflict => "The id is taken by another",
            Self::Rejected => "The command was rejected",
            Self::InvalidCommand => "The command is not as it must be",
            Self::DeadlinePassed => "The command's deadline passed",
            Self::CommandFailed => "The component that was asked failed",
            Self::GivenUp => "The command was given up",
            Self::PartlyStored => "Some of the events are stored already",
            Self::NoProjection => "The plugin answers no queries",
            Self::UnknownQuery => "The plugin has no such query",
            Self::InvalidQuery => "A parameter of the query is wrong",
            Self::QueryFailed => "The plugin could not answer",
            Self::QueryFault => "The plugin ended without an answer",
            Self::KeyNeeded => "A key is needed",
            Self::KeyUnknown => "The key is not known",
            Self::Denied => "Not allowed",
            Self::Conflict => "Something else came first",
            Self::Unavailable => "Not available now",
            Self::TimedOut => "It did not come in time",
            Self::Corrupted => "Stored data is damaged",
            Self::Bug => "The server made a mistake",
            Self::TooLarge => "The request is too large",
            Self::UriTooLong => "The URL is too long",
            Self::HeadersTooLarge => "The header is too large",
            Self::TooManyRequests => "Too many at a time",
            Self::UnsupportedMediaType => "The content type is not understood",
            Self::MethodNotAllowed => "The method does not fit the resource",
        }
    }

    /// How the client may get further (RFC 6750 §3).
    const fn challenge(self) -> Option<&'static str> {
        match self {
            Self::KeyNeeded => Some(r#"Bearer realm="tidemill""#),
            Self::KeyUnknown => Some(r#"Bearer realm="tidemill", error="invalid_token""#),
            _ => None,
        }
    }

    /// The kind for an error of which no more is known than its class.
    const fn of_class(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Conflict => Self::Conflict,
            ErrorClass::Invalid => Self::InvalidRequest,
            ErrorClass::NotFound => Self::NotFound,
            ErrorClass::Denied => Self::Denied,
            ErrorClass::Unavailable => Self::Unavailable,
            ErrorClass::Corrupted => Self::Corrupted,
            ErrorClass::Bug => Self::Bug,
        }
    }
}

/// The HTTP status of each class of error.
const fn status_of(class: ErrorClass) -> StatusCode {
    match class {
        ErrorClass::Conflict => StatusCode::CONFLICT,
        ErrorClass::Invalid => StatusCode::BAD_REQUEST,
        ErrorClass::NotFound => StatusCode::NOT_FOUND,
        ErrorClass::Denied => StatusCode::FORBIDDEN,
        ErrorClass::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorClass::Corrupted | ErrorClass::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A refusal, ready to be sent.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: Kind,
    detail: String,
    fields: Map<String, Value>,
    absent: bool,
}

/// Mark of an answer that is a problem with a plugin that does not run: what was wrong.
#[derive(Clone, Debug)]
pub(super) struct Absent(pub(super) String);

impl Problem {
    /// A problem of a class.
    pub(super) fn new(class: ErrorClass, kind: Kind, detail: impl Into<String>) -> Self {
        Self::http(status_of(class), kind, detail)
    }

    /// A problem with a status that no class has.
    pub(super) fn http(status: StatusCode, kind: Kind, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), fields: Map::new(), absent: false }
    }

    /// A problem of which no more is known than its class.
    pub(super) fn of_class(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self::new(class, Kind::of_class(class), detail)
    }

    /// A malformed request.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, Kind::InvalidRequest, detail)
    }

    /// Something named that is not there.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorClass::NotFound, Kind::NotFound, detail)
    }

    /// Adds a field for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Says whether it is that a plugin is not there, or does not run: [`super::starting`] tells that otherwise while it may be
    /// about to come.
    #[must_use]
    pub(super) fn absent(mut self, absent: bool) -> Self {
        self.absent = absent;
        self
    }

    /// Adds a field for programs, unless it has one of that name.
    pub(super) fn with_missing(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.entry(name).or_insert_with(|| value.into());
        self
    }

    /// What was wrong, and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// What kind of problem it is.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The same problem under the status that the way of asking demands.
    #[must_use]
    pub(super) fn under(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The problem as JSON.
    pub(super) fn to_json(&self) -> Value {
        let mut body = Map::new();
        body.insert("type".into(), format!("{TYPE_PREFIX}{}", self.kind.slug()).into());
        body.insert("title".into(), self.kind.title().into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.detail.clone().into());
        body.extend(self.fields.clone());
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(kind = self.kind.slug(), detail = %self.detail, "request failed");
        }
        let mut response = (self.status, self.to_json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if let Some(challenge) = self.kind.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.absent {
            response.extensions_mut().insert(Absent(self.detail));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Removed { category, before } => Self::http(StatusCode::GONE, Kind::Removed, error.to_string())
                .with("category", category.as_str())
                .with("removed_before", before.0),
            _ => Self::of_class(error.class(), error.to_string()),
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let (class, detail) = (error.class(), error.to_string());
        match error {
            AppendError::Empty
            | AppendError::TooManyEvents { .. }
            | AppendError::TooLarge { .. }
            | AppendError::TooManyExpectations { .. }
            | AppendError::ContradictingExpectations { .. }
            | AppendError::InvalidCondition { .. }
            | AppendError::InvalidTracking { .. } => Self::invalid(detail),
            AppendError::TooMuchToCheck { .. } => Self::http(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLarge, detail),
            AppendError::ConditionAheadOfLog { after, head } => {
                Self::invalid(detail).with("after", after.0).with("head", head.0)
            }
            AppendError::ConditionFailed { position, after } => {
                Self::new(class, Kind::ConditionFailed, detail).with("position", position.0).with("after", after.0)
            }
            AppendError::StreamDeleted { stream, version } => {
                Self::new(class, Kind::StreamDeleted, detail).with("stream", stream.as_str()).with("version", version.0)
            }
            AppendError::NoSuchStream { stream } => Self::not_found(detail).with("stream", stream.as_str()),
            AppendError::InvalidEvent { index, reason: InvalidEvent::AgainstSchema { errors, .. } } => {
                // As of commands, and by the names that they had here before.
                let one = |(path, reason): (String, String)| json!({ "pointer": path, "message": reason, "path": path, "reason": reason });
                let errors = errors.into_iter().map(one).collect::<Vec<_>>();
                Self::new(class, Kind::InvalidEvent, detail).with("index", index).with("errors", errors)
            }
            AppendError::InvalidEvent { index, .. } => {
                Self::new(class, Kind::InvalidEvent, detail).with("index", index)
            }
            AppendError::DuplicateId { first, second, id } => Self::new(class, Kind::InvalidEvent, detail)
                .with("index", second)
                .with("first_index", first)
                .with("id", id.to_string()),
            AppendError::WrongExpectedVersion { stream, expected, actual } => {
                Self::new(class, Kind::WrongExpectedVersion, detail)
                    .with("stream", stream.as_str())
                    .with("expected_version", expected_json(expected))
                    .with("actual_version", actual.0)
            }
            AppendError::IdConflict { index, id, position } => Self::new(class, Kind::IdConflict, detail)
                .with("index", index)
                .with("id", id.to_string())
                .with("position", position.0),
            AppendError::IdTaken { index, id } => {
                Self::new(class, Kind::IdConflict, detail).with("index", index).with("id", id.to_string())
            }
            AppendError::PartlyStored { index, id, position } => Self::new(class, Kind::PartlyStored, detail)
                .with("index", index)
                .with("id", id.to_string())
                .with("position", position.0),
            AppendError::TrackingNotForward { position, stored, .. } => {
                Self::of_class(class, detail).with("position", position).with("stored", stored)
            }
            AppendError::Store(error) => error.into(),
        }
    }
}

/// An expected version as requests spell it.
fn expected_json(expected: ExpectedVersion) -> Value {
    match expected {
        ExpectedVersion::Any => json!("any"),
        ExpectedVersion::NoStream => json!("no_stream"),
        ExpectedVersion::Exists => json!("exists"),
        ExpectedVersion::Exact(version) => json!(version.0),
    }
}
