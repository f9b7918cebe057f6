//! `POST /v1/commands/{aggregate}/{aggregate_id}`: decides a command. `GET /v1/commands/{command_id}`: what became of one.
//!
//! A rejection is the domain's answer: 422 with its code, in words and details. Whoever may append to the aggregate's
//! stream may command it; what was decided is held against the key's reach before it is appended.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::append_body::{parse_condition, parse_data, parse_version};
use super::append_context::AppendContext;
use super::blocking::Json;
use super::discreet::{discreet, discreet_failure, may_learn};
use super::draining::draining;
use super::fields::Fields;
use super::params::Params;
use super::path::Path;
use super::percent_encode;
use super::problem::{Kind, Problem};
use super::state::ApiState;
use super::streams::etag;
use super::wait::for_log;
use super::whole_body::{must_be_json, whole_body};
use crate::access::Action;
use crate::command::{
    Accepted, Allow, Command, CommandError, Decided, Failure, Faulted, FieldFault, Outcome, Progress, Rejection,
    Settled, Status, TakenUp,
};
use crate::error::{ErrorClass, Evidence};
use crate::event::{Category, EventType, ExpectedVersion, Position, StreamName, Version, metadata_key};
use crate::gate::Caller;
use crate::store::AppendRequest;

/// Largest body, in bytes: data of the largest size in base64, and as much again for JSON around it.
pub(super) const COMMAND_BYTES_MAX: usize = 4 << 20;

/// Fields of a command.
pub(super) const COMMAND_FIELDS: &[&str] =
    &["id", "type", "data", "data_base64", "content_type", "metadata", "expected", "condition", "deadline_ms"];

/// What became of a command.
#[derive(Serialize, ToSchema)]
#[schema(as = CommandOutcome)]
pub(super) struct OutcomeView<'a> {
    id: &'a str,
    /// What was wanted; none while it is under way.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    command_type: Option<&'a str>,
    stream: &'a str,
    outcome: Word,
    /// The stream's version after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<Version>,
    /// Position at which its outcome is in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    position: Option<Position>,
    /// The events that followed.
    events: Vec<DecidedView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejection: Option<RejectionView<'a>>,
    /// Why it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failure: Option<FailureView<'a>>,
    /// Whether it had this outcome before it was sent this time.
    repeated: bool,
}

/// How a command stands.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CommandState)]
pub(super) enum Word {
    Accepted,
    Rejected,
    Queued,
    UnderWay,
    Failed,
}

/// An event that followed from a command.
#[derive(Serialize, ToSchema)]
#[schema(as = DecidedEvent)]
pub(super) struct DecidedView<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    event_type: &'a EventType,
    version: Version,
    position: Position,
}

/// Why a command led to nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = Rejection)]
pub(super) struct RejectionView<'a> {
    /// What kind of reason it is, for programs.
    code: &'a str,
    /// Why, for people.
    reason: &'a str,
    /// More for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

/// Why an accepted command was given up.
#[derive(Serialize, ToSchema)]
#[schema(as = CommandFailure)]
pub(super) struct FailureView<'a> {
    /// What kind of failure it is: a fault's name, or what the same is called as a problem, such as `deadline-passed`.
    kind: &'a str,
    /// Why, for people.
    reason: &'a str,
    /// How often it was tried.
    attempts: u32,
    /// The last of what the component wrote.
    stderr_tail: &'a str,
    /// The component's backtrace.
    backtrace: &'a str,
}

impl<'a> OutcomeView<'a> {
    fn of(settled: &'a Settled) -> Self {
        let (outcome, events, rejection) = match &settled.outcome {
            Outcome::Accepted(events) => (Word::Accepted, events.as_slice(), None),
            Outcome::Rejected(rejection) => (Word::Rejected, &[][..], Some(rejection)),
        };
        let event = |decided: &'a Decided| DecidedView {
            id: decided.id,
            event_type: &decided.event_type,
            version: decided.version,
            position: decided.position,
        };
        Self {
            id: &settled.id,
            command_type: Some(&settled.command_type),
            stream: settled.stream.as_str(),
            outcome,
            version: Some(settled.version),
            position: Some(settled.position),
            events: events.iter().map(event).collect(),
            rejection: rejection.map(RejectionView::of),
            failure: None,
            repeated: settled.repeated,
        }
    }

    /// One without an outcome.
    fn open(id: &'a str, stream: &'a StreamName, outcome: Word) -> Self {
        Self {
            id,
            command_type: None,
            stream: stream.as_str(),
            outcome,
            version: None,
            position: None,
            events: Vec::new(),
            rejection: None,
            failure: None,
            repeated: false,
        }
    }

    fn queued(accepted: &'a Accepted) -> Self {
        let open = Self::open(&accepted.id, &accepted.stream, Word::Queued);
        Self { position: Some(accepted.position), repeated: accepted.repeated, ..open }
    }

    fn failed(failure: &'a Failure) -> Self {
        let Failure { command_id, stream, kind, reason, attempts, stderr_tail, backtrace } = failure;
        let view = FailureView { kind, reason, attempts: *attempts, stderr_tail, backtrace };
        Self { failure: Some(view), ..Self::open(command_id, stream, Word::Failed) }
    }
}

