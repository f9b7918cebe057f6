//! Never comes back from describing itself. On the SDK.

use tidemill_sdk::{Context, Event, Outcome, Subscriber, export};

struct Slow;

impl Subscriber for Slow {
    fn handle(&mut self, _: &Event, ctx: &mut Context) -> Outcome {
        ctx.state().add("count", 1)?;
        Ok(())
    }

    fn event_types(&self) -> &'static [&'static str] {
        let mut rounds = 0_u64;
        loop {
            rounds = std::hint::black_box(rounds.wrapping_add(1));
        }
    }
}

export!(Slow);
