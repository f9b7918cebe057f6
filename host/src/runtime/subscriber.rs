//! The subscriber role: a [`Handler`] that hands batches to a component.
//!
//! Life of the instance: made at the first call, or shortly before it takes over from another version; kept between
//! calls; dropped after any fault; made anew after a batch that left its memory nearly full, because linear memory
//! never shrinks.
//!
//! What each call used is added up here: fuel, memory, log, requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Transcript;
use super::bindings::types;
use super::component::{InstanceOptions, Loaded};
use super::fault::Failed;
use super::guest::{Guest, Left};
use super::instance::{Instance, fuel_used};
use super::lane::{Answer, Handle};
use super::limits::Limits;
use super::text::{REASON_BYTES_MAX, cut};
use super::trial::Entry;
use crate::clock::Stopwatch;
use crate::delivery::{Effects, EventBatch, Evidence, Failure, Fault, HandleError, Handled, Handler, Usage, Verdict};

/// Runs a component as a subscriber.
pub(super) struct Subscriber {
    component: Arc<Loaded>,
    options: Arc<InstanceOptions>,
    running: Option<Running>,
    /// Whether the last call read what depends on the event it began with.
    looked: bool,
    usage: Usage,
    /// What calls that share the limits of one have used; none where each has its own.
    shared: Option<Used>,
}

/// What calls have used together.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Since the first of them; none before.
    since: Option<Stopwatch>,
    fuel: u64,
    log_bytes: u64,
}

/// A started instance.
struct Running {
    instance: Instance,
    handle: Handle,
    /// Memory after its first batch, in bytes: what it needs anyway.
    settled_bytes: Option<usize>,
}

impl Subscriber {
    pub(super) fn new(component: Arc<Loaded>, options: InstanceOptions) -> Self {
        let usage = Usage::default();
        Self { component, options: Arc::new(options), running: None, looked: false, usage, shared: None }
    }

    /// Whether the last call read what depends on the event it began with.
    pub(super) const fn looked_at_the_event(&self) -> bool {
        self.looked
    }

    /// Where what it logs is kept.
    pub(super) fn transcript(&self) -> &Transcript {
        &self.options.transcript
    }

    /// Makes the calls from here on share what one may use: time, fuel and log.
    pub(super) fn share_limits(&mut self) {
        self.shared = Some(Used::default());
    }

    /// Ends that.
    pub(super) fn end_sharing(&mut self) {
        self.shared = None;
        if let Some(running) = &self.running {
            running.instance.store.data().output.end_call();
        }
    }

    /// Drops the instance; the next call makes another.
    pub(super) fn forget(&mut self) {
        if self.running.take().is_some() {
            self.recycled();
        }
    }

    /// Counts that an instance was dropped although it was well.
    fn recycled(&mut self) {
        self.usage.restarts.recycled += 1;
        self.usage.memory_bytes = 0;
    }

    /// Counts that an instance was dropped because of a fault.
    fn lost(&mut self) {
        self.usage.restarts.fault += 1;
        self.usage.memory_bytes = 0;
    }

    /// The instance to call, started if there is none.
    fn started(&mut self, batch: &EventBatch) -> Result<Running, Failed> {
        self.looked = false;
        let mut running = self.running.take().map_or_else(|| self.start(), Ok)?;
        let guest = running.instance.store.data_mut();
        match &mut self.shared {
            None => guest.begin_call(batch),
            Some(used) => guest.go_on(batch, used.left(&self.options.limits)),
        }
        Ok(running)
    }

    fn start(&mut self) -> Result<Running, Failed> {
        let linked = &self.component.linked;
        let store = Instance::store(linked, Arc::clone(&self.options));
        let mut instance =
            Instance::start(store, linked).map_err(|(mut store, error)| Failed::of(&error, store.data_mut()))?;
        self.usage.fuel = self.usage.fuel.saturating_add(fuel_used(&instance.store));
        let handle = match &self.component.entry {
            Entry::Subscriber { lane, handle, .. } => instance.handle(*lane, handle),
            Entry::Aggregate(..) => Err(wasmtime::format_err!("it decides commands, and handles no events")),
        };
        match handle {
            Ok(handle) => Ok(Running { instance, handle, settled_bytes: None }),
            Err(error) => Err(Failed::of(&error, instance.store.data_mut())),
        }
    }

    /// Calls `handle`. Always gives the effects back.
    fn call(
        &mut self,
        running: &mut Running,
        batch: &EventBatch,
        effects: Effects,
    ) -> (Effects, Result<Answer, Failed>) {
        let Running { instance: Instance { store, .. }, handle, .. } = running;
        store.data_mut().effects = Some(effects);
        // The store is dropped after a panic, so nothing half-changed is seen again.
        let called = catch_unwind(AssertUnwindSafe(|| handle.call(store, batch)));
        let called =
            called.unwrap_or_else(|_| Err(wasmtime::format_err!("the engine panicked; the host's log has more")));
        let fuel = fuel_used(store);
        let guest = store.data_mut();
        self.looked = guest.looked_at_the_event();
        let answer = called.map_err(|error| Failed::of(&error, guest));
        self.count(guest, fuel);
        let effects = guest.effects.take().expect("host functions only borrow the effects");
        (effects, answer)
    }

