//! Takes the place of `aggregate_cases`: its `Add` adds two, and its snapshots are of another schema.

use std::cell::Cell;

use test_guests::aggregate::exports::tidemill::plugin::aggregate::{
    Aggregate, Command, DecidedEvent, Guest, GuestAggregate, Misfit, Rejection,
};
use test_guests::{Event, Payload};

/// The component.
pub struct Successor;

/// The sum of all that was added.
pub struct Sum(Cell<u64>);

impl Guest for Successor {
    type Aggregate = Sum;

    fn snapshot_schema() -> u32 {
        2
    }
}

impl GuestAggregate for Sum {
    fn new(_: String) -> Self {
        Self(Cell::new(0))
    }

    fn restore(_: String, snapshot: Vec<u8>) -> Result<Aggregate, String> {
        let text = String::from_utf8(snapshot).map_err(|error| error.to_string())?;
        let sum = text.strip_prefix("{\"sum\":").and_then(|rest| rest.strip_suffix('}')?.parse().ok());
        Ok(Aggregate::new(Self(Cell::new(sum.ok_or("it is no sum")?))))
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), Misfit> {
        for (index, event) in (0..).zip(events) {
            let added = match event.payload {
                Payload::Json(text) => text.parse::<u64>().ok(),
                Payload::Binary(_) => None,
            };
            let Some(added) = added else { return Err(Misfit { index, reason: "it is no number".into() }) };
            self.0.set(self.0.get() + added);
        }
        Ok(())
    }

    fn decide(&self, _: Command) -> Result<Vec<DecidedEvent>, Rejection> {
        Ok(vec![DecidedEvent {
            event_type: "Added".into(),
            payload: Payload::Json("2".into()),
            content_type: None,
            tags: Vec::new(),
            metadata: Vec::new(),
            schema_version: 1,
        }])
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(format!("{{\"sum\":{}}}", self.0.get()).into_bytes())
    }
}

#[cfg(target_arch = "wasm32")]
test_guests::aggregate::export_aggregate!(Successor with_types_in test_guests::aggregate);
