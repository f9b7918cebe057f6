//! Sleeps for an hour on poison.

use std::thread;
use std::time::Duration;

use test_guests::{Event, Failure, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            thread::sleep(Duration::from_secs(3_600));
        }
        count()
    })
}

test_guests::subscriber!(handle);