impl<'a> RejectionView<'a> {
    fn of(rejection: &'a Rejection) -> Self {
        Self { code: &rejection.code, reason: &rejection.reason, details: rejection.details.as_ref() }
    }
}

/// Decides a command.
pub(super) async fn send(
    State(state): State<ApiState>,
    caller: Caller,
    Path((aggregate, key)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let params = Params::parse(query.as_deref(), &["wait"])?;
    let later = !waits(&params)? || prefers_later(request.headers());
    must_be_json(request.headers())?;
    let context = AppendContext::of(request.headers())?;
    let aggregate = Category::new(aggregate)?;
    let body = whole_body(&state, request, COMMAND_BYTES_MAX, "send less data, or a reference to it").await?;
    let mut command = parse(aggregate, key, &body)?;
    if let Some(traceparent) = context.traceparent() {
        command.metadata.entry(metadata_key::TRACEPARENT.into()).or_insert_with(|| traceparent.to_owned());
    }
    let (id, stream) = (command.id.clone(), command.stream().ok());
    let sent = carry_out(&state, caller, command, later).await;
    sent.map_err(|problem| problem.of_command(&id, stream.as_ref()))
}

/// Has a command decided, or accepted if that is enough.
async fn carry_out(state: &ApiState, caller: Caller, command: Command, later: bool) -> Result<Response, Problem> {
    // Its version decides, and a refusal tells it.
    caller.may(&Action::Expect(&command.stream()?))?;
    if let Some(condition) = &command.condition {
        caller.may(&Action::Guard(&condition.fail_if_match))?;
    }
    let (reader, stream) = (caller.clone(), command.stream()?);
    let allow: Allow = Arc::new(move |request: &AppendRequest| caller.may_append(request));
    let sent = async {
        // Who has an outcome is answered with it, also who does not wait for one.
        if later
            && let TakenUp::Waits(accepted) = state.commands().accept(command.clone(), reader.reach().types).await?
        {
            return Ok(Err(accepted));
        }
        state.commands().send(command, allow).await.map(Ok)
    };
    let sent = sent.await.map_err(|error| match error {
        // What decided has stopped before the command came to it.
        CommandError::UnknownAggregate { .. } if state.is_closing() => draining(),
        error => discreet(&reader, &stream, error).into(),
    })?;
    match sent {
        Ok(settled) => answer(&settled),
        Err(accepted) => queued(&accepted),
    }
}

/// Tells an outcome to who sent the command.
fn answer(settled: &Settled) -> Result<Response, Problem> {
    if let Outcome::Rejected(rejection) = &settled.outcome {
        return Err(Problem::rejected(settled, rejection));
    }
    let fresh = !settled.repeated && matches!(&settled.outcome, Outcome::Accepted(events) if !events.is_empty());
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Json::render(&OutcomeView::of(settled))?).into_response();
    response.headers_mut().insert(header::ETAG, etag(settled.version));
    Ok(response)
}

/// Tells that a command is decided later.
fn queued(accepted: &Accepted) -> Result<Response, Problem> {
    let at = HeaderValue::try_from(format!("/v1/commands/{}", percent_encode(&accepted.id)));
    let mut response = (StatusCode::ACCEPTED, Json::render(&OutcomeView::queued(accepted))?).into_response();
    response.headers_mut().extend(at.ok().map(|at| (header::LOCATION, at)));
    let applied = (HeaderName::from_static("preference-applied"), HeaderValue::from_static("respond-async"));
    response.headers_mut().extend([applied]);
    Ok(response)
}

/// Whether the answer is waited for, as a parameter says.
fn waits(params: &Params) -> Result<bool, Problem> {
    match params.one("wait")? {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Problem::invalid(format!("`wait` is {other:?}; it must be true or false"))),
    }
}

/// Whether the client prefers not to wait (RFC 7240 §4.1).
fn prefers_later(headers: &HeaderMap) -> bool {
    let texts = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|text| text.trim().eq_ignore_ascii_case("respond-async"))
}