    /// Adds up what a call used, and ends it.
    fn count(&mut self, guest: &Guest, fuel: u64) {
        let memory_bytes = guest.limiter.memory_bytes();
        let log_bytes = if self.shared.is_some() { guest.output.end_part() } else { guest.output.end_call() };
        let mut one = Used::default();
        let batch = self.shared.as_mut().unwrap_or(&mut one);
        batch.fuel = batch.fuel.saturating_add(fuel);
        batch.log_bytes += log_bytes;
        let usage = &mut self.usage;
        usage.memory_bytes = memory_bytes;
        usage.memory_peak_bytes = usage.memory_peak_bytes.max(memory_bytes);
        usage.instance_peak_bytes = usage.memory_peak_bytes;
        usage.fuel = usage.fuel.saturating_add(fuel);
        usage.batch_fuel_max = usage.batch_fuel_max.max(batch.fuel);
        usage.log_bytes += log_bytes;
        usage.batch_log_bytes_max = usage.batch_log_bytes_max.max(batch.log_bytes);
        usage.http_requests += u64::from(guest.requests_sent());
    }

    /// Keeps an instance for the next batch, unless its memory is nearly full and still growing.
    fn keep(&mut self, mut running: Running) {
        let bytes = running.instance.store.data().limiter.memory_bytes();
        let settled_bytes = *running.settled_bytes.get_or_insert(bytes);
        let full = bytes > self.options.limits.memory_bytes / 4 * 3;
        if full && bytes > settled_bytes {
            let plugin = &self.options.plugin;
            tracing::debug!(%plugin, bytes, "instance recycled: its memory is more than three quarters full");
            return self.recycled();
        }
        self.running = Some(running);
    }
}

impl Handler for Subscriber {
    fn warm_up(&mut self) {
        if self.running.is_none() {
            self.running = self.start().ok();
        }
    }

    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        let mut running = match self.started(&batch) {
            Ok(running) => running,
            Err(failed) => {
                self.lost();
                return failed.handled(effects);
            }
        };
        let (effects, called) = self.call(&mut running, &batch, effects);
        let answer = match called {
            Ok(answer) => answer,
            Err(failed) => {
                self.lost();
                return failed.handled(effects);
            }
        };
        let outcome = answer.map_err(|failure| outcome(failure, batch.len()));
        let evidence = match &outcome {
            Ok(()) => Evidence::default(),
            Err(_) => Evidence { stderr_tail: running.instance.store.data().output.tail(), backtrace: String::new() },
        };
        match &outcome {
            // An answer that makes no sense comes from a guest in an unknown state.
            Err(HandleError::Fault { .. }) => self.lost(),
            Ok(()) | Err(HandleError::Failure(_)) => self.keep(running),
        }
        Handled { effects, outcome, evidence }
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl Used {
    /// What of the limits of one call is left.
    fn left(&mut self, limits: &Limits) -> Left {
        let since = *self.since.get_or_insert_with(Stopwatch::start);
        let spent_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Left {
            time_ms: limits.batch_time_ms.saturating_sub(spent_ms),
            fuel: limits.fuel().saturating_sub(self.fuel),
            log_bytes: limits.log_bytes_per_batch.saturating_sub(usize::try_from(self.log_bytes).unwrap_or(usize::MAX)),
        }
    }
}

impl Failed {
    /// The outcome of a call that did not return.
    fn handled(self, effects: Effects) -> Handled {
        let outcome = Err(HandleError::Fault { fault: self.fault, reason: self.reason });
        Handled { effects, outcome, evidence: self.evidence }
    }
}

/// What the guest's answer means for a batch of `len` events.
fn outcome(failure: types::Failure, len: usize) -> HandleError {
    let reason = cut(failure.reason, REASON_BYTES_MAX);
    let index = usize::try_from(failure.index).unwrap_or(usize::MAX);
    if index >= len {
        let reason = cut(
            format!("it says event {index} failed, of a batch of {len} (counted from 0); its reason: {reason}"),
            REASON_BYTES_MAX,
        );
        return HandleError::Fault { fault: Fault::BadReply, reason };
    }
    HandleError::Failure(Failure { index, verdict: verdict(&failure.verdict), reason })
}

/// A verdict that this host does not know asks for another try, as the contract says.
fn verdict(verdict: &types::Verdict) -> Verdict {
    match verdict {
        types::Verdict::Retry(after_ms) => Verdict::Retry { after_ms: *after_ms },
        types::Verdict::Reject => Verdict::Reject,
        types::Verdict::Stop => Verdict::Stop,
        types::Verdict::Other(_) => Verdict::Retry { after_ms: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(index: u32, verdict: types::Verdict) -> types::Failure {
        types::Failure { index, verdict, reason: "ä".repeat(4000) }
    }

    #[test]
    fn answers_are_bounded_and_checked() {
        let HandleError::Failure(failed) = outcome(failure(1, types::Verdict::Other("later".into())), 2) else {
            panic!("an answer about event 1 of 2 is fine")
        };
        assert_eq!((failed.index, failed.verdict), (1, Verdict::Retry { after_ms: None }));
        assert_eq!(failed.reason.len(), REASON_BYTES_MAX);
        let HandleError::Fault { fault, reason } = outcome(failure(2, types::Verdict::Reject), 2) else {
            panic!("there is no event 2 of 2")
        };
        assert_eq!(fault, Fault::BadReply);
        assert!(reason.starts_with("it says event 2 failed, of a batch of 2"), "{reason}");
    }
}
