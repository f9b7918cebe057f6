//! Reserves stock for orders, all lines or none, and takes it back when the payment is declined.
//!
//! State: `stock/<sku>` is what may still be reserved, never below zero; `reservation/<order>` is what
//! became of an order. At any position, for each product: received = stock + held + sold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, Failure, NewEvent, OrFail, Outcome, State, export, typed};

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Shop {
    /// Goods came in.
    StockReceived {
        /// The product.
        sku: String,
        /// How many.
        quantity: u32,
    },
    /// A customer placed an order.
    OrderPlaced {
        /// The order's id.
        order: String,
        /// What is wanted.
        lines: Vec<Line>,
    },
    /// The customer paid: the goods leave.
    PaymentTaken {
        /// The order's id.
        order: String,
    },
    /// The customer could not pay: the goods go back.
    PaymentDeclined {
        /// The order's id.
        order: String,
    },
}

/// So many of one product.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The product.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// A product of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Short {
    /// The product.
    pub sku: String,
    /// How many the order wants.
    pub wanted: u64,
    /// How many there are.
    pub available: u64,
}

/// What became of an order, by product.
#[derive(Debug, Deserialize, Serialize)]
struct Reservation {
    status: Status,
    quantities: BTreeMap<String, u64>,
}

/// Where an order's goods are.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Out of the stock, waiting for the payment.
    Held,
    /// Gone to the customer.
    Sold,
    /// Back in the stock.
    Released,
    /// Never taken: there was not enough.
    Rejected,
}

/// What to do about an order.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take all of it out of the stock.
    Reserve,
    /// Take nothing.
    Reject(Vec<Short>),
}

/// Decides about an order: all lines or none.
#[must_use]
pub fn decide(wanted: &BTreeMap<String, u64>, stock: &BTreeMap<String, u64>) -> Decision {
    let short = |(sku, wanted): (&String, &u64)| {
        let available = stock.get(sku).copied().unwrap_or(0);
        (available < *wanted).then(|| Short { sku: sku.clone(), wanted: *wanted, available })
    };
    let short: Vec<Short> = wanted.iter().filter_map(short).collect();
    if short.is_empty() { Decision::Reserve } else { Decision::Reject(short) }
}

/// Sums the lines by product.
///
/// # Errors
/// Rejects an order without lines, or with a line of nothing.
pub fn quantities(order: &str, lines: &[Line]) -> Outcome<BTreeMap<String, u64>> {
    if lines.is_empty() || lines.iter().any(|line| line.quantity == 0) {
        return Err(Failure::reject(format_args!("order {order} has a line of nothing, or no lines")));
    }
    let mut sums = BTreeMap::new();
    for line in lines {
        *sums.entry(line.sku.clone()).or_insert(0) += u64::from(line.quantity);
    }
    Ok(sums)
}

/// Keeps the stock.
///
/// # Errors
/// Rejects an order that came before, and a payment for goods that are not held.
pub fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    match event {
        Shop::StockReceived { sku, quantity } => {
            ctx.state().add(&stock_key(&sku), quantity.into())?;
            Ok(())
        }
        Shop::OrderPlaced { order, lines } => place(&order, &lines, ctx),
        Shop::PaymentTaken { order } => settle(&order, Status::Sold, ctx.state()).map(drop),
        Shop::PaymentDeclined { order } => release(&order, ctx),
    }
}

fn place(order: &str, lines: &[Line], ctx: &mut Context) -> Outcome {
    let state = ctx.state();
    if state.get(&reservation_key(order))?.is_some() {
        return Err(Failure::reject(format_args!("order {order} was placed before")));
    }
    let wanted = quantities(order, lines)?;
    let mut stock = BTreeMap::new();
    for sku in wanted.keys() {
        stock.insert(sku.clone(), state.count(&stock_key(sku))?);
    }
    let status = match decide(&wanted, &stock) {
        Decision::Reserve => {
            for (sku, quantity) in &wanted {
                state.subtract(&stock_key(sku), *quantity)?;
            }
            announce(ctx, "StockReserved", order, &WithLines { order, lines: lines_of(&wanted) })?;
            Status::Held
        }
        Decision::Reject(short) => {
            announce(ctx, "StockRejected", order, &StockRejected { order, short })?;
            Status::Rejected
        }
    };
    Ok(state.set_json(&reservation_key(order), &Reservation { status, quantities: wanted })?)
}

fn release(order: &str, ctx: &mut Context) -> Outcome {
    let quantities = settle(order, Status::Released, ctx.state())?;
    for (sku, quantity) in &quantities {
        ctx.state().add(&stock_key(sku), *quantity)?;
    }
    announce(ctx, "StockReleased", order, &WithLines { order, lines: lines_of(&quantities) })
}

