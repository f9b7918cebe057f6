//! The shop as a whole, natively: what each plugin appends is handed to all that listen to it, until
//! nothing more happens. Then the books must balance.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of a test")]

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use tidemill_sdk::testing::{Appended, Given, Harness};
use tidemill_sdk::{event_types, typed};

const DECLINED_CARD: &str = "4000-0000-0000-0002";
const STOCK: u64 = 60;
const ORDERS: u64 = 100;

struct Listener {
    types: &'static [&'static str],
    plugin: Harness,
}

fn shop() -> [Listener; 5] {
    let listener = |types, plugin| Listener { types, plugin };
    let payment = Harness::new(plugin_payment::Payment::default())
        .config("limit_cents", 5_000)
        .config("declined_cards", json!([DECLINED_CARD]));
    [
        listener(event_types::<plugin_orders::Shop>(), Harness::new(typed(plugin_orders::handle))),
        listener(event_types::<plugin_inventory::Shop>(), Harness::new(typed(plugin_inventory::handle))),
        listener(event_types::<plugin_payment::Shop>(), payment),
        listener(event_types::<plugin_notification_v2::Shop>(), Harness::new(typed(plugin_notification_v2::handle))),
        listener(event_types::<plugin_dashboard::Shop>(), Harness::new(plugin_dashboard::handle)),
    ]
}

/// Hands everything to everybody, in one order, and answers the whole log.
fn run(shop: &mut [Listener], outside: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    let mut waiting: VecDeque<Given> = outside.iter().map(|(event_type, body)| Given::json(event_type, body)).collect();
    let mut log: VecDeque<(String, Value)> =
        outside.into_iter().map(|(event_type, body)| (event_type.to_owned(), body)).collect();
    let mut done = Vec::new();
    while let (Some(given), Some((event_type, body))) = (waiting.pop_front(), log.pop_front()) {
        for listener in shop.iter_mut().filter(|listener| listener.types.contains(&event_type.as_str())) {
            let appended = listener.plugin.handle(given.clone()).unwrap();
            waiting.extend(appended.iter().map(Appended::given));
            log.extend(appended.iter().map(|event| (event.event_type.clone(), event.json())));
        }
        done.push((event_type, body));
    }
    done
}

fn orders() -> Vec<(&'static str, Value)> {
    let stock = ["tea", "oil", "jam"].map(|sku| ("StockReceived", json!({ "sku": sku, "quantity": STOCK })));
    let order = |n: u64| {
        let sku = ["tea", "oil", "jam"][usize::try_from(n % 3).unwrap()];
        let lines = json!([
            { "sku": sku, "quantity": 1 + n % 4, "unit_cents": 700 + 400 * (n % 5) },
            { "sku": "tea", "quantity": 1, "unit_cents": 100 },
        ]);
        let card = if n.is_multiple_of(7) { DECLINED_CARD } else { "4111" };
        let customer = json!({ "name": "Øyvind Berg", "email": format!("c{n}@example.com") });
        ("OrderPlaced", json!({ "order": n.to_string(), "customer": customer, "card": card, "lines": lines }))
    };
    stock.into_iter().chain((0..ORDERS).map(order)).collect()
}

fn count(log: &[(String, Value)], event_type: &str) -> u64 {
    log.iter().filter(|(found, _)| found == event_type).count() as u64
}

fn sum(log: &[(String, Value)], event_type: &str) -> u64 {
    let amounts = log.iter().filter(|(found, _)| found == event_type);
    amounts.filter_map(|(_, body)| body["amount_cents"].as_u64()).sum()
}

#[test]
fn the_books_balance() {
    let mut shop = shop();
    let log = run(&mut shop, orders());
    let count = |event_type| count(&log, event_type);

    // Each of the three ways an order can end is on the log, so the sums below say something.
    for event_type in ["OrderConfirmed", "StockRejected", "PaymentDeclined"] {
        assert!(count(event_type) > 5, "{event_type}: {}", count(event_type));
    }
    assert_eq!(count("StockReserved") + count("StockRejected"), ORDERS);
    assert_eq!(count("PaymentTaken") + count("PaymentDeclined"), count("StockReserved"));
    assert_eq!(count("OrderConfirmed") + count("OrderCancelled"), ORDERS);
    assert_eq!(count("StockReleased"), count("PaymentDeclined"));
    assert_eq!(count("MessageComposed"), ORDERS);
    assert_eq!(sum(&log, "PaymentTaken"), sum(&log, "OrderConfirmed"));

    let [_, inventory, payment, notification, dashboard] = &shop;
    let number = |listener: &Listener, key: &str| listener.plugin.state_json::<u64>(key).unwrap_or(0);
    assert_eq!(number(dashboard, "orders/confirmed"), count("OrderConfirmed"));
    assert_eq!(number(dashboard, "orders/open"), 0);
    assert_eq!(number(dashboard, "revenue_cents"), sum(&log, "PaymentTaken"));
    for settled in [payment, notification] {
        assert_eq!(settled.plugin.keys().count(), 0, "an order is left behind");
    }
    for sku in ["tea", "oil", "jam"] {
        let left = number(inventory, &format!("stock/{sku}"));
        assert_eq!(left + sold(&log, sku), STOCK, "{sku}");
        assert_eq!(number(dashboard, &format!("units/{sku}")), sold(&log, sku), "{sku}");
    }
}

/// What left the stock for good, from the log alone.
fn sold(log: &[(String, Value)], sku: &str) -> u64 {
    let mut held: BTreeMap<String, u64> = BTreeMap::new();
    for (event_type, body) in log {
        let order = body["order"].as_str().unwrap_or_default().to_owned();
        match event_type.as_str() {
            "StockReserved" => {
                let lines = body["lines"].as_array().unwrap().iter().filter(|line| line["sku"] == sku);
                held.insert(order, lines.filter_map(|line| line["quantity"].as_u64()).sum());
            }
            "StockReleased" => {
                held.remove(&order);
            }
            _ => {}
        }
    }
    held.values().sum()
}
