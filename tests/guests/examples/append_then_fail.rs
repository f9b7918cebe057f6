//! Appends an `Echoed` event, then rejects poison: what it appended must not remain.

use test_guests::{Event, Failure, Verdict, append, count, each, is_poison, new_event, retry};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        append::append(event.position, &[new_event("Echoed")]).map_err(retry)?;
        if is_poison(event) {
            return Err((Verdict::Reject, "appended in vain".into()));
        }
        count()
    })
}

test_guests::subscriber!(handle);
