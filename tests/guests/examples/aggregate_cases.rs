//! Decides commands, each of which misbehaves in its way; `Add` adds to the number that its state is.

use std::cell::Cell;

use test_guests::aggregate::exports::tidemill::plugin::aggregate::{
    Aggregate, Command, DecidedEvent, Guest, GuestAggregate, Misfit, Rejection,
};
use test_guests::{Event, Payload};

/// The component.
pub struct Cases;

/// The number, and whether snapshots of it are broken.
pub struct Number(Cell<u64>, Cell<bool>);

impl Guest for Cases {
    type Aggregate = Number;

    fn snapshot_schema() -> u32 {
        1
    }
}

fn added(event_type: &str) -> DecidedEvent {
    DecidedEvent {
        event_type: event_type.into(),
        payload: Payload::Json("1".into()),
        content_type: None,
        tags: Vec::new(),
        metadata: Vec::new(),
        schema_version: 1,
    }
}

fn spin() -> ! {
    let mut rounds = 0_u64;
    loop {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
    }
}

impl GuestAggregate for Number {
    fn new(_: String) -> Self {
        Self(Cell::new(0), Cell::new(false))
    }

    fn restore(_: String, snapshot: Vec<u8>) -> Result<Aggregate, String> {
        let number = String::from_utf8(snapshot).ok().and_then(|text| text.parse().ok());
        let number = number.ok_or("it is no number")?;
        Ok(Aggregate::new(Self(Cell::new(number), Cell::new(false))))
    }

    fn apply(&self, events: Vec<Event>) -> Result<(), Misfit> {
        for (index, event) in (0..).zip(events) {
            match event.event_type.as_str() {
                "Added" => self.0.set(self.0.get() + 1),
                "Broken" => self.1.set(true),
                other => return Err(Misfit { index, reason: format!("{other} is not known") }),
            }
        }
        Ok(())
    }

    #[expect(clippy::panic, reason = "that is what it does")]
    fn decide(&self, command: Command) -> Result<Vec<DecidedEvent>, Rejection> {
        match command.command_type.as_str() {
            "Add" => Ok(vec![added("Added")]),
            "Sly" => {
                self.0.set(self.0.get() + 1000);
                Ok(vec![added("Added")])
            }
            "Break" => Ok(vec![added("Broken")]),
            "Trap" => panic!("it does not like {}", command.id),
            "Spin" => spin(),
            "Grow" => Ok(vec![added(&"x".repeat(std::hint::black_box(1 << 30)))]),
            "Denied" => Ok(vec![added("Stolen")]),
            "Thousands" => Ok((0..5000).map(|_| added("Added")).collect()),
            "NoName" => Ok(vec![added("")]),
            "Later" => {
                Err(Rejection { code: "Later".into(), reason: "not now".into(), details: Some("{\"in\":5}".into()) })
            }
            "BadRejection" => Err(Rejection { code: String::new(), reason: String::new(), details: None }),
            other => Err(Rejection { code: "Unknown".into(), reason: other.into(), details: None }),
        }
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        let text = if self.1.get() { "broken".to_owned() } else { self.0.get().to_string() };
        Some(text.into_bytes())
    }
}

#[cfg(target_arch = "wasm32")]
test_guests::aggregate::export_aggregate!(Cases with_types_in test_guests::aggregate);
