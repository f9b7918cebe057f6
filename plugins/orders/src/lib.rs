//! Leads each order from placed to confirmed or cancelled.
//!
//! One stream per order, one state entry per order. The other plugins say what happened to the stock
//! and the money; this one decides what that makes of the order.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, Failure, NewEvent, Outcome, export, typed};

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Shop {
    /// A customer placed an order.
    OrderPlaced {
        /// The order's id.
        order: String,
    },
    /// All lines are reserved.
    StockReserved {
        /// The order's id.
        order: String,
    },
    /// Not all lines could be reserved, so none was.
    StockRejected {
        /// The order's id.
        order: String,
        /// What was missing.
        short: Vec<Short>,
    },
    /// The customer paid.
    PaymentTaken {
        /// The order's id.
        order: String,
        /// How much, in cents.
        amount_cents: u64,
    },
    /// The customer could not pay.
    PaymentDeclined {
        /// The order's id.
        order: String,
        /// Why not.
        reason: String,
    },
}

/// A product of which there was not enough.
#[derive(Clone, Debug, Deserialize)]
pub struct Short {
    /// The product.
    pub sku: String,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for the stock.
    Placed,
    /// Waits for the payment.
    Reserved,
    /// Done: reserved and paid.
    Confirmed,
    /// Done: out of stock or not paid.
    Cancelled,
}

#[derive(Serialize)]
struct OrderConfirmed<'a> {
    order: &'a str,
    amount_cents: u64,
}

#[derive(Serialize)]
struct OrderCancelled<'a> {
    order: &'a str,
    reason: &'a str,
}

/// Moves the order on and announces how it ended.
///
/// # Errors
/// Rejects an event that does not fit the order's status.
pub fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    let order = event.order();
    let key = format!("order/{order}");
    let before = ctx.state().get_json::<Status>(&key)?;
    let after = next(before, &event)?;
    ctx.state().set_json(&key, &after)?;
    match &event {
        Shop::OrderPlaced { .. } | Shop::StockReserved { .. } => Ok(()),
        Shop::PaymentTaken { order, amount_cents } => {
            announce(ctx, "OrderConfirmed", order, &OrderConfirmed { order, amount_cents: *amount_cents })
        }
        Shop::StockRejected { order, short } => {
            let skus: Vec<&str> = short.iter().map(|short| short.sku.as_str()).collect();
            let reason = format!("out of stock: {}", skus.join(", "));
            announce(ctx, "OrderCancelled", order, &OrderCancelled { order, reason: &reason })
        }
        Shop::PaymentDeclined { order, reason } => {
            announce(ctx, "OrderCancelled", order, &OrderCancelled { order, reason })
        }
    }
}

fn announce(ctx: &mut Context, event_type: &str, order: &str, body: &impl Serialize) -> Outcome {
    let event = NewEvent::json(event_type, body).stream(format!("order-{order}")).tag(format!("order:{order}"));
    Ok(ctx.append(event)?)
}

impl Shop {
    fn order(&self) -> &str {
        match self {
            Self::OrderPlaced { order }
            | Self::StockReserved { order }
            | Self::StockRejected { order, .. }
            | Self::PaymentTaken { order, .. }
            | Self::PaymentDeclined { order, .. } => order,
        }
    }
}

/// The whole life of an order.
///
/// # Errors
/// Rejects an event that does not fit the status.
pub fn next(status: Option<Status>, event: &Shop) -> Outcome<Status> {
    match (status, event) {
        (None, Shop::OrderPlaced { .. }) => Ok(Status::Placed),
        (Some(Status::Placed), Shop::StockReserved { .. }) => Ok(Status::Reserved),
        (Some(Status::Placed), Shop::StockRejected { .. }) => Ok(Status::Cancelled),
        (Some(Status::Reserved), Shop::PaymentTaken { .. }) => Ok(Status::Confirmed),
        (Some(Status::Reserved), Shop::PaymentDeclined { .. }) => Ok(Status::Cancelled),
        (None, _) => Err(Failure::reject(format_args!("order {} was never placed", event.order()))),
        (Some(status), _) => {
            Err(Failure::reject(format_args!("order {} is {status:?}; this cannot happen to it now", event.order())))
        }
    }
}

export!(typed(handle), name = "orders", append = ["OrderConfirmed", "OrderCancelled"]);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::{Given, Harness};
    use tidemill_sdk::{Verdict, typed};

    use super::*;

    fn given(event_type: &str, rest: Value) -> Given {
        let mut body = json!({ "order": "7" });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Given::json(event_type, &body)
    }

    #[test]
    fn a_paid_order_is_confirmed() {
        let mut orders = Harness::new(typed(handle));
        assert!(orders.handle(given("OrderPlaced", json!({}))).unwrap().is_empty());
        assert!(orders.handle(given("StockReserved", json!({}))).unwrap().is_empty());
        let out = orders.handle(given("PaymentTaken", json!({ "amount_cents": 500 }))).unwrap();
        assert_eq!((out[0].event_type.as_str(), out[0].stream.as_deref()), ("OrderConfirmed", Some("order-7")));
        assert_eq!(out[0].json::<Value>(), json!({ "order": "7", "amount_cents": 500 }));
        assert_eq!(orders.state_json("order/7"), Some(Status::Confirmed));
    }

    #[test]
    fn an_order_without_stock_or_money_is_cancelled() {
        let mut orders = Harness::new(typed(handle));
        orders.handle(given("OrderPlaced", json!({}))).unwrap();
        let short = json!({ "short": [{ "sku": "tea" }, { "sku": "oil" }] });
        let out = orders.handle(given("StockRejected", short)).unwrap();
        assert_eq!(out[0].json::<Value>()["reason"], "out of stock: tea, oil");

        let reserved = next(Some(Status::Placed), &Shop::StockReserved { order: "8".into() }).unwrap();
        let declined = Shop::PaymentDeclined { order: "8".into(), reason: "no".into() };
        assert_eq!(next(Some(reserved), &declined), Ok(Status::Cancelled));
    }

    #[test]
    fn what_cannot_happen_is_rejected() {
        let mut orders = Harness::new(typed(handle));
        let failure = orders.handle(given("PaymentTaken", json!({ "amount_cents": 1 }))).unwrap_err();
        assert_eq!(failure, Failure::reject("order 7 was never placed"));
        orders.handle(given("OrderPlaced", json!({}))).unwrap();
        assert_eq!(orders.handle(given("OrderPlaced", json!({}))).unwrap_err().verdict(), Verdict::Reject);
    }
}
