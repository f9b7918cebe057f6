//! Shapes of bodies that are read or written field by field: what is read is refused with words that a derived reader
//! does not have. A test holds their fields against those that are read.
#![expect(dead_code, reason = "the fields are there to be described")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::append_stream::{RefusedView, StoredView, Total};
use crate::api::dead_letters::DeadLetterView;
use crate::api::generations::Rebuilt;
use crate::api::health::Readiness;
use crate::api::verify::VerifyView;
use crate::delivery::rehearsal::{RehearsalProgress, ReplayReport, VerifyStateReport};
use crate::event::{EventType, Pattern, Position, StreamName, Tag};
use crate::plugin::CandidateReport;

/// Why a request was refused (RFC 9457). `type` is stable and for programs; other fields depend on it, such as
/// `index`, `line`, `stream`, `actual_version`, `position` or `parameter`.
#[derive(ToSchema)]
pub(in crate::api) struct Problem {
    /// A URN of what kind it is.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:tidemill:problem:[a-z-]+$")]
    kind: String,
    /// The kind, for people.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What was wrong, where, and what to do.
    detail: String,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// One append: all of its events are stored, or none.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Append {
    #[schema(min_items = 1, max_items = 10_000)]
    events: Vec<NewEvent>,
    #[schema(max_items = 10_000)]
    expected: Option<Vec<Expectation>>,
    condition: Option<Condition>,
}

/// An event to append. Only `type` must be there.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEvent {
    /// A fresh one unless given. One that is stored already, with the same content, is a retry.
    #[schema(nullable = false)]
    id: Option<Uuid>,
    #[serde(rename = "type")]
    event_type: EventType,
    stream: Option<StreamName>,
    #[schema(max_items = 64)]
    tags: Option<Vec<Tag>>,
    /// Any JSON, kept byte for byte. Not with `data_base64`, nor with a content type that is not JSON.
    data: Option<Value>,
    /// Any bytes.
    #[schema(content_encoding = "base64")]
    data_base64: Option<String>,
    /// Media type of the data; JSON unless given.
    #[schema(min_length = 1, max_length = 255)]
    content_type: Option<String>,
    /// Texts beside the data: at most 64, of at most 4,096 bytes each.
    metadata: Option<BTreeMap<String, String>>,
    /// Version of the data's schema; 1 unless given.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    schema_version: Option<u32>,
}

/// A command. `id` and `type` must be there.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    /// Its identity: sent again with the same one, it has the outcome that it had.
    #[schema(min_length = 1, max_length = 255)]
    id: String,
    /// What is wanted.
    #[serde(rename = "type")]
    #[schema(min_length = 1, max_length = 255)]
    command_type: String,
    /// With what: any JSON. Not with `data_base64`, nor with a content type that is not JSON.
    data: Option<Value>,
    /// Any bytes.
    #[schema(content_encoding = "base64")]
    data_base64: Option<String>,
    /// Media type of the data; JSON unless given.
    #[schema(min_length = 1, max_length = 255)]
    content_type: Option<String>,
    /// Texts beside the data, which its events get: at most 60, of at most 4,096 bytes each.
    metadata: Option<BTreeMap<String, String>>,
    /// What its stream must be.
    expected: Option<ExpectedVersion>,
    condition: Option<Condition>,
    /// How long it may take until it is appended, in milliseconds; what its plugin's manifest says unless given.
    #[schema(minimum = 1, maximum = 600_000)]
    deadline_ms: Option<u64>,
}

/// Where a stream must be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    stream: StreamName,
    version: ExpectedVersion,
}

/// The version of the last event, or a word.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum ExpectedVersion {
    /// The version of the last event; 0 for a stream that does not exist.
    Number(u64),
    Word(ExpectedWord),
}

/// Whether there must be a stream.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExpectedWord {
    NoStream,
    Exists,
    Any,
}

/// What must not be in the log (a dynamic consistency boundary).
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    /// The append fails if an event matches one of these; an empty list matches every event.
    #[schema(max_items = 1_000)]
    fail_if_match: Vec<QueryItem>,
    /// Only events after this position matter.
    after: Option<Position>,
}

/// Any of the types, any of the streams, all of the tags. An empty list asks nothing.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryItem {
    types: Option<Vec<Pattern>>,
    streams: Option<Vec<Pattern>>,
    tags: Option<Vec<Tag>>,
}

