//! Never comes back from poison.

use test_guests::{Event, Failure, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            let mut rounds = 0_u64;
            loop {
                rounds = std::hint::black_box(rounds.wrapping_add(1));
            }
        }
        count()
    })
}

test_guests::subscriber!(handle);
