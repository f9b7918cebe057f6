//! An order: placed, then confirmed or cancelled, once.
//!
//! What happens to the stock and the money is for other aggregates to decide; who leads the order through them tells this
//! one how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Aggregate, Asked, export_aggregate};

/// What can be asked of an order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Command {
    /// A customer wants something.
    Place {
        /// Who.
        customer: Customer,
        /// What.
        lines: Vec<Line>,
    },
    /// It is paid, and on its way.
    Confirm {
        /// What was paid, in cents: what it costs.
        amount_cents: u64,
    },
    /// It will not be delivered.
    Cancel {
        /// Why not.
        reason: String,
    },
}

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEvent {
    /// A customer placed it.
    OrderPlaced {
        /// The order's id.
        order: String,
        /// Who.
        customer: Customer,
        /// What is wanted.
        lines: Vec<Line>,
    },
    /// It is paid, and on its way.
    OrderConfirmed {
        /// The order's id.
        order: String,
        /// What was paid, in cents.
        amount_cents: u64,
    },
    /// It will not be delivered.
    OrderCancelled {
        /// The order's id.
        order: String,
        /// Why not.
        reason: String,
    },
}

/// Who orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// First and last name.
    pub name: String,
    /// Where messages go.
    pub email: String,
}

/// So many of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub sku: String,
    /// How many, at least 1.
    pub quantity: u32,
    /// What one costs, in cents.
    pub unit_cents: u64,
}

/// Why nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Refusal {
    /// It was placed before.
    AlreadyPlaced,
    /// There is no such order.
    NotPlaced,
    /// It has ended otherwise.
    Ended,
    /// It has no lines, or one of nothing.
    Empty,
    /// It costs more than can be counted.
    TooDear,
    /// That is not what it costs.
    WrongAmount {
        /// What it costs.
        total_cents: u64,
    },
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is none yet.
    #[default]
    New,
    /// Waits for stock and payment.
    Placed,
    /// Done.
    Confirmed,
    /// Done.
    Cancelled,
}

/// An order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub order: String,
    /// How far it has come.
    pub status: Status,
    /// What it costs.
    pub total_cents: u64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyPlaced => f.write_str("the order was placed before"),
            Self::NotPlaced => f.write_str("the order was never placed"),
            Self::Ended => f.write_str("the order has ended otherwise"),
            Self::Empty => f.write_str("the order has no lines, or one of nothing"),
            Self::TooDear => f.write_str("the order costs more than can be counted"),
            Self::WrongAmount { total_cents } => write!(f, "the order costs {total_cents} cents"),
        }
    }
}

/// What the lines cost, in cents; none past `u64::MAX`.
#[must_use]
pub fn total_cents(lines: &[Line]) -> Option<u64> {
    lines.iter().try_fold(0_u64, |sum, line| sum.checked_add(line.unit_cents.checked_mul(line.quantity.into())?))
}

impl Order {
    fn place(&self, customer: Customer, lines: Vec<Line>) -> Result<OrderEvent, Refusal> {
        if lines.is_empty() || lines.iter().any(|line| line.quantity == 0) {
            return Err(Refusal::Empty);
        }
        total_cents(&lines).ok_or(Refusal::TooDear)?;
        Ok(OrderEvent::OrderPlaced { order: self.order.clone(), customer, lines })
    }

    fn confirm(&self, amount_cents: u64) -> Result<OrderEvent, Refusal> {
        let total_cents = self.total_cents;
        if amount_cents != total_cents {
            return Err(Refusal::WrongAmount { total_cents });
        }
        Ok(OrderEvent::OrderConfirmed { order: self.order.clone(), amount_cents })
    }
}

impl Aggregate for Order {
    type Command = Command;
    type Event = OrderEvent;
    type Rejection = Refusal;

    fn new(id: &str) -> Self {
        Self { order: id.to_owned(), ..Self::default() }
    }

    fn apply(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::OrderPlaced { lines, .. } => {
                self.status = Status::Placed;
                self.total_cents = total_cents(&lines).unwrap_or(u64::MAX);
            }
            OrderEvent::OrderConfirmed { .. } => self.status = Status::Confirmed,
            OrderEvent::OrderCancelled { .. } => self.status = Status::Cancelled,
        }
    }

    fn decide(&self, command: Command, _asked: &Asked) -> Result<Vec<OrderEvent>, Refusal> {
        let event = match (self.status, command) {
            (Status::New, Command::Place { customer, lines }) => self.place(customer, lines)?,
            (_, Command::Place { .. }) => return Err(Refusal::AlreadyPlaced),
            (Status::New, _) => return Err(Refusal::NotPlaced),
            (Status::Placed, Command::Confirm { amount_cents }) => self.confirm(amount_cents)?,
            (Status::Placed, Command::Cancel { reason }) => {
                OrderEvent::OrderCancelled { order: self.order.clone(), reason }
            }
            (Status::Confirmed, Command::Confirm { .. }) | (Status::Cancelled, Command::Cancel { .. }) => {
                return Ok(Vec::new());
            }
            (Status::Confirmed | Status::Cancelled, _) => return Err(Refusal::Ended),
        };
        Ok(vec![event])
    }
}

export_aggregate!(Order, name = "orders");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::Decider;

    use super::*;

    fn placed() -> Decider<Order> {
        let mut order = Decider::new("7");
        order.when("Place", &wanted(2)).unwrap();
        order
    }

    fn wanted(quantity: u32) -> Value {
        let lines = json!([{ "sku": "tea", "quantity": quantity, "unit_cents": 250 }]);
        json!({ "customer": { "name": "Ada", "email": "a@example.com" }, "lines": lines })
    }

    fn code(answer: Result<Vec<(String, Value)>, (String, String)>) -> String {
        answer.expect_err("it is refused").0
    }

    #[test]
    fn an_order_ends_once() {
        let mut order = placed();
        assert_eq!(code(order.when("Place", &wanted(2))), "AlreadyPlaced");
        assert_eq!(code(order.when("Confirm", &json!({ "amount_cents": 499 }))), "WrongAmount");
        let confirmed = order.when("Confirm", &json!({ "amount_cents": 500 })).unwrap();
        assert_eq!(confirmed, [("OrderConfirmed".into(), json!({ "order": "7", "amount_cents": 500 }))]);
        assert_eq!(order.when("Confirm", &json!({ "amount_cents": 500 })).unwrap().len(), 0);
        assert_eq!(code(order.when("Cancel", &json!({ "reason": "no" }))), "Ended");
        let mut order = placed();
        let cancelled = order.when("Cancel", &json!({ "reason": "no" })).unwrap();
        assert_eq!(cancelled, [("OrderCancelled".into(), json!({ "order": "7", "reason": "no" }))]);
        assert_eq!(order.state().status, Status::Cancelled);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let mut order = Decider::<Order>::new("7");
        assert_eq!(code(order.when("Confirm", &json!({ "amount_cents": 1 }))), "NotPlaced");
        assert_eq!(code(order.when("Place", &wanted(0))), "Empty");
        let mut dear = wanted(2);
        dear["lines"][0]["unit_cents"] = json!(u64::MAX);
        assert_eq!(code(order.when("Place", &dear)), "TooDear");
        assert_eq!(code(order.when("Place", &json!({ "lines": [] }))), "InvalidCommand");
    }
}
