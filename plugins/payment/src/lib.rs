//! Takes the money for orders whose stock is reserved.
//!
//! Shows settings read once at the start, and state that waits for a later event: the amount is in
//! `OrderPlaced`, the moment to take it is `StockReserved`.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Config, Context, Event, NewEvent, OrFail, Outcome, Subscriber, event_types, export};

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Shop {
    /// A customer placed an order.
    OrderPlaced {
        /// The order's id.
        order: String,
        /// The number of the card to take the money from.
        card: String,
        /// What is wanted.
        lines: Vec<Line>,
    },
    /// All lines are reserved: time to pay.
    StockReserved {
        /// The order's id.
        order: String,
    },
    /// Nothing is reserved: nothing to pay.
    StockRejected {
        /// The order's id.
        order: String,
    },
}

/// The price of one line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Line {
    /// How many.
    pub quantity: u32,
    /// What one costs, in cents.
    pub unit_cents: u64,
}

/// What an order will cost.
#[derive(Debug, Deserialize, Serialize)]
struct Due {
    amount_cents: u64,
    card: String,
}

/// The bank's rules, from the manifest's `[config]`.
#[derive(Debug, Default)]
pub struct Payment {
    /// No order may cost more; in cents.
    limit_cents: u64,
    /// Cards that are always declined.
    declined_cards: Vec<String>,
}

impl Payment {
    /// Why the bank declines, if it does.
    fn objection(&self, due: &Due) -> Option<String> {
        if self.declined_cards.contains(&due.card) {
            return Some("the card was declined".into());
        }
        (due.amount_cents > self.limit_cents).then(|| format!("over the limit of {} cents", self.limit_cents))
    }

    fn settle(&self, order: &str, ctx: &mut Context) -> Outcome {
        let key = due_key(order);
        let due: Due = ctx.state().get_json(&key)?.or_reject(format_args!("nothing is due for order {order}"))?;
        ctx.state().delete(&key)?;
        let amount_cents = due.amount_cents;
        let event = match self.objection(&due) {
            None => NewEvent::json("PaymentTaken", &PaymentTaken { order, amount_cents }),
            Some(reason) => NewEvent::json("PaymentDeclined", &PaymentDeclined { order, amount_cents, reason }),
        };
        Ok(ctx.append(event.stream(format!("order-{order}")).tag(format!("order:{order}")))?)
    }
}

impl Subscriber for Payment {
    fn start(&mut self, config: Config) -> Outcome {
        self.limit_cents = config.get_or("limit_cents", 100_000)?;
        self.declined_cards = config.get_or("declined_cards", Vec::new())?;
        Ok(())
    }

    fn handle(&mut self, event: &Event, ctx: &mut Context) -> Outcome {
        match event.decode()? {
            Shop::OrderPlaced { order, card, lines } => {
                let amount_cents = total_cents(&lines).or_reject(format_args!("order {order} costs too much"))?;
                Ok(ctx.state().set_json(&due_key(&order), &Due { amount_cents, card })?)
            }
            Shop::StockReserved { order } => self.settle(&order, ctx),
            Shop::StockRejected { order } => Ok(ctx.state().delete(&due_key(&order))?),
        }
    }

    fn event_types(&self) -> &'static [&'static str] {
        event_types::<Shop>()
    }
}

/// What the lines cost, in cents; none past `u64::MAX`.
#[must_use]
pub fn total_cents(lines: &[Line]) -> Option<u64> {
    lines.iter().try_fold(0_u64, |sum, line| sum.checked_add(line.unit_cents.checked_mul(line.quantity.into())?))
}

fn due_key(order: &str) -> String {
    format!("due/{order}")
}

#[derive(Serialize)]
struct PaymentTaken<'a> {
    order: &'a str,
    amount_cents: u64,
}

#[derive(Serialize)]
struct PaymentDeclined<'a> {
    order: &'a str,
    amount_cents: u64,
    reason: String,
}

export!(Payment::default(), name = "payment", append = ["PaymentTaken", "PaymentDeclined"]);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::Failure;
    use tidemill_sdk::testing::{Given, Harness};

    use super::*;

    fn bank() -> Harness {
        Harness::new(Payment::default()).config("limit_cents", 1_000).config("declined_cards", r#"["bad"]"#)
    }

    fn pay(bank: &mut Harness, card: &str, unit_cents: u64) -> (String, Value) {
        let lines = json!([{ "sku": "tea", "quantity": 2, "unit_cents": unit_cents }]);
        bank.handle(Given::json("OrderPlaced", &json!({ "order": "1", "card": card, "lines": lines }))).unwrap();
        let out = bank.handle(Given::json("StockReserved", &json!({ "order": "1" }))).unwrap();
        (out[0].event_type.clone(), out[0].json())
    }

    #[test]
    fn the_limit_and_the_list_decline() {
        let taken = ("PaymentTaken".to_owned(), json!({ "order": "1", "amount_cents": 1_000 }));
        assert_eq!(pay(&mut bank(), "good", 500), taken);
        let (event_type, body) = pay(&mut bank(), "good", 501);
        assert_eq!((event_type.as_str(), &body["reason"]), ("PaymentDeclined", &json!("over the limit of 1000 cents")));
        assert_eq!(pay(&mut bank(), "bad", 1).1["reason"], "the card was declined");
    }

    #[test]
    fn nothing_is_taken_twice() {
        let mut bank = bank();
        pay(&mut bank, "good", 1);
        assert_eq!(bank.keys().count(), 0);
        let again = bank.handle(Given::json("StockReserved", &json!({ "order": "1" })));
        assert_eq!(again.unwrap_err(), Failure::reject("nothing is due for order 1"));
    }

    #[test]
    fn an_impossible_total_is_rejected() {
        assert_eq!(total_cents(&[Line { quantity: 2, unit_cents: u64::MAX }]), None);
        assert_eq!(total_cents(&[Line { quantity: 2, unit_cents: 3 }, Line { quantity: 1, unit_cents: 4 }]), Some(10));
    }
}
