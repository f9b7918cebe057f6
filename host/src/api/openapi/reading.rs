//! What reads events and streams.

use super::operation::Op;
use super::parameter::{
    after_name, at_least, kinds, last_event_id, limit, named, page, places, query, schema, text, time, told,
};
use super::shapes::CloudEvent;
use crate::api::cloud_event::{BATCH_CONTENT_TYPE, EVENT_CONTENT_TYPE};
use crate::api::event_view::EventView;
use crate::api::limits::EVENT_STREAM;
use crate::api::problem::Kind;
use crate::api::{events, form, stream_list, streams, types as registry};
use crate::event::PAGE_STREAMS_MAX;

/// How a client says in which form it wants events.
const FORMS: &str = "`Accept` names the form: JSON, lines or CloudEvents.";

/// Its operations.
pub(super) fn operations() -> [Op; 8] {
    [list(), subscribe(), get(), types(), known_type(), streams(), stream(), subscribe_stream()]
        .map(|op| op.tag("events"))
}

fn list() -> Op {
    let op = Op::get("/v1/events", "listEvents", "Reads events in the order of the log.")
        .about(FORMS)
        .takes(page(named("Position"), named("Position")))
        .takes(kinds())
        .takes(places())
        .takes([time("since", "Only events stored then or later."), time("until", "Only events stored before.")])
        .takes([schema()])
        .takes(at_least("the log"))
        .answers(200, "A page of events; `next` is the link to the one that follows.")
        .json::<events::PageView<'_>>();
    paged(op)
}

fn stream() -> Op {
    let op = Op::get("/v1/streams/{stream}", "readStream", "Reads the events of a stream, by version.")
        .about(FORMS)
        .takes(page(named("Version"), named("Version")))
        .takes([schema()])
        .takes([time("since", "Only events stored then or later."), time("until", "Only events stored before.")])
        .takes(at_least("the log"))
        .answers(200, "A page of the stream's events; `next` is the link to the one that follows.")
        .json::<streams::StreamView<'_>>()
        .header("ETag", told(text(), "The stream's version, which `If-Match` of an append expects."));
    paged(op).refuses(404, &[Kind::NotFound])
}

/// The other forms of a page, and what its header tells.
fn paged(op: Op) -> Op {
    let removed = "Events before this position may be missing: retention removed some.";
    op.lines::<EventView<'_>>()
        .list::<CloudEvent>(BATCH_CONTENT_TYPE)
        .header("Link", told(text(), "The next page, as `<link>; rel=\"next\"`."))
        .header(form::HEAD.as_str(), told(named("Position"), "Position of the last event of the log."))
        .header(form::REMOVED_BEFORE.as_str(), told(named("Position"), removed))
        .refuses(410, &[Kind::Removed])
        .refuses(503, &[Kind::TimedOut])
}

fn get() -> Op {
    Op::get("/v1/events/{id}", "getEvent", "Reads one event by its id.")
        .about(&format!(
            "{FORMS} With a header `ce-specversion` it is a CloudEvent in the binary form, whose body is its data."
        ))
        .takes([schema()])
        .takes(at_least("the log"))
        .answers(200, "The event.")
        .json::<EventView<'_>>()
        .lines::<EventView<'_>>()
        .media::<CloudEvent>(EVENT_CONTENT_TYPE)
        .refuses(404, &[Kind::NotFound])
        .refuses(503, &[Kind::TimedOut])
}

fn subscribe() -> Op {
    subscribing(
        Op::get("/v1/events/subscribe", "subscribe", "Sends the past, then what comes, without gap or double.")
            .takes([query("after", text(), "A position, or `head` for the end of the log.")])
            .takes(kinds())
            .takes(places())
            .takes([schema()]),
    )
}

fn subscribe_stream() -> Op {
    subscribing(
        Op::get("/v1/streams/{stream}/subscribe", "subscribeStream", "The same, of one stream.")
            .takes([query("after", text(), "A version that the stream has, or `head` for the end of the log.")])
            .takes(kinds())
            .takes([schema()]),
    )
}

fn subscribing(op: Op) -> Op {
    op.about(
        "Server-sent events. The id of each is its position, its data an `Event` on one line. An event `removed` says \
         that retention removed some; an event `error`, whose data is a `Problem`, is the last one. Comments come while \
         nothing else does.",
    )
    .takes([last_event_id()])
    .takes(at_least("the log"))
    .answers(200, "Events for as long as the client listens.")
    .text(EVENT_STREAM)
    .refuses(503, &[Kind::TimedOut])
}

fn types() -> Op {
    Op::get("/v1/types", "listTypes", "Lists the types of events that are stored, lifted to, or described.")
        .takes(at_least("the log"))
        .answers(200, "Every type, and what is known of it.")
        .json::<registry::ListView<'_>>()
        .refuses(503, &[Kind::TimedOut])
}

fn known_type() -> Op {
    Op::get(
        "/v1/types/{type}",
        "getType",
        "Shows one type: its ends, its versions, its lifts, what its data must look like.",
    )
    .about("Schema versions are counted by reading; where that is too much for one answer, `next` goes on.")
    .takes([query("after", named("Position"), "Only events above this position are counted under `versions`.")])
    .takes(at_least("the log"))
    .answers(200, "The type.")
    .json::<registry::TypeView<'_>>()
    .refuses(404, &[Kind::NotFound])
    .refuses(503, &[Kind::TimedOut])
}

fn streams() -> Op {
    Op::get("/v1/streams", "listStreams", "Lists streams in the order of their names.")
        .takes([query("prefix", text(), "Only streams whose names begin so.")])
        .takes([after_name(named("StreamName")), limit(stream_list::PAGE_DEFAULT, PAGE_STREAMS_MAX)])
        .takes(at_least("the log"))
        .answers(200, "Some of the streams; `next` is the link to those that follow.")
        .json::<stream_list::PageView<'_>>()
        .refuses(503, &[Kind::TimedOut])
}
