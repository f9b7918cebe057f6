//! What a handler wants done, held back until it commits.
//!
//! One [`Effects`] gathers the calls of one unit of work. A call that fails is taken back whole
//! ([`Effects::discard_call`]); what earlier calls staged stays. Reads see committed state and everything
//! staged. The bounds that guests meet here are checked here, once.
//!
//! `state` is what guests do with their state, `room` what that may come to.

mod cause;
mod dispatch;
mod room;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use self::cause::Cause;
pub use self::dispatch::Dispatch;
use self::room::Room;
use self::state::Staged;
pub(crate) use self::state::check_key as check_state_key;
use super::EventBatch;
use super::permit::Permit;
use super::policy::CAUSATION_DEPTH_MAX;
use super::quiet::Quiet;
use super::shared_state::{Reads, SharedState};
use super::state_source::{StateSource, StoredState};
use crate::event::{METADATA_ENTRIES_MAX, NewEvent, OwnIds, Position, RecordedEvent, metadata_key};
use crate::store::{Owner, StateChange, Store, StoreError};
use crate::trace;

/// Most events that one call may append.
const CALL_EVENTS_MAX: usize = 1024;
/// Most bytes of events that one call may append.
const CALL_EVENT_BYTES_MAX: usize = 4 << 20;

/// Namespace of the ids of appended events: a random UUID, fixed for ever.
const APPENDED_ID_NAMESPACE: Uuid = Uuid::from_u128(0x6f1f_3a57_9f0e_4a53_8d5c_7d1e_2b94_c0a6);

