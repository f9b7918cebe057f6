//! Runs that can be repeated: what a guest sees of time and chance follows the event, not the batch.
//!
//! How events are cut into batches differs from run to run: live, catching up, after a failure. The time and
//! the random numbers of a call are those of its first event, so a guest that looks at them must be handed its
//! events one by one. Most never look, and keep their batches: the first time that one looks in a call with
//! several events, that call is taken back and done again one by one, on a new instance, and so are all calls
//! after it. The events of a batch share what one call may use then, so that none holds the host up for longer than
//! another. What it keeps in globals is its own affair, as ever.

use super::subscriber::Subscriber;
use crate::delivery::{Effects, EventBatch, Evidence, Failure, HandleError, Handled, Handler, Usage};

/// A subscriber whose calls follow the events.
pub(super) struct Repeatable {
    inner: Subscriber,
    /// Whether it looks at time or chance.
    one_by_one: bool,
}

impl Repeatable {
    pub(super) const fn new(inner: Subscriber) -> Self {
        Self { inner, one_by_one: false }
    }

    /// Hands the events over in calls of their own, up to the first that fails.
    fn each(&mut self, batch: &EventBatch, effects: Effects) -> Handled {
        self.inner.share_limits();
        let handled = self.one_after_the_other(batch, effects);
        self.inner.end_sharing();
        handled
    }

    fn one_after_the_other(&mut self, batch: &EventBatch, mut effects: Effects) -> Handled {
        for index in 0..batch.len() {
            let handled = self.inner.handle(batch.slice(index..index + 1), effects);
            match handled.outcome {
                Ok(()) => effects = handled.effects,
                Err(error) => return Handled { outcome: Err(at(error, index)), ..handled },
            }
        }
        Handled { effects, outcome: Ok(()), evidence: Evidence::default() }
    }
}

impl Handler for Repeatable {
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        if batch.len() == 1 {
            return self.inner.handle(batch, effects);
        }
        if self.one_by_one {
            return self.each(&batch, effects);
        }
        let said = self.inner.transcript().mark();
        let handled = self.inner.handle(batch.clone(), effects);
        if !self.inner.looked_at_the_event() {
            return handled;
        }
        self.one_by_one = true;
        self.inner.forget();
        self.inner.transcript().back_to(said);
        let mut effects = handled.effects;
        effects.discard_call();
        effects.begin_call(batch.clone());
        self.each(&batch, effects)
    }

    fn warm_up(&mut self) {
        self.inner.warm_up();
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

/// The same error of a batch in which the one event stood at `index`.
fn at(error: HandleError, index: usize) -> HandleError {
    match error {
        HandleError::Failure(failure) => HandleError::Failure(Failure { index, ..failure }),
        HandleError::Fault { .. } => error,
    }
}
