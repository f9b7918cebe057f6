//! Appends one `Echoed` event for each event: in a stream, tagged, with metadata and the same payload.
//!
//! It must not listen to `Echoed` itself.

use test_guests::{Event, Failure, NewEvent, append, count, each, new_event, retry};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        let echo = NewEvent {
            stream: Some(format!("echo-{}", event.position)),
            payload: event.payload.clone(),
            tags: vec![format!("echo:{}", event.event_type)],
            metadata: vec![("echo_of".into(), event.position.to_string())],
            ..new_event("Echoed")
        };
        append::append(event.position, &[echo]).map_err(retry)?;
        count()
    })
}

test_guests::subscriber!(handle);
