//! Keeps the shop's numbers: orders by status, revenue by day, the products that sell best.
//!
//! A projection: it appends nothing, and answers queries about what it keeps. All its numbers can be computed again
//! from the log.

mod day;
mod queries;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, Event, Outcome, State, event_types, export};

pub use queries::{QUERIES, query};

/// How many products the list of the best-selling holds.
const TOP_PRODUCTS: usize = 10;

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Shop {
    /// A customer placed an order.
    OrderPlaced {
        /// The order's id.
        order: String,
        /// What is wanted.
        lines: Vec<Line>,
    },
    /// The order is reserved and paid.
    OrderConfirmed {
        /// The order's id.
        order: String,
        /// What was paid, in cents.
        amount_cents: u64,
    },
    /// The order will not be delivered.
    OrderCancelled {
        /// The order's id.
        order: String,
    },
}

/// So many of one product.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// A product with the number sold: an entry of `top_products`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Product {
    /// The product.
    pub sku: String,
    /// How many were sold.
    pub units: u64,
}

/// Counts.
///
/// # Errors
/// When the event does not decode, or the state cannot be read or written.
pub fn handle(event: &Event, ctx: &mut Context) -> Outcome {
    let state = ctx.state();
    match event.decode()? {
        Shop::OrderPlaced { order, lines } => {
            state.add("orders/placed", 1)?;
            state.add("orders/open", 1)?;
            state.set_json(&open_key(&order), &units(&lines))?;
        }
        Shop::OrderConfirmed { order, amount_cents } => {
            state.add("orders/confirmed", 1)?;
            state.add("revenue_cents", amount_cents)?;
            state.add(&format!("revenue_cents/{}", day::of_timestamp(event.timestamp_us())), amount_cents)?;
            for (sku, units) in close(&order, state)? {
                sell(sku, units, state)?;
            }
        }
        Shop::OrderCancelled { order } => {
            state.add("orders/cancelled", 1)?;
            close(&order, state)?;
        }
    }
    Ok(())
}

/// Takes an order from the open ones and answers what was in it.
fn close(order: &str, state: State) -> Outcome<BTreeMap<String, u64>> {
    let key = open_key(order);
    let Some(units) = state.get_json(&key)? else { return Ok(BTreeMap::new()) };
    state.delete(&key)?;
    state.subtract("orders/open", 1)?;
    Ok(units)
}

fn sell(sku: String, units: u64, state: State) -> Outcome {
    let units = state.add(&format!("units/{sku}"), units)?;
    state.update("top_products", |top: &mut Vec<Product>| rank(top, Product { sku, units }))?;
    Ok(())
}

/// Puts a product with its new number into the list, best first; by name where the numbers are equal.
pub fn rank(top: &mut Vec<Product>, product: Product) {
    top.retain(|other| other.sku != product.sku);
    let before =
        |other: &Product| other.units > product.units || (other.units == product.units && other.sku < product.sku);
    let place = top.partition_point(before);
    top.insert(place, product);
    top.truncate(TOP_PRODUCTS);
}

fn units(lines: &[Line]) -> BTreeMap<&str, u64> {
    let mut units = BTreeMap::new();
    for line in lines {
        *units.entry(line.sku.as_str()).or_insert(0) += u64::from(line.quantity);
    }
    units
}

fn open_key(order: &str) -> String {
    format!("open/{order}")
}

export!(handle, query = query, name = "dashboard", types = event_types::<Shop>(), queries = QUERIES);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemill_sdk::testing::{Given, Harness};
    use tidemill_sdk::{QueryError, projection};

    use super::*;

    #[test]
    fn orders_revenue_and_products_are_counted() {
        let mut dashboard = Harness::projection(|| projection(handle, query));
        for order in ["1", "2", "3"] {
            let lines = json!([{ "sku": "tea", "quantity": 2 }, { "sku": "oil", "quantity": 3 }]);
            dashboard.handle(Given::json("OrderPlaced", &json!({ "order": order, "lines": lines }))).unwrap();
        }
        let confirmed = Given::json("OrderConfirmed", &json!({ "order": "1", "amount_cents": 900 }));
        dashboard.handle(confirmed.timestamp_us(86_400_000_000)).unwrap();
        dashboard.handle(Given::json("OrderCancelled", &json!({ "order": "2", "reason": "r" }))).unwrap();

        for (key, count) in [("placed", 3), ("open", 1), ("confirmed", 1), ("cancelled", 1)] {
            assert_eq!(dashboard.state_json::<u64>(&format!("orders/{key}")), Some(count), "{key}");
        }
        assert_eq!(dashboard.state_json::<u64>("revenue_cents/1970-01-02"), Some(900));
        let top: Vec<Product> = dashboard.state_json("top_products").unwrap();
        assert_eq!(top, [Product { sku: "oil".into(), units: 3 }, Product { sku: "tea".into(), units: 2 }]);

        let mut ask = |name: &str, parameters: &[(&str, &str)]| -> serde_json::Value {
            serde_json::from_slice(dashboard.query(name, parameters).unwrap().body()).unwrap()
        };
        let orders = json!({ "placed": 3, "open": 1, "confirmed": 1, "cancelled": 1 });
        assert_eq!(ask("summary", &[]), json!({ "orders": orders, "revenue_cents": 900 }));
        assert_eq!(ask("top", &[("limit", "1")]), json!([{ "sku": "oil", "units": 3 }]));
        let day = json!([{ "day": "1970-01-02", "revenue_cents": 900 }]);
        assert_eq!(ask("revenue", &[]), day);
        assert_eq!(ask("revenue", &[("from", "1970-01-02"), ("to", "1970-01-02")]), day);
        assert_eq!(ask("revenue", &[("from", "1970-01-03")]), json!([]));
        let mut refused = |name: &str, parameters: &[(&str, &str)]| dashboard.query(name, parameters).unwrap_err();
        assert_eq!(refused("totals", &[]), QueryError::Unknown);
        assert!(refused("top", &[("limit", "11")]).to_string().contains("1 to 10"));
        assert!(refused("summary", &[("day", "1")]).to_string().contains("takes none"));
    }

    #[test]
    fn the_list_keeps_the_best_in_order() {
        let mut top = Vec::new();
        for units in 1..=20 {
            rank(&mut top, Product { sku: format!("p{units:02}"), units });
        }
        rank(&mut top, Product { sku: "p11".into(), units: 100 });
        assert_eq!(top.len(), TOP_PRODUCTS);
        assert_eq!((top[0].sku.as_str(), top[1].sku.as_str()), ("p11", "p20"));
    }
}
