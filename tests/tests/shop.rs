//! The shop by commands, through the real server: stock is never oversold and money never negative, however many clients
//! ask at once, and though the server is killed in the middle of it. A fold over the log is the model beside them.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};
use tidemill_plugins::{ACCOUNT, STOCK};
use tidemill_tests::{Server, install, poll};

/// Who orders, each with an account of its own.
const CUSTOMERS: u64 = 8;
/// Orders of each.
const ORDERS: u64 = 25;
/// What came in of the one product that everybody wants: too little for all.
const PIECES: u64 = 120;
/// What a piece costs, in cents.
const PRICE: u64 = 7;

/// What a customer has, in cents: the first one too little for what is wanted, the others together too much for the stock.
const fn funds(customer: u64) -> u64 {
    if customer == 0 { 20 } else { 150 }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// With so many events.
    Accepted(usize),
    /// With this code.
    Rejected(String),
}

/// The shop's server: another one, or none, at any time.
struct Shop {
    server: Mutex<Option<Server>>,
}

impl Shop {
    fn open(data: &Path, plugins: &Path) -> Server {
        let server = Server::start(data, plugins);
        for plugin in ["account", "stock"] {
            poll("it to decide", || server.get(&format!("/v1/plugins/{plugin}"))["aggregate"].as_str().map(drop));
        }
        server
    }

    /// Sends a command until it is answered: with one id it counts once.
    fn send(&self, aggregate: &str, key: &str, id: &str, what: &str, data: &Value) -> Ended {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        poll(&format!("an answer to {id}"), || {
            let url = self.server.lock().unwrap().as_ref()?.url().to_owned();
            let mut answer = agent
                .post(format!("{url}/v1/commands/{aggregate}/{key}"))
                .send_json(json!({ "id": id, "type": what, "data": data }))
                .ok()?;
            let (status, body) = (answer.status().as_u16(), answer.body_mut().read_json::<Value>().ok()?);
            match status {
                200 | 201 => Some(Ended::Accepted(body["events"].as_array().unwrap().len())),
                422 => Some(Ended::Rejected(body["code"].as_str().unwrap().to_owned())),
                // It is starting, or ending.
                503 => None,
                other => panic!("{other}: {body}"),
            }
        })
    }

    /// One order: the stock is held, the money taken, and the goods shipped, or put back.
    fn order(&self, customer: u64, number: u64, quantity: u64) -> bool {
        let order = format!("{customer}-{number}");
        let stock = |what: &str, data: Value| self.send("stock", "tea", &format!("{order}-{what}"), what, &data);
        match stock("Reserve", json!({ "order": order, "quantity": quantity })) {
            Ended::Accepted(events) => assert_eq!(events, 1),
            Ended::Rejected(code) => {
                assert_eq!(code, "OutOfStock");
                return false;
            }
        }
        let cents = json!({ "cents": quantity * PRICE });
        let paid = self.send("account", &customer.to_string(), &format!("{order}-pay"), "Withdraw", &cents);
        let (what, shipped) = match paid {
            Ended::Accepted(_) => ("Ship", true),
            Ended::Rejected(code) => {
                assert_eq!(code, "InsufficientFunds");
                ("Release", false)
            }
        };
        assert_eq!(stock(what, json!({ "order": order })), Ended::Accepted(1), "{order}: {what}");
        shipped
    }
}

/// Everything in the log, page by page.
fn log(server: &Server) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/v1/events?after={after}&limit=1000"));
        let found = page["events"].as_array().unwrap();
        let Some(last) = found.last() else { return events };
        after = last["position"].as_u64().unwrap();
        events.extend(found.iter().cloned());
    }
}

/// The model: what the log adds up to. Nothing of it is ever below zero.
#[derive(Debug, Default)]
struct Model {
    available: u64,
    held: BTreeMap<String, u64>,
    shipped: BTreeMap<String, u64>,
    balances: BTreeMap<String, u64>,
}

impl Model {
    fn add(&mut self, event: &Value) {
        let data = &event["data"];
        let (order, quantity) = (data["order"].as_str().unwrap_or_default(), data["quantity"].as_u64().unwrap_or(0));
        let account = event["stream"].as_str().unwrap().to_owned();
        let cents = data["cents"].as_u64().unwrap_or(0);
        let below = |what: &str| panic!("{what} is below zero after {event}");
        match event["type"].as_str().unwrap() {
            "StockReceived" => self.available += quantity,
            "StockReserved" => {
                self.available = self.available.checked_sub(quantity).unwrap_or_else(|| below("the stock"));
                assert!(self.held.insert(order.to_owned(), quantity).is_none(), "reserved twice: {event}");
            }
            "StockReleased" => {
                self.available += quantity;
                assert_eq!(self.held.remove(order), Some(quantity), "{event}");
            }
            "StockShipped" => {
                assert_eq!(self.held.remove(order), Some(quantity), "{event}");
                self.shipped.insert(order.to_owned(), quantity);
            }
            "MoneyDeposited" => *self.balances.entry(account).or_default() += cents,
            "MoneyWithdrawn" => {
                let balance = self.balances.entry(account).or_default();
                *balance = balance.checked_sub(cents).unwrap_or_else(|| below("the account"));
            }
            // Opened accounts, and commands that were rejected.
            _ => {}
        }
    }
}

