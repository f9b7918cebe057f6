//! Answers poison with a verdict that this host does not know.

use test_guests::{Event, Failure, Verdict, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            return Err((Verdict::Other("quarantine".into()), "a verdict of a later contract".into()));
        }
        count()
    })
}

test_guests::subscriber!(handle);
