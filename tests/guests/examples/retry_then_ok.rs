//! Asks for a retry of poison `fail_attempts` times (2, if the manifest does not say), then handles it.
//!
//! Counts in the instance's memory, which outlives a verdict but no fault.

use std::sync::atomic::{AtomicU64, Ordering};

use test_guests::{Event, Failure, Verdict, config_number, count, each, is_poison};

static FAILED: AtomicU64 = AtomicU64::new(0);

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            let failed = FAILED.fetch_add(1, Ordering::Relaxed);
            if failed < config_number("fail_attempts", 2) {
                return Err((Verdict::Retry(None), format!("failed {} times", failed + 1)));
            }
            FAILED.store(0, Ordering::Relaxed);
        }
        count()
    })
}

test_guests::subscriber!(handle);
