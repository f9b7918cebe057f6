//! The log of a fixture: what is there before, what is handled, and what came of it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::clock::Simulated;
use super::fixture::{Appended, Dead, Dispatched, Fixture, Given, Then};
use super::run::json_or_text;
use super::{KitError, Written};
use crate::api::{EVENT_FIELDS, HOST_FIELDS, parse_event};
use crate::clock::{Clock, ManualClock};
use crate::delivery::{BEHIND, Envelope, LiveState, State, Status, check_state_key, live_owner, live_state};
use crate::event::{NewEvent, PluginName, Position, RecordedEvent, metadata_key};
use crate::nearest::unknown;
use crate::projection::Moment;
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, Owner, Progress, ReadRequest, StateChange, Store, StoreError, UnitOfWork};

/// When the first event of a fixture is stored: 2026-01-01T00:00:00Z, in microseconds since the Unix epoch.
const BEGIN_US: u64 = 1_767_225_600_000_000;
/// Time between two events that do not say theirs, in microseconds.
const STEP_US: u64 = 1_000_000;
/// Most of anything that is looked at.
pub(super) const LOOKED_AT_MAX: usize = 100_000;
/// The ids of events that name none count up from here.
const FIRST_ID: u128 = 0x0199_a0a0_0000_7000_8000_0000_0000_0001;

/// The log of a fixture.
pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    /// That of the store and of delivery.
    pub(super) clock: Arc<Simulated>,
    owner: Owner,
    /// Where what was there before ends.
    pub(super) given: Position,
    /// The events that are handled.
    pub(super) when: Vec<RecordedEvent>,
}

impl World {
    /// Stores what a fixture gives.
    pub(super) fn of(file: &Path, fixture: &Fixture, plugin: &PluginName) -> Result<Self, KitError> {
        let clock = Arc::new(Simulated::default());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let mut ids = ids();
        let mut append = |place: &str, events: &[Written]| -> Result<Position, KitError> {
            for (index, written) in events.iter().enumerate() {
                let bad = |reason: String| KitError::NotAFixture {
                    file: file.into(),
                    reason: format!("event {index} of {place}: {reason}"),
                };
                let id = ids.next().unwrap_or_default();
                let (event, time_us) = event(written, id).map_err(bad)?;
                set(&clock.0, time_us).map_err(bad)?;
                let request =
                    AppendRequest { by_host: written.is_stored(), ..AppendRequest::unconditional(vec![event]) };
                store.append(request).wait().map_err(|error| bad(error.to_string()))?;
            }
            Ok(store.head())
        };
        let given = append("`given`", &fixture.given.events)?;
        append("`when`", &fixture.when)?;
        let failed = |error: StoreError| KitError::Host { reason: error.to_string() };
        let request = ReadRequest { after: given, ..everything() };
        let when = store.read(&request).map_err(failed)?.events;
        let owner = Owner::from(plugin.clone());
        before(&*store, &owner, given, &fixture.given)
            .map_err(|reason| KitError::NotAFixture { file: file.into(), reason })?;
        Ok(Self { store, clock, owner, given, when })
    }

    fn last(&self) -> Position {
        self.when.last().map(|event| event.position).unwrap_or_default()
    }

    /// Whether a set-aside event will be tried without anybody asking: the first of its key, when it is due at some
    /// time, or waits behind nothing any more.
    pub(super) fn is_pending(&self) -> bool {
        let rows = self.store.dead_letters(&self.owner, Position::START, LOOKED_AT_MAX).unwrap_or_default();
        let mut seen = HashSet::new();
        let mut firsts = rows.iter().filter(|row| row.key.as_ref().is_none_or(|key| seen.insert(key)));
        firsts.any(|row| row.due_us.is_some() || row.kind == BEHIND)
    }

    /// The state that queries are answered from.
    pub(super) fn moment(&self) -> Result<Moment, StoreError> {
        let LiveState { owner, checkpoint, state, .. } = live_state(&self.owner.plugin, &*self.store, None)?;
        Ok(Moment { owner, state, checkpoint, now_us: BEGIN_US })
    }

