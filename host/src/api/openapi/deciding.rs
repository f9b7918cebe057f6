//! Commands, and aggregates as of some point.

use serde_json::json;

use super::operation::Op;
use super::parameter::{after_name, at_least, flag, header, limit, named, query, text, time, told, traceparent};
use super::shapes::Command;
use crate::api::commands::OutcomeView;
use crate::api::problem::Kind;
use crate::api::stream_state::{DiffView, PAGE_DEFAULT, PAGE_MAX, SnapshotsView, StateView};

/// Its operations.
pub(super) fn operations() -> [Op; 6] {
    [send(), status(), state(), diff(), snapshots(), drop_snapshot()].map(|op| op.tag("commands"))
}

fn send() -> Op {
    let withdraw = json!({
        "id": "0199a0a0-0000-7000-8000-000000000002", "type": "Withdraw", "data": { "cents": 500 },
        "metadata": { "actor": "ada" }, "expected": 3,
    });
    Op::post("/v1/commands/{aggregate}/{aggregate_id}", "sendCommand", "Decides a command.")
        .about(
            "The component that decides for such aggregates decides it against the aggregate's events, and what follows \
             is appended. Sent again with the same id it has the outcome that it had; another command under that id is \
             refused. A rejection (422) is the domain's answer, with its `code` and maybe `details`; it is an outcome too. \
             After any other problem there is none, and the command may be sent again. Each problem of a command that \
             could be read has its `command_id` and `stream`.",
        )
        .takes([
            traceparent(),
            query("wait", flag(), "Whether to wait for the decision; else it is accepted, and decided later. True unless told."),
            header("Prefer", text(), "With `respond-async` it is accepted, and decided later."),
        ])
        .accepts::<Command>("application/json")
        .example("withdraw", "A command to an account that must be at version 3", withdraw)
        .answers(201, "What followed, and where it stands.")
        .json::<OutcomeView<'_>>()
        .header("ETag", told(text(), "The stream's version."))
        .answers(200, "The same, when nothing was to be done, or it was done before.")
        .json::<OutcomeView<'_>>()
        .header("ETag", told(text(), "The stream's version."))
        .answers(202, "It is in the log, and decided later; `outcome` is `queued`.")
        .json::<OutcomeView<'_>>()
        .header("Location", told(text(), "Where what becomes of it is told."))
        .refuses(404, &[Kind::NotFound])
        .refuses(408, &[Kind::TimedOut])
        .refuses(
            409,
            &[Kind::WrongExpectedVersion, Kind::ConditionFailed, Kind::StreamDeleted, Kind::IdConflict, Kind::GivenUp],
        )
        .refuses(410, &[Kind::Removed])
        .refuses(413, &[Kind::TooLarge])
        .refuses(415, &[Kind::UnsupportedMediaType])
        .refuses(422, &[Kind::Rejected, Kind::InvalidCommand])
        .refuses(500, &[Kind::CommandFailed])
        .refuses(504, &[Kind::DeadlinePassed])
}

fn status() -> Op {
    Op::get("/v1/commands/{command_id}", "getCommand", "Tells what became of a command.")
        .takes(at_least("the log"))
        .answers(200, "Its outcome, or that it is queued, under way, or given up.")
        .json::<OutcomeView<'_>>()
        .refuses(404, &[Kind::NotFound])
        .refuses(503, &[Kind::TimedOut])
}

fn state() -> Op {
    Op::get("/v1/streams/{stream}/state", "getAggregate", "Shows an aggregate as of some point, now unless told.")
        .takes([
            query("aggregate", named("Category"), "Whose code shows it; that of the stream's category unless told."),
            query("at_version", named("Version"), "When the stream had come to this version."),
            time("at_time", "At this time, with what was stored at it."),
            query("at_position", named("Position"), "When the log had come to this position."),
        ])
        .takes(at_least("the log"))
        .answers(200, "The aggregate.")
        .json::<StateView<'_>>()
        .refuses(404, &[Kind::NotFound, Kind::NotSupported])
        .refuses(409, &[Kind::StreamDeleted])
        .refuses(410, &[Kind::Removed])
        .refuses(500, &[Kind::CommandFailed])
        .refuses(503, &[Kind::TimedOut])
}

fn diff() -> Op {
    Op::get("/v1/streams/{stream}/diff", "diffAggregate", "Shows what each event between two points changed.")
        .about("From the beginning unless told, until now unless told; the second point must not come before the first. What takes too much for one answer ends earlier; `next` is \
             the link to what follows.")
        .takes([
            query("aggregate", named("Category"), "Whose code shows it; that of the stream's category unless told."),
            query("from_version", named("Version"), "From this version on."),
            time("from_time", "From what was at this time on: what was stored later."),
            query("from_position", named("Position"), "From this position on."),
            query("to_version", named("Version"), "Up to this version."),
            time("to_time", "Up to this time, with what was stored at it."),
            query("to_position", named("Position"), "Up to this position."),
        ])
        .takes(at_least("the log"))
        .answers(200, "The events between, with what they changed.")
        .json::<DiffView<'_>>()
        .refuses(404, &[Kind::NotFound, Kind::NotSupported])
        .refuses(409, &[Kind::StreamDeleted])
        .refuses(410, &[Kind::Removed])
        .refuses(500, &[Kind::CommandFailed])
        .refuses(503, &[Kind::TimedOut])
}

fn snapshots() -> Op {
    Op::get("/v1/snapshots", "listSnapshots", "Lists snapshots of aggregates in the order of their streams.")
        .takes([query("prefix", text(), "Only of streams whose names begin so.")])
        .takes([after_name(named("StreamName")), limit(PAGE_DEFAULT, PAGE_MAX)])
        .answers(200, "Some of the snapshots; `next` is the link to those that follow.")
        .json::<SnapshotsView<'_>>()
}

fn drop_snapshot() -> Op {
    Op::delete("/v1/snapshots/{stream}", "dropSnapshot", "Drops a snapshot; it is written again when it is due.")
        .about("One that stands for events which retention has removed is needed: without it the aggregate takes no more commands. \
                One that is damaged counts as needed where events of its stream were removed.")
        .takes([query("force", flag(), "Whether to drop it even so.")])
        .answers(204, "It is gone.")
        .refuses(409, &[Kind::Conflict])
        .refuses(404, &[Kind::NotFound])
}
