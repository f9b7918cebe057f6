//! What log lines and traces say of a call of the handler: which partition, which events, which attempt, and to what
//! they belong.

use super::Task;
use crate::delivery::handler::{EventBatch, HandleError};
use crate::event::{Position, RecordedEvent, metadata_key};
use crate::trace;

/// A call that is about to be made. Both spans end with it.
pub(super) struct Call {
    /// Log lines of the handler stand in it. Of the highest level, so that no line lacks it.
    log: tracing::Span,
    trace: trace::Span,
}

impl Call {
    /// Runs the handler, on this thread.
    pub(super) fn run<T>(&self, handle: impl FnOnce() -> T) -> T {
        let _entered = self.trace.enter();
        self.log.in_scope(handle)
    }

    /// Notes that the call failed.
    pub(super) fn failed(&self, error: &HandleError) {
        self.trace.fail(error.kind(), error.reason());
    }

    /// Notes that the handler panicked.
    pub(super) fn panicked(&self) {
        self.trace.fail("panic", "the handler panicked");
    }
}

impl Task {
    /// Of a call with this batch, whose first event was tried so often before.
    pub(super) fn call(&self, batch: &EventBatch, tried: u32) -> Call {
        let (plugin, partition) = (&self.common.plugin, self.share.partition);
        let (attempt, events) = (tried.saturating_add(1), batch.len());
        let position = batch.first().map_or(Position::START, |event| event.position).0;
        let correlation_id = batch.first().map(correlation);
        let log = tracing::error_span!("handle", %plugin, partition, position, events, attempt, correlation_id);
        let traces = batch.iter().filter_map(|event| Some(event.metadata.get(metadata_key::TRACEPARENT)?.as_str()));
        let trace = trace::Span::batch((plugin.as_str(), partition), (position, events, attempt), traces);
        Call { log, trace }
    }

    /// How often the first event of a batch has failed in place.
    pub(super) fn tried(&self, batch: &EventBatch) -> u32 {
        let first = batch.first().map(|event| event.position);
        let failing = self.machine.progress().failing.as_ref().filter(|failing| Some(failing.position) == first);
        failing.map_or(0, |failing| failing.attempts.saturating_add(failing.faults))
    }

    /// What an event that was read last belongs to.
    pub(super) fn correlation_of(&self, position: Position) -> Option<String> {
        let mut events = self.page.iter().chain(self.recalled.iter());
        events.find(|event| event.position == position).map(correlation)
    }
}

/// What all that follows from one first cause has in common: that cause's id.
fn correlation(event: &RecordedEvent) -> String {
    event.metadata.get(metadata_key::CORRELATION_ID).cloned().unwrap_or_else(|| event.id.to_string())
}
