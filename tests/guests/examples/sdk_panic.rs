//! Panics on the SDK, which logs the panic's text first.

use tidemill_sdk::{Context, Event, Outcome, export, info};

fn handle(event: &Event, ctx: &mut Context) -> Outcome {
    info!("at position {}", event.position());
    assert!(event.event_type() != "Poison", "poisoned by {}", event.id());
    ctx.state().add("count", 1)?;
    Ok(())
}

export!(handle);
