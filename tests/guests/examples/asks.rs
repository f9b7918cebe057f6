//! Describes requests of every kind, and counts. On the SDK.

use tidemill_sdk::{Context, Event, Outcome, Subscriber, export};

struct Asks;

impl Subscriber for Asks {
    fn handle(&mut self, _: &Event, ctx: &mut Context) -> Outcome {
        ctx.state().add("count", 1)?;
        Ok(())
    }
}

export!(Asks, append = ["Asked"], http = ["https://api.example.com/v1/"], config = ["currency"], secrets = ["API_KEY"]);
