//! Composes the messages that customers get when their order is confirmed or cancelled.
//!
//! Version 1 has a bug, on purpose: it takes the first byte of a first name for its first letter, and
//! panics for a customer called Øyvind. The demo lets such an order through, shows the retries and the
//! dead letter, swaps in version 2 (the same source with the feature `v2`) and retries the dead letter.

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, NewEvent, OrFail, Outcome, export, typed};

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Shop {
    /// A customer placed an order.
    OrderPlaced {
        /// The order's id.
        order: String,
        /// Who placed it.
        customer: Customer,
    },
    /// The order is reserved and paid.
    OrderConfirmed {
        /// The order's id.
        order: String,
        /// What was paid, in cents.
        amount_cents: u64,
    },
    /// The order will not be delivered.
    OrderCancelled {
        /// The order's id.
        order: String,
        /// Why not.
        reason: String,
    },
}

/// Who to write to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Customer {
    /// First and last name.
    pub name: String,
    /// Where the message goes.
    pub email: String,
}

/// A message for a customer, ready to be sent.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MessageComposed {
    /// The order it is about.
    pub order: String,
    /// The address.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// Remembers whom an order belongs to, and writes to them when it ends.
///
/// # Errors
/// Rejects the end of an order that was never placed.
pub fn handle(event: Shop, ctx: &mut Context) -> Outcome {
    let (order, subject, text) = match event {
        Shop::OrderPlaced { order, customer } => return Ok(ctx.state().set_json(&customer_key(&order), &customer)?),
        Shop::OrderConfirmed { order, amount_cents } => {
            let currency: String = ctx.config().get_or("currency", "EUR".into())?;
            let price = format!("{}.{:02} {currency}", amount_cents / 100, amount_cents % 100);
            (order, "is on its way", format!("we received {price} and are packing your order."))
        }
        Shop::OrderCancelled { order, reason } => {
            (order, "was cancelled", format!("we are sorry that we had to cancel your order: {reason}."))
        }
    };
    let key = customer_key(&order);
    let customer: Customer = ctx.state().get_json(&key)?.or_reject(format_args!("no customer for order {order}"))?;
    ctx.state().delete(&key)?;
    let message = MessageComposed {
        to: customer.email,
        subject: format!("Your order {order} {subject}"),
        body: format!("{},\n{text}", salutation(&customer.name)),
        order,
    };
    let event = NewEvent::json("MessageComposed", &message).stream(format!("message-{}", message.order));
    Ok(ctx.append(event.tag(format!("order:{}", message.order)))?)
}

/// `Dear A. Lovelace` for `Ada Lovelace`.
#[must_use]
pub fn salutation(name: &str) -> String {
    match name.rsplit_once(' ') {
        Some((first, last)) => format!("Dear {}. {last}", initial(first)),
        None => format!("Dear {name}"),
    }
}

/// The first letter of a name: the bug of version 1, as letters of most languages are not one byte.
#[cfg(not(feature = "v2"))]
fn initial(name: &str) -> &str {
    &name[..1]
}

/// The first letter of a name.
#[cfg(feature = "v2")]
fn initial(name: &str) -> &str {
    let end = name.char_indices().nth(1).map_or(name.len(), |(second, _)| second);
    name.get(..end).unwrap_or_default()
}

fn customer_key(order: &str) -> String {
    format!("customer/{order}")
}

export!(typed(handle), name = "notification", append = ["MessageComposed"]);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::{Given, Harness};

    use super::*;

    fn message_to(name: &str) -> Value {
        let mut plugin = Harness::new(typed(handle));
        let customer = json!({ "name": name, "email": "a@example.com" });
        plugin.handle(Given::json("OrderPlaced", &json!({ "order": "7", "customer": customer }))).unwrap();
        let confirmed = Given::json("OrderConfirmed", &json!({ "order": "7", "amount_cents": 1_205 }));
        plugin.handle(confirmed).unwrap()[0].json()
    }

    #[test]
    fn a_customer_is_written_to() {
        let message = message_to("Ada Lovelace");
        assert_eq!(message["to"], "a@example.com");
        assert_eq!(message["subject"], "Your order 7 is on its way");
        assert_eq!(message["body"], "Dear A. Lovelace,\nwe received 12.05 EUR and are packing your order.");
    }

    #[test]
    #[cfg_attr(not(feature = "v2"), should_panic(expected = "not a char boundary"))]
    fn names_may_begin_with_any_letter_since_version_2() {
        assert!(message_to("Øyvind Berg")["body"].as_str().unwrap().starts_with("Dear Ø. Berg,"));
    }

    #[test]
    fn an_unknown_order_is_rejected() {
        let cancelled = Given::json("OrderCancelled", &json!({ "order": "8", "reason": "r" }));
        let failure = Harness::new(typed(handle)).handle(cancelled).unwrap_err();
        assert_eq!(failure.reason(), "no customer for order 8");
    }
}
