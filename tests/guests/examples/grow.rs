//! Takes all the memory it can get on poison.

use test_guests::{Event, Failure, count, each, is_poison};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        count()
    })
}

test_guests::subscriber!(handle);
