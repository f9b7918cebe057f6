//! The stock of a product: what came in, what is held for orders, and what is left.
//!
//! At any version: received = available + held + shipped.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Aggregate, Asked, export_aggregate};

/// What can be asked of a stock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Command {
    /// Goods came in.
    Receive {
        /// How many, at least 1.
        quantity: u32,
    },
    /// Hold goods for an order; holding the same again does nothing.
    Reserve {
        /// The order's id.
        order: String,
        /// How many, at least 1.
        quantity: u32,
    },
    /// Put back what is held for an order; where nothing is, nothing is done.
    Release {
        /// The order's id.
        order: String,
    },
    /// Hand over what is held for an order.
    Ship {
        /// The order's id.
        order: String,
    },
}

/// What can happen to a stock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockEvent {
    /// Goods came in.
    StockReceived {
        /// The product.
        product: String,
        /// How many.
        quantity: u32,
    },
    /// Goods are held for an order.
    StockReserved(Held),
    /// They are not any more.
    StockReleased(Held),
    /// They are gone to the customer.
    StockShipped(Held),
}

/// So many of a product, for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The product.
    pub product: String,
    /// The order's id.
    pub order: String,
    /// How many.
    pub quantity: u32,
}

/// Why nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Refusal {
    /// There is not enough.
    OutOfStock {
        /// How many were asked for.
        wanted: u32,
        /// How many there are.
        available: u64,
    },
    /// Another quantity is held for the order.
    ReservedOtherwise {
        /// How many.
        quantity: u32,
    },
    /// Nothing is held for the order.
    NotHeld,
    /// A quantity of nothing, or more than can be counted.
    BadQuantity,
}

/// The stock of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// The product.
    pub product: String,
    /// What may be reserved.
    pub available: u64,
    /// What is held, by order.
    pub held: BTreeMap<String, u32>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfStock { wanted, available } => write!(f, "{wanted} are wanted, and there are {available}"),
            Self::ReservedOtherwise { quantity } => write!(f, "{quantity} are held for the order already"),
            Self::NotHeld => f.write_str("nothing is held for the order"),
            Self::BadQuantity => f.write_str("the quantity is nothing, or too much"),
        }
    }
}

impl Stock {
    fn held(&self, order: &str, quantity: u32) -> Held {
        Held { product: self.product.clone(), order: order.to_owned(), quantity }
    }

    fn reserve(&self, order: &str, quantity: u32) -> Result<Vec<StockEvent>, Refusal> {
        let available = self.available;
        match self.held.get(order) {
            Some(held) if *held == quantity => Ok(Vec::new()),
            Some(held) => Err(Refusal::ReservedOtherwise { quantity: *held }),
            None if quantity == 0 => Err(Refusal::BadQuantity),
            None if u64::from(quantity) > available => Err(Refusal::OutOfStock { wanted: quantity, available }),
            None => Ok(vec![StockEvent::StockReserved(self.held(order, quantity))]),
        }
    }
}

impl Aggregate for Stock {
    type Command = Command;
    type Event = StockEvent;
    type Rejection = Refusal;

    fn new(id: &str) -> Self {
        Self { product: id.to_owned(), ..Self::default() }
    }

    fn apply(&mut self, event: StockEvent) {
        match event {
            StockEvent::StockReceived { quantity, .. } => self.available += u64::from(quantity),
            StockEvent::StockReserved(Held { order, quantity, .. }) => {
                self.available -= u64::from(quantity);
                self.held.insert(order, quantity);
            }
            StockEvent::StockReleased(Held { order, quantity, .. }) => {
                self.available += u64::from(quantity);
                self.held.remove(&order);
            }
            StockEvent::StockShipped(Held { order, .. }) => drop(self.held.remove(&order)),
        }
    }

    fn decide(&self, command: Command, _asked: &Asked) -> Result<Vec<StockEvent>, Refusal> {
        match command {
            Command::Receive { quantity: 0 } => Err(Refusal::BadQuantity),
            // What is held and shipped was received, so this is the most that there can ever be.
            Command::Receive { quantity } if self.available.checked_add(quantity.into()).is_none() => {
                Err(Refusal::BadQuantity)
            }
            Command::Receive { quantity } => {
                Ok(vec![StockEvent::StockReceived { product: self.product.clone(), quantity }])
            }
            Command::Reserve { order, quantity } => self.reserve(&order, quantity),
            Command::Release { order } => {
                let held = self.held.get(&order).map(|held| StockEvent::StockReleased(self.held(&order, *held)));
                Ok(held.into_iter().collect())
            }
            Command::Ship { order } => {
                let held = self.held.get(&order).ok_or(Refusal::NotHeld)?;
                Ok(vec![StockEvent::StockShipped(self.held(&order, *held))])
            }
        }
    }
}

export_aggregate!(Stock, name = "stock");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::Decider;

    use super::*;

    fn stock(quantity: u32) -> Decider<Stock> {
        Decider::new("tea").given([StockEvent::StockReceived { product: "tea".into(), quantity }])
    }

    fn reserve(stock: &mut Decider<Stock>, order: &str, quantity: u32) -> Result<usize, String> {
        let decided = stock.when("Reserve", &json!({ "order": order, "quantity": quantity }));
        decided.map(|events| events.len()).map_err(|(code, _)| code)
    }

    #[test]
    fn what_is_reserved_is_nobody_elses() {
        let mut tea = stock(3);
        let events = tea.when("Reserve", &json!({ "order": "1", "quantity": 2 })).unwrap();
        assert_eq!(events, [("StockReserved".into(), json!({ "product": "tea", "order": "1", "quantity": 2 }))]);
        assert_eq!(reserve(&mut tea, "2", 2), Err("OutOfStock".into()));
        assert_eq!(reserve(&mut tea, "2", 1), Ok(1));
        assert_eq!(tea.state().available, 0);
        assert_eq!(tea.when("Release", &json!({ "order": "1" })).unwrap().len(), 1);
        assert_eq!(reserve(&mut tea, "3", 2), Ok(1), "what came back is there again");
        assert_eq!(tea.when("Ship", &json!({ "order": "3" })).unwrap().len(), 1);
        assert_eq!((tea.state().available, tea.state().held.len()), (0, 1));
    }

    #[test]
    fn what_is_asked_again_is_done_once() {
        let mut tea = stock(5);
        assert_eq!(reserve(&mut tea, "1", 2), Ok(1));
        assert_eq!(reserve(&mut tea, "1", 2), Ok(0));
        assert_eq!(reserve(&mut tea, "1", 3), Err("ReservedOtherwise".into()));
        for events in [1, 0] {
            assert_eq!(tea.when("Release", &json!({ "order": "1" })).unwrap().len(), events);
        }
        assert_eq!(tea.when("Ship", &json!({ "order": "1" })).unwrap_err().0, "NotHeld");
        assert_eq!(tea.state().available, 5);
    }

    #[test]
    fn nothing_is_no_quantity() {
        let mut tea = stock(1);
        assert_eq!(tea.when("Receive", &json!({ "quantity": 0 })).unwrap_err().0, "BadQuantity");
        assert_eq!(reserve(&mut tea, "1", 0), Err("BadQuantity".into()));
        assert_eq!(tea.when("Receive", &Value::Null).unwrap_err().0, "InvalidCommand");
    }
}