/// A `CloudEvent` 1.0. Extensions stand beside the attributes; `tmstream`, `tmtags`, `tmschemaversion` and
/// `tmmetadata` are the event's stream, tags, schema version and other metadata.
#[derive(ToSchema)]
pub(super) struct CloudEvent {
    #[schema(pattern = r"^1\.0$")]
    specversion: String,
    #[schema(min_length = 1)]
    id: String,
    #[schema(min_length = 1)]
    source: String,
    #[serde(rename = "type")]
    event_type: EventType,
    subject: Option<String>,
    #[schema(format = DateTime)]
    time: Option<String>,
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    data: Option<Value>,
    #[schema(content_encoding = "base64")]
    data_base64: Option<String>,
    tmstream: Option<StreamName>,
    /// A JSON list of texts, as a text.
    tmtags: Option<String>,
    tmschemaversion: Option<String>,
    /// A JSON object of texts, as a text.
    tmmetadata: Option<String>,
    /// Told when it is read.
    tmposition: Option<String>,
    /// Told when it is read.
    tmversion: Option<String>,
    /// Told when it is read.
    tmrecordedtime: Option<String>,
    #[serde(flatten)]
    extensions: BTreeMap<String, Value>,
}

/// A line of the answer to lines of events: one for each, then one that sums up.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum AppendLine {
    Stored(StoredView),
    Refused(RefusedView),
    Total(Total),
}

/// A line of the answer to a replay: how far it is, and last the report or a problem.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum ReplayLine {
    Progress(RehearsalProgress),
    Report(Box<ReplayReport>),
    Problem(Problem),
}

/// A line of the answer to a shadow run: how far it is, and last the report or a problem.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum ShadowLine {
    Progress(RehearsalProgress),
    Report(Box<CandidateReport>),
    Problem(Problem),
}

/// A line of the answer to verifying state: how far it is, and last the report or a problem.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum VerifyStateLine {
    Progress(RehearsalProgress),
    Report(Box<VerifyStateReport>),
    Problem(Problem),
}

/// A line of the answer to a rebuild that is waited for: how far it is, and last what became live or a problem.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum RebuildLine {
    Progress(RehearsalProgress),
    Report(Rebuilt),
    Problem(Problem),
}

/// A line of the answer to verifying the store: how far it is, and last the report or a problem.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum VerifyLine {
    Progress(VerifyProgress),
    Report(VerifyView),
    Problem(Problem),
}

/// How far verifying is.
#[derive(ToSchema)]
pub(super) struct VerifyProgress {
    bytes: u64,
    bytes_total: u64,
}

/// Some dead letters of a plugin.
#[derive(ToSchema)]
pub(super) struct DeadLetterPage<'a> {
    dead_letters: Vec<DeadLetterView<'a>>,
    /// How many there are in all.
    count: u64,
    /// Link to the next page.
    next: Option<String>,
}

/// What became of dead letters that were handed over again.
#[derive(ToSchema)]
pub(super) struct Redriven {
    outcome: RedriveOutcome,
    /// How many were handled.
    handled: u64,
    /// How many failed again: each stopped those behind it.
    failed: u64,
    /// The first 100 of them.
    failing: Vec<StillFailing>,
    /// Why it ended before its time.
    interrupted: Option<String>,
}

/// How far handing dead letters over again is.
#[derive(ToSchema)]
pub(super) struct RedriveProgress {
    /// How many events the plugin has set aside.
    set_aside: u64,
}

/// A line of the answer to handing dead letters over again: how far it is, and last what became of them or a problem.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum RedriveLine {
    Progress(RedriveProgress),
    Report(Redriven),
    Problem(Problem),
}

/// What became of dead letters that were given up.
#[derive(ToSchema)]
pub(super) struct Discarded {
    /// How many there were.
    discarded: u64,
}

/// How it went.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RedriveOutcome {
    Handled,
    StillFailing,
    Interrupted,
}

/// A dead letter that failed again.
#[derive(ToSchema)]
pub(super) struct StillFailing {
    position: Position,
    key: Option<String>,
    reason: String,
}

/// The process lives.
#[derive(ToSchema)]
pub(super) struct Live {
    #[schema(pattern = "^live$")]
    status: String,
}

/// Requests are welcome.
#[derive(ToSchema)]
pub(super) struct Ready {
    #[schema(pattern = "^ready$")]
    status: String,
    /// Where the log ends; absent where keys are asked for.
    head: Option<Position>,
    checks: Readiness,
}