/// Ends a held reservation and answers what was held.
fn settle(order: &str, status: Status, state: State) -> Outcome<BTreeMap<String, u64>> {
    let key = reservation_key(order);
    let held: Option<Reservation> = state.get_json(&key)?;
    let held = held.filter(|reservation| reservation.status == Status::Held);
    let mut reservation = held.or_reject(format_args!("nothing is held for order {order}"))?;
    reservation.status = status;
    state.set_json(&key, &reservation)?;
    Ok(reservation.quantities)
}

/// Body of `StockReserved` and `StockReleased`.
#[derive(Serialize)]
struct WithLines<'a> {
    order: &'a str,
    lines: Vec<LineOut<'a>>,
}

#[derive(Serialize)]
struct LineOut<'a> {
    sku: &'a str,
    quantity: u64,
}

#[derive(Serialize)]
struct StockRejected<'a> {
    order: &'a str,
    short: Vec<Short>,
}

fn lines_of(quantities: &BTreeMap<String, u64>) -> Vec<LineOut<'_>> {
    quantities.iter().map(|(sku, quantity)| LineOut { sku, quantity: *quantity }).collect()
}

fn announce(ctx: &mut Context, event_type: &str, order: &str, body: &impl Serialize) -> Outcome {
    let event = NewEvent::json(event_type, body).stream(format!("order-{order}")).tag(format!("order:{order}"));
    Ok(ctx.append(event)?)
}

fn stock_key(sku: &str) -> String {
    format!("stock/{sku}")
}

fn reservation_key(order: &str) -> String {
    format!("reservation/{order}")
}

export!(typed(handle), name = "inventory", append = ["StockReserved", "StockRejected", "StockReleased"]);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::{Given, Harness};

    use super::*;

    fn with_stock(stock: &[(&str, u32)]) -> Harness {
        let mut inventory = Harness::new(typed(handle));
        for (sku, quantity) in stock {
            let body = json!({ "sku": sku, "quantity": quantity });
            inventory.handle(Given::json("StockReceived", &body)).unwrap();
        }
        inventory
    }

    fn placed(order: &str, lines: &[(&str, u32)]) -> Given {
        let lines: Vec<Value> = lines.iter().map(|(sku, n)| json!({ "sku": sku, "quantity": n })).collect();
        Given::json("OrderPlaced", &json!({ "order": order, "lines": lines }))
    }

    #[test]
    fn lines_of_one_product_are_added_up_before_deciding() {
        let mut inventory = with_stock(&[("tea", 3)]);
        let out = inventory.handle(placed("1", &[("tea", 2), ("tea", 2)])).unwrap();
        assert_eq!(out[0].event_type, "StockRejected");
        let short = json!([{ "sku": "tea", "wanted": 4, "available": 3 }]);
        assert_eq!(out[0].json::<Value>()["short"], short);
        assert_eq!(inventory.state_json::<u64>("stock/tea"), Some(3));
    }

    #[test]
    fn all_lines_or_none() {
        let mut inventory = with_stock(&[("tea", 5)]);
        let out = inventory.handle(placed("1", &[("tea", 1), ("oil", 1)])).unwrap();
        assert_eq!(out[0].event_type, "StockRejected");
        assert_eq!(inventory.state_json::<u64>("stock/tea"), Some(5));
        let out = inventory.handle(placed("2", &[("tea", 5)])).unwrap();
        assert_eq!((out[0].event_type.as_str(), out[0].stream.as_deref()), ("StockReserved", Some("order-2")));
        assert_eq!(inventory.state_json::<u64>("stock/tea"), Some(0));
    }

    #[test]
    fn a_declined_payment_brings_the_stock_back_once() {
        let mut inventory = with_stock(&[("tea", 2)]);
        inventory.handle(placed("1", &[("tea", 2)])).unwrap();
        let declined = Given::json("PaymentDeclined", &json!({ "order": "1", "reason": "no" }));
        let out = inventory.handle(declined.clone()).unwrap();
        assert_eq!(out[0].event_type, "StockReleased");
        assert_eq!(inventory.state_json::<u64>("stock/tea"), Some(2));
        assert_eq!(inventory.handle(declined).unwrap_err(), Failure::reject("nothing is held for order 1"));
        assert_eq!(inventory.state_json::<u64>("stock/tea"), Some(2));
    }

    #[test]
    fn an_order_placed_twice_is_rejected() {
        let mut inventory = with_stock(&[("tea", 2)]);
        inventory.handle(placed("1", &[("tea", 1)])).unwrap();
        inventory.handle(Given::json("PaymentTaken", &json!({ "order": "1" }))).unwrap();
        assert!(inventory.handle(placed("1", &[("tea", 1)])).is_err());
        assert!(inventory.handle(placed("2", &[])).is_err());
        assert_eq!(inventory.state_json::<u64>("stock/tea"), Some(1));
    }
}
