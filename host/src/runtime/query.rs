//! The projection role: a [`Projection`] that asks a component.
//!
//! Life of the instance: as that of a subscriber's; made at the first query, kept between them, dropped after any
//! fault, and made anew when its memory is nearly full. It starts within a batch's time, as it was tried, and answers
//! within `[limits] query_time`. It reads a snapshot, sends no requests, and what it wants to change is denied.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::de::IgnoredAny;
use wasmtime::component::TypedFunc;

use super::bindings::{QueryError, QueryParams, QueryResults, Request, types};
use super::component::{InstanceOptions, Loaded};
use super::fault::Failed;
use super::instance::{self, Instance};
use super::text::{REASON_BYTES_MAX, cut};
use crate::delivery::{Effects, Evidence, Fault};
use crate::event::JSON_CONTENT_TYPE;
use crate::projection::{Answer, Moment, NoAnswer, Projection, Query};
use crate::trace::Span;

/// Content type of a binary answer that names none.
const BINARY_CONTENT_TYPE: &str = "application/octet-stream";
/// Longest content type, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// What an answer is beside its payload, in bytes, at most.
const ANSWER_BYTES_BESIDE: usize = 64 << 10;

/// Asks a component.
pub(super) struct Asked {
    component: Arc<Loaded>,
    options: Arc<InstanceOptions>,
    running: Option<Running>,
}

/// A started instance.
struct Running {
    instance: Instance,
    query: TypedFunc<QueryParams<'static>, QueryResults>,
    /// Memory after its first query, in bytes: what it needs anyway.
    settled_bytes: Option<usize>,
}

impl Asked {
    pub(super) fn new(component: Arc<Loaded>, mut options: InstanceOptions) -> Self {
        let limits = &mut options.limits;
        // What is a little too much is told by its size, what is far too much by the engine.
        let answer_bytes = limits.query_answer_bytes.saturating_mul(2).saturating_add(ANSWER_BYTES_BESIDE);
        limits.hostcall_bytes = limits.hostcall_bytes.max(answer_bytes);
        Self { component, options: Arc::new(options), running: None }
    }

    /// The instance to ask, started if there is none.
    fn started(&mut self) -> Result<Running, Failed> {
        if let Some(running) = self.running.take() {
            return Ok(running);
        }
        let linked = &self.component.linked;
        let store = Instance::store(linked, Arc::clone(&self.options));
        let mut instance =
            Instance::start(store, linked).map_err(|(mut store, error)| Failed::of(&error, store.data_mut()))?;
        let index = self.component.entry.query().ok_or_else(|| wasmtime::format_err!("it exports no query"));
        match index.and_then(|index| instance.function::<QueryParams<'static>, QueryResults>(index)) {
            Ok(query) => Ok(Running { instance, query, settled_bytes: None }),
            Err(error) => Err(Failed::of(&error, instance.store.data_mut())),
        }
    }

    fn call(&self, running: &mut Running, query: &Query, moment: Moment) -> Result<Answer, NoAnswer> {
        let Running { instance: Instance { store, .. }, query: function, .. } = running;
        let Moment { owner, state, checkpoint, now_us } = moment;
        let guest = store.data_mut();
        guest.begin_query(checkpoint, now_us);
        guest.effects = Some(Effects::reading(owner, state));
        let parameters: Vec<_> = query.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = Request { query: &query.name, parameters: &parameters, checkpoint: checkpoint.0, context: None };
        // The store is dropped after a panic, so nothing half-changed is seen again.
        let called = catch_unwind(AssertUnwindSafe(|| instance::call(store, *function, (request,))));
        let called =
            called.unwrap_or_else(|_| Err(wasmtime::format_err!("the engine panicked; the host's log has more")));
        let guest = store.data_mut();
        guest.effects = None;
        let answer = called.map_err(|error| self.fault(Failed::of(&error, guest)));
        guest.output.end_call();
        match answer?.0 {
            Ok(answer) => self.checked(answer.payload, answer.content_type).map_err(|reason| NoAnswer::Fault {
                fault: Fault::BadReply,
                reason,
                evidence: Evidence { stderr_tail: guest.output.tail(), backtrace: String::new() },
            }),
            Err(error) => Err(no_answer(error)),
        }
    }

