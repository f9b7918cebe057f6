//! The aggregate role: an [`AggregateHost`] whose aggregates are resources of a component.
//!
//! One instance holds many of them. It is started by its first call, and never used again after a fault: whoever holds
//! the host drops it then.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;
use wasmtime::Store;
use wasmtime::component::{ComponentType, Lift, Lower, ResourceAny, TypedFunc};

use super::batch::Contexts;
use super::bindings::{Event, Payload, types};
use super::component::{InstanceOptions, Loaded};
use super::fault::Failed;
use super::guest::Guest;
use super::imports::payload;
use super::instance::{self, Instance};
use super::text::{REASON_BYTES_MAX, cut};
use super::trial::{AggregateIndices, Entry};
use crate::command::{AggregateCode, AggregateHost, Asked, Faulted, Handle, Misfit, Rejection, Stage};
use crate::delivery::{Evidence, Fault};
use crate::event::{EventType, NAME_BYTES_MAX, NewEvent, Position, RecordedEvent, Tag};

/// Largest `details` of a rejection, in bytes.
const DETAILS_BYTES_MAX: usize = 64 << 10;

/// `aggregate.command`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
struct Command<'a> {
    id: &'a str,
    #[component(name = "command-type")]
    command_type: &'a str,
    data: Payload<'a>,
    metadata: &'a [(&'a str, &'a str)],
    #[component(name = "timestamp-us")]
    timestamp_us: u64,
}

/// `aggregate.decided-event`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
struct DecidedEvent {
    #[component(name = "event-type")]
    event_type: String,
    payload: types::Payload,
    #[component(name = "content-type")]
    content_type: Option<String>,
    tags: Vec<String>,
    metadata: Vec<(String, String)>,
    #[component(name = "schema-version")]
    schema_version: u32,
}

/// `aggregate.rejection`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
struct Rejected {
    code: String,
    reason: String,
    details: Option<String>,
}

/// `aggregate.misfit`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
struct NotTaken {
    index: u32,
    reason: String,
}

type Restored = (Result<ResourceAny, String>,);
type Applied = (Result<(), NotTaken>,);
type Decision = (Result<Vec<DecidedEvent>, Rejected>,);

/// The functions of `aggregate` in an instance. The lifetimes are those of the arguments, and shrink at each call.
pub(super) struct Functions {
    schema: TypedFunc<(), (u32,)>,
    make: TypedFunc<(&'static str,), (ResourceAny,)>,
    restore: TypedFunc<(&'static str, &'static [u8]), Restored>,
    apply: TypedFunc<(ResourceAny, &'static [Event<'static>]), Applied>,
    decide: TypedFunc<(ResourceAny, Command<'static>), Decision>,
    snapshot: TypedFunc<(ResourceAny,), (Option<Vec<u8>>,)>,
}

impl Functions {
    /// Finds them, and checks their types.
    pub(super) fn find(instance: &mut Instance, indices: &AggregateIndices) -> wasmtime::Result<Self> {
        Ok(Self {
            schema: instance.function(&indices.schema)?,
            make: instance.function(&indices.make)?,
            restore: instance.function(&indices.restore)?,
            apply: instance.function(&indices.apply)?,
            decide: instance.function(&indices.decide)?,
            snapshot: instance.function(&indices.snapshot)?,
        })
    }

    /// Version of the component's snapshots.
    pub(super) fn schema(&self, store: &mut Store<Guest>) -> wasmtime::Result<u32> {
        instance::call(store, self.schema, ()).map(|(schema,)| schema)
    }
}

/// The code of a component that decides commands.
pub(super) struct Code {
    component: Arc<Loaded>,
    options: Arc<InstanceOptions>,
    schema: u32,
}

impl Code {
    /// None for a component that plays another role.
    pub(super) fn new(component: Arc<Loaded>, options: InstanceOptions) -> Option<Self> {
        let Entry::Aggregate(_, schema) = component.entry else { return None };
        Some(Self { component, options: Arc::new(options), schema })
    }
}

impl AggregateCode for Code {
    fn snapshot_schema(&self) -> u32 {
        self.schema
    }

