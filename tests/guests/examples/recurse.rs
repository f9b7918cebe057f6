//! Calls itself without end on poison.

use test_guests::{Event, Failure, count, each, is_poison};

#[expect(unconditional_recursion, reason = "what this guest is for")]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + frame.iter().sum::<u64>()
}

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            std::hint::black_box(deeper(event.position));
        }
        count()
    })
}

test_guests::subscriber!(handle);
