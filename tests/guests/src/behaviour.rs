//! What some guests do, on whichever lane they stand.

use crate::{Event, Failure, Payload, Verdict, add, append, config, count, each, is_poison, new_event, put, text_of};

/// Counts every event, and keeps the position of the last under `last`.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn ok(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        count()?;
        put("last", &event.position.to_string())
    })
}

/// Rejects poison.
///
/// # Errors
/// When there is poison, or the host refuses.
pub fn reject(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            return Err((Verdict::Reject, format!("position {} is poison", event.position)));
        }
        count()
    })
}

/// Counts events by type.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn count_types(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| add(&event.event_type, 1))
}

/// Writes all that it sees of each event under `event/<position>`.
///
/// # Errors
/// Asks for a retry when the host refuses.
pub fn event_echo(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        let payload = match &event.payload {
            Payload::Json(text) => format!("json {text}"),
            Payload::Binary(bytes) => format!("binary {bytes:?}"),
        };
        let seen = format!(
            "id={:016x}{:016x} type={} stream={:?} version={} timestamp_us={} schema={} payload={payload} context={:?}",
            event.id.high,
            event.id.low,
            event.event_type,
            event.stream,
            event.version,
            event.timestamp_us,
            event.schema_version,
            event.context,
        );
        put(&format!("event/{}", event.position), &seen)?;
        count()
    })
}

/// Appends an event for each, of the type that the manifest says under `[config] emits`, or its own. What is refused
/// is rejected, with the host's words.
///
/// # Errors
/// When the host refuses.
pub fn feedback(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        let event_type = config::get("emits").unwrap_or_else(|| event.event_type.clone());
        let appended = append::append(event.position, &[new_event(&event_type)]);
        appended.map_err(|error| (Verdict::Reject, text_of(error)))?;
        count()
    })
}
