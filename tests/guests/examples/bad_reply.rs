//! Blames an event that is not in the batch, when there is poison in it.

use test_guests::{Event, Failure, Verdict, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    if events.iter().any(is_poison) {
        return Err(Failure { index: u32::MAX, verdict: Verdict::Reject, reason: "somebody else's fault".into() });
    }
    each(events, |_| count())
}

test_guests::subscriber!(handle);
