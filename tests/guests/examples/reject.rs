//! Rejects poison.

use test_guests::{Event, Failure, Verdict, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            return Err((Verdict::Reject, format!("position {} is poison", event.position)));
        }
        count()
    })
}

test_guests::subscriber!(handle);
