//! Exports both lanes: counts on the bulk one, and rejects all on the plain one.

use test_guests::{Event, Failure, Verdict};

fn refuse(_: &[Event]) -> Result<(), Failure> {
    Err(Failure { index: 0, verdict: Verdict::Reject, reason: "the bulk lane is there".into() })
}

test_guests::subscriber!(refuse);
test_guests::bulk_subscriber!(test_guests::behaviour::ok);
