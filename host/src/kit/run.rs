//! Fixtures run: real delivery over a store in memory, until everything is settled.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::fixture::{Appended, Dead, Fixture, Given, Then};
use super::report::{Report, compare};
use super::wrapped::{Disturbance, Disturbed};
use super::{KitError, fixture};
use crate::api::parse_event;
use crate::clock::{ManualClock, SystemClock};
use crate::delivery::{
    BEHIND, Backoff, Dispatcher, Handler, LiveState, Policy, Setup, Start, State, Status, Usage, live_owner,
    live_state, spawn,
};
use crate::event::{NewEvent, PluginName, Position, RecordedEvent, metadata_key};
use crate::plugin::{Loaded, Loader, Manifest, Proposed, Runnable, SecretResolver, runnable};
use crate::projection::{Moment, Projection};
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, Owner, Progress, ReadRequest, StateChange, Store, StoreError, UnitOfWork};

/// When the first event of a fixture is stored: 2026-01-01T00:00:00Z, in microseconds since the Unix epoch.
const BEGIN_US: u64 = 1_767_225_600_000_000;
/// Time between two events, in microseconds.
const STEP_US: u64 = 1_000_000;
/// How often an event is tried, unless the manifest says less.
const ATTEMPTS_MAX: u32 = 2;
/// How long a plugin may take to settle what it is given.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Most of anything that is looked at.
const LOOKED_AT_MAX: usize = 100_000;
/// The ids of events that name none count up from here.
const FIRST_ID: u128 = 0x0199_a0a0_0000_7000_8000_0000_0000_0001;

/// A component with its manifest, ready to be given events.
pub struct Kit {
    name: PluginName,
    loaded: Arc<dyn Loaded>,
    component: PathBuf,
    manifest: Manifest,
    manifest_path: PathBuf,
    secrets: Box<dyn SecretResolver>,
}

impl Kit {
    /// Loads a component as the host would. Blocks: it is compiled.
    ///
    /// # Errors
    /// When the host would not run it.
    pub fn new(
        proposed: &Proposed<'_>,
        loader: &dyn Loader,
        secrets: Box<dyn SecretResolver>,
    ) -> Result<Self, KitError> {
        let Runnable { loaded, .. } = runnable(proposed, None, loader, &*secrets)?;
        Ok(Self {
            name: proposed.name.clone(),
            loaded,
            component: proposed.component_path.into(),
            manifest: proposed.manifest.clone(),
            manifest_path: proposed.manifest_path.into(),
            secrets,
        })
    }

    /// Runs a fixture, and says what came of it. Blocks.
    ///
    /// # Errors
    /// When its events are none, or its settings do not fit the manifest.
    pub fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Report, KitError> {
        let world = World::of(file, fixture, &self.name)?;
        let (setup, projection) = self.setup(fixture, disturbance, world.given)?;
        let partitions = setup.handlers.len();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| KitError::Host { reason: error.to_string() })?;
        let status = runtime.block_on(deliver(setup, &world));
        let failed = |error: StoreError| KitError::Host { reason: error.to_string() };
        let mut found = world.found(&status).map_err(failed)?;
        if let (Some(queries), Some(mut projection)) = (&fixture.then.queries, projection) {
            let moment = world.moment().map_err(failed)?;
            found.queries = Some(queries.iter().map(|asked| asked.ask(&mut *projection, moment.clone())).collect());
        }
        // Partitions append side by side: their order says nothing.
        let mut expected = fixture.then.clone();
        if partitions > 1 {
            [&mut expected, &mut found].into_iter().for_each(Then::sort_appended);
        }
        let mut differences = compare(&expected, &found);
        if let Err(unsettled) = &status {
            let what = "it has not settled its events within a minute".to_owned();
            let state = Some(Value::String(unsettled.state.as_str().to_owned()));
            differences.push(super::Difference { what, expected: None, found: state });
        }
        keep_what_is_said(&mut found, &fixture.then);
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let cost = status.as_ref().unwrap_or_else(|status| status).cost;
        Ok(Report {
            name,
            about: fixture.about.clone(),
            differences,
            found,
            settled: status.is_ok(),
            handler_us: cost.handler_us,
            memory_peak_bytes: cost.usage.memory_peak_bytes,
        })
    }

    /// What runs for a fixture: the manifest with its settings, and few, quick attempts.
    fn setup(
        &self,
        fixture: &Fixture,
        disturbance: Disturbance,
        given: Position,
    ) -> Result<(Setup, Option<Box<dyn Projection>>), KitError> {
        let mut manifest = self.manifest.clone();
        let settings = fixture.config.iter().map(|(key, value)| (key.clone(), text(value)));
        manifest.config.extend(settings);
        manifest.policy.max_attempts = manifest.policy.max_attempts.min(ATTEMPTS_MAX);
        manifest.policy.backoff = Backoff { initial_ms: 1, max_ms: 1, jitter: false };
        if disturbance.partitions > 0 {
            manifest.policy.partitions = disturbance.partitions;
        }
        let Policy { partitions, .. } = manifest.policy;
        let proposed = Proposed {
            name: &self.name,
            component: &[],
            component_path: &self.component,
            manifest: &manifest,
            manifest_path: &self.manifest_path,
        };
        let loaded = Some(Arc::clone(&self.loaded));
        let Runnable { mut setup, options, loaded } = runnable(&proposed, loaded, &NoLoader, &*self.secrets)?;
        setup.subscription.start = Start::After(given);
        let disturbed = || -> Box<dyn Handler> {
            let (loaded, options) = (Arc::clone(&loaded), options.clone());
            let make = Box::new(move || loaded.subscriber(options.clone()));
            Box::new(Disturbed { disturbance, inner: make(), make, before: Usage::default() })
        };
        setup.handlers = (0..partitions.max(1)).map(|_| disturbed()).collect();
        Ok((setup, loaded.projection(options.clone())))
    }
}

