//! How an order is led through the shop, by commands: placed, its goods held, paid, and shipped, or called off.
//!
//! What it does next follows from what it was answered, and each command has an id that follows from the order: leading an
//! order twice leads to what leading it once leads to.

use serde_json::{Value, json};
use uuid::Uuid;

use super::DemoError;
use super::shop::Order;
use crate::api::parse_command;
use crate::command::{Commands, Decided, Outcome, Settled};
use crate::event::{Category, metadata_key};

/// A way to the aggregates, for one order.
struct Desk<'a> {
    commands: &'a Commands,
    /// The order's number.
    order: &'a str,
}

/// Leads an order to its end; answers the id of the event by which it was placed.
pub(super) async fn lead(commands: &Commands, order: &Order) -> Result<Uuid, DemoError> {
    let Order { number, customer, card, lines, .. } = order;
    let desk = Desk { commands, order: number };
    let placed = desk.must("order", number, "Place", json!({ "customer": customer, "lines": lines })).await?;
    let mut held = Vec::new();
    let mut short = Vec::new();
    for (sku, quantity) in order.quantities() {
        let reserve = json!({ "order": number, "quantity": quantity });
        match desk.send("stock", sku, "Reserve", reserve).await?.outcome {
            Outcome::Accepted(_) => held.push(sku),
            Outcome::Rejected(_) => short.push(sku),
        }
    }
    if !short.is_empty() {
        desk.hand_over(&held, "Release").await?;
        desk.cancel(&format!("out of stock: {}", short.join(", "))).await?;
        return first(&placed, number);
    }
    let amount_cents = order.total_cents();
    let take = json!({ "card": card, "amount_cents": amount_cents });
    if desk.must("payment", number, "Take", take).await?.iter().any(|event| event.event_type.as_str() == "PaymentTaken")
    {
        desk.hand_over(&held, "Ship").await?;
        desk.must("order", number, "Confirm", json!({ "amount_cents": amount_cents })).await?;
    } else {
        desk.hand_over(&held, "Release").await?;
        desk.cancel("the payment was declined").await?;
    }
    first(&placed, number)
}

/// Puts goods on a shelf.
pub(super) async fn receive(commands: &Commands, sku: &str, quantity: u32) -> Result<(), DemoError> {
    let desk = Desk { commands, order: "delivery" };
    desk.must("stock", sku, "Receive", json!({ "quantity": quantity })).await.map(drop)
}

fn first(placed: &[Decided], number: &str) -> Result<Uuid, DemoError> {
    let id = placed.first().map(|event| event.id);
    id.ok_or_else(|| DemoError::Disproved(vec![format!("order {number} was placed, and nothing followed")]))
}

impl Desk<'_> {
    async fn hand_over(&self, held: &[&str], what: &str) -> Result<(), DemoError> {
        for sku in held {
            self.must("stock", sku, what, json!({ "order": self.order })).await?;
        }
        Ok(())
    }

    async fn cancel(&self, reason: &str) -> Result<(), DemoError> {
        self.must("order", self.order, "Cancel", json!({ "reason": reason })).await.map(drop)
    }

    /// Sends a command that there is no reason to reject.
    async fn must(&self, aggregate: &str, key: &str, what: &str, data: Value) -> Result<Vec<Decided>, DemoError> {
        match self.send(aggregate, key, what, data).await?.outcome {
            Outcome::Accepted(events) => Ok(events),
            Outcome::Rejected(rejection) => {
                let told = format!("{what} was rejected by {aggregate}-{key}: {}", rejection.reason);
                Err(DemoError::Disproved(vec![told]))
            }
        }
    }

    async fn send(&self, aggregate: &str, key: &str, what: &str, data: Value) -> Result<Settled, DemoError> {
        let command = json!({
            "id": format!("{}/{aggregate}-{key}/{what}", self.order),
            "type": what,
            "data": data,
            "metadata": { metadata_key::CORRELATION_ID: format!("order-{}", self.order) },
        });
        let command = parse_command(Category::from_stored(aggregate), key.to_owned(), command.to_string().as_bytes());
        let command = command.map_err(|reason| DemoError::Disproved(vec![reason]))?;
        Ok(self.commands.send(command, Commands::allow_all()).await?)
    }
}
