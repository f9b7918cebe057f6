//! What writes events.

use serde_json::json;

use super::operation::Op;
use super::parameter::{
    each, flag, idempotency_key, preconditions, query, text, timeout_ms, told, traceparent, uuid, word,
};
use super::shapes::{Append, AppendLine, CloudEvent, NewEvent};
use crate::api::append::AppendedView;
use crate::api::cloud_event::{BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE};
use crate::api::problem::Kind;
use crate::api::stream_deletion::DeletedView;

/// Its operations.
pub(super) fn operations() -> [Op; 2] {
    [append(), delete_stream()].map(|op| op.tag("events"))
}

fn append() -> Op {
    let plugins = "Answers when these plugins have settled the append, or the time is over; names by commas too.";
    let op = Op::post("/v1/events", "appendEvents", "Appends events.")
        .about(
            "JSON and CloudEvents are one atomic append. Lines are an append each, answered line by line as they are \
             stored; with `atomic=true` they are one append. Any other content type is a CloudEvent in the binary form \
             when the request has a header `ce-specversion`.",
        )
        .takes([
            each("wait_for", text(), plugins),
            timeout_ms(),
            query("atomic", flag(), "Of lines: one append for all of them."),
            query("stop_on_error", flag(), "Of lines: nothing is stored after a line that is refused."),
            query("results", word(&["all", "refused"], "all"), "Of lines: which of them are answered."),
            idempotency_key(),
            traceparent(),
        ])
        .takes(preconditions());
    let op = with_bodies(op)
        .answers(201, "Where the events stand.")
        .json::<AppendedView<'_>>()
        .header("ETag", told(text(), "The stream's version, after an append to one stream."))
        .answers(200, "What becomes of each line, and last a line that sums up. Without that it was cut off.")
        .lines::<AppendLine>();
    op.refuses(400, &[Kind::InvalidEvent])
        .refuses(404, &[Kind::NotFound])
        .refuses(408, &[Kind::TimedOut])
        .refuses(409, &[Kind::WrongExpectedVersion, Kind::ConditionFailed, Kind::StreamDeleted])
        .refuses(409, &[Kind::IdConflict, Kind::PartlyStored])
        .refuses(412, &[Kind::WrongExpectedVersion])
        .refuses(413, &[Kind::TooLarge])
        .refuses(415, &[Kind::UnsupportedMediaType])
        .refuses(503, &[Kind::TimedOut])
}

fn with_bodies(op: Op) -> Op {
    let id = "0199a0a0-0000-7000-8000-000000000001";
    let order = json!({
        "id": id, "type": "OrderPlaced", "stream": "order-42", "tags": ["customer:7"], "data": { "total": 1200 },
    });
    let paid = json!({
        "events": [{ "type": "OrderPaid", "stream": "order-42", "tags": ["order:42"], "data": { "total": 1200 } }],
        "expected": [{ "stream": "order-42", "version": 1 }],
        "condition": { "fail_if_match": [{ "types": ["OrderPaid"], "tags": ["order:42"] }] },
    });
    let cloud = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/sensors/7", "type": "com.example.reading",
            "subject": "kitchen", "time": "2026-01-31T12:00:00Z", "data": { "celsius": 21.5 },
        })
    };
    let lines = "{\"type\":\"OrderShipped\",\"stream\":\"order-42\"}\n{\"type\":\"OrderClosed\",\"data\":[1,2]}\n";
    op.accepts::<Append>("application/json")
        .example("one", "One event of a stream", json!({ "events": [order] }))
        .example("one_guarded", "If the stream is at a version, and nothing like it is in the log", paid)
        .accepts_lines::<NewEvent>()
        .example("lines", "An event a line", json!(lines))
        .accepts::<CloudEvent>(EVENT_CONTENT_TYPE)
        .example("structured", "A CloudEvent", cloud("reading-1"))
        .accepts_list::<CloudEvent>(BATCH_CONTENT_TYPE)
        .example("batch", "Some CloudEvents", json!([cloud("reading-2"), cloud("reading-3")]))
}

fn delete_stream() -> Op {
    let expected = "The version of the stream's last event, `exists` or `any`; not with `If-Match`.";
    let again = "Id of the tombstone: the same one sent again is a retry.";
    Op::delete("/v1/streams/{stream}", "deleteStream", "Ends a stream for good.")
        .about("Appends a tombstone. The stream's events stay readable; it takes no more.")
        .takes([query("expected_version", text(), expected), query("id", uuid(), again), idempotency_key()])
        .takes(preconditions())
        .answers(200, "Where the tombstone stands.")
        .json::<DeletedView>()
        .refuses(404, &[Kind::NotFound])
        .refuses(409, &[Kind::WrongExpectedVersion, Kind::StreamDeleted, Kind::IdConflict])
        .refuses(412, &[Kind::WrongExpectedVersion])
}