/// Why a handler's call to the host was refused. Nothing of it takes effect.
#[derive(Clone, Debug, Error)]
pub enum EffectError {
    /// An argument is out of bounds or malformed.
    #[error("{0}")]
    Invalid(String),
    /// The plugin's grants do not allow it.
    #[error("{0}")]
    Denied(String),
    /// What caused it is as far from its first cause as events of the plugin may be.
    #[error("{reason} (correlation id {correlation_id})")]
    TooDeep {
        /// What would allow it.
        reason: String,
        /// What all events of the chain have in common.
        correlation_id: String,
    },
    /// A limit of the call is used up.
    #[error("{0}")]
    LimitExceeded(String),
    /// The plugin may not keep more state.
    #[error("{0}")]
    NoRoom(String),
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The staged effects of one unit of work.
pub struct Effects {
    owner: Owner,
    state: Arc<dyn StateSource>,
    /// Event types that it may append.
    append: Permit,
    /// Where the ids of what it appends are from.
    ids: OwnIds,
    /// Commands that it may send.
    dispatch: Permit,
    /// How far from its first cause an appended event may be.
    causation_depth_max: u32,
    /// Every key written in this unit.
    staged: BTreeMap<String, Staged>,
    /// Every key written in this call, with what the calls before it had staged.
    undo: Vec<(String, Option<Staged>)>,
    /// What of the state there may be.
    room: Room,
    /// Number of the call in progress.
    calls: u64,
    /// Committed values read or written before. They stay true: nobody else writes them, but other partitions,
    /// which `sharing` tells of.
    cache: HashMap<String, Option<Vec<u8>>>,
    cache_bytes: usize,
    events: Vec<NewEvent>,
    /// Bytes staged by calls before this one.
    unit_bytes: usize,
    call: Call,
    /// Whether it takes nothing: what is asked for is only read.
    reads_only: bool,
    /// Whose emissions are dropped.
    quiet: Quiet,
    /// How many were, in this unit.
    suppressed: u64,
    /// None where nobody shares the state.
    sharing: Option<Sharing>,
}

/// What is known of other partitions that write the same state.
#[derive(Clone)]
struct Sharing {
    state: Arc<SharedState>,
    partition: u32,
    /// Their writes up to this number are taken into account in the cache.
    seen: u64,
    /// Where the unit of work began; none while it has made no call.
    began: Option<u64>,
    reads: Reads,
}

/// What the call in progress has used.
#[derive(Default)]
struct Call {
    batch: Option<EventBatch>,
    first_event: usize,
    event_bytes: usize,
    state_bytes: usize,
    /// Events that were dropped.
    suppressed: usize,
    /// How many events each cause has appended in this call.
    ordinals: HashMap<Position, u32>,
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("owner", &self.owner)
            .field("keys", &self.staged.len())
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl Effects {
    /// Nothing staged yet, for a plugin that may append these event types.
    #[must_use]
    pub fn new(owner: impl Into<Owner>, store: Arc<dyn Store>, append: Permit) -> Self {
        let (owner, ids) = (owner.into(), store.own_ids());
        Self::over(owner.clone(), Arc::new(StoredState { owner, store }), append, ids)
    }

    /// The same, over state that may be elsewhere than in the store whose ids are given.
    #[must_use]
    pub fn over(owner: impl Into<Owner>, state: Arc<dyn StateSource>, append: Permit, ids: OwnIds) -> Self {
        Self {
            owner: owner.into(),
            state,
            append,
            ids,
            dispatch: Permit::default(),
            causation_depth_max: CAUSATION_DEPTH_MAX,
            staged: BTreeMap::new(),
            undo: Vec::new(),
            room: Room::default(),
            calls: 0,
            cache: HashMap::new(),
            cache_bytes: 0,
            events: Vec::new(),
            unit_bytes: 0,
            call: Call::default(),
            reads_only: false,
            quiet: Quiet::Nothing,
            suppressed: 0,
            sharing: None,
        }
    }

    /// For a call that only reads: whatever it wants changed is denied.
    #[must_use]
    pub fn reading(owner: impl Into<Owner>, state: Arc<dyn StateSource>) -> Self {
        Self { reads_only: true, ..Self::over(owner, state, Permit::default(), OwnIds::FORESEEABLE) }
    }

    /// The same for a plugin whose events may be so far from their first cause, which is 32 otherwise.
    #[must_use]
    pub fn causation_depth_max(self, causation_depth_max: u32) -> Self {
        Self { causation_depth_max, ..self }
    }

    /// The same for a plugin that may keep so many bytes of state, keys and values. Each partition counts what is
    /// committed and what it has staged itself, so `n` of them may go beyond by what `n - 1` units of work write.
    #[must_use]
    pub fn state_bytes_max(self, state_bytes_max: u64) -> Self {
        Self { room: Room::of(state_bytes_max), ..self }
    }

    /// The same for a partition that shares the state with others.
    #[must_use]
    pub(super) fn sharing(mut self, state: Arc<SharedState>, partition: u32) -> Self {
        let seen = state.durable();
        self.sharing = Some(Sharing { state, partition, seen, began: None, reads: Reads::default() });
        self
    }

    /// Nothing staged and nothing remembered, for the same plugin.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let fresh = Self::over(self.owner.clone(), Arc::clone(&self.state), self.append.clone(), self.ids)
            .causation_depth_max(self.causation_depth_max)
            .state_bytes_max(self.room.bytes_max())
            .dispatching(self.dispatch.clone());
        match &self.sharing {
            Some(sharing) => fresh.sharing(Arc::clone(&sharing.state), sharing.partition),
            None => fresh,
        }
    }

    /// Which events' emissions are dropped from the next call on.
    pub(super) fn hush(&mut self, quiet: Quiet) {
        self.quiet = quiet;
    }

    /// Takes how many emissions were dropped in the unit.
    pub(super) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }

    /// Begins a call that handles `batch`.
    pub fn begin_call(&mut self, batch: EventBatch) {
        self.begin_unit();
        self.undo.clear();
        self.calls += 1;
        self.unit_bytes = self.staged_bytes();
        self.call = Call { batch: Some(batch), first_event: self.events.len(), ..Call::default() };
    }

    /// Shows the call another form of the events that it handles.
    pub(super) fn show(&mut self, batch: EventBatch) {
        self.call.batch = Some(batch);
    }

    /// Takes back everything since [`Self::begin_call`].
    pub fn discard_call(&mut self) {
        for (key, before) in std::mem::take(&mut self.undo) {
            self.put_back(key, before);
        }
        self.events.truncate(self.call.first_event);
        self.suppressed -= self.call.suppressed as u64;
        self.call = Call::default();
    }

    /// Whether the next call begins a unit, where partitions share the state.
    pub(super) fn shares_new_unit(&self) -> bool {
        self.sharing.as_ref().is_some_and(|sharing| sharing.began.is_none())
    }

