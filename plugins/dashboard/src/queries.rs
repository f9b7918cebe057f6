//! What readers ask.

use serde::Serialize;
use tidemill_sdk::{Answer, Answered, Query, QueryError, ReadContext, ReadState};

use crate::{Product, TOP_PRODUCTS};

/// The queries there are.
pub const QUERIES: [&str; 3] = ["summary", "top", "revenue"];

/// Orders by status.
#[derive(Serialize)]
struct Orders {
    placed: u64,
    open: u64,
    confirmed: u64,
    cancelled: u64,
}

/// The shop in a few numbers.
#[derive(Serialize)]
struct Summary {
    orders: Orders,
    revenue_cents: u64,
}

/// What a day brought.
#[derive(Serialize)]
struct Day {
    day: String,
    revenue_cents: u64,
}

/// Answers from the numbers that `handle` keeps.
///
/// # Errors
/// When there is no such query, a parameter is wrong, or the state cannot be read.
pub fn query(query: &Query<'_>, ctx: &ReadContext) -> Answered {
    match query.name() {
        "summary" => summary(query, ctx.state()),
        "top" => top(query, ctx.state()),
        "revenue" => revenue(query, ctx.state()),
        _ => Err(QueryError::Unknown),
    }
}

fn summary(query: &Query<'_>, state: ReadState) -> Answered {
    query.only(&[])?;
    let orders = Orders {
        placed: state.count("orders/placed")?,
        open: state.count("orders/open")?,
        confirmed: state.count("orders/confirmed")?,
        cancelled: state.count("orders/cancelled")?,
    };
    Answer::json(&Summary { orders, revenue_cents: state.count("revenue_cents")? })
}

fn top(query: &Query<'_>, state: ReadState) -> Answered {
    query.only(&["limit"])?;
    let limit = query.get_or("limit", TOP_PRODUCTS)?;
    if limit == 0 || limit > TOP_PRODUCTS {
        return Err(QueryError::invalid(format_args!("parameter `limit` is {limit}; give 1 to {TOP_PRODUCTS}")));
    }
    let mut top: Vec<Product> = state.get_json("top_products")?.unwrap_or_default();
    top.truncate(limit);
    Answer::json(&top)
}

/// Days are texts whose order is that of time.
fn revenue(query: &Query<'_>, state: ReadState) -> Answered {
    query.only(&["from", "to"])?;
    let (from, to) = (query.get::<String>("from")?, query.get::<String>("to")?);
    let mut days = Vec::new();
    for entry in state.scan_json::<u64>("revenue_cents/") {
        let (key, revenue_cents) = entry?;
        let day = key.trim_start_matches("revenue_cents/").to_owned();
        if from.as_ref().is_none_or(|from| *from <= day) && to.as_ref().is_none_or(|to| day <= *to) {
            days.push(Day { day, revenue_cents });
        }
    }
    Answer::json(&days)
}
