//! Panics on poison.

use test_guests::{Event, Failure, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            panic!("poisoned at position {}", event.position);
        }
        count()
    })
}

test_guests::subscriber!(handle);