    fn host(&self) -> Box<dyn AggregateHost> {
        let (component, options) = (Arc::clone(&self.component), Arc::clone(&self.options));
        Box::new(Host { component, options, running: None, made: 0 })
    }
}

/// An instance, once it is started.
struct Host {
    component: Arc<Loaded>,
    options: Arc<InstanceOptions>,
    running: Option<Running>,
    /// How many aggregates were made.
    made: u64,
}

struct Running {
    instance: Instance,
    functions: Functions,
    aggregates: HashMap<u64, ResourceAny>,
    contexts: Contexts,
}

impl Running {
    fn find(&self, aggregate: Handle) -> wasmtime::Result<ResourceAny> {
        let known = self.aggregates.get(&aggregate.0).copied();
        known.ok_or_else(|| wasmtime::format_err!("the host asks for an aggregate that it does not hold"))
    }
}

impl Host {
    /// The instance to call, started if there is none.
    fn started(&mut self) -> Result<Running, Failed> {
        if let Some(running) = self.running.take() {
            return Ok(running);
        }
        let linked = &self.component.linked;
        let store = Instance::store(linked, Arc::clone(&self.options));
        let started = Instance::start(store, linked);
        let mut instance = started.map_err(|(mut store, error)| Failed::of_one(&error, store.data_mut()))?;
        let functions = match &self.component.entry {
            Entry::Aggregate(indices, _) => Functions::find(&mut instance, indices),
            Entry::Subscriber { .. } => Err(wasmtime::format_err!("it handles events, and decides no commands")),
        };
        match functions {
            Ok(functions) => {
                Ok(Running { instance, functions, aggregates: HashMap::new(), contexts: Contexts::default() })
            }
            Err(error) => Err(Failed::of_one(&error, instance.store.data_mut())),
        }
    }

    /// Makes a call at a time, with the random numbers of a position.
    fn call<T>(
        &mut self,
        stage: Stage,
        (timestamp_us, position): (u64, Position),
        work: impl FnOnce(&mut Running) -> wasmtime::Result<T>,
    ) -> Result<T, Faulted> {
        let mut running = self.started().map_err(|failed| failed.at(Stage::Start))?;
        running.instance.store.data_mut().begin_call_at(timestamp_us, position);
        // The store is dropped after a panic, so nothing half-changed is seen again.
        let called = catch_unwind(AssertUnwindSafe(|| work(&mut running)));
        let called =
            called.unwrap_or_else(|_| Err(wasmtime::format_err!("the engine panicked; the host's log has more")));
        let guest = running.instance.store.data_mut();
        match called {
            Ok(done) => {
                guest.output.end_call();
                self.running = Some(running);
                Ok(done)
            }
            Err(error) => Err(Failed::of_one(&error, guest).at(stage)),
        }
    }

    fn hold(&mut self, resource: ResourceAny) -> Handle {
        self.made += 1;
        if let Some(running) = &mut self.running {
            running.aggregates.insert(self.made, resource);
        }
        Handle(self.made)
    }
}

impl AggregateHost for Host {
    fn make(&mut self, id: &str) -> Result<Handle, Faulted> {
        let made = self.call(Stage::Start, (0, Position::START), |running| {
            let function = running.functions.make;
            instance::call(&mut running.instance.store, function, (id,)).map(|(made,)| made)
        })?;
        Ok(self.hold(made))
    }

    fn restore(&mut self, id: &str, snapshot: &[u8]) -> Result<Result<Handle, String>, Faulted> {
        let restored = self.call(Stage::Restore, (0, Position::START), |running| {
            let function = running.functions.restore;
            instance::call(&mut running.instance.store, function, (id, snapshot)).map(|(restored,)| restored)
        })?;
        Ok(restored.map(|made| self.hold(made)).map_err(|reason| cut(reason, REASON_BYTES_MAX)))
    }

    fn apply(&mut self, aggregate: Handle, events: &[RecordedEvent]) -> Result<Result<(), Misfit>, Faulted> {
        let at = events.first().map_or((0, Position::START), |first| (first.timestamp_us, first.position));
        let applied = self.call(Stage::Apply, at, |running| {
            let (function, resource) = (running.functions.apply, running.find(aggregate)?);
            let Running { instance, contexts, .. } = running;
            contexts.write(events)?;
            let lowered = contexts.lower(events);
            instance::call(&mut instance.store, function, (resource, &lowered)).map(|(applied,)| applied)
        })?;
        Ok(applied.map_err(|NotTaken { index, reason }| Misfit {
            index: usize::try_from(index).unwrap_or(usize::MAX),
            reason: cut(reason, REASON_BYTES_MAX),
        }))
    }

