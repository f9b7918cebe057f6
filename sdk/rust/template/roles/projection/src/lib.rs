//! Sums up orders, and answers queries about them.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Answer, Answered, Context, Outcome, Query, QueryError, ReadContext, export, typed};

/// What it listens to: one variant for each event type.
#[derive(Deserialize)]
enum Shop {
    OrderPlaced { order: String, total_cents: u64 },
}

#[derive(Serialize)]
struct Totals {
    orders: u64,
    cents: u64,
}

#[derive(Serialize)]
struct Order {
    order: String,
    total_cents: u64,
}

fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    let Shop::OrderPlaced { order, total_cents } = event;
    ctx.state().set_count(&format!("order/{order}"), total_cents)?;
    ctx.state().add("orders", 1)?;
    ctx.state().add("cents", total_cents)?;
    Ok(())
}

/// Reads the state as of one moment; what is tried to be changed here is denied.
fn query(query: &Query, ctx: &ReadContext) -> Answered {
    let state = ctx.state();
    match query.name() {
        "totals" => Answer::json(&Totals { orders: state.count("orders")?, cents: state.count("cents")? }),
        "order" => {
            let order: String = query.require("order")?;
            let found = state.get_json(&format!("order/{order}"))?;
            let total_cents =
                found.ok_or_else(|| QueryError::invalid(format_args!("there is no order {order}")))?;
            Answer::json(&Order { order, total_cents })
        }
        _ => Err(QueryError::Unknown),
    }
}

export!(typed(handle), query = query, queries = ["totals", "order"]);
