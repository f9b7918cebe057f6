//! Writes how many calls its instance has had under `instance_calls`, and panics on poison: a fresh instance
//! begins at 1.

use std::sync::atomic::{AtomicU64, Ordering};

use test_guests::{Event, Failure, count, each, is_poison, put};

static CALLS: AtomicU64 = AtomicU64::new(0);

fn handle(events: &[Event]) -> Result<(), Failure> {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    each(events, |event| {
        assert!(!is_poison(event), "poisoned at position {}", event.position);
        put("instance_calls", &calls.to_string())?;
        count()
    })
}

test_guests::subscriber!(handle);
