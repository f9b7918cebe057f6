//! The shop as a whole, natively: each order is led through the aggregates, what they decide is handed to the plugins that
//! listen. Then the books must balance.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::BTreeMap;

use plugin_orders::Order;
use plugin_payment::Payment;
use plugin_stock::Stock;
use serde_json::{Value, json};
use tidemill_sdk::testing::{Appended, Decider, Given, Harness};
use tidemill_sdk::{event_types, typed};

const DECLINED_CARD: &str = "4000-0000-0000-0002";
const SKUS: [&str; 3] = ["tea", "oil", "jam"];
const STOCK: u64 = 60;
const ORDERS: u64 = 100;

struct Shop {
    stocks: BTreeMap<&'static str, Decider<Stock>>,
    notification: Harness,
    dashboard: Harness,
    log: Vec<(String, Value)>,
}

impl Shop {
    fn open() -> Self {
        let notification = Harness::new(typed(plugin_notification_v2::handle));
        let dashboard = Harness::new(plugin_dashboard::handle);
        let mut shop = Self { stocks: BTreeMap::new(), notification, dashboard, log: Vec::new() };
        for sku in SKUS {
            let mut stock = Decider::new(sku);
            let received = stock.when("Receive", &json!({ "quantity": STOCK })).unwrap();
            shop.stocks.insert(sku, stock);
            shop.happened(received);
        }
        shop
    }

    /// Hands events to those that listen, and writes everything down.
    fn happened(&mut self, events: Vec<(String, Value)>) {
        for (event_type, body) in events {
            let given = Given::json(&event_type, &body);
            if event_types::<plugin_notification_v2::Shop>().contains(&event_type.as_str()) {
                let messages = self.notification.handle(given.clone()).unwrap();
                self.log.extend(messages.iter().map(|event: &Appended| (event.event_type.clone(), event.json())));
            }
            if event_types::<plugin_dashboard::Shop>().contains(&event_type.as_str()) {
                assert!(self.dashboard.handle(given).unwrap().is_empty());
            }
            self.log.push((event_type, body));
        }
    }

    fn at_stock(&mut self, sku: &str, what: &str, data: &Value) -> bool {
        let decided = self.stocks.get_mut(sku).unwrap().when(what, data);
        let accepted = decided.is_ok();
        self.happened(decided.unwrap_or_default());
        accepted
    }

    /// Leads an order to its end.
    fn order(&mut self, n: u64) {
        let (id, mut order) = (n.to_string(), Decider::<Order>::new(&n.to_string()));
        let sku = SKUS[usize::try_from(n % 3).unwrap()];
        let wanted = BTreeMap::from([(sku, 1 + n % 4), ("tea", 1 + if sku == "tea" { 1 + n % 4 } else { 0 })]);
        let unit_cents = 700 + 400 * (n % 5);
        let line =
            |(sku, quantity): (&&str, &u64)| json!({ "sku": sku, "quantity": quantity, "unit_cents": unit_cents });
        let lines: Vec<_> = wanted.iter().map(line).collect();
        let amount_cents = wanted.values().sum::<u64>() * unit_cents;
        let customer = json!({ "name": "Øyvind Berg", "email": format!("c{n}@example.com") });
        self.happened(order.when("Place", &json!({ "customer": customer, "lines": lines })).unwrap());

        let held = |quantity: &u64| json!({ "order": id, "quantity": quantity });
        let reserved: Vec<_> =
            wanted.iter().filter(|(sku, quantity)| self.at_stock(sku, "Reserve", &held(quantity))).collect();
        let card = if n.is_multiple_of(7) { DECLINED_CARD } else { "4111" };
        let paid = reserved.len() == wanted.len() && {
            let taken =
                Decider::<Payment>::new(&id).when("Take", &json!({ "card": card, "amount_cents": amount_cents }));
            let taken = taken.unwrap();
            let paid = taken[0].0 == "PaymentTaken";
            self.happened(taken);
            paid
        };
        for (sku, _) in reserved {
            assert!(self.at_stock(sku, if paid { "Ship" } else { "Release" }, &json!({ "order": id })));
        }
        self.happened(match paid {
            true => order.when("Confirm", &json!({ "amount_cents": amount_cents })).unwrap(),
            false => order.when("Cancel", &json!({ "reason": "out of stock, or not paid" })).unwrap(),
        });
    }

    fn count(&self, event_type: &str) -> u64 {
        self.log.iter().filter(|(found, _)| found == event_type).count() as u64
    }

    fn sum(&self, event_type: &str, field: &str) -> u64 {
        let bodies = self.log.iter().filter(|(found, _)| found == event_type);
        bodies.filter_map(|(_, body)| body[field].as_u64()).sum()
    }
}

#[test]
fn the_books_balance() {
    let mut shop = Shop::open();
    (0..ORDERS).for_each(|n| shop.order(n));
    // Each of the ways an order can end is on the log, so the sums below say something.
    for event_type in ["OrderConfirmed", "StockReleased", "PaymentDeclined"] {
        assert!(shop.count(event_type) > 5, "{event_type}: {}", shop.count(event_type));
    }
    assert!(shop.count("PaymentTaken") + shop.count("PaymentDeclined") < ORDERS, "some find the shelves empty");
    assert_eq!(shop.count("OrderConfirmed") + shop.count("OrderCancelled"), ORDERS);
    assert_eq!(shop.count("StockShipped") + shop.count("StockReleased"), shop.count("StockReserved"));
    assert_eq!(shop.count("MessageComposed"), ORDERS);
    assert_eq!(shop.sum("PaymentTaken", "amount_cents"), shop.sum("OrderConfirmed", "amount_cents"));

    let number = |key: &str| shop.dashboard.state_json::<u64>(key).unwrap_or(0);
    assert_eq!(number("orders/confirmed"), shop.count("OrderConfirmed"));
    assert_eq!(number("orders/open"), 0);
    assert_eq!(number("revenue_cents"), shop.sum("PaymentTaken", "amount_cents"));
    assert_eq!(shop.notification.keys().count(), 0, "an order is left behind");
    for (sku, stock) in &shop.stocks {
        let gone = shop.log.iter().filter(|(event_type, body)| event_type == "StockShipped" && body["product"] == *sku);
        let gone: u64 = gone.filter_map(|(_, body)| body["quantity"].as_u64()).sum();
        assert_eq!((stock.state().available + gone, stock.state().held.len()), (STOCK, 0), "{sku}");
        assert_eq!(number(&format!("units/{sku}")), gone, "{sku}");
    }
}
