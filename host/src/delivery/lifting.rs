//! Handing events over as they are in today's schema.
//!
//! The log and all rules of delivery know stored events: positions, keys, attempts. Only at the handler's door they
//! are lifted by the chain: an event may become another one, several (in order, all of them or none in one call), or
//! none (it is handled without a call). A lift that fails is a fault of its event, like a trap.

use std::sync::Arc;

use super::dispatcher::Setup;
use super::effects::Effects;
use super::handler::{EventBatch, Evidence, Fault, HandleError, Handled, Handler, Usage};
use crate::event::Filter;
use crate::schema::{Chain, LiftError};

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

impl Lifting {
    /// The batch in today's schema; none where it is that as it is stored.
    fn lift(&self, batch: &EventBatch) -> Result<Option<Lifted>, LiftError> {
        let mut lifted: Option<(Vec<_>, Vec<usize>)> = None;
        for (index, event) in batch.iter().enumerate() {
            let parts = match self.chain.lift(event)? {
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
                return Handled { effects, outcome, evidence: Evidence::default() };
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
