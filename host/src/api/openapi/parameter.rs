//! Parameters of the document. Which of them a route takes is held by a test against what the route refuses.

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Required, SchemaFormat};

use crate::api::append_context::KEY_BYTES_MAX;
use crate::api::events::{PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX};
use crate::api::wait::{TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX};

/// A place in the path.
pub(super) fn in_path(name: &str) -> Parameter {
    let (schema, about, example): (RefOr<Schema>, _, Value) = match name {
        "stream" => (named("StreamName"), "Name of a stream, percent-encoded.", json!("order-42")),
        "id" => (uuid(), "Id of an event.", json!("0199a0a0-0000-7000-8000-000000000001")),
        "type" => (named("EventType"), "Name of a type of event, percent-encoded.", json!("OrderPlaced")),
        "aggregate" => (named("Category"), "Which kind of aggregate: the category of its stream.", json!("account")),
        "aggregate_id" => (text(), "Which one: the rest of its stream's name.", json!("7")),
        "command_id" => (text(), "Id of a command.", json!("0199a0a0-0000-7000-8000-000000000002")),
        "name" => (named("PluginName"), "Name of a plugin.", json!("counter")),
        "position" => (named("Position"), "Position of an event.", json!(1)),
        "query" => (text(), "Name of a query, as it is: slashes belong to it.", json!("top")),
        _ => (text(), "A key of the state, as it is: slashes belong to it.", json!("OrderPlaced")),
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.description(Some(about)).schema(Some(schema)).example(Some(example)).build()
}

/// A parameter of the query.
pub(super) fn query(name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Parameter {
    of(ParameterIn::Query, name, schema.into(), about).build()
}

/// A parameter of the query that may be given any number of times.
pub(super) fn each(name: &str, item: impl Into<RefOr<Schema>>, about: &str) -> Parameter {
    let list = ArrayBuilder::new().items(item.into());
    of(ParameterIn::Query, name, list.into(), about).style(Some(ParameterStyle::Form)).explode(Some(true)).build()
}

/// Parameters of the query that are not named here: each name with a text.
pub(super) fn others(name: &str, about: &str) -> Parameter {
    let texts = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(text()));
    of(ParameterIn::Query, name, texts.into(), about).style(Some(ParameterStyle::Form)).explode(Some(true)).build()
}

/// A field of the request's header.
pub(super) fn header(name: &str, schema: impl Into<RefOr<Schema>>, about: &str) -> Parameter {
    of(ParameterIn::Header, name, schema.into(), about).build()
}

fn of(place: ParameterIn, name: &str, schema: RefOr<Schema>, about: &str) -> ParameterBuilder {
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(Required::False);
    parameter.description(Some(about)).schema(Some(schema))
}

/// A field of an answer's header.
pub(super) fn told(schema: impl Into<RefOr<Schema>>, about: &str) -> Header {
    HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
}

/// One of the named shapes.
pub(super) fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// Any text.
pub(super) fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// A UUID.
pub(super) fn uuid() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
}

/// A text of a form.
pub(super) fn pattern(pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
}

/// One of some words.
pub(super) fn word(words: &[&str], default: &str) -> RefOr<Schema> {
    let words = words.iter().copied();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).default(Some(json!(default))).into()
}

/// Yes or no.
pub(super) fn flag() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).default(Some(json!(false))).into()
}

/// A whole number within bounds.
pub(super) fn whole(min: usize, max: usize, default: usize) -> RefOr<Schema> {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max));
    number.default(Some(json!(default))).into()
}

/// How many there are of something.
pub(super) fn count() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_usize)).into()
}

/// How many items a page has.
pub(super) fn limit(default: usize, max: usize) -> Parameter {
    query("limit", whole(1, max, default), "Most items on the page.")
}

/// Where a page of names begins.
pub(super) fn after_name(schema: RefOr<Schema>) -> Parameter {
    query("after", schema, "Begins after this one; `next` of the page before has it.")
}

/// Read your writes: of the log, or of a plugin.
pub(super) fn at_least(of: &str) -> [Parameter; 2] {
    let about = format!("Waits until {of} has come to this position.");
    [query("at_least", named("Position"), &about), timeout_ms()]
}

/// How long something is waited for.
pub(super) fn timeout_ms() -> Parameter {
    let bounds = whole(0, wide(TIMEOUT_MS_MAX), wide(TIMEOUT_MS_DEFAULT));
    query("timeout_ms", bounds, "Longest wait, in milliseconds.")
}

fn wide(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Which events are wanted: `type` and `tag`.
pub(super) fn kinds() -> [Parameter; 2] {
    [
        each("type", named("Pattern"), "Only events whose type matches one of these."),
        each("tag", named("Tag"), "Only events that carry all of these."),
    ]
}

/// In which schema events are shown.
pub(super) fn schema() -> Parameter {
    let about =
        "Whether events are lifted to today's schema, to whose types `type` refers, or shown as they are stored.";
    query(crate::api::schema::PARAM, word(&crate::api::schema::VALUES, "current"), about)
}

/// Which events are wanted: `stream` and `category`.
pub(super) fn places() -> [Parameter; 2] {
    [
        each("stream", named("Pattern"), "Only events whose stream matches one of these; not with `category`."),
        each("category", named("Category"), "Only events of streams of one of these categories."),
    ]
}

/// Which part of a page's range is wanted, how much of it, and in which order.
pub(super) fn page(after: RefOr<Schema>, before: RefOr<Schema>) -> [Parameter; 5] {
    [
        query("after", after, "Only events after this one, which is left out."),
        query("before", before, "Only events before this one, which is left out."),
        limit(PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX),
        query("direction", word(&["forwards", "backwards"], "forwards"), "Oldest or newest first."),
        query("complete", flag(), "Refuses with 410 what retention removed a part of."),
    ]
}

/// A time.
pub(super) fn time(name: &str, about: &str) -> Parameter {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    query(name, ObjectBuilder::new().schema_type(Type::String).format(Some(format)), about)
}

/// The header fields that expect a version of a stream.
pub(super) fn preconditions() -> [Parameter; 2] {
    [
        header("If-Match", pattern(r#"^("[0-9]+"|\*)$"#), "The stream's `ETag`, or `*` for a stream that exists."),
        header("If-None-Match", pattern(r"^\*$"), "`*` for a stream that does not exist."),
    ]
}

/// The header field that makes a request safe to send again.
pub(super) fn idempotency_key() -> Parameter {
    let key = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(KEY_BYTES_MAX));
    let about = "Events without an id get one that follows from it, so that the same request stores nothing twice.";
    header("Idempotency-Key", key.pattern(Some("^[!-~]([ -~]*[!-~])?$")), about)
}

/// The header field of a trace.
pub(super) fn traceparent() -> Parameter {
    header("traceparent", text(), "W3C trace context; becomes metadata of events that have none.")
}

/// Where a subscription goes on.
pub(super) fn last_event_id() -> Parameter {
    header("Last-Event-ID", pattern("^[0-9]+$"), "The id received last; what follows comes. Comes before `after`.")
}
