//! The proof: a fold over the log that knows the shop's rules and nothing of the host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::{Position, RecordedEvent, StreamName, metadata_key};

/// Most faults that are told one by one.
const FAULTS_MAX: usize = 20;

/// What is read of any event of the shop.
#[derive(Debug, Deserialize)]
struct Body {
    order: Option<String>,
    product: Option<String>,
    quantity: Option<u64>,
    amount_cents: Option<u64>,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    sku: String,
    quantity: u64,
    #[serde(default)]
    unit_cents: u64,
}

/// What the log says of one order.
#[derive(Debug, Default)]
struct Order {
    placed_id: Option<Uuid>,
    /// What became of each product.
    goods: BTreeMap<String, Goods>,
    total_cents: u64,
    paid_cents: u64,
    confirmed_cents: u64,
    /// How often each type of event stands in the log.
    events: BTreeMap<String, u32>,
}

/// How much of a product an order had to do with.
#[derive(Debug, Default)]
struct Goods {
    wanted: u64,
    held: u64,
    given_back: u64,
    shipped: u64,
}

impl Goods {
    /// Whether all that is wanted was held, or nothing, and all that was held left whole, by one way.
    const fn agree(&self) -> bool {
        let Self { wanted, held, given_back, shipped } = *self;
        (held == 0 || held == wanted) && (given_back == held && shipped == 0 || shipped == held && given_back == 0)
    }
}

/// A product on its shelf.
#[derive(Debug, Default)]
struct Shelf {
    left: i64,
    received: i64,
    shipped: i64,
}

/// A log under examination.
#[derive(Debug, Default)]
pub(super) struct Proof {
    last: Position,
    versions: HashMap<StreamName, u64>,
    ids: HashMap<Uuid, Position>,
    orders: BTreeMap<String, Order>,
    shelves: BTreeMap<String, Shelf>,
    faults: Vec<String>,
    fault_count: usize,
}

/// What a log without fault adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Events in the log.
    pub events: u64,
    /// Orders placed.
    pub orders: u64,
    /// Orders reserved and paid.
    pub confirmed: u64,
    /// Orders that ended otherwise.
    pub cancelled: u64,
    /// Money taken, in cents.
    pub taken_cents: u64,
    /// What is left on the shelves, by product.
    pub stock: BTreeMap<String, i64>,
}

impl Order {
    /// Takes what happened to its goods.
    fn take(&mut self, event_type: &str, body: &Body) {
        let (Some(product), Some(quantity)) = (&body.product, body.quantity) else { return };
        let goods = self.goods.entry(product.clone()).or_default();
        match event_type {
            "StockReserved" => goods.held += quantity,
            "StockReleased" => goods.given_back += quantity,
            "StockShipped" => goods.shipped += quantity,
            _ => {}
        }
    }
}

impl Proof {
    /// Takes the next event of the log.
    pub(super) fn add(&mut self, event: &RecordedEvent) {
        self.check_place(event);
        self.check_cause(event);
        self.ids.insert(event.id, event.position);
        let body = event.json().and_then(|json| serde_json::from_str::<Body>(json).ok());
        match body {
            Some(body) => self.apply(event, &body),
            None => self.fault(format!("event {} does not decode", event.position)),
        }
    }

    fn check_place(&mut self, event: &RecordedEvent) {
        if event.position != self.last.next() {
            self.fault(format!("event {} follows {}", event.position, self.last));
        }
        self.last = event.position;
        if let Some(stream) = &event.stream {
            let version = self.versions.entry(stream.clone()).or_default();
            *version += 1;
            if event.version.0 != *version {
                let expected = *version;
                self.fault(format!("{stream}: version {} where {expected} is due", event.version));
            }
        }
        if let Some(before) = self.ids.get(&event.id) {
            self.fault(format!("events {before} and {} have one id", event.position));
        }
    }

    /// What a command led to names it, and what a plugin appended an earlier event, as its cause.
    fn check_cause(&mut self, event: &RecordedEvent) {
        if event.metadata.contains_key(metadata_key::COMMAND_ID) {
            return;
        }
        let cause = event.metadata.get(metadata_key::CAUSATION_ID).and_then(|id| id.parse().ok());
        if !cause.is_some_and(|id: Uuid| self.ids.contains_key(&id)) {
            self.fault(format!("event {} names no earlier event as its cause", event.position));
        }
    }

