//! Hand-written components, and what is needed to call them.

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::delivery::{Effects, EventBatch, Handled, Handler, Permit};
use crate::event::{Category, EventType, NewEvent, OwnIds, PluginName, Position, RecordedEvent, StreamName, Version};
use crate::runtime::lane::Lane;
use crate::runtime::{Engine, EngineOptions, InstanceOptions, Limits, LoadedComponent};
use crate::store::{
    AppendError, AppendRequest, Appended, CommitError, Committed, Counts, DeadLetter, Owner, Pending, PluginChange,
    PluginRecord, Progress, ReadPage, ReadRequest, Removals, StateKeys, StatePage, StateSize, StateSnapshot, Store,
    StoreError, StreamDeletion, StreamHead, StreamPage, UnitOfWork,
};

/// The contract's types, as a component imports them.
pub(super) const TYPES: &str = r#"
  (import "tidemill:plugin/types@0.1.0" (instance $types
    (type $id' (record (field "high" u64) (field "low" u64)))
    (export "event-id" (type $id (eq $id')))
    (type $payload' (variant (case "json" string) (case "binary" (list u8))))
    (export "payload" (type $payload (eq $payload')))
    (type $event' (record
      (field "position" u64) (field "id" $id) (field "event-type" string) (field "stream" (option string))
      (field "version" u64) (field "timestamp-us" u64) (field "schema-version" u32)
      (field "payload" $payload) (field "context" (option string))))
    (export "event" (type (eq $event')))
    (type $verdict' (variant (case "retry" (option u64)) (case "reject") (case "stop") (case "other" string)))
    (export "verdict" (type $verdict (eq $verdict')))
    (type $failure' (record (field "index" u32) (field "verdict" $verdict) (field "reason" string)))
    (export "failure" (type (eq $failure')))))
  (alias export $types "event" (type $event))
  (alias export $types "failure" (type $failure))
"#;

/// What the bulk lane has besides.
const BULK_TYPES: &str = r#"
  (alias export $types "event-id" (type $id))
  (type $span' (record (field "start" u32) (field "length" u32)))
  (import "span" (type $span (eq $span')))
  (type $head' (record
    (field "position" u64) (field "id" $id) (field "version" u64) (field "timestamp-us" u64)
    (field "schema-version" u32) (field "traits" u32) (field "event-type" $span) (field "stream" $span)
    (field "payload" $span) (field "context" $span)))
  (import "head" (type $head (eq $head')))
"#;

/// A subscriber component in the making.
#[derive(Clone, Copy)]
pub(super) struct Guest {
    /// The lane that it exports.
    pub(super) lane: Lane,
    /// Imports of the component.
    pub(super) imports: &'static str,
    /// Core functions made from them: `(core func $f (canon lower ...))`.
    pub(super) lowered: &'static str,
    /// Exports of the core instance that the core module imports as `host`.
    pub(super) host: &'static str,
    /// Imports and globals of the core module.
    pub(super) module: &'static str,
    /// Body of `handle`: `$events` (or heads) and `$count` to a pointer to the result. 0 is ok; `$fail` makes a failure.
    pub(super) handle: &'static str,
    /// Further exports of the component.
    pub(super) exports: &'static str,
}

impl Guest {
    /// One that only has a `handle`.
    pub(super) const fn new(handle: &'static str) -> Self {
        Self { lane: Lane::Plain, imports: "", lowered: "", host: "", module: "", handle, exports: "" }
    }

    /// The same on this lane.
    pub(super) const fn on(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// The component as text.
    pub(super) fn text(self) -> String {
        let Self { lane, imports, lowered, host, module, handle, exports } = self;
        let interface = lane.interface();
        let (types, blob, parameters) = match lane {
            Lane::Plain => ("", "", r#"(param "events" (list $event))"#),
            Lane::Bulk => (BULK_TYPES, "(param i32 i32)", r#"(param "heads" (list $head)) (param "blob" (list u8))"#),
        };
        format!(
            r#"(component {TYPES} {types} {imports}
  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3))))
    (func (export "free-all") (param i32) (global.set $next (i32.const 4096))))
  (core instance $libc (instantiate $libc))
  {lowered}
  (core instance $host {host})
  (core module $main
    (import "libc" "memory" (memory 1))
    {module}
    (func $fail (param $index i32) (param $verdict i32) (result i32)
      (i32.store8 (i32.const 1024) (i32.const 1))
      (i32.store (i32.const 1032) (local.get $index))
      (i32.store8 (i32.const 1040) (local.get $verdict))
      (i32.const 1024))
    (func (export "handle") (param $events i32) (param $count i32) {blob} (result i32)
      {handle}))
  (core instance $main (instantiate $main (with "libc" (instance $libc)) (with "host" (instance $host))))
  (func $handle {parameters} (result (result (error $failure)))
    (canon lift (core func $main "handle") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))
      (post-return (core func $libc "free-all"))))
  (instance $subscriber (export "handle" (func $handle)))
  (export "tidemill:plugin/{interface}@0.1.0" (instance $subscriber))
  {exports})"#
        )
    }

    /// The component as bytes.
    pub(super) fn bytes(self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }
}

/// An engine without a cache.
pub(super) fn engine() -> Engine {
    Engine::new(EngineOptions::default()).unwrap()
}

/// A handler of a loaded component.
pub(super) fn subscriber(component: &LoadedComponent, limits: Limits) -> Box<dyn Handler> {
    component.subscriber(InstanceOptions::new(name(), limits))
}

/// The handler of a component with this `handle`, within these limits.
pub(super) fn handler(guest: Guest, limits: Limits) -> Box<dyn Handler> {
    subscriber(&engine().load(&guest.bytes()).unwrap(), limits)
}

/// Calls a handler with events at `first` and after it, a second apart.
pub(super) fn call(handler: &mut dyn Handler, first: u64, count: u64) -> Handled {
    let events = (first..first + count).map(event).collect();
    let batch = EventBatch::new(events);
    let mut effects = Effects::new(name(), Arc::new(NoStore), Permit::default());
    effects.begin_call(batch.clone());
    handler.handle(batch, effects)
}

fn name() -> PluginName {
    PluginName::new("fixture").unwrap()
}

fn event(position: u64) -> RecordedEvent {
    let mut event = NewEvent::json(EventType::new("Tested").unwrap(), "{\"a\":1}").on(StreamName::new("s-1").unwrap());
    event.id = Uuid::from_u128(u128::from(position));
    event.metadata.insert("actor".into(), "a test".into());
    RecordedEvent::record(event, Position(position), Version(position), position * 1_000_000)
}

/// A store with nothing in it that takes nothing.
struct NoStore;

impl Store for NoStore {
    fn append(&self, _: AppendRequest) -> Pending<Result<Appended, AppendError>> {
        Pending::ready(Err(StoreError::ShuttingDown.into()))
    }

    fn commit(&self, _: UnitOfWork) -> Pending<Result<Committed, CommitError>> {
        Pending::ready(Err(StoreError::ShuttingDown.into()))
    }

    fn change_plugin(&self, _: PluginChange) -> Pending<Result<(), CommitError>> {
        Pending::ready(Err(StoreError::ShuttingDown.into()))
    }

    fn own_ids(&self) -> OwnIds {
        OwnIds::FORESEEABLE
    }

    fn head(&self) -> Position {
        Position::START
    }

    fn watch_head(&self) -> watch::Receiver<Position> {
        watch::channel(Position::START).1
    }

    fn read(&self, _: &ReadRequest) -> Result<ReadPage, StoreError> {
        Err(StoreError::ShuttingDown)
    }

    fn event(&self, _: Uuid) -> Result<Option<RecordedEvent>, StoreError> {
        Ok(None)
    }

    fn delete_stream(&self, _: StreamDeletion) -> Pending<Result<Appended, AppendError>> {
        Pending::ready(Err(StoreError::ShuttingDown.into()))
    }

    fn stream_head(&self, _: &StreamName) -> Result<Option<StreamHead>, StoreError> {
        Ok(None)
    }

    fn streams(&self, _: &str, _: Option<&StreamName>, _: usize) -> Result<StreamPage, StoreError> {
        Ok(StreamPage::default())
    }

    fn event_types(&self) -> Result<Vec<(EventType, u64)>, StoreError> {
        Ok(Vec::new())
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }

    fn tracking(&self, _: &str) -> Result<Option<u64>, StoreError> {
        Err(StoreError::ShuttingDown)
    }

    fn remove(&self, _: &Category, _: Position) -> Result<Position, StoreError> {
        Err(StoreError::ShuttingDown)
    }

    fn removals(&self) -> Removals {
        Removals::default()
    }

    fn nth_newest(&self, _: &Category, _: u64) -> Result<Option<Position>, StoreError> {
        Ok(None)
    }

    fn progress(&self, _: &Owner, _: u32) -> Result<Option<Progress>, StoreError> {
        Ok(None)
    }

    fn plugin_progress(&self, _: &PluginName) -> Result<Vec<(Owner, u32, Progress)>, StoreError> {
        Ok(Vec::new())
    }

    fn plugin_record(&self, _: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        Ok(None)
    }

    fn state_size(&self, _: &Owner) -> Result<StateSize, StoreError> {
        Ok(StateSize::default())
    }

    fn state_get(&self, _: &Owner, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn state_scan(&self, _: &Owner, _: &str, _: Option<&str>, _: usize) -> Result<StatePage, StoreError> {
        Ok(StatePage::default())
    }

    fn state_keys(&self, _: &Owner, _: &str, _: Option<&str>, _: usize) -> Result<StateKeys, StoreError> {
        Ok(StateKeys::default())
    }

    fn state_snapshot(&self, _: &Owner) -> Result<Box<dyn StateSnapshot>, StoreError> {
        Err(StoreError::ShuttingDown)
    }

    fn dead_letters(&self, _: &Owner, _: Position, _: usize) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(Vec::new())
    }

    fn dead_letter(&self, _: &Owner, _: Position) -> Result<Option<DeadLetter>, StoreError> {
        Ok(None)
    }

    fn dead_letter_count(&self, _: &Owner) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        Ok(Vec::new())
    }
}
