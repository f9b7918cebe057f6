//! The smallest useful plugin: counts events by type in its durable state.

use tidemill_sdk::{Context, Event, Outcome, export};

/// Adds one to the count of the event's type.
///
/// # Errors
/// When the state cannot be read or written.
pub fn handle(event: &Event, ctx: &mut Context) -> Outcome {
    ctx.state().add(event.event_type(), 1)?;
    Ok(())
}

export!(handle, name = "counter");

#[cfg(test)]
mod tests {
    use tidemill_sdk::testing::{Given, Harness};

    #[test]
    fn counts_by_type() {
        let mut plugin = Harness::new(super::handle);
        for event_type in ["OrderPlaced", "OrderPlaced", "StockReceived"] {
            plugin.handle(Given::json(event_type, &())).unwrap();
        }
        assert_eq!(plugin.state_json::<u64>("OrderPlaced"), Some(2));
        assert_eq!(plugin.state_json::<u64>("StockReceived"), Some(1));
    }
}
