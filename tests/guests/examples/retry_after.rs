//! Asks for a retry of poison after `after_ms` (50, if the manifest does not say), until it says `healthy = true`.

use test_guests::{Event, Failure, Verdict, config_number, count, each, is_healthy, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) && !is_healthy() {
            let after_ms = config_number("after_ms", 50);
            return Err((Verdict::Retry(Some(after_ms)), format!("again in {after_ms} ms")));
        }
        count()
    })
}

test_guests::subscriber!(handle);
