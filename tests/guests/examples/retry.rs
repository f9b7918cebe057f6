//! Asks for a retry of poison until the manifest says `healthy = true`.

use test_guests::{Event, Failure, Verdict, count, each, is_healthy, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) && !is_healthy() {
            return Err((Verdict::Retry(None), "not healthy yet".into()));
        }
        count()
    })
}

test_guests::subscriber!(handle);
