//! Lifts `PriceSet` from schema version 1, with a price in whole euros, to version 2, in cents.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Lift, export_upcaster};

/// What version 1 held.
#[derive(Deserialize)]
struct Before {
    product: String,
    price: u64,
}

/// What version 2 holds.
#[derive(Serialize)]
struct After {
    product: String,
    price_cents: u64,
}

/// An error is a fault of that event: it is set aside, never handed over as it is.
fn cents(before: Before) -> Result<After, String> {
    let Before { product, price } = before;
    let price_cents = price.checked_mul(100).ok_or("the price is more than can be counted")?;
    Ok(After { product, price_cents })
}

export_upcaster!([Lift::new("PriceSet", 1, cents)]);
