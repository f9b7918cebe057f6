//! Writes a mebibyte to stderr for each event, and panics on poison.

#![expect(clippy::print_stderr, reason = "what this guest is for")]

use test_guests::{Event, Failure, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    let line = "y".repeat(1_023);
    each(events, |event| {
        (0..1_024).for_each(|_| eprintln!("{line}"));
        assert!(!is_poison(event), "the last words after the flood");
        count()
    })
}

test_guests::subscriber!(handle);
