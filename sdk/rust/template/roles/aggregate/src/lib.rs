//! Decides commands to orders: each is placed once, and may be cancelled.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Aggregate, Asked, export_aggregate};

/// What can be asked: one variant for each type of command.
#[derive(Deserialize)]
enum Command {
    Place { total_cents: u64 },
    Cancel,
}

/// What can happen: one variant for each type of event.
#[derive(Serialize, Deserialize)]
enum OrderEvent {
    OrderPlaced { total_cents: u64 },
    OrderCancelled,
}

/// Why not. Programs see the variant as a code with its content, people the words below.
#[derive(Serialize)]
enum Refusal {
    PlacedAlready,
    NotPlaced,
    TooSmall { least_cents: u64 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlacedAlready => f.write_str("the order was placed already"),
            Self::NotPlaced => f.write_str("there is no such order"),
            Self::TooSmall { least_cents } => write!(f, "an order comes to at least {least_cents} cents"),
        }
    }
}

/// One order: what its events make of it. As serde writes it, it is kept as a snapshot.
#[derive(Default, Serialize, Deserialize)]
struct Order {
    placed: bool,
    cancelled: bool,
    total_cents: u64,
}

impl Aggregate for Order {
    type Command = Command;
    type Event = OrderEvent;
    type Rejection = Refusal;

    fn new(_id: &str) -> Self {
        Self::default()
    }

    /// It has happened: there is no refusing it here.
    fn apply(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::OrderPlaced { total_cents } => *self = Self { placed: true, total_cents, ..Self::default() },
            OrderEvent::OrderCancelled => self.cancelled = true,
        }
    }

    /// Changes nothing: what follows is applied when it is stored.
    fn decide(&self, command: Command, _asked: &Asked) -> Result<Vec<OrderEvent>, Refusal> {
        match command {
            Command::Place { .. } if self.placed => Err(Refusal::PlacedAlready),
            Command::Place { total_cents: 0 } => Err(Refusal::TooSmall { least_cents: 1 }),
            Command::Place { total_cents } => Ok(vec![OrderEvent::OrderPlaced { total_cents }]),
            Command::Cancel if !self.placed => Err(Refusal::NotPlaced),
            Command::Cancel if self.cancelled => Ok(Vec::new()),
            Command::Cancel => Ok(vec![OrderEvent::OrderCancelled]),
        }
    }
}

export_aggregate!(Order);
