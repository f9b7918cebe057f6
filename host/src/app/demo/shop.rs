//! The shop's customers: goods coming in and orders, made from a seed.

use std::collections::BTreeMap;

use serde::Serialize;

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

/// What a customer wants.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: String,
    pub(super) customer: Customer,
    pub(super) card: &'static str,
    pub(super) lines: Vec<Line>,
}

/// Who wants it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Customer {
    name: String,
    email: String,
}

/// So many of one product.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    sku: &'static str,
    quantity: u32,
    unit_cents: u64,
}

impl Order {
    /// How many of each product.
    pub(super) fn quantities(&self) -> BTreeMap<&'static str, u32> {
        let mut sums = BTreeMap::new();
        for line in &self.lines {
            *sums.entry(line.sku).or_default() += line.quantity;
        }
        sums
    }

    /// What it costs.
    pub(super) fn total_cents(&self) -> u64 {
        self.lines.iter().map(|line| line.unit_cents * u64::from(line.quantity)).sum()
    }
}

impl Shop {
    pub(super) fn new(seed: u64, orders: u32) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), orders }
    }

    /// The goods that come in: enough for most orders, so that the last ones find some shelves empty.
    pub(super) fn deliveries(&mut self) -> Vec<(&'static str, u32)> {
        let quantity = |rng: &mut fastrand::Rng| (self.orders / 4 + rng.u32(0..=self.orders / 8)).max(1);
        PRODUCTS.iter().map(|(sku, _)| (*sku, quantity(&mut self.rng))).collect()
    }

    /// The `number`-th order; a poison one is from a customer whose name is trouble.
    pub(super) fn order(&mut self, number: u32, poison: bool) -> Order {
        let number = format!("{number:06}");
        let name = if poison { POISON_NAME.into() } else { self.name() };
        let card = if self.rng.u32(0..12) == 0 { DECLINED_CARD } else { "4111-1111-1111-1111" };
        let lines = (0..self.rng.usize(1..=3))
            .map(|_| {
                let (sku, unit_cents) = self.pick(&PRODUCTS).unwrap_or_default();
                Line { sku, quantity: self.rng.u32(1..=2), unit_cents }
            })
            .collect();
        let email = format!("customer-{number}@example.com");
        Order { number, customer: Customer { name, email }, card, lines }
    }

    fn name(&mut self) -> String {
        let first = self.pick(&FIRST_NAMES).unwrap_or_default();
        let last = self.pick(&LAST_NAMES).unwrap_or_default();
        format!("{first} {last}")
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        among.get(self.rng.usize(0..among.len())).copied()
    }
}
