//! Logs a mebibyte for each event, in lines of a kibibyte with control characters in them.

use test_guests::log::{self, Level};
use test_guests::{Event, Failure, count, each};

fn handle(events: &[Event]) -> Result<(), Failure> {
    let line = format!("flood\u{1b}[31m\n{}", "x".repeat(1_012));
    each(events, |_| {
        (0..1_024).for_each(|_| log::log(Level::Info, &line));
        count()
    })
}

test_guests::subscriber!(handle);