    fn apply(&mut self, event: &RecordedEvent, body: &Body) {
        let event_type = event.event_type.as_str();
        if let Some(name) = &body.order {
            let order = self.orders.entry(name.clone()).or_default();
            *order.events.entry(event_type.into()).or_default() += 1;
            match event_type {
                "OrderPlaced" => {
                    order.placed_id = Some(event.id);
                    for line in &body.lines {
                        order.goods.entry(line.sku.clone()).or_default().wanted += line.quantity;
                    }
                    order.total_cents = body.lines.iter().map(|line| line.quantity * line.unit_cents).sum();
                }
                "PaymentTaken" => order.paid_cents += body.amount_cents.unwrap_or_default(),
                "OrderConfirmed" => order.confirmed_cents += body.amount_cents.unwrap_or_default(),
                _ => order.take(event_type, body),
            }
            let correlation = event.metadata.get(metadata_key::CORRELATION_ID);
            if correlation != Some(&format!("order-{name}")) {
                self.fault(format!("event {} is not correlated with order {name}", event.position));
            }
        }
        let (product, quantity) =
            (body.product.as_deref().unwrap_or_default(), signed(body.quantity.unwrap_or_default()));
        let (left, received, shipped) = match event_type {
            "StockReceived" => (quantity, quantity, 0),
            "StockReleased" => (quantity, 0, 0),
            "StockReserved" => (-quantity, 0, 0),
            "StockShipped" => (0, 0, quantity),
            _ => return,
        };
        let shelf = self.shelves.entry(product.into()).or_default();
        *shelf =
            Shelf { left: shelf.left + left, received: shelf.received + received, shipped: shelf.shipped + shipped };
        let left = shelf.left;
        if left < 0 {
            self.fault(format!("event {} brings the stock of {product} to {left}", event.position));
        }
    }

    /// Closes the log: every one of `placed` must have ended, once, and the sums must agree.
    pub(super) fn finish(mut self, placed: &BTreeSet<Uuid>) -> Result<Totals, Vec<String>> {
        let orders = std::mem::take(&mut self.orders);
        let in_log: BTreeSet<Uuid> = orders.values().filter_map(|order| order.placed_id).collect();
        for lost in placed.difference(&in_log) {
            self.fault(format!("the order with id {lost} was acknowledged and is not in the log"));
        }
        let mut totals = Totals { events: self.last.0, orders: orders.len() as u64, ..Totals::default() };
        for (name, order) in &orders {
            self.check_order(name, order);
            totals.confirmed += u64::from(order.events.contains_key("OrderConfirmed"));
            totals.cancelled += u64::from(order.events.contains_key("OrderCancelled"));
            totals.taken_cents += order.paid_cents;
        }
        if totals.confirmed == 0 {
            self.fault(format!("none of {} orders is confirmed", totals.orders));
        }
        for (product, Shelf { left, received, shipped }) in std::mem::take(&mut self.shelves) {
            if left != received - shipped {
                self.fault(format!("{received} of {product} came in and {shipped} were shipped, and {left} are left"));
            }
            totals.stock.insert(product, left);
        }
        if self.fault_count == 0 {
            return Ok(totals);
        }
        if self.fault_count > self.faults.len() {
            self.faults.push(format!("and {} more", self.fault_count - self.faults.len()));
        }
        Err(self.faults)
    }

    /// Every step of an order's life stands in the log exactly as often as the steps before it demand.
    fn check_order(&mut self, name: &str, order: &Order) {
        let count = |event_type: &str| order.events.get(event_type).copied().unwrap_or_default();
        let products = order.goods.values().filter(|goods| goods.wanted > 0).count();
        let reserved = count("StockReserved") as usize;
        let (taken, declined) = (count("PaymentTaken"), count("PaymentDeclined"));
        let (shipped, released) = (count("StockShipped") as usize, count("StockReleased") as usize);
        let (confirmed, cancelled) = (count("OrderConfirmed"), count("OrderCancelled"));
        let rules = [
            (count("OrderPlaced") == 1, "is placed once"),
            (reserved <= products, "has each product held once, at most"),
            (taken + declined == u32::from(reserved == products), "is paid or declined once, if all of it is held"),
            (shipped == if taken == 1 { products } else { 0 }, "is shipped whole, if it is paid"),
            (released == reserved - shipped.min(reserved), "gives back what is held, if it is not shipped"),
            (confirmed == taken, "is confirmed, if it is paid"),
            (cancelled == 1 - taken.min(1), "is cancelled, if it is not paid"),
            (count("MessageComposed") == 1, "is told to the customer, once"),
            (order.paid_cents == u64::from(taken) * order.total_cents, "is paid what it costs"),
            (order.confirmed_cents == order.paid_cents, "is confirmed for what was paid"),
        ];
        for (_, rule) in rules.iter().filter(|(holds, _)| !holds) {
            self.fault(format!("order {name}: not true that it {rule}; its events: {:?}", order.events));
        }
        for (product, goods) in order.goods.iter().filter(|(_, goods)| !goods.agree()) {
            let Goods { wanted, held, given_back, shipped } = goods;
            let became = format!("{held} were held, {given_back} given back and {shipped} shipped");
            self.fault(format!("order {name}: {wanted} of {product} are wanted, and {became}"));
        }
    }

