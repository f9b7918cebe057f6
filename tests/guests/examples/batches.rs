//! Writes the position of each call's first event and the number of its events under `batch/<first>`.

use test_guests::{Event, Failure, Verdict, count, each, is_poison, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            return Err((Verdict::Reject, format!("position {} is poison", event.position)));
        }
        if let Some(first) = events.first().filter(|first| first.position == event.position) {
            put(&format!("batch/{}", first.position), &events.len().to_string())?;
        }
        count()
    })
}

test_guests::subscriber!(handle);
