//! Reads a key and a prefix that it never read before, on and on, once it is handed poison.

use test_guests::{Event, Failure, count, each, is_poison, state};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            for n in 0_u64.. {
                let _ = state::get(&format!("{n:x}"));
                let _ = state::scan(&format!("{n:01000}"), None, 1);
            }
        }
        count()
    })
}

test_guests::subscriber!(handle);