    /// What came of it.
    pub(super) fn found(&self, status: &Result<Status, Status>) -> Result<Then, StoreError> {
        let status = status.as_ref().unwrap_or_else(|status| status);
        let owner = live_owner(&self.owner.plugin, &*self.store)?;
        let state = whole_state(&*self.store, &owner)?;
        let stored = self.store.read(&ReadRequest { after: self.last(), ..everything() })?.events;
        let rows = self.store.dead_letters(&owner, Position::START, LOOKED_AT_MAX)?;
        let dead = rows.into_iter().map(|row| Dead {
            event: self.index(row.position),
            kind: row.kind,
            attempts: row.attempts.saturating_add(row.faults),
            reason: vec![row.reason],
        });
        let stopped = match &status.state {
            State::Halted { reason } | State::Quarantined { reason } => Some(vec![reason.clone()]),
            _ => None,
        };
        let sealed = stored.iter().map(|event| (event, Envelope::of(event)));
        let appended = sealed.clone().filter(|(_, envelope)| envelope.is_none());
        let dispatched = sealed
            .filter_map(|(event, envelope)| Some(Dispatched::new(self.cause(event, &stored), envelope?, &event.data)));
        Ok(Then {
            state: Some(state),
            appended: Some(appended.map(|(event, _)| appended_of(event, self.cause(event, &stored))).collect()),
            dispatched: Some(dispatched.collect()),
            dead_letters: Some(dead.collect()),
            stopped,
            ..Then::default()
        })
    }

    fn index(&self, position: Position) -> usize {
        self.when.iter().position(|event| event.position == position).unwrap_or(self.when.len())
    }

    /// Index of the event that caused one; what was stored for an event counts on behind those of the fixture.
    fn cause(&self, event: &RecordedEvent, stored: &[RecordedEvent]) -> usize {
        let cause = event.metadata.get(metadata_key::CAUSATION_ID).and_then(|id| Uuid::try_parse(id).ok());
        let cause = self.when.iter().chain(stored).position(|event| Some(event.id) == cause);
        cause.unwrap_or_default()
    }
}

fn appended_of(event: &RecordedEvent, cause: usize) -> Appended {
    Appended {
        cause,
        event_type: event.event_type.to_string(),
        stream: event.stream.as_ref().map(ToString::to_string),
        tags: event.tags.iter().map(ToString::to_string).collect(),
        schema_version: event.schema_version,
        metadata: event.metadata.clone(),
        data: json_or_text(&event.data),
    }
}

/// A plugin's state, page by page.
fn whole_state(store: &dyn Store, owner: &Owner) -> Result<BTreeMap<String, Value>, StoreError> {
    let (mut state, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.state_scan(owner, "", after.as_deref(), LOOKED_AT_MAX)?;
        state.extend(page.entries.into_iter().map(|(key, value)| (key, json_or_text(&value))));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(state),
        }
    }
}

pub(super) fn everything() -> ReadRequest {
    ReadRequest { limit: LOOKED_AT_MAX, bytes_max: usize::MAX, ..ReadRequest::default() }
}

/// Ids for events that name none.
pub(super) fn ids() -> impl Iterator<Item = Uuid> {
    (FIRST_ID..).map(Uuid::from_u128)
}

/// An event as it is appended, and the time that it says, in microseconds since the Unix epoch.
pub(super) fn event(written: &Written, id: Uuid) -> Result<(NewEvent, Option<u64>), String> {
    let mut value = Value::clone(written);
    let time = value.as_object_mut().and_then(|fields| fields.remove("timestamp"));
    let time_us = time.as_ref().map(microseconds).transpose()?;
    value.as_object().into_iter().flat_map(|fields| fields.keys()).try_for_each(|name| check_field(name))?;
    let parsed = parse_event(&value.to_string())?;
    let id = if parsed.has_id { parsed.event.id } else { id };
    let data = written.data().map_or(parsed.event.data, Into::into);
    Ok((NewEvent { id, data, ..parsed.event }, time_us))
}

