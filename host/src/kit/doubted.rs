//! The code of an aggregate, measured, and doubted if wanted: what it decides must follow from its events alone, however
//! it came to its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::clock::Stopwatch;
use crate::command::{AggregateCode, AggregateHost, Asked, Faulted, Handle, Misfit, Rejection, Stage};
use crate::delivery::{Evidence, Fault};
use crate::event::{NewEvent, RecordedEvent};

/// What an aggregate's calls took. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    ns: AtomicU64,
    memory_bytes: AtomicUsize,
}

impl Cost {
    /// Time within calls, in microseconds.
    pub(super) fn us(&self) -> u64 {
        self.0.ns.load(Ordering::Relaxed) / 1000
    }

    /// The most memory of an instance, in bytes.
    pub(super) fn memory_peak_bytes(&self) -> usize {
        self.0.memory_bytes.load(Ordering::Relaxed)
    }
}

type Decision = Result<Vec<NewEvent>, Rejection>;

/// The code of an aggregate.
pub(super) struct Doubted {
    code: Arc<dyn AggregateCode>,
    doubt: bool,
    cost: Cost,
}

impl Doubted {
    /// `doubt`: every command is decided twice, the first time by an aggregate that was made of the other's snapshot; and
    /// deciding must leave the state as it was.
    pub(super) fn new(code: Arc<dyn AggregateCode>, doubt: bool, cost: Cost) -> Self {
        Self { code, doubt, cost }
    }
}

impl AggregateCode for Doubted {
    fn snapshot_schema(&self) -> u32 {
        self.code.snapshot_schema()
    }

    fn host(&self) -> Box<dyn AggregateHost> {
        Box::new(Host { inner: self.code.host(), doubt: self.doubt, cost: self.cost.clone() })
    }
}

struct Host {
    inner: Box<dyn AggregateHost>,
    doubt: bool,
    cost: Cost,
}

impl Host {
    fn measured<T>(&mut self, call: impl FnOnce(&mut dyn AggregateHost) -> T) -> T {
        let watch = Stopwatch::start();
        let done = call(&mut *self.inner);
        self.cost.0.ns.fetch_add(watch.elapsed_ns(), Ordering::Relaxed);
        self.cost.0.memory_bytes.fetch_max(self.inner.memory_bytes(), Ordering::Relaxed);
        done
    }

    /// What is decided, and what is decided by an aggregate that is made of this one's snapshot, where there are any.
    fn doubted(&mut self, aggregate: Handle, asked: &Asked) -> Result<Decision, Faulted> {
        let Some(before) = self.inner.snapshot(aggregate)? else { return self.decided(aggregate, asked) };
        let restored = self.inner.restore("1", &before)?;
        let other = restored.map_err(|reason| differs(format!("its snapshot does not load: {reason}")))?;
        let otherwise = self.inner.decide(other, asked)?;
        self.inner.forget(other)?;
        let decided = self.decided(aggregate, asked)?;
        if !same(&decided, &otherwise) {
            return Err(differs(format!("made of its snapshot it decides otherwise: {}", told(&otherwise))));
        }
        if self.inner.snapshot(aggregate)?.is_some_and(|after| after != before) {
            return Err(differs(
                "deciding changes its state; only apply may, as what is decided may not come to be".into(),
            ));
        }
        Ok(decided)
    }

    fn decided(&mut self, aggregate: Handle, asked: &Asked) -> Result<Decision, Faulted> {
        self.measured(|inner| inner.decide(aggregate, asked))
    }
}

impl AggregateHost for Host {
    fn make(&mut self, id: &str) -> Result<Handle, Faulted> {
        self.measured(|inner| inner.make(id))
    }

    fn restore(&mut self, id: &str, snapshot: &[u8]) -> Result<Result<Handle, String>, Faulted> {
        self.measured(|inner| inner.restore(id, snapshot))
    }

    fn apply(&mut self, aggregate: Handle, events: &[RecordedEvent]) -> Result<Result<(), Misfit>, Faulted> {
        self.measured(|inner| inner.apply(aggregate, events))
    }

    fn decide(&mut self, aggregate: Handle, asked: &Asked) -> Result<Decision, Faulted> {
        if self.doubt { self.doubted(aggregate, asked) } else { self.decided(aggregate, asked) }
    }

    fn snapshot(&mut self, aggregate: Handle) -> Result<Option<Vec<u8>>, Faulted> {
        self.measured(|inner| inner.snapshot(aggregate))
    }

    fn forget(&mut self, aggregate: Handle) -> Result<(), Faulted> {
        self.inner.forget(aggregate)
    }

    fn is_full(&self) -> bool {
        self.inner.is_full()
    }

    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }
}

/// Whether two decisions are the same. Their events have no ids yet that would say anything.
fn same(one: &Decision, other: &Decision) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            let same = |(one, other): (&NewEvent, &NewEvent)| {
                (&one.event_type, &one.data, &one.content_type, &one.tags, &one.metadata, one.schema_version)
                    == (
                        &other.event_type,
                        &other.data,
                        &other.content_type,
                        &other.tags,
                        &other.metadata,
                        other.schema_version,
                    )
            };
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

fn told(decided: &Decision) -> String {
    match decided {
        Ok(events) if events.is_empty() => "on nothing".into(),
        Ok(events) => events.iter().map(|event| event.event_type.to_string()).collect::<Vec<_>>().join(", "),
        Err(rejection) => format!("{}: {}", rejection.code, rejection.reason),
    }
}

fn differs(reason: String) -> Faulted {
    Faulted { stage: Stage::Snapshot, fault: Fault::BadReply, reason, evidence: Evidence::default() }
}
