//! `POST /v1/events` with NDJSON: events are appended as their lines come, and answered line by line.
//!
//! Each line is an event of its own, and stands or falls alone. For speed, lines that have arrived are
//! appended together; if that is refused, the group is halved until the line to blame is alone, so that
//! order and outcome are those of appending one by one. One group is with the store while the next is read
//! and parsed: memory is bounded by those two, and a client that does not read its answers is not read from.
//!
//! The last line of the answer sums up. An answer without it was cut off.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::unfold;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use utoipa::ToSchema;
use uuid::Uuid;

use super::append_body::{ParsedEvent, bad_line, parse_event};
use super::append_context::AppendContext;
use super::blocking::blocking;
use super::body_lines::{Block, LINE_BYTES_MAX, Lines};
use super::openapi::ProblemShape;
use super::params::{Params, bad_value};
use super::problem::{Kind, Problem};
use super::state::ApiState;
use super::wait_for::{Behind, WaitFor};
use crate::access::Action;
use crate::error::ErrorClass;
use crate::event::{NewEvent, Position, Version};
use crate::gate::Caller;
use crate::store::{AppendError, AppendRequest, Appended, AppendedEvent};

/// Media type of lines of JSON.
pub(super) const NDJSON_CONTENT_TYPE: &str = "application/x-ndjson";
/// Groups' answers that wait for the client.
const ANSWERS_MAX: usize = 2;

/// Appends the lines of a body.
pub(super) async fn append(
    (state, caller): (ApiState, Caller),
    params: &Params,
    context: AppendContext,
    wait_for: Option<WaitFor>,
    body: Body,
) -> Result<Response, Problem> {
    if context.has_precondition() {
        let detail = "If-Match and If-None-Match are about one append, but each line is an append of its own";
        return Err(Problem::invalid(detail));
    }
    let (sender, answers) = mpsc::channel(ANSWERS_MAX);
    let mut run = Run {
        _place: state.places().requests.take()?,
        state,
        lines: Lines::new(body),
        context: Arc::new(context),
        caller,
        wait_for,
        stop_on_error: params.flag("stop_on_error")?,
        all_results: all_results(params)?,
        answers: sender,
        total: Total::default(),
    };
    // A client that asked whether to go on is told so by the first read, which must come before the answer.
    let first = run.next().await?;
    tokio::spawn(async move { run.run(first).await });
    let lines = unfold(answers, |mut answers| async move { Some((answers.recv().await?, answers)) });
    let body = Body::from_stream(futures::StreamExt::map(lines, Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, NDJSON_CONTENT_TYPE)], body).into_response())
}

fn all_results(params: &Params) -> Result<bool, Problem> {
    match params.one("results")? {
        None | Some("all") => Ok(true),
        Some("refused") => Ok(false),
        Some(other) => Err(bad_value("results", other, "give `all` or `refused`")),
    }
}

/// One body on its way into the log.
struct Run {
    state: ApiState,
    lines: Lines,
    context: Arc<AppendContext>,
    caller: Caller,
    wait_for: Option<WaitFor>,
    stop_on_error: bool,
    all_results: bool,
    answers: mpsc::Sender<Bytes>,
    total: Total,
    _place: OwnedSemaphorePermit,
}

/// What has become of the lines.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = LinesTotal)]
pub(super) struct Total {
    /// Lines that hold an event, or what should have been one.
    lines: u64,
    stored: u64,
    refused: u64,
    first_position: Option<Position>,
    last_position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<Vec<Behind>>,
    /// Why the rest of the body was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemShape>)]
    problem: Option<Value>,
}

/// Why the lines end.
enum End {
    /// The body is over, or a line was refused and that ends it.
    Done,
    /// The rest of the body was not looked at.
    Stopped(Box<Problem>),
    /// Nobody listens.
    Gone,
}

/// A group that the store has.
struct InFlight {
    /// The block, to be taken apart if it is refused.
    block: (usize, Bytes),
    group: Group,
    answer: JoinHandle<Result<Appended, AppendError>>,
}

/// The lines of a block; either list is in the order of lines.
#[derive(Default)]
struct Group {
    lines: Vec<usize>,
    events: Vec<NewEvent>,
    bad: Vec<(usize, Problem)>,
}

type Outcome = (usize, Result<AppendedEvent, Problem>);