#[test]
fn many_clients_and_a_kill_never_oversell_and_never_overdraw() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "account", &ACCOUNT);
    install(plugins.path(), "stock", &STOCK);
    let shop = Shop { server: Mutex::new(Some(Shop::open(data.path(), plugins.path()))) };
    shop.send("stock", "tea", "goods", "Receive", &json!({ "quantity": PIECES }));
    for customer in 0..CUSTOMERS {
        let key = customer.to_string();
        shop.send("account", &key, &format!("open-{key}"), "Open", &json!({ "owner": key }));
        shop.send("account", &key, &format!("fund-{key}"), "Deposit", &json!({ "cents": funds(customer) }));
    }
    // The orders that were shipped, by what their customers were answered.
    let (shipped, ended) = (Mutex::new(BTreeSet::new()), Mutex::new(0));
    std::thread::scope(|scope| {
        for customer in 0..CUSTOMERS {
            let (shop, shipped, ended) = (&shop, &shipped, &ended);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(customer);
                for number in 0..ORDERS {
                    if shop.order(customer, number, rng.u64(1..=3)) {
                        shipped.lock().unwrap().insert(format!("{customer}-{number}"));
                    }
                    *ended.lock().unwrap() += 1;
                }
            });
        }
        poll("half of the orders", || (*ended.lock().unwrap() >= CUSTOMERS * ORDERS / 2).then_some(()));
        // It is killed as it is dropped. Who sends meanwhile finds nobody, and sends again.
        drop(shop.server.lock().unwrap().take());
        let again = Shop::open(data.path(), plugins.path());
        *shop.server.lock().unwrap() = Some(again);
    });
    let server = shop.server.into_inner().unwrap().unwrap();
    let mut model = Model::default();
    let log = log(&server);
    log.iter().for_each(|event| model.add(event));
    let codes: BTreeSet<_> = log.iter().filter_map(|event| event["data"]["rejection"]["code"].as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["InsufficientFunds", "OutOfStock"]), "both came to an end");
    assert!(model.held.is_empty(), "no order is left behind: {:?}", model.held);
    assert_eq!(model.shipped.keys().cloned().collect::<BTreeSet<_>>(), shipped.into_inner().unwrap());
    let pieces: u64 = model.shipped.values().sum();
    assert_eq!(model.available + pieces, PIECES);
    let left: u64 = model.balances.values().sum();
    assert_eq!(left + pieces * PRICE, (0..CUSTOMERS).map(funds).sum::<u64>(), "what was shipped was paid");
    let stock = server.get("/v1/streams/stock-tea/state");
    assert_eq!(stock["state"], json!({ "product": "tea", "available": model.available, "held": {} }));
    for (account, balance) in &model.balances {
        let state = server.get(&format!("/v1/streams/{account}/state"));
        assert_eq!(state["state"]["balance_cents"], json!(balance), "{account}");
    }
}

#[test]
fn the_last_piece_goes_to_one() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    install(plugins.path(), "account", &ACCOUNT);
    install(plugins.path(), "stock", &STOCK);
    let shop = Shop { server: Mutex::new(Some(Shop::open(data.path(), plugins.path()))) };
    for round in 0..10_u64 {
        let product = format!("last-{round}");
        shop.send("stock", &product, &format!("goods-{round}"), "Receive", &json!({ "quantity": 1 }));
        let reserve = |client: u64| {
            let (id, order) = (format!("{round}-{client}"), json!({ "order": client.to_string(), "quantity": 1 }));
            shop.send("stock", &product, &id, "Reserve", &order)
        };
        let ended: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CUSTOMERS).map(|client| scope.spawn(move || reserve(client))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(ended.iter().filter(|ended| **ended == Ended::Accepted(1)).count(), 1, "{ended:?}");
        let refused = Ended::Rejected("OutOfStock".into());
        assert_eq!(ended.iter().filter(|ended| **ended == refused).count() as u64, CUSTOMERS - 1, "{ended:?}");
    }
}
