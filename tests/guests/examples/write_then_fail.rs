//! Writes state, then rejects poison: what it wrote must not remain.

use test_guests::{Event, Failure, Verdict, count, each, is_poison, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        put(&format!("seen/{}", event.position), &event.event_type)?;
        count()?;
        if is_poison(event) {
            return Err((Verdict::Reject, "written in vain".into()));
        }
        Ok(())
    })
}

test_guests::subscriber!(handle);
