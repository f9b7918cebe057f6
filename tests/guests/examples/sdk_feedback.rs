//! What `feedback` does, on the SDK: what the host refuses, it hands on.

use tidemill_sdk::{Context, Event, NewEvent, Outcome, export};

fn handle(event: &Event, ctx: &mut Context) -> Outcome {
    ctx.append(NewEvent::json(event.event_type(), &()))?;
    ctx.state().add("count", 1)?;
    Ok(())
}

export!(handle);