/// Tells what became of a command.
pub(super) async fn status(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), &["at_least", "timeout_ms"])?;
    for_log(&state, &params).await?;
    let unknown = || {
        let detail = format!(
            "no command {id:?} is under way or has an outcome; it was never sent, or failed, or its \
                              outcome was removed"
        );
        Problem::not_found(detail).with("command_id", id.as_str())
    };
    match state.commands().status(&id).await?.ok_or_else(unknown)? {
        Status::UnderWay(stream) => {
            // Beyond reach it is like one that is not there: the id is not the client's own.
            caller.judge(&Action::ReadStream(&stream)).map_err(|_| unknown())?;
            Json::render(&OutcomeView::open(&id, &stream, Word::UnderWay))
        }
        Status::Queued { stream, position } => {
            caller.judge(&Action::ReadStream(&stream)).map_err(|_| unknown())?;
            let open = OutcomeView::open(&id, &stream, Word::Queued);
            Json::render(&OutcomeView { position: Some(position), ..open })
        }
        Status::Failed(failure) => {
            caller.judge(&Action::ReadStream(&failure.stream)).map_err(|_| unknown())?;
            Json::render(&OutcomeView::failed(&discreet_failure(&caller, *failure)))
        }
        Status::Settled(settled) => {
            if !may_learn(&caller, &settled) {
                return Err(unknown());
            }
            Json::render(&OutcomeView::of(&settled))
        }
    }
}

/// A command to an aggregate, as it is sent.
///
/// # Errors
/// When it is none, with the reason.
pub fn parse_command(aggregate: Category, key: String, body: &[u8]) -> Result<Command, String> {
    parse(aggregate, key, body).map_err(|problem| problem.detail().to_owned())
}

fn parse(aggregate: Category, key: String, body: &[u8]) -> Result<Command, Problem> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Problem::invalid(format!("the body is not valid UTF-8 at byte {}", error.valid_up_to())))?;
    let fields = Fields::parse(text).map_err(Problem::invalid)?;
    fields.refuse_unknown(COMMAND_FIELDS).map_err(Problem::invalid)?;
    let required = |name: &'static str, why: &str| {
        let given = fields.get::<String>(name, "a text").map_err(Problem::invalid)?;
        given.ok_or_else(|| Problem::invalid(format!("`{name}` is missing; {why}")).with("field", name))
    };
    let content_type = fields.get::<String>("content_type", "a text").map_err(Problem::invalid)?;
    let data = parse_data(&fields, content_type.as_deref()).map_err(Problem::invalid)?;
    let metadata = fields.get("metadata", "an object whose values are texts").map_err(Problem::invalid)?;
    let expected = fields.raw("expected").map(|text| parse_version(text.get())).transpose();
    let expected = expected.map_err(|reason| Problem::invalid(reason.replacen("version", "expected", 1)))?;
    Ok(Command {
        aggregate,
        key,
        id: required("id", "each command has an id of its own, so that it is never carried out twice")?,
        command_type: required("type", "it says what is wanted")?,
        data,
        content_type: content_type.filter(|given| given != crate::event::JSON_CONTENT_TYPE),
        metadata: metadata.unwrap_or_default(),
        expected: expected.unwrap_or(ExpectedVersion::Any),
        condition: parse_condition(&fields)?,
        deadline_ms: fields.get("deadline_ms", "a whole number").map_err(Problem::invalid)?,
    })
}

impl Problem {
    /// The same, as one of a command, whatever it is: of which, and against which stream that would be decided.
    fn of_command(self, id: &str, stream: Option<&StreamName>) -> Self {
        let problem = self.with_missing("command_id", id);
        match stream {
            Some(stream) => problem.with_missing("stream", stream.as_str()),
            None => problem,
        }
    }

    /// A command that is not handed over to be decided; its id is free.
    fn not_decided(detail: String) -> Self {
        Self::http(StatusCode::UNPROCESSABLE_ENTITY, Kind::InvalidCommand, detail)
    }

    /// Code did not answer, with what it left behind.
    fn failed(detail: String, faulted: &Faulted) -> Self {
        let Faulted { stage, fault, evidence, .. } = faulted;
        Self::new(ErrorClass::Bug, Kind::CommandFailed, detail)
            .with("stage", stage.as_str())
            .with("fault", fault.as_str())
            .with("evidence", left_behind(evidence))
    }

    /// The domain's answer is no.
    fn rejected(settled: &Settled, rejection: &Rejection) -> Self {
        let problem = Self::http(StatusCode::UNPROCESSABLE_ENTITY, Kind::Rejected, rejection.reason.clone())
            .with("code", rejection.code.as_str())
            .with("command_id", settled.id.as_str())
            .with("stream", settled.stream.as_str())
            .with("version", settled.version.0)
            .with("position", settled.position.0)
            .with("repeated", settled.repeated);
        match &rejection.details {
            Some(details) => problem.with("details", details.clone()),
            None => problem,
        }
    }
}

