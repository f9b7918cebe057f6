//! Writes values of 512 KiB under new keys for each event, `values` of them (8,192, if the manifest does not say),
//! and rejects the event with the host's text when one is refused.

use test_guests::{Event, Failure, Verdict, config_number, count, each, state, text_of};

fn handle(events: &[Event]) -> Result<(), Failure> {
    let (values, value) = (config_number("values", 8_192), vec![7; 512 << 10]);
    each(events, |event| {
        for n in 0..values {
            state::set(&format!("flood/{}/{n}", event.position), &value)
                .map_err(|error| (Verdict::Reject, text_of(error)))?;
        }
        count()
    })
}

test_guests::subscriber!(handle);
