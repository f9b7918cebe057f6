//! Handing events over as they are in today's schema.
//!
//! The log and all rules of delivery know stored events: positions, keys, attempts. Only at the handler's door they
//! are lifted by the chain: an event may become another one, several (in order, all of them or none in one call), or
//! none (it is handled without a call). A lift that fails is a fault of its event, like a trap; a batch that becomes too
//! much is one that names no event, so that fewer are handed over at a time.

use std::sync::Arc;
use std::time::Duration;

use super::dispatcher::Setup;
use super::effects::Effects;
use super::handler::{EventBatch, Evidence, Fault, HandleError, Handled, Handler, Usage};
use crate::event::{Filter, RecordedEvent};
use crate::schema::{Chain, LiftError, Portion};

/// Most that a batch becomes before its last event is lifted, in bytes.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long a batch is lifted before its last event.
const BATCH_TIME_MAX: Duration = Duration::from_secs(10);

/// A handler that is given lifted events.
struct Lifting {
    inner: Box<dyn Handler>,
    chain: Arc<Chain>,
    /// What it listens to, in today's types.
    filter: Filter,
}

/// A batch as its handler sees it.
struct Lifted {
    batch: EventBatch,
    /// Of each event the index of the stored one.
    stored: Vec<usize>,
}

/// The same plugin, listening to what becomes of events through a chain. Nothing changes where no lift concerns it.
#[must_use]
pub fn lifting(setup: Setup, chain: &Arc<Chain>) -> Setup {
    let Setup { mut subscription, handlers, .. } = setup;
    subscription.lifts = chain.digest_for(&subscription.filter);
    if subscription.lifts.is_empty() {
        return Setup { subscription, handlers, ..setup };
    }
    let filter = subscription.filter;
    subscription.filter = chain.stored(&filter);
    let lifting =
        |inner| -> Box<dyn Handler> { Box::new(Lifting { inner, chain: Arc::clone(chain), filter: filter.clone() }) };
    Setup { subscription, handlers: handlers.into_iter().map(lifting).collect(), ..setup }
}

/// A fault of a batch, which is halved until what it becomes is within bounds.
fn too_much(event: &RecordedEvent) -> LiftError {
    let reason = format!(
        "events before it in its batch become more than {BATCH_BYTES_MAX} bytes, or take longer than {} s",
        BATCH_TIME_MAX.as_secs()
    );
    LiftError::of(event, reason)
}

impl Lifting {
    /// The batch in today's schema; none where it is that as it is stored.
    fn lift(&self, batch: &EventBatch) -> Result<Option<Lifted>, LiftError> {
        let mut lifted: Option<(Vec<_>, Vec<usize>)> = None;
        let mut portion = Portion::of(&self.chain).within(BATCH_BYTES_MAX, BATCH_TIME_MAX);
        for (index, event) in batch.iter().enumerate() {
            if portion.is_full() && index > 0 {
                return Err(too_much(event));
            }
            let parts = match portion.lift(event)? {
                None if self.filter.matches_type(event.event_type.as_str()) => None,
                parts => Some(parts.unwrap_or_default()),
            };
            if parts.is_none() && lifted.is_none() {
                continue;
            }
            // From the first one that changes on, all of them are copied.
            let (events, stored) =
                lifted.get_or_insert_with(|| (batch.iter().take(index).cloned().collect(), (0..index).collect()));
            let parts = parts.unwrap_or_else(|| vec![event.clone()]);
            for part in parts.into_iter().filter(|part| self.filter.matches_type(part.event_type.as_str())) {
                events.push(part);
                stored.push(index);
            }
        }
        Ok(lifted.map(|(events, stored)| Lifted { batch: EventBatch::new(events), stored }))
    }
}

impl Handler for Lifting {
    fn handle(&mut self, batch: EventBatch, mut effects: Effects) -> Handled {
        let lifted = match self.lift(&batch) {
            Ok(None) => return self.inner.handle(batch, effects),
            Ok(Some(lifted)) => lifted,
            Err(error) => {
                let outcome = Err(HandleError::Fault { fault: Fault::Upcast, reason: error.to_string() });
                return Handled { effects, outcome, evidence: *error.evidence };
            }
        };
        let Lifted { batch, stored } = lifted;
        if batch.is_empty() {
            return Handled { effects, outcome: Ok(()), evidence: Evidence::default() };
        }
        effects.show(batch.clone());
        let mut handled = self.inner.handle(batch, effects);
        if let Err(HandleError::Failure(failure)) = &mut handled.outcome {
            // One that is out of bounds stays so.
            failure.index = stored.get(failure.index).copied().unwrap_or(usize::MAX);
        }
        handled
    }

    fn warm_up(&mut self) {
        self.inner.warm_up();
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent, Position, Version};
    use crate::schema::rules;

    struct Idle;

    impl Handler for Idle {
        fn handle(&mut self, _: EventBatch, effects: Effects) -> Handled {
            Handled { effects, outcome: Ok(()), evidence: Evidence::default() }
        }
    }

    #[test]
    fn a_batch_that_becomes_too_much_faults_and_half_of_it_does_not() {
        let text =
            "[[upcast]]\ntype = \"A\"\nfrom = 1\nto = 1\ninto = [{ type = \"B\" }, { type = \"B\" }, { type = \"B\" }]";
        let chain = Arc::new(Chain::new(rules::read("u.toml", text).unwrap()).unwrap());
        let lifting = Lifting { inner: Box::new(Idle), chain, filter: Filter::all() };
        let event = |position| {
            let data = format!("\"{}\"", "x".repeat(900 << 10));
            let event = NewEvent::json(EventType::new("A").unwrap(), data);
            RecordedEvent::record(event, Position(position), Version(0), 1)
        };
        let batch = EventBatch::new((1..=8).map(event).collect());
        let error = lifting.lift(&batch).err().unwrap().to_string();
        assert!(error.contains("events before it in its batch become more than 16777216 bytes"), "{error}");
        for half in [0..4, 4..8, 7..8] {
            let parts = half.len() * 3;
            assert_eq!(lifting.lift(&batch.slice(half)).unwrap().unwrap().batch.len(), parts);
        }
    }
}