/// What failed code left behind.
fn left_behind(Evidence { stderr_tail, backtrace }: &Evidence) -> Value {
    json!({ "stderr_tail": stderr_tail, "backtrace": backtrace })
}

/// What is wrong with a command, place by place.
fn field_faults(errors: Vec<FieldFault>) -> Vec<Value> {
    let one = |FieldFault { pointer, code, message }| json!({ "pointer": pointer, "code": code, "message": message });
    errors.into_iter().map(one).collect()
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let (class, detail) = (error.class(), error.to_string());
        match error {
            CommandError::Append(error) => error.into(),
            CommandError::Store(error) => error.into(),
            CommandError::Denied(denied) => denied.into(),
            CommandError::IdTaken { id, .. } => Self::new(class, Kind::IdConflict, detail).with("command_id", id),
            CommandError::UnknownAggregate { aggregate, .. } => {
                Self::not_found(detail).with("aggregate", aggregate.as_str()).absent(true)
            }
            CommandError::Faulted { plugin, faulted } => Self::failed(detail, &faulted).with("plugin", plugin.as_str()),
            CommandError::ValidatorFailed { validator, faulted } => {
                Self::failed(detail, &faulted).with("validator", validator)
            }
            CommandError::Refused { errors, .. } => Self::not_decided(detail).with("errors", field_faults(errors)),
            CommandError::UnknownType { aggregate, .. } => {
                Self::not_decided(detail).with("aggregate", aggregate.as_str()).with("errors", json!([]))
            }
            CommandError::Expired { deadline_ms, progress } => {
                let problem = Self::http(StatusCode::GATEWAY_TIMEOUT, Kind::DeadlinePassed, detail)
                    .with("deadline_ms", deadline_ms);
                match progress {
                    // What the other one's, or the queue's, comes to is not known yet.
                    Progress::Joined | Progress::Queued => problem,
                    progress => problem.with("decided", progress == Progress::Appending).with("appended", false),
                }
            }
            CommandError::NotGranted { plugin, event_type, .. } => {
                Self::new(ErrorClass::Bug, Kind::CommandFailed, detail)
                    .with("plugin", plugin.as_str())
                    .with("fault", "denied")
                    .with("event_type", event_type.as_str())
            }
            CommandError::Misfit { plugin, stream, version, position, .. } => {
                Self::new(ErrorClass::Bug, Kind::CommandFailed, detail)
                    .with("plugin", plugin.as_str())
                    .with("fault", "misfit")
                    .with("stream", stream.as_str())
                    .with("version", version.0)
                    .with("position", position.0)
            }
            CommandError::Unlifted { stream, version, position, upcaster, evidence, .. } => {
                Self::new(ErrorClass::Bug, Kind::CommandFailed, detail)
                    .with("fault", "upcast")
                    .with("upcaster", upcaster)
                    .with("evidence", left_behind(&evidence))
                    .with("stream", stream.as_str())
                    .with("version", version.0)
                    .with("position", position.0)
            }
            CommandError::GivenUp(failure) => {
                let Failure { command_id, stream, kind, reason, attempts, .. } = *failure;
                let failure = json!({ "kind": kind, "reason": reason, "attempts": attempts });
                Self::new(class, Kind::GivenUp, detail)
                    .with("command_id", command_id)
                    .with("stream", stream.as_str())
                    .with("failure", failure)
            }
            CommandError::NoState { .. } => Self::new(class, Kind::NotSupported, detail),
            CommandError::HistoryGone { stream, version, .. } => Self::http(StatusCode::GONE, Kind::Removed, detail)
                .with("stream", stream.as_str())
                .with("version", version.0),
            CommandError::OutcomeGone { id, position } => {
                Self::http(StatusCode::GONE, Kind::Removed, detail).with("command_id", id).with("position", position.0)
            }
            CommandError::Busy { .. } => Self::http(StatusCode::TOO_MANY_REQUESTS, Kind::TooManyRequests, detail),
            CommandError::SnapshotNeeded { stream } => Self::of_class(class, detail).with("stream", stream.as_str()),
            CommandError::Backwards { from, to } => Self::invalid(detail).with("from", from).with("to", to),
            CommandError::Invalid(_)
            | CommandError::Contended { .. }
            | CommandError::NoSuchAggregate { .. }
            | CommandError::StateTooLarge { .. }
            | CommandError::LooksTaken
            | CommandError::ChecksUnknown { .. }
            | CommandError::QueueFull { .. }
            | CommandError::TooMuchToKeep { .. }
            | CommandError::Panicked => Self::of_class(class, detail),
        }
    }
}