/// Refuses a field that no event of a fixture has. Of those that only a host sets the reader of events tells.
fn check_field(name: &str) -> Result<(), String> {
    if EVENT_FIELDS.contains(&name) || HOST_FIELDS.contains(&name) {
        return Ok(());
    }
    // What SDKs call it.
    if name == "payload" {
        return Err("unknown field `payload`; did you mean `data`?".into());
    }
    Err(unknown("field", name, &[EVENT_FIELDS, &["timestamp"]].concat()))
}

pub(super) fn microseconds(time: &Value) -> Result<u64, String> {
    let us = time.as_str().and_then(crate::clock::rfc3339_us);
    us.ok_or_else(|| format!("`timestamp` is {time}; it must be a time of RFC 3339, such as \"2026-01-31T12:00:00Z\""))
}

/// Sets the clock for the next event: to its own time, or a step after the one before it.
pub(super) fn set(clock: &ManualClock, time_us: Option<u64>) -> Result<(), String> {
    let now_us = clock.now_us();
    let next_us = time_us.unwrap_or(if now_us == 0 { BEGIN_US } else { now_us + STEP_US });
    if next_us < now_us {
        return Err("its `timestamp` is before that of the event before it".into());
    }
    clock.advance_us(next_us - now_us);
    Ok(())
}

/// Puts the plugin where it was before.
fn before(store: &dyn Store, owner: &Owner, given: Position, was: &Given) -> Result<(), String> {
    let Given { state, .. } = was;
    if state.is_empty() {
        return Ok(());
    }
    for key in state.keys() {
        check_state_key(key).map_err(|error| format!("the state of `given`, under {key:?}: {error}"))?;
    }
    let change =
        |(key, value): (&String, &Value)| StateChange { key: key.clone(), value: Some(value.to_string().into()) };
    let work = UnitOfWork {
        owner: owner.clone(),
        partition: 0,
        progress: Progress { revision: 1, checkpoint: given, ..Progress::default() },
        state: state.iter().map(change).collect(),
        events: Vec::new(),
        dead_letters: Vec::new(),
    };
    store.commit(work).wait().map(drop).map_err(|error| format!("the state of `given`: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_field_of_an_event_is_told_with_those_of_a_fixture() {
        let said = |name: &str| event(&Written::from(json!({ "type": "A", name: 1 })), Uuid::nil()).unwrap_err();
        assert_eq!(said("payload"), "unknown field `payload`; did you mean `data`?");
        assert_eq!(said("timestmp"), "unknown field `timestmp`; did you mean `timestamp`?");
        assert!(said("colour").ends_with("`schema_version`, `timestamp`"), "{}", said("colour"));
        assert_eq!(said("position"), "`position` is set by the host; leave it out");
    }

    #[test]
    fn an_event_of_a_log_may_have_what_only_a_host_writes() {
        let text = r#"{"position":7,"version":1,"type":"A","stream":"a-1","metadata":{"$command":"c"}}"#;
        let mut event = Written::parse(text).unwrap();
        let world = |event: &Written| {
            let fixture = Fixture { when: vec![event.clone()], ..Fixture::default() };
            World::of(Path::new("log"), &fixture, &PluginName::new("p").unwrap()).map(|world| world.when.len())
        };
        assert_eq!(event.take_position(), Some(7));
        assert_eq!(world(&event).unwrap(), 1);
        let own = Written::from(Value::clone(&event));
        assert!(world(&own).unwrap_err().to_string().contains("$command"), "who writes a fixture is no host");
    }

    #[test]
    fn a_payload_that_is_no_json_is_given_in_base64() {
        let written = json!({ "type": "A", "data_base64": "/wA=", "content_type": "image/png" });
        let (event, _) = event(&Written::from(written), Uuid::nil()).unwrap();
        assert_eq!((event.data.as_slice(), event.content_type.as_deref()), (&[0xff, 0][..], Some("image/png")));
    }
}
