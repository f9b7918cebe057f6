//! A typed handler on the SDK: counts what was ordered, appends `BigOrderSeen`, and describes itself.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, NewEvent, Outcome, export, typed};

#[derive(Deserialize)]
enum Shop {
    OrderPlaced { order: String, total_cents: u64 },
    OrderCancelled,
}

#[derive(Serialize)]
struct BigOrderSeen {
    order: String,
}

fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    match event {
        Shop::OrderPlaced { order, total_cents } => {
            ctx.state().add("total_cents", total_cents)?;
            if total_cents >= ctx.config().get_or("big_cents", 100_000)? {
                let stream = format!("order-{order}");
                ctx.append(NewEvent::json("BigOrderSeen", &BigOrderSeen { order }).stream(stream).tag("big"))?;
            }
        }
        Shop::OrderCancelled => {
            ctx.state().add("cancelled", 1)?;
        }
    }
    Ok(())
}

export!(typed(handle), name = "sdk-typed", version = "1.2.3", summary = "Watches orders", append = ["BigOrderSeen"],);
