//! The shop's customers: goods coming in and orders, made from a seed.

use serde_json::json;
use uuid::Uuid;

use crate::event::{EventType, NameError, NewEvent, StreamName, Tag};

/// Products, with what one costs in cents.
const PRODUCTS: [(&str, u64); 12] = [
    ("tea-green", 450),
    ("tea-black", 390),
    ("coffee-beans", 1290),
    ("coffee-filter", 290),
    ("kettle", 4900),
    ("teapot", 3450),
    ("cup-small", 690),
    ("cup-large", 890),
    ("honey", 780),
    ("biscuits", 320),
    ("milk-frother", 2590),
    ("grinder", 8900),
];
/// First and last names; all begin with a letter of one byte.
const FIRST_NAMES: [&str; 8] = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Leslie", "Radia"];
const LAST_NAMES: [&str; 8] = ["Lovelace", "Hopper", "Turing", "Dijkstra", "Liskov", "Knuth", "Lamport", "Perlman"];
/// A customer that version 1 of the notification plugin cannot greet.
const POISON_NAME: &str = "Øyvind Berg";
/// A card that the bank declines.
const DECLINED_CARD: &str = "4000-0000-0000-0002";

/// Makes what happens outside the shop.
#[derive(Debug)]
pub(super) struct Shop {
    rng: fastrand::Rng,
    orders: u32,
}

impl Shop {
    pub(super) fn new(seed: u64, orders: u32) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), orders }
    }

    /// The goods that come in: enough for most orders, so that the last ones find some shelves empty.
    pub(super) fn deliveries(&mut self) -> Result<Vec<NewEvent>, NameError> {
        PRODUCTS
            .iter()
            .map(|(sku, _)| {
                let quantity = self.orders / 4 + self.rng.u32(0..=self.orders / 8);
                let body = json!({ "sku": sku, "quantity": quantity });
                self.event("StockReceived", format!("product-{sku}"), &body)
            })
            .collect()
    }

    /// The `number`-th order; a poison one is from a customer whose name is trouble.
    pub(super) fn order(&mut self, number: u32, poison: bool) -> Result<NewEvent, NameError> {
        let order = format!("{number:06}");
        let name = if poison { POISON_NAME.into() } else { self.name() };
        let card = if self.rng.u32(0..12) == 0 { DECLINED_CARD } else { "4111-1111-1111-1111" };
        let lines: Vec<_> = (0..self.rng.usize(1..=3))
            .map(|_| {
                let (sku, unit_cents) = self.pick(&PRODUCTS).unwrap_or_default();
                json!({ "sku": sku, "quantity": self.rng.u32(1..=2), "unit_cents": unit_cents })
            })
            .collect();
        let email = format!("customer-{order}@example.com");
        let body =
            json!({ "order": order, "customer": { "name": name, "email": email }, "card": card, "lines": lines });
        let mut event = self.event("OrderPlaced", format!("order-{order}"), &body)?;
        event.tags.push(Tag::new(format!("order:{order}"))?);
        Ok(event)
    }

    fn name(&mut self) -> String {
        let first = self.pick(&FIRST_NAMES).unwrap_or_default();
        let last = self.pick(&LAST_NAMES).unwrap_or_default();
        format!("{first} {last}")
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        among.get(self.rng.usize(0..among.len())).copied()
    }

    fn event(&mut self, event_type: &str, stream: String, body: &serde_json::Value) -> Result<NewEvent, NameError> {
        let event = NewEvent::json(EventType::new(event_type)?, body.to_string()).on(StreamName::new(stream)?);
        Ok(NewEvent { id: Uuid::from_u128(self.rng.u128(..)), ..event })
    }
}