    /// At the first call of a unit: forgets what other partitions have written meanwhile.
    fn begin_unit(&mut self) {
        let Some(sharing) = self.sharing.as_mut().filter(|sharing| sharing.began.is_none()) else { return };
        let durable = sharing.state.durable();
        let cache = &mut self.cache;
        let known = sharing.state.written_after(sharing.seen, sharing.partition, |key| {
            cache.remove(key);
        });
        if !known {
            cache.clear();
            self.cache_bytes = 0;
        }
        (sharing.seen, sharing.began) = (durable, Some(durable));
    }

    /// Takes where the unit began and what it has read of the state, before [`Self::take`]. None where nobody
    /// shares the state, or nothing was called.
    pub(super) fn take_reads(&mut self) -> Option<(u64, Reads)> {
        let sharing = self.sharing.as_mut()?;
        let reads = std::mem::take(&mut sharing.reads);
        Some((sharing.began.take()?, reads))
    }

    /// Takes everything staged, to be committed; what follows is a new unit.
    pub fn take(&mut self) -> (Vec<StateChange>, Vec<NewEvent>) {
        self.undo.clear();
        self.room.clear();
        self.unit_bytes = 0;
        self.call = Call::default();
        let staged = std::mem::take(&mut self.staged);
        let mut changes = Vec::with_capacity(staged.len());
        for (key, Staged { value, .. }) in staged {
            self.remember(&key, value.clone());
            changes.push(StateChange { key, value });
        }
        (changes, std::mem::take(&mut self.events))
    }

    /// Drops everything staged, and all that is remembered of committed state.
    pub fn reset(&mut self) {
        self.staged.clear();
        self.undo.clear();
        self.room.clear();
        self.cache.clear();
        self.cache_bytes = 0;
        self.events.clear();
        self.unit_bytes = 0;
        self.suppressed = 0;
        self.call = Call::default();
        if let Some(sharing) = &mut self.sharing {
            (sharing.began, sharing.reads) = (None, Reads::default());
        }
    }