/// Nothing is loaded twice.
struct NoLoader;

impl Loader for NoLoader {
    fn load(&self, _: &[u8], _: &crate::runtime::LoadOptions) -> Result<Arc<dyn Loaded>, crate::runtime::LoadError> {
        Err(crate::runtime::LoadError::Engine { reason: "it is loaded already".into() })
    }
}

/// A setting, as the guest sees it: text as it is, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Leaves out what a fixture does not speak of.
fn keep_what_is_said(found: &mut Then, said: &Then) {
    if said.state.is_none() {
        found.state = None;
    }
    if said.appended.is_none() {
        found.appended = None;
    }
    if said.dead_letters.is_none() {
        found.dead_letters = None;
    }
}

/// The log of a fixture.
struct World {
    store: Arc<dyn Store>,
    owner: Owner,
    /// Where what was there before ends.
    given: Position,
    /// The events that are handled.
    when: Vec<RecordedEvent>,
}

impl World {
    fn of(file: &Path, fixture: &Fixture, plugin: &PluginName) -> Result<Self, KitError> {
        let clock = Arc::new(ManualClock::at(BEGIN_US));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>));
        let mut ids = (FIRST_ID..).map(Uuid::from_u128);
        let mut append = |place: &str, events: &[Value]| -> Result<Position, KitError> {
            for (index, value) in events.iter().enumerate() {
                let bad = |reason: String| KitError::NotAFixture {
                    file: file.into(),
                    reason: format!("event {index} of {place}: {reason}"),
                };
                let id = ids.next().unwrap_or_default();
                let event = event(value, id).map_err(bad)?;
                let request = AppendRequest::unconditional(vec![event]);
                store.append(request).wait().map_err(|error| bad(error.to_string()))?;
                clock.advance_us(STEP_US);
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
        Ok(Self { store, owner, given, when })
    }

    fn last(&self) -> Position {
        self.when.last().map(|event| event.position).unwrap_or_default()
    }

    /// Whether a set-aside event will be tried without anybody asking: the first of its key, when it is due at some
    /// time, or waits behind nothing any more.
    fn is_pending(&self) -> bool {
        let rows = self.store.dead_letters(&self.owner, Position::START, LOOKED_AT_MAX).unwrap_or_default();
        let mut seen = HashSet::new();
        let mut firsts = rows.iter().filter(|row| row.key.as_ref().is_none_or(|key| seen.insert(key)));
        firsts.any(|row| row.due_us.is_some() || row.kind == BEHIND)
    }

    /// The state that queries are answered from.
    fn moment(&self) -> Result<Moment, StoreError> {
        let LiveState { owner, checkpoint, state, .. } = live_state(&self.owner.plugin, &*self.store, None)?;
        Ok(Moment { owner, state, checkpoint, now_us: BEGIN_US })
    }

    /// What came of it.
    fn found(&self, status: &Result<Status, Status>) -> Result<Then, StoreError> {
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
        Ok(Then {
            state: Some(state),
            appended: Some(stored.iter().map(|event| self.appended(event, &stored)).collect()),
            dead_letters: Some(dead.collect()),
            queries: None,
            stopped,
        })
    }

    fn index(&self, position: Position) -> usize {
        self.when.iter().position(|event| event.position == position).unwrap_or(self.when.len())
    }

    /// An event that was appended; what an appended event caused counts on behind those of the fixture.
    fn appended(&self, event: &RecordedEvent, stored: &[RecordedEvent]) -> Appended {
        let cause = event.metadata.get(metadata_key::CAUSATION_ID).and_then(|id| Uuid::try_parse(id).ok());
        let cause = self.when.iter().chain(stored).position(|event| Some(event.id) == cause);
        Appended {
            cause: cause.unwrap_or_default(),
            event_type: event.event_type.to_string(),
            stream: event.stream.as_ref().map(ToString::to_string),
            tags: event.tags.iter().map(ToString::to_string).collect(),
            data: json_or_text(&event.data),
        }
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

fn everything() -> ReadRequest {
    ReadRequest { limit: LOOKED_AT_MAX, bytes_max: usize::MAX, ..ReadRequest::default() }
}

fn event(value: &Value, id: Uuid) -> Result<NewEvent, String> {
    let parsed = parse_event(&value.to_string())?;
    Ok(if parsed.has_id { parsed.event } else { NewEvent { id, ..parsed.event } })
}

pub(super) fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// Puts the plugin where it was before.
fn before(store: &dyn Store, owner: &Owner, given: Position, was: &Given) -> Result<(), String> {
    let fixture::Given { state, .. } = was;
    if state.is_empty() {
        return Ok(());
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

/// Delivers until everything is settled or the plugin stops; the status then, as an error when neither comes.
async fn deliver(setup: Setup, world: &World) -> Result<Status, Status> {
    let dispatcher = spawn(setup, Arc::clone(&world.store), Arc::new(SystemClock));
    let settled = tokio::time::timeout(SETTLED_WITHIN, settle(&dispatcher, world)).await;
    dispatcher.stop().await;
    settled.map_err(|_| dispatcher.status())
}

async fn settle(dispatcher: &Dispatcher, world: &World) -> Status {
    let mut watch = dispatcher.watch();
    loop {
        let status = watch.borrow_and_update().clone();
        let stopped = matches!(status.state, State::Halted { .. } | State::Quarantined { .. });
        if stopped || (status.checkpoint >= world.store.head() && !world.is_pending()) {
            return status;
        }
        if watch.changed().await.is_err() {
            return status;
        }
    }
}
