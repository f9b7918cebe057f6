//! Calls the host with arguments that are out of bounds, and writes each answer under `answer/<what>`: `accepted`,
//! or the host's text.

use test_guests::{Event, Failure, HostError, NewEvent, append, count, each, new_event, put, state, text_of};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        let at = event.position;
        note("empty_key", state::set("", b"v"))?;
        note("long_key", state::set(&"k".repeat(1_025), b"v"))?;
        note("large_value", state::set("large", &vec![0; (1 << 20) + 1]))?;
        note("get_long_key", state::get(&"k".repeat(1_025)).map(drop))?;
        note("empty_type", append::append(at, &[new_event("")]))?;
        note("bad_stream", append::append(at, &[NewEvent { stream: Some("a*b".into()), ..new_event("Echoed") }]))?;
        note("schema_0", append::append(at, &[NewEvent { schema_version: 0, ..new_event("Echoed") }]))?;
        note("many_tags", append::append(at, &[NewEvent { tags: vec!["t".into(); 65], ..new_event("Echoed") }]))?;
        note("cause_0", append::append(0, &[new_event("Echoed")]))?;
        note("cause_ahead", append::append(u64::MAX, &[new_event("Echoed")]))?;
        count()
    })
}

fn note(what: &str, answer: Result<(), HostError>) -> test_guests::Answer {
    put(&format!("answer/{what}"), &answer.map_or_else(text_of, |()| "accepted".into()))
}

test_guests::subscriber!(handle);