    /// Whether nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty() && self.events.is_empty()
    }

    /// Bytes of state and events staged so far, with what is kept beside each key; a value written twice counts twice.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        self.unit_bytes + self.call.state_bytes + self.call.event_bytes
    }

    /// Whether a change of this key is staged.
    pub(super) fn writes(&self, key: &str) -> bool {
        self.staged.contains_key(key)
    }

    /// How many events are staged.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.events.len()
    }

    /// What the call in progress has staged: the latest value of each key that it wrote, and its events.
    pub(crate) fn staged_by_call(&self) -> (BTreeMap<&str, Option<&[u8]>>, &[NewEvent]) {
        let written = |(key, _): &'_ (String, _)| self.staged.get_key_value(key);
        let state = self.undo.iter().filter_map(written);
        let state = state.map(|(key, staged)| (key.as_str(), staged.value.as_deref())).collect();
        (state, self.events.get(self.call.first_event..).unwrap_or_default())
    }

    /// The events of the call in progress.
    #[must_use]
    pub fn batch(&self) -> Option<&EventBatch> {
        self.call.batch.as_ref()
    }

    /// Stages an event caused by the event of the batch at `cause`.
    ///
    /// # Errors
    /// When the event is malformed, its type is not granted, `cause` is not in the batch or too far from its first
    /// cause, or the call has appended too much.
    pub fn append(&mut self, cause: Position, event: NewEvent) -> Result<(), EffectError> {
        self.check_granted(&event)?;
        event.validate().map_err(|error| EffectError::Invalid(error.to_string()))?;
        let event_type = event.event_type.to_string();
        let ordinal = self.call.ordinals.get(&cause).copied().unwrap_or_default();
        let event = NewEvent { id: self.appended_id(cause, ordinal), ..event };
        self.stage_event(cause, event, &event_type)
    }

    /// Stages an event that may be staged; `named` is what a refusal calls it.
    fn stage_event(&mut self, cause: Position, mut event: NewEvent, named: &str) -> Result<(), EffectError> {
        let caused_by = self.in_batch(cause)?;
        let (ancestry, quiet) = (Cause::of(caused_by), self.quiet.covers(caused_by));
        ancestry.check(&self.owner.plugin, named, self.causation_depth_max)?;
        // Of the call where that is traced, else of what caused it, so that no trace breaks off here.
        let traceparent = trace::current().or_else(|| caused_by.metadata.get(metadata_key::TRACEPARENT).cloned());
        ancestry.write(&mut event.metadata);
        if let Some(traceparent) = traceparent
            && event.metadata.len() < METADATA_ENTRIES_MAX
        {
            event.metadata.entry(metadata_key::TRACEPARENT.into()).or_insert(traceparent);
        }
        event.validate_content().map_err(|error| EffectError::Invalid(error.to_string()))?;
        let event_bytes = self.call.event_bytes + event.size_bytes();
        let appended = self.events.len() - self.call.first_event + self.call.suppressed;
        if appended >= CALL_EVENTS_MAX || event_bytes > CALL_EVENT_BYTES_MAX {
            return Err(EffectError::LimitExceeded(format!(
                "a batch may append at most {CALL_EVENTS_MAX} events and {CALL_EVENT_BYTES_MAX} bytes; \
                 lower `[delivery] batch_events_max`, or append less"
            )));
        }
        self.call.event_bytes = event_bytes;
        *self.call.ordinals.entry(cause).or_default() += 1;
        if quiet {
            self.call.suppressed += 1;
            self.suppressed += 1;
        } else {
            self.events.push(event);
        }
        Ok(())
    }

    /// Stages several events with one cause: all of them, or none.
    ///
    /// # Errors
    /// Those of [`Self::append`], of the first event that is refused.
    pub fn append_all(&mut self, cause: Position, events: Vec<NewEvent>) -> Result<(), EffectError> {
        self.all_or_none(cause, |effects| events.into_iter().try_for_each(|event| effects.append(cause, event)))
    }

    /// Stages several things with one cause: all of them, or none.
    fn all_or_none<T>(
        &mut self,
        cause: Position,
        stage: impl FnOnce(&mut Self) -> Result<T, EffectError>,
    ) -> Result<T, EffectError> {
        let (count, bytes, suppressed) = (self.events.len(), self.call.event_bytes, self.call.suppressed);
        let ordinal = self.call.ordinals.get(&cause).copied();
        let staged = stage(self);
        if staged.is_err() {
            self.events.truncate(count);
            self.call.event_bytes = bytes;
            self.suppressed -= (self.call.suppressed - suppressed) as u64;
            self.call.suppressed = suppressed;
            match ordinal {
                Some(ordinal) => self.call.ordinals.insert(cause, ordinal),
                None => self.call.ordinals.remove(&cause),
            };
        }
        staged
    }

    fn check_writes(&self, what: &str) -> Result<(), EffectError> {
        if self.reads_only {
            return Err(EffectError::Denied(format!(
                "{what}: a query reads, and changes nothing; what it has to keep is written by `handle`"
            )));
        }
        Ok(())
    }

    fn check_granted(&self, event: &NewEvent) -> Result<(), EffectError> {
        self.check_writes("append.append")?;
        let event_type = event.event_type.as_str();
        if self.append.allows(event_type) {
            return Ok(());
        }
        Err(EffectError::Denied(format!(
            "plugin {} may not append {event_type:?}; {}",
            self.owner.plugin,
            self.append.to_append(event_type)
        )))
    }

    /// Id of the `ordinal`-th event that the plugin appends because of the event at `cause`: the same at every attempt, so
    /// that no attempt can store it twice.
    fn appended_id(&self, cause: Position, ordinal: u32) -> Uuid {
        self.ids.id(&APPENDED_ID_NAMESPACE, &format!("{}/{cause}/{ordinal}", self.owner.plugin))
    }

    /// An event of the batch.
    fn in_batch(&self, position: Position) -> Result<&RecordedEvent, EffectError> {
        let batch: &[RecordedEvent] = self.call.batch.as_deref().unwrap_or_default();
        let index = batch.binary_search_by_key(&position, |event| event.position).ok();
        index
            .and_then(|index| batch.get(index))
            .ok_or_else(|| EffectError::Invalid(format!("cause {position} is not an event of this batch")))
    }
}
