//! Handlers that are disturbed: what a plugin must bear without another result.

use crate::delivery::{Effects, EventBatch, Handled, Handler, Usage};
use crate::runtime::Transcript;

/// What is done to a plugin while it handles events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// Every batch is handed over twice; what the first call did is taken back, as after a commit that failed.
    pub twice: bool,
    /// The instance is thrown away after every call, and every call is made again by a fresh one: a crash before each
    /// commit. Effects take place together or not at all, so a crash between two of them is the same.
    pub crash: bool,
    /// How many partitions share the events; 0 for as many as the manifest says.
    pub partitions: u32,
}

/// A handler under a disturbance.
pub(super) struct Disturbed {
    pub(super) disturbance: Disturbance,
    pub(super) make: Box<dyn Fn() -> Box<dyn Handler> + Send>,
    pub(super) inner: Box<dyn Handler>,
    /// What the plugin logs; what the first of two calls logged is taken back with the rest.
    pub(super) transcript: Transcript,
    /// What instances before this one have used.
    pub(super) before: Usage,
}

impl Handler for Disturbed {
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        let Disturbance { twice, crash, .. } = self.disturbance;
        if !twice && !crash {
            return self.inner.handle(batch, effects);
        }
        let said = self.transcript.mark();
        let first = self.inner.handle(batch.clone(), effects);
        self.transcript.back_to(said);
        if crash {
            self.before = self.usage();
            self.inner = (self.make)();
        }
        let mut effects = first.effects;
        effects.discard_call();
        effects.begin_call(batch.clone());
        let second = self.inner.handle(batch, effects);
        // A call that fails is told once: its attempt is counted as one.
        if first.outcome.is_err() && second.outcome.is_err() {
            Handled { outcome: first.outcome, ..second }
        } else {
            second
        }
    }

    fn usage(&self) -> Usage {
        let (now, before) = (self.inner.usage(), self.before);
        Usage {
            memory_peak_bytes: now.memory_peak_bytes.max(before.memory_peak_bytes),
            instance_peak_bytes: now.instance_peak_bytes.max(before.instance_peak_bytes),
            fuel: now.fuel.saturating_add(before.fuel),
            log_bytes: now.log_bytes.saturating_add(before.log_bytes),
            http_requests: now.http_requests.saturating_add(before.http_requests),
            ..now
        }
    }
}