    /// Holds an answer to its bounds.
    fn checked(&self, payload: types::Payload, content_type: Option<String>) -> Result<Answer, String> {
        let bytes_max = self.options.limits.query_answer_bytes;
        let (body, content_type) = match payload {
            types::Payload::Json(text) => {
                if let Some(other) = content_type.filter(|given| given != JSON_CONTENT_TYPE) {
                    return Err(format!(
                        "its answer is json and of content type {other:?}; give another content type with a binary one"
                    ));
                }
                if let Err(error) = serde_json::from_str::<IgnoredAny>(&text) {
                    return Err(format!("its answer is no JSON document: {error}"));
                }
                (text.into_bytes(), JSON_CONTENT_TYPE.to_owned())
            }
            types::Payload::Binary(bytes) => (bytes, content_type.unwrap_or_else(|| BINARY_CONTENT_TYPE.to_owned())),
        };
        if body.len() > bytes_max {
            return Err(too_large(&format!("{} bytes", body.len()), bytes_max));
        }
        let visible = content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !visible || content_type.is_empty() || content_type.len() > CONTENT_TYPE_BYTES_MAX {
            return Err(format!(
                "its answer's content type is no text of 1 to {CONTENT_TYPE_BYTES_MAX} visible ASCII characters"
            ));
        }
        Ok(Answer { content_type, body })
    }

    /// A call that did not return, in words of queries.
    fn fault(&self, failed: Failed) -> NoAnswer {
        let Failed { fault, reason, evidence } = failed;
        let limits = &self.options.limits;
        let (fault, reason) = match fault {
            Fault::Deadline => {
                let ms = limits.query_time_ms;
                (fault, format!("it ran longer than {ms} ms; raise `[limits] query_time`, or let it read less"))
            }
            Fault::OutOfFuel => {
                let fuel = limits.fuel();
                (fault, format!("it used more than {fuel} units of fuel; raise `[limits] fuel`, or let it read less"))
            }
            Fault::Trap if reason.contains(HOSTCALL_EXHAUSTED) => {
                (Fault::BadReply, too_large("far more bytes", limits.query_answer_bytes))
            }
            _ => (fault, reason),
        };
        NoAnswer::Fault { fault, reason, evidence }
    }

    /// Keeps an instance for the next query, unless its memory is nearly full and still growing.
    fn keep(&mut self, mut running: Running) {
        let bytes = running.instance.store.data().limiter.memory_bytes();
        let settled_bytes = *running.settled_bytes.get_or_insert(bytes);
        if bytes <= self.options.limits.memory_bytes / 4 * 3 || bytes <= settled_bytes {
            self.running = Some(running);
        }
    }
}

/// What the engine says when a guest hands over more than it may.
const HOSTCALL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

fn too_large(what: &str, bytes_max: usize) -> String {
    format!(
        "its answer has {what}; at most {bytes_max} are allowed: raise `[limits] query_answer`, or let it answer in pages"
    )
}

/// Why the guest has no answer. What this host does not know is a failure, as the contract says.
fn no_answer(error: QueryError) -> NoAnswer {
    match error {
        QueryError::UnknownQuery => NoAnswer::Unknown,
        QueryError::Invalid(text) => NoAnswer::Invalid(cut(text, REASON_BYTES_MAX)),
        QueryError::Failed(text) | QueryError::Other(text) => NoAnswer::Failed(cut(text, REASON_BYTES_MAX)),
    }
}

impl Projection for Asked {
    fn start(&mut self) {
        self.running = self.started().ok();
    }

    fn query(&mut self, query: &Query, moment: Moment) -> Result<Answer, NoAnswer> {
        let _span = Span::call("query");
        let mut running = self.started().map_err(|failed| NoAnswer::Fault {
            fault: failed.fault,
            reason: format!("it did not start: {}", failed.reason),
            evidence: failed.evidence,
        })?;
        let answer = self.call(&mut running, query, moment);
        // After a fault nobody knows what state the guest is in.
        if !matches!(answer, Err(NoAnswer::Fault { .. })) {
            self.keep(running);
        }
        answer
    }
}
