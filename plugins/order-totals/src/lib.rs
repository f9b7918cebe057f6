//! Totals per customer: what they ordered, and when they become a VIP.
//!
//! The same plugin stands beside this one in every language that has an SDK; all of them pass the fixtures
//! in `fixtures/`.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{
    Answer, Answered, Context, Failure, NewEvent, OrFail, Outcome, Query, QueryError, ReadContext, export, info, typed,
};

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Shop {
    /// A customer placed an order.
    OrderPlaced {
        /// The order's id.
        order: String,
        /// Who placed it.
        customer: String,
        /// What it costs, in cents.
        total_cents: u64,
    },
    /// An order will not be delivered.
    OrderCancelled {
        /// The order's id.
        order: String,
        /// Who had placed it.
        customer: String,
    },
    /// A customer is to be forgotten.
    CustomerLeft {
        /// Who left.
        customer: String,
    },
}

/// One customer's orders that stand, in numbers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// How many there are.
    pub orders: u64,
    /// What they cost together, in cents.
    pub cents: u64,
    /// Whether the customer ever was above the threshold.
    pub vip: bool,
}

/// Told once for each customer.
#[derive(Debug, Serialize)]
struct CustomerGotVip<'a> {
    customer: &'a str,
    total_cents: u64,
}

/// Keeps the totals.
///
/// # Errors
/// Rejects the cancellation of an order that does not stand; asks for a retry while the customer is held.
pub fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    match event {
        Shop::OrderPlaced { order, customer, total_cents } => placed(&order, &customer, total_cents, ctx),
        Shop::OrderCancelled { order, customer } => cancelled(&order, &customer, ctx),
        Shop::CustomerLeft { customer } => left(&customer, ctx),
    }
}

fn placed(order: &str, customer: &str, total_cents: u64, ctx: &mut Context) -> Outcome {
    let config = ctx.config();
    if config.get::<String>("hold_customer")?.is_some_and(|held| held == customer) {
        return Err(Failure::retry(format_args!("customer {customer} is on hold")));
    }
    let vip_cents = config.get_or("vip_cents", 100_000)?;
    ctx.state().set_count(&order_key(customer, order), total_cents)?;
    let (cents, got_vip) = ctx.state().update(&customer_key(customer), |totals: &mut Totals| {
        totals.orders += 1;
        totals.cents = totals.cents.saturating_add(total_cents);
        let got_vip = !totals.vip && totals.cents >= vip_cents;
        totals.vip |= got_vip;
        (totals.cents, got_vip)
    })?;
    if got_vip {
        info!("customer {customer} is a VIP");
        let body = CustomerGotVip { customer, total_cents: cents };
        let event = NewEvent::json("CustomerGotVip", &body).stream(format!("customer-{customer}"));
        ctx.append(event.tag(format!("customer:{customer}")))?;
    }
    Ok(())
}

fn cancelled(order: &str, customer: &str, ctx: &mut Context) -> Outcome {
    let key = order_key(customer, order);
    let total_cents: u64 =
        ctx.state().get_json(&key)?.or_reject(format_args!("customer {customer} has no order {order}"))?;
    ctx.state().delete(&key)?;
    ctx.state().update(&customer_key(customer), |totals: &mut Totals| {
        totals.orders = totals.orders.saturating_sub(1);
        totals.cents = totals.cents.saturating_sub(total_cents);
    })?;
    Ok(())
}

fn left(customer: &str, ctx: &mut Context) -> Outcome {
    for entry in ctx.state().scan(order_key(customer, "")) {
        ctx.state().delete(&entry?.0)?;
    }
    Ok(ctx.state().delete(&customer_key(customer))?)
}

/// One customer, as the query `customer` answers.
#[derive(Serialize)]
struct Customer {
    customer: String,
    #[serde(flatten)]
    totals: Totals,
    /// The ids of the orders that stand, in the order of their bytes.
    standing: Vec<String>,
}

/// Answers `customer`, with the parameter `customer`.
///
/// # Errors
/// When there is no such query or no such customer.
pub fn query(query: &Query<'_>, ctx: &ReadContext) -> Answered {
    if query.name() != "customer" {
        return Err(QueryError::Unknown);
    }
    let customer: String = query.require("customer")?;
    let totals = ctx.state().get_json(&customer_key(&customer))?;
    let totals = totals.ok_or_else(|| QueryError::invalid(format_args!("there is no customer {customer}")))?;
    let prefix = order_key(&customer, "");
    let orders = ctx.state().scan(&*prefix).map(|entry| Ok(entry?.0.split_off(prefix.len())));
    let standing = orders.collect::<Result<_, QueryError>>()?;
    Answer::json(&Customer { customer, totals, standing })
}

fn order_key(customer: &str, order: &str) -> String {
    format!("order/{customer}/{order}")
}

fn customer_key(customer: &str) -> String {
    format!("customer/{customer}")
}

export!(
    typed(handle),
    query = query,
    name = "order-totals",
    append = ["CustomerGotVip"],
    queries = ["customer"],
    state_schema = 1
);
