//! Decides commands, and looks at state that is not there for it.

use test_guests::aggregate::exports::tidemill::plugin::aggregate::{
    Aggregate, Command, DecidedEvent, Guest, GuestAggregate, Misfit, Rejection,
};
use test_guests::{Event, state};

/// The component.
pub struct Impure;

/// What it decides for.
pub struct Nothing;

impl Guest for Impure {
    type Aggregate = Nothing;

    fn snapshot_schema() -> u32 {
        1
    }
}

impl GuestAggregate for Nothing {
    fn new(_: String) -> Self {
        Self
    }

    fn restore(_: String, _: Vec<u8>) -> Result<Aggregate, String> {
        Err("there is nothing to restore".into())
    }

    fn apply(&self, _: Vec<Event>) -> Result<(), Misfit> {
        Ok(())
    }

    fn decide(&self, command: Command) -> Result<Vec<DecidedEvent>, Rejection> {
        let known = state::get(&command.id).is_ok();
        Err(Rejection { code: "Known".into(), reason: known.to_string(), details: None })
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(target_arch = "wasm32")]
test_guests::aggregate::export_aggregate!(Impure with_types_in test_guests::aggregate);
