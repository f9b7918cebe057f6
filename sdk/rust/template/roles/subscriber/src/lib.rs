//! Points out big orders.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, NewEvent, Outcome, export, typed};

/// What it listens to: one variant for each event type.
#[derive(Deserialize)]
enum Shop {
    OrderPlaced { order: String, total_cents: u64 },
}

#[derive(Serialize)]
struct BigOrderSeen {
    order: String,
    nth: u64,
}

fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    let Shop::OrderPlaced { order, total_cents } = event;
    if total_cents >= ctx.config().get_or("big_cents", 100_000)? {
        let nth = ctx.state().add("big_orders", 1)?;
        let stream = format!("order-{order}");
        ctx.append(NewEvent::json("BigOrderSeen", &BigOrderSeen { order, nth }).stream(stream))?;
    }
    Ok(())
}

export!(typed(handle), append = ["BigOrderSeen"]);