    fn decide(&mut self, aggregate: Handle, asked: &Asked) -> Result<Result<Vec<NewEvent>, Rejection>, Faulted> {
        let metadata: Vec<_> = asked.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let json = asked.content_type.is_none().then(|| std::str::from_utf8(&asked.data).ok()).flatten();
        let command = Command {
            id: &asked.id,
            command_type: &asked.command_type,
            data: json.map_or(Payload::Binary(&asked.data), Payload::Json),
            metadata: &metadata,
            timestamp_us: asked.timestamp_us,
        };
        let at = (asked.timestamp_us, Position(asked.timestamp_us));
        let decided = self.call(Stage::Decide, at, |running| {
            let (function, resource) = (running.functions.decide, running.find(aggregate)?);
            instance::call(&mut running.instance.store, function, (resource, command)).map(|(decided,)| decided)
        })?;
        let answer = match decided {
            Ok(events) => events.into_iter().enumerate().map(event).collect::<Result<Vec<_>, _>>().map(Ok),
            Err(rejected) => rejection(rejected).map(Err),
        };
        answer.map_err(|reason| Faulted {
            stage: Stage::Decide,
            fault: Fault::BadReply,
            reason: cut(reason, REASON_BYTES_MAX),
            evidence: Evidence::default(),
        })
    }

    fn snapshot(&mut self, aggregate: Handle) -> Result<Option<Vec<u8>>, Faulted> {
        self.call(Stage::Snapshot, (0, Position::START), |running| {
            let (function, resource) = (running.functions.snapshot, running.find(aggregate)?);
            instance::call(&mut running.instance.store, function, (resource,)).map(|(snapshot,)| snapshot)
        })
    }

    fn forget(&mut self, aggregate: Handle) -> Result<(), Faulted> {
        let Some(resource) = self.running.as_mut().and_then(|running| running.aggregates.remove(&aggregate.0)) else {
            return Ok(());
        };
        self.call(Stage::Start, (0, Position::START), |running| {
            instance::arm(&mut running.instance.store)?;
            resource.resource_drop(&mut running.instance.store)
        })
    }

    fn is_full(&self) -> bool {
        self.memory_bytes() > self.options.limits.memory_bytes / 4 * 3
    }

    fn memory_bytes(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.instance.store.data().limiter.memory_bytes())
    }
}

impl Failed {
    /// What an aggregate's call that did not return has come to.
    fn at(self, stage: Stage) -> Faulted {
        Faulted { stage, fault: self.fault, reason: self.reason, evidence: self.evidence }
    }
}

/// Turns what a guest decided into an event without id and stream.
fn event((index, decided): (usize, DecidedEvent)) -> Result<NewEvent, String> {
    let invalid = |reason: String| format!("event {index} of its decision: {reason}");
    let (data, content_type) = payload(decided.payload, decided.content_type).map_err(invalid)?;
    let name = |error: crate::event::NameError| invalid(error.to_string());
    let event = NewEvent {
        id: Uuid::nil(),
        event_type: EventType::new(decided.event_type).map_err(name)?,
        stream: None,
        tags: decided.tags.into_iter().map(Tag::new).collect::<Result<_, _>>().map_err(name)?,
        data,
        content_type: None,
        metadata: decided.metadata.into_iter().collect(),
        schema_version: decided.schema_version,
    };
    Ok(event.with_content_type(content_type))
}

fn rejection(rejected: Rejected) -> Result<Rejection, String> {
    let Rejected { code, reason, details } = rejected;
    if code.is_empty() || code.len() > NAME_BYTES_MAX || code.chars().any(char::is_control) {
        return Err(format!("the code of its rejection is no name: {:?}", cut(code, NAME_BYTES_MAX)));
    }
    if let Some(bytes) = details.as_ref().map(String::len).filter(|bytes| *bytes > DETAILS_BYTES_MAX) {
        return Err(format!(
            "the details of its rejection have {bytes} bytes; at most {DETAILS_BYTES_MAX} are allowed"
        ));
    }
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|error| format!("the details of its rejection are not JSON: {error}"))
    };
    Ok(Rejection { code, reason: cut(reason, REASON_BYTES_MAX), details: details.map(parse).transpose()? })
}
