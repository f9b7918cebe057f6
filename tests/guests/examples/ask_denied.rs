//! Appends an event of the type that the manifest's `append_type` names (`NotGranted`, if it does not say),
//! and rejects the event at hand with the host's text when that is refused.

use test_guests::{Event, Failure, Verdict, append, config, count, each, new_event, text_of};

fn handle(events: &[Event]) -> Result<(), Failure> {
    let event_type = config::get("append_type").unwrap_or_else(|| "NotGranted".into());
    each(events, |event| {
        append::append(event.position, &[new_event(&event_type)]).map_err(|error| (Verdict::Reject, text_of(error)))?;
        count()
    })
}

test_guests::subscriber!(handle);
