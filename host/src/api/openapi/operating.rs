//! What looks after the server and its store.

use super::operation::Op;
use super::parameter::{count, named, told};
use super::shapes::{Live, Ready, VerifyLine};
use crate::api::backup::{BYTES_HEADER, HEAD_HEADER};
use crate::api::doctor::DoctorView;
use crate::api::problem::Kind;
use crate::api::retention::RetentionView;
use crate::api::verify::VerifyView;
use crate::telemetry::metrics::CONTENT_TYPE;

/// Its operations.
pub(super) fn operations() -> Vec<Op> {
    let mut ops = probes();
    ops.extend([verify(), backup(), doctor(), retention(), document()]);
    ops.into_iter().map(|op| op.tag("server")).collect()
}

fn verify() -> Op {
    Op::post("/v1/verify", "verifyStore", "Looks at every byte of the store while it is in use.")
        .about(
            "One runs at a time. With `Accept: application/x-ndjson` the answer is lines: how far it is, and last the \
             same object or a problem.",
        )
        .answers(200, "What is not as it was written.")
        .json::<VerifyView>()
        .lines::<VerifyLine>()
        .refuses(404, &[Kind::NotSupported])
}

fn backup() -> Op {
    Op::get("/v1/backup", "backup", "Sends what the store holds as of one position.")
        .about("The last file of the tar is `BACKUP.json`: without it the body was cut off and is no backup.")
        .answers(200, "A tar.")
        .bytes("application/x-tar")
        .header(HEAD_HEADER, told(named("Position"), "Position of the last event in it."))
        .header(BYTES_HEADER, told(count(), "About how many bytes its files have."))
        .refuses(404, &[Kind::NotSupported])
}

fn doctor() -> Op {
    Op::get("/v1/doctor", "doctor", "Tells how large the parts of the store are, and what of that is unusual.")
        .answers(200, "Sizes and findings.")
        .json::<DoctorView>()
        .refuses(404, &[Kind::NotSupported])
}

fn retention() -> Op {
    Op::get("/v1/retention", "listRetention", "Tells what is kept for how long, and who holds removing back.")
        .answers(200, "Every category that has a policy, or of which something was removed.")
        .json::<RetentionView>()
}

fn document() -> Op {
    Op::get("/v1/openapi.json", "openApi", "This document.").answers(200, "OpenAPI 3.1.").object()
}

fn probes() -> Vec<Op> {
    vec![
        Op::probe("/livez", "live", "Answers as long as the process does.").answers(200, "It lives.").json::<Live>(),
        Op::probe("/readyz", "ready", "Answers whether requests are welcome.")
            .about("The problem's `checks` say which of `serving`, `log` and `plugins` fails, and why.")
            .answers(200, "They are.")
            .json::<Ready>()
            .refuses(503, &[Kind::Unavailable]),
        Op::probe("/metrics", "metrics", "Tells what the server measures.")
            .answers(200, "OpenMetrics.")
            .text(CONTENT_TYPE),
    ]
}