impl Run {
    async fn run(mut self, first: Block) {
        let end = match self.follow(first).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Gone => return,
            End::Done => {}
            End::Stopped(problem) => self.total.problem = Some(problem.to_json()),
        }
        if let (Some(wait_for), Some(last)) = (&self.wait_for, self.total.last_position) {
            self.total.behind = Some(wait_for.settled(&self.state, last).await);
        }
        let mut text = Vec::new();
        line(&mut text, &self.total);
        let _ = self.answers.send(text.into()).await;
    }

    /// Appends block after block; while the store has one, the next is gathered and parsed.
    async fn follow(&mut self, first: Block) -> Result<Infallible, End> {
        let mut block = first;
        let mut in_flight: Option<InFlight> = None;
        loop {
            let parsed = match block {
                Block::Lines { first, bytes } => Ok(self.parse(first, bytes).await?),
                Block::TooLong { line } => Err(line),
                Block::End | Block::Broken { .. } => {
                    self.settle(in_flight.take()).await?;
                    return Err(ended(block));
                }
            };
            self.settle(in_flight.take()).await?;
            match parsed {
                Ok((block, group)) => in_flight = self.submit(block, group).await?,
                Err(line) => {
                    let problem = bad_line(line, &format!("longer than {LINE_BYTES_MAX} bytes"));
                    self.tell(vec![(line, Err(problem))]).await?;
                }
            }
            if let Some(flight) = &mut in_flight {
                tokio::select! {
                    () = self.lines.fill() => {}
                    answer = &mut flight.answer => {
                        let InFlight { block, group, .. } = in_flight.take().ok_or(End::Gone)?;
                        self.answered(block, group, joined(answer)).await?;
                    }
                }
            }
            block = self.next().await.map_err(|problem| End::Stopped(Box::new(problem)))?;
        }
    }

    /// The next block, unless the client is silent for too long or the server shuts down.
    async fn next(&mut self) -> Result<Block, Problem> {
        let seconds = self.state.limits().lines_time;
        tokio::select! {
            block = tokio::time::timeout(Duration::from_secs(seconds), self.lines.block()) => block.map_err(|_| {
                let detail = format!("no line came within {seconds} s; send the rest again");
                Problem::new(ErrorClass::Unavailable, Kind::TimedOut, detail)
            }),
            () = self.state.closed() => {
                let detail = "the server is shutting down; send the rest again later";
                Err(Problem::of_class(ErrorClass::Unavailable, detail))
            }
        }
    }

    async fn parse(&mut self, first: usize, bytes: Bytes) -> Result<((usize, Bytes), Group), End> {
        let (context, caller) = (Arc::clone(&self.context), self.caller.clone());
        let (text, stop) = (bytes.clone(), self.stop_on_error);
        let parsed = blocking(&self.state, move |_| Ok(parse((&context, &caller), first, &text, stop))).await;
        parsed.map(|group| ((first, bytes), group)).map_err(|problem| End::Stopped(Box::new(problem)))
    }

    /// Hands a group to the store. Bad lines are told after the group's own.
    async fn submit(&mut self, block: (usize, Bytes), mut group: Group) -> Result<Option<InFlight>, End> {
        if group.events.is_empty() {
            let bad = std::mem::take(&mut group.bad);
            self.tell(bad.into_iter().map(|(line, problem)| (line, Err(problem))).collect()).await?;
            return Ok(None);
        }
        let (log, caller) = (self.state.log().clone(), self.caller.clone());
        let request = AppendRequest::unconditional(std::mem::take(&mut group.events));
        let answer = tokio::spawn(async move { caller.append(&log, request).await });
        Ok(Some(InFlight { block, group, answer }))
    }

    async fn settle(&mut self, in_flight: Option<InFlight>) -> Result<(), End> {
        let Some(InFlight { block, group, answer }) = in_flight else { return Ok(()) };
        let answer = joined(answer.await);
        self.answered(block, group, answer).await
    }

    /// Tells what became of a group.
    async fn answered(
        &mut self,
        block: (usize, Bytes),
        group: Group,
        answer: Result<Appended, AppendError>,
    ) -> Result<(), End> {
        let mut outcomes: Vec<Outcome> = match answer {
            Ok(appended) => group.lines.into_iter().zip(appended.events.into_iter().map(Ok)).collect(),
            Err(error) if is_of_a_line(&error) => self.one_by_one(block).await?,
            Err(error) => return Err(End::Stopped(Box::new(error.into()))),
        };
        let over = self.stop_on_error && outcomes.iter().any(|(_, outcome)| outcome.is_err());
        let bad = group.bad.into_iter().filter(|_| !over);
        outcomes.extend(bad.map(|(line, problem)| (line, Err(problem))));
        outcomes.sort_by_key(|(line, _)| *line);
        self.tell(outcomes).await
    }

    /// Appends a refused block half by half, down to single lines.
    async fn one_by_one(&mut self, (first, bytes): (usize, Bytes)) -> Result<Vec<Outcome>, End> {
        let (_, Group { lines, events, .. }) = self.parse(first, bytes).await?;
        let mut outcomes = Vec::with_capacity(lines.len());
        let mut left = vec![(lines, events)];
        while let Some((lines, events)) = left.pop() {
            match self.caller.append(self.state.log(), AppendRequest::unconditional(events.clone())).await {
                Ok(appended) => outcomes.extend(lines.into_iter().zip(appended.events.into_iter().map(Ok))),
                Err(error) if !is_of_a_line(&error) => return Err(End::Stopped(Box::new(error.into()))),
                Err(_) if events.len() > 1 => {
                    let (mut lines, mut events) = (lines, events);
                    let half = events.len() / 2;
                    let later = (lines.split_off(half), events.split_off(half));
                    left.extend([later, (lines, events)]);
                }
                Err(error) => {
                    outcomes.extend(lines.into_iter().map(|line| (line, Err(Problem::from(error.clone())))));
                    if self.stop_on_error {
                        break;
                    }
                }
            }
        }
        Ok(outcomes)
    }

    /// Counts outcomes and sends them, as far as the client wants them.
    async fn tell(&mut self, outcomes: Vec<Outcome>) -> Result<(), End> {
        let mut text = Vec::new();
        let mut stop = false;
        for (number, outcome) in outcomes {
            self.total.add(&outcome);
            match outcome {
                Ok(event) if self.all_results => line(&mut text, &StoredView::new(number, &event)),
                Ok(_) => {}
                Err(problem) => {
                    line(&mut text, &RefusedView { line: number, problem: problem.to_json() });
                    stop = self.stop_on_error;
                }
            }
        }
        if !text.is_empty() {
            self.answers.send(text.into()).await.map_err(|_| End::Gone)?;
        }
        if stop { Err(End::Done) } else { Ok(()) }
    }
}

