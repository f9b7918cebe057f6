//! Lifts `OrderPlaced` from schema version 1, with a total in whole euros, to version 2, in cents.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Lift, export_upcaster};

/// What version 1 held.
#[derive(Deserialize)]
struct Before {
    order: String,
    total: u64,
}

/// What version 2 holds.
#[derive(Serialize)]
struct After {
    order: String,
    total_cents: u64,
}

/// An error is a fault of that event: it is set aside, never handed over as it is.
fn cents(before: Before) -> Result<After, String> {
    let Before { order, total } = before;
    let total_cents = total.checked_mul(100).ok_or("the total is more than can be counted")?;
    Ok(After { order, total_cents })
}

export_upcaster!([Lift::new("OrderPlaced", 1, cents)]);
