//! Counts every event, and keeps the position of the last under `last`.

use test_guests::{Event, Failure, count, each, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        count()?;
        put("last", &event.position.to_string())
    })
}

test_guests::subscriber!(handle);
