//! Ends the process, as it thinks, on poison.

use test_guests::{Event, Failure, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            std::process::exit(3);
        }
        count()
    })
}

test_guests::subscriber!(handle);