    fn fault(&mut self, text: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, orders, confirmed, cancelled, taken_cents, .. } = self;
        let (whole, cents) = (taken_cents / 100, taken_cents % 100);
        write!(
            f,
            "proved from the log: {events} events, {orders} orders = {confirmed} confirmed + {cancelled} cancelled; \
             nothing lost, nothing doubled; stock never negative; {whole}.{cents:02} EUR taken = orders confirmed"
        )
    }
}

fn signed(quantity: u64) -> i64 {
    i64::try_from(quantity).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, Version};

    const RUN: [(&str, &str); 6] = [
        ("StockReceived", r#"{"product":"tea","quantity":2}"#),
        ("OrderPlaced", r#"{"order":"1","lines":[{"sku":"tea","quantity":2,"unit_cents":5}]}"#),
        ("StockReserved", r#"{"order":"1","product":"tea","quantity":2}"#),
        ("PaymentTaken", r#"{"order":"1","amount_cents":10}"#),
        ("StockShipped", r#"{"order":"1","product":"tea","quantity":2}"#),
        ("OrderConfirmed", r#"{"order":"1","amount_cents":10}"#),
    ];
    const MESSAGE: (&str, &str) = ("MessageComposed", r#"{"order":"1"}"#);

    /// Runs a log in which every event is caused by the order.
    fn prove(events: &[(&str, &str)]) -> Result<Totals, Vec<String>> {
        let mut proof = Proof::default();
        let order = Uuid::from_u128(2);
        for (index, (event_type, data)) in events.iter().enumerate() {
            let mut event = NewEvent::json(EventType::new(*event_type).unwrap(), *data);
            event.id = Uuid::from_u128(index as u128 + 1);
            event.metadata.insert(metadata_key::COMMAND_ID.into(), index.to_string());
            event.metadata.insert(metadata_key::CORRELATION_ID.into(), "order-1".into());
            proof.add(&RecordedEvent::record(event, Position(index as u64 + 1), Version(0), 0));
        }
        proof.finish(&BTreeSet::from([order]))
    }

    #[test]
    fn a_whole_order_proves() {
        let totals = prove(&[&RUN[..], &[MESSAGE]].concat()).unwrap();
        assert_eq!((totals.orders, totals.confirmed, totals.taken_cents), (1, 1, 10));
    }

    #[test]
    fn a_lost_a_doubled_and_a_wrong_event_are_found() {
        let fault = |events: &[(&str, &str)]| prove(events).unwrap_err().join("; ");
        assert!(fault(&RUN).contains("told to the customer, once"));
        assert!(fault(&[&RUN[..], &[MESSAGE, MESSAGE]].concat()).contains("told to the customer, once"));
        assert!(fault(&[&RUN[..], &[MESSAGE, RUN[3]]].concat()).contains("is paid or declined once"));
        let mut short = RUN;
        short[0].1 = r#"{"product":"tea","quantity":1}"#;
        assert!(fault(&[&short[..], &[MESSAGE]].concat()).contains("stock of tea to -1"));
        let mut dear = RUN;
        dear[3].1 = r#"{"order":"1","amount_cents":11}"#;
        assert!(fault(&[&dear[..], &[MESSAGE]].concat()).contains("paid what it costs"));
        assert!(fault(&[]).contains("acknowledged and is not in the log"));
    }

    #[test]
    fn quantities_that_do_not_agree_are_found() {
        let fault = |at: usize, data| {
            let mut run = RUN;
            run[at].1 = data;
            prove(&[&run[..], &[MESSAGE]].concat()).unwrap_err().join("; ")
        };
        let one = r#"{"order":"1","product":"tea","quantity":1}"#;
        let reserved = fault(2, one);
        assert!(reserved.contains("2 of tea are wanted, and 1 were held, 0 given back and 2 shipped"), "{reserved}");
        let shipped = fault(4, one);
        assert!(shipped.contains("2 were held, 0 given back and 1 shipped"), "{shipped}");
        assert!(shipped.contains("2 of tea came in and 1 were shipped, and 0 are left"), "{shipped}");
        let cancelled = [RUN[0], RUN[1], ("OrderCancelled", r#"{"order":"1"}"#), MESSAGE];
        assert_eq!(prove(&cancelled).unwrap_err(), ["none of 1 orders is confirmed"]);
    }
}
