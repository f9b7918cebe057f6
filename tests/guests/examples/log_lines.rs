//! Logs a line for each event, prints one when asked to by `[config] prints`, and rejects poison with a warning. Keeps the
//! time of the last event under `last_us`.

#![expect(clippy::print_stdout, reason = "what this guest is for")]

use test_guests::log::{self, Level};
use test_guests::{Event, Failure, Verdict, config, each, is_poison, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            log::log(Level::Warn, "it is poison");
            return Err((Verdict::Reject, "poison".into()));
        }
        log::log(Level::Info, &format!("saw {}", event.event_type));
        if config::get("prints").is_some() {
            println!("printed {}", event.event_type);
        }
        put("last_us", &event.timestamp_us.to_string())
    })
}

test_guests::subscriber!(handle);
