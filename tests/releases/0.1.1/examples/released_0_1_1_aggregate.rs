//! Decides commands, as of release 0.1.1: `Add` adds its number to a tally that holds ten at most.

#![cfg_attr(target_arch = "wasm32", expect(unsafe_code, reason = "the bindings are generated here"))]

mod contract {
    wit_bindgen::generate!({ path: "../../../wit/releases/0.1.1", world: "described-aggregate-plugin" });
}

use std::cell::Cell;

use contract::exports::tidemill::plugin::aggregate::{
    Aggregate, Command, DecidedEvent, Guest, GuestAggregate, Misfit, Rejection,
};
use contract::exports::tidemill::plugin::description;
use contract::tidemill::plugin::types::{Event, Payload};

/// What it holds at most.
const MAX: u64 = 10;

/// The component.
pub struct Component;

/// One tally.
pub struct Tally(Cell<u64>);

impl description::Guest for Component {
    fn describe() -> description::Description {
        description::Description {
            name: "tally".into(),
            version: "0.1.1".into(),
            summary: "Built when the contract was 0.1.1".into(),
            types: Vec::new(),
            streams: Vec::new(),
            tags: Vec::new(),
            append: vec!["Added".into()],
            extra: Vec::new(),
        }
    }
}

impl Guest for Component {
    type Aggregate = Tally;

    fn snapshot_schema() -> u32 {
        1
    }
}

fn number(payload: &Payload) -> Option<u64> {
    match payload {
        Payload::Json(text) => text.parse().ok(),
        Payload::Binary(_) => None,
    }
}

impl GuestAggregate for Tally {
    fn new(_: String) -> Self {
        Self(Cell::new(0))
    }

    fn restore(_: String, snapshot: Vec<u8>) -> Result<Aggregate, String> {
        let text = String::from_utf8(snapshot).map_err(|error| error.to_string())?;
        let number = text.parse().map_err(|_| format!("{text} is no number"))?;
        Ok(Aggregate::new(Self(Cell::new(number))))
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), Misfit> {
        for (index, event) in (0..).zip(events) {
            let Some(added) = number(&event.payload).filter(|_| event.event_type == "Added") else {
                return Err(Misfit { index, reason: format!("{} is not known", event.event_type) });
            };
            self.0.set(self.0.get() + added);
        }
        Ok(())
    }

    fn decide(&self, command: Command) -> Result<Vec<DecidedEvent>, Rejection> {
        let rejection = |code: &str, details| Rejection { code: code.into(), reason: command.id.clone(), details };
        let added = number(&command.data).filter(|_| command.command_type == "Add");
        let added = added.ok_or_else(|| rejection("Unknown", None))?;
        if self.0.get() + added > MAX {
            return Err(rejection("Full", Some(format!("{{\"holds\":{}}}", self.0.get()))));
        }
        Ok(vec![DecidedEvent {
            event_type: "Added".into(),
            payload: Payload::Json(added.to_string()),
            content_type: None,
            tags: vec!["release:0.1.1".into()],
            metadata: vec![("at".into(), command.timestamp_us.to_string())],
            schema_version: 1,
        }])
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        Some(self.0.get().to_string().into_bytes())
    }
}

#[cfg(target_arch = "wasm32")]
contract::export!(Component with_types_in contract);