impl Total {
    fn add(&mut self, outcome: &Result<AppendedEvent, Problem>) {
        self.lines += 1;
        let Ok(event) = outcome else {
            self.refused += 1;
            return;
        };
        self.stored += 1;
        self.first_position = Some(self.first_position.map_or(event.position, |first| first.min(event.position)));
        self.last_position = self.last_position.max(Some(event.position));
    }
}

/// Why there is no further block.
fn ended(block: Block) -> End {
    match block {
        Block::Broken { reason } => {
            tracing::debug!(reason, "a body of lines broke off");
            End::Gone
        }
        Block::End | Block::Lines { .. } | Block::TooLong { .. } => End::Done,
    }
}

/// Parses the lines of a block: all, or up to the first bad one.
fn parse((context, caller): (&AppendContext, &Caller), first: usize, block: &[u8], stop_on_error: bool) -> Group {
    let mut group = Group::default();
    for (index, text) in block.split(|byte| *byte == b'\n').enumerate() {
        let number = first + index;
        match event(text).map_err(|reason| bad_line(number, &reason)).and_then(|parsed| allowed(caller, number, parsed))
        {
            Ok(None) => {}
            Ok(Some(ParsedEvent { mut event, has_id })) => {
                context.complete(&mut event, has_id, number - 1);
                group.events.push(event);
                group.lines.push(number);
            }
            Err(problem) => {
                group.bad.push((number, problem));
                if stop_on_error {
                    break;
                }
            }
        }
    }
    group
}

/// Lets an event through that the caller may append.
fn allowed(caller: &Caller, line: usize, parsed: Option<ParsedEvent>) -> Result<Option<ParsedEvent>, Problem> {
    let Some(ParsedEvent { event, .. }) = &parsed else { return Ok(None) };
    let action = Action::AppendEvent(&event.event_type, event.stream.as_ref());
    caller.judge(&action).map_err(|denied| Problem::from(denied).with("line", line))?;
    Ok(parsed)
}

/// The event of a line; none when the line is blank.
fn event(line: &[u8]) -> Result<Option<ParsedEvent>, String> {
    let text =
        std::str::from_utf8(line).map_err(|error| format!("not valid UTF-8 at byte {}", error.valid_up_to()))?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = parse_event(text)?;
    parsed.event.validate().map_err(|error| error.to_string())?;
    Ok(Some(parsed))
}

/// Whether a refusal is about some of the events, and others may be appended.
const fn is_of_a_line(error: &AppendError) -> bool {
    matches!(error.class(), ErrorClass::Invalid | ErrorClass::Conflict | ErrorClass::NotFound)
}

fn joined(answer: Result<Result<Appended, AppendError>, tokio::task::JoinError>) -> Result<Appended, AppendError> {
    match answer.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(answer) => answer,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => Err(crate::store::StoreError::ShuttingDown.into()),
    }
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) {
    // Plain values into memory: nothing of this can fail.
    let _ = serde_json::to_writer(&mut *text, value);
    text.push(b'\n');
}

#[derive(Serialize, ToSchema)]
#[schema(as = LineStored)]
pub(super) struct StoredView {
    line: usize,
    position: Position,
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
}

impl StoredView {
    fn new(line: usize, event: &AppendedEvent) -> Self {
        let version = event.stream.is_some().then_some(event.version);
        Self { line, position: event.position, id: event.id, version }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = LineRefused)]
pub(super) struct RefusedView {
    line: usize,
    #[schema(value_type = ProblemShape)]
    problem: Value,
}
