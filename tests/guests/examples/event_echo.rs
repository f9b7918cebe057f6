//! Writes all that it sees of each event under `event/<position>`.

use test_guests::{Event, Failure, Payload, count, each, put};

fn handle(events: &[Event]) -> Result<(), Failure> {
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

test_guests::subscriber!(handle);
