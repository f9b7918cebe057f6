//! The payment of an order: the bank takes the money, or declines, once.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Aggregate, Asked, export_aggregate};

/// The bank takes no more than this at once; in cents.
const LIMIT_CENTS: u64 = 100_000;
/// A card that the bank always declines.
const DECLINED_CARD: &str = "4000-0000-0000-0002";

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Command {
    /// Take the money; taking the same again does nothing.
    Take {
        /// The number of the card to take it from.
        card: String,
        /// How much, at least 1.
        amount_cents: u64,
    },
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentEvent {
    /// The customer paid.
    PaymentTaken {
        /// The order's id.
        order: String,
        /// How much.
        amount_cents: u64,
    },
    /// The bank said no.
    PaymentDeclined {
        /// The order's id.
        order: String,
        /// How much it was asked for.
        amount_cents: u64,
        /// Why.
        reason: String,
    },
}

/// Why nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Refusal {
    /// The bank was asked for another amount before.
    AskedOtherwise {
        /// Which.
        amount_cents: u64,
    },
    /// An amount of nothing.
    BadAmount,
}

/// A payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The order that it is for.
    pub order: String,
    /// What the bank was asked for; none before.
    pub asked_cents: Option<u64>,
    /// What it took.
    pub taken_cents: u64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskedOtherwise { amount_cents } => write!(f, "the bank was asked for {amount_cents} cents before"),
            Self::BadAmount => f.write_str("the amount is nothing"),
        }
    }
}

/// Why the bank declines, if it does.
fn objection(card: &str, amount_cents: u64) -> Option<String> {
    if card == DECLINED_CARD {
        return Some("the card was declined".into());
    }
    (amount_cents > LIMIT_CENTS).then(|| format!("over the limit of {LIMIT_CENTS} cents"))
}

impl Aggregate for Payment {
    type Command = Command;
    type Event = PaymentEvent;
    type Rejection = Refusal;

    fn new(id: &str) -> Self {
        Self { order: id.to_owned(), ..Self::default() }
    }

    fn apply(&mut self, event: PaymentEvent) {
        match event {
            PaymentEvent::PaymentTaken { amount_cents, .. } => {
                self.asked_cents = Some(amount_cents);
                self.taken_cents = amount_cents;
            }
            PaymentEvent::PaymentDeclined { amount_cents, .. } => self.asked_cents = Some(amount_cents),
        }
    }

    fn decide(&self, command: Command, _asked: &Asked) -> Result<Vec<PaymentEvent>, Refusal> {
        let Command::Take { card, amount_cents } = command;
        match self.asked_cents {
            Some(before) if before == amount_cents => return Ok(Vec::new()),
            Some(amount_cents) => return Err(Refusal::AskedOtherwise { amount_cents }),
            None if amount_cents == 0 => return Err(Refusal::BadAmount),
            None => {}
        }
        let order = self.order.clone();
        Ok(vec![match objection(&card, amount_cents) {
            None => PaymentEvent::PaymentTaken { order, amount_cents },
            Some(reason) => PaymentEvent::PaymentDeclined { order, amount_cents, reason },
        }])
    }
}

export_aggregate!(Payment, name = "payment");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::Decider;

    use super::*;

    fn take(payment: &mut Decider<Payment>, card: &str, amount_cents: u64) -> Vec<(String, Value)> {
        payment.when("Take", &json!({ "card": card, "amount_cents": amount_cents })).unwrap()
    }

    #[test]
    fn the_limit_and_the_card_decline() {
        let taken = ("PaymentTaken".to_owned(), json!({ "order": "1", "amount_cents": LIMIT_CENTS }));
        assert_eq!(take(&mut Decider::new("1"), "good", LIMIT_CENTS), [taken]);
        let declined = |card: &str, cents: u64| take(&mut Decider::new("1"), card, cents)[0].1["reason"].clone();
        assert_eq!(declined("good", LIMIT_CENTS + 1), "over the limit of 100000 cents");
        assert_eq!(declined(DECLINED_CARD, 1), "the card was declined");
    }

    #[test]
    fn nothing_is_taken_twice() {
        let mut payment = Decider::new("1");
        assert_eq!(take(&mut payment, "good", 5).len(), 1);
        assert_eq!(take(&mut payment, "good", 5).len(), 0);
        let other = payment.when("Take", &json!({ "card": "good", "amount_cents": 6 }));
        assert_eq!(other.unwrap_err().0, "AskedOtherwise");
        assert_eq!(payment.state().taken_cents, 5);
        let nothing = Decider::<Payment>::new("2").when("Take", &json!({ "card": "good", "amount_cents": 0 }));
        assert_eq!(nothing.unwrap_err().0, "BadAmount");
    }
}
