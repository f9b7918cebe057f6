//! Appends `times` events (2,000, if the manifest does not say) for each event, one call each, and rejects the
//! event with the host's text when one is refused.

use test_guests::{Event, Failure, Verdict, append, config_number, count, each, new_event, text_of};

fn handle(events: &[Event]) -> Result<(), Failure> {
    let times = config_number("times", 2_000);
    each(events, |event| {
        for _ in 0..times {
            append::append(event.position, &[new_event("Echoed")])
                .map_err(|error| (Verdict::Reject, text_of(error)))?;
        }
        count()
    })
}

test_guests::subscriber!(handle);
