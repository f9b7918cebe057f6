//! Fixtures of what decides commands: each is sent over the real bus, against a log in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::KitError;
use super::fixture::{Decided, Fixture, Rejected, Then};
use super::recorded::{Call, Given};
use super::report::{Difference, Report, compare};
use super::run::{json_or_text, runtime};
use super::subject::Traced;
use super::world::{FIRST_ID, event, everything, microseconds, set};
use super::wrapped::Disturbance;
use crate::clock::{Clock, ManualClock, Stopwatch};
use crate::command::{AggregateSetup, Claims, Command, CommandError, Commands, Outcome, Point, Rejection, Settled};
use crate::error::with_sources;
use crate::event::{Category, ExpectedVersion, RecordedEvent, StreamName};
use crate::plugin::{Loaded, Proposed, Runnable};
use crate::runtime::Anatomy;
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, AsyncStore, Store, StoreError};

/// Which aggregate commands are for, where a fixture does not say.
const KEY: &str = "1";

/// A component that decides commands, with its manifest.
pub(super) struct Deciding {
    loaded: Arc<dyn Loaded>,
    setup: AggregateSetup,
}

/// A command, as a fixture has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commanded {
    #[serde(rename = "type")]
    command_type: String,
    #[serde(default)]
    data: Value,
    id: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    timestamp: Option<Value>,
}

/// The log of a fixture, and who decides by it.
struct Bench<'a> {
    deciding: &'a Deciding,
    store: AsyncStore,
    clock: Arc<ManualClock>,
    stream: StreamName,
    key: String,
    /// The bus; another one for each command when the aggregate is to be made anew.
    bus: Option<Commands>,
    disturbance: Disturbance,
}

/// What came of the commands so far.
#[derive(Default)]
struct Came {
    decided: Vec<Decided>,
    rejected: Vec<Rejected>,
    differences: Vec<Difference>,
    calls: Vec<Call>,
}

impl Deciding {
    pub(super) fn new(proposed: &Proposed<'_>, runnable: Runnable) -> Result<Self, KitError> {
        let Runnable { loaded, setup, options } = runnable;
        let host = |reason: String| KitError::Host { reason };
        let code = loaded.aggregate(options).ok_or_else(|| host("it does not decide after all".into()))?;
        let policy = proposed.manifest.aggregate.clone();
        let category = match &policy.category {
            Some(category) => category.clone(),
            // A file's name may be none for streams; nobody else decides here.
            None => Category::new(proposed.name.as_str())
                .or_else(|_| Category::new("aggregate"))
                .map_err(|error| host(error.to_string()))?,
        };
        let digest = Anatomy::digest(proposed.component);
        let setup = AggregateSetup {
            plugin: proposed.name.clone(),
            category,
            digest,
            granted: setup.granted,
            code,
            policy,
            chain: Arc::default(),
        };
        Ok(Self { loaded, setup })
    }

    pub(super) fn loaded(&self) -> &dyn Loaded {
        &*self.loaded
    }

    /// Sends every command: twice under the same id, or each to an aggregate that is made anew, where it is to be
    /// disturbed.
    pub(super) fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Traced, KitError> {
        let mut bench = Bench::of(self, file, fixture, disturbance)?;
        let runtime = runtime()?;
        let mut came = Came::default();
        for (index, value) in fixture.when.iter().enumerate() {
            let bad = |reason: String| not_a_fixture(file, format!("command {index} of `when`: {reason}"));
            let command = bench.command(index, value).map_err(bad)?;
            runtime.block_on(bench.send(index, command, &mut came))?;
        }
        let state = runtime.block_on(bench.state())?;
        let Came { decided, rejected, differences, calls } = came;
        let found = Then { state, decided: Some(decided), rejected: Some(rejected), ..Then::default() };
        let differences = compare(&fixture.then, &found).into_iter().chain(differences).collect();
        let handler_us = calls.iter().map(|call| call.us).sum();
        let report = Report { differences, found, settled: true, handler_us, ..Report::about(file, fixture) };
        Ok(Traced { report, calls })
    }
}

impl Came {
    /// Takes an answer in; what is to be told of the call.
    fn take(
        &mut self,
        index: usize,
        answer: Result<Settled, CommandError>,
        given: Given,
        stored: &[RecordedEvent],
    ) -> Call {
        match answer.map(|settled| settled.outcome) {
            Ok(Outcome::Accepted(events)) => {
                let of = |id: Uuid| stored.iter().find(|event| event.id == id);
                let decided: Vec<_> = events.iter().filter_map(|event| of(event.id)).collect();
                let appended = decided.iter().map(|event| appended(index, event)).collect();
                self.decided.extend(decided.into_iter().map(|event| decided_of(index, event)));
                Call { appended, ..Call::of(given, "accepted") }
            }
            Ok(Outcome::Rejected(Rejection { code, reason, details })) => {
                let told = format!("{code}: {reason}");
                self.rejected.push(Rejected { command: index, code, reason: vec![reason], details });
                Call { reason: Some(told), ..Call::of(given, "rejected") }
            }
            Err(error) => {
                let reason = with_sources(&error);
                self.differ(format!("command {index} has no outcome"), Some(Value::String(reason.clone())));
                Call { reason: Some(reason), ..Call::of(given, "failed") }
            }
        }
    }

    fn differ(&mut self, what: String, found: Option<Value>) {
        self.differences.push(Difference { what, expected: None, found });
    }
}

impl<'a> Bench<'a> {
    /// A log with the history that a fixture gives.
    fn of(deciding: &'a Deciding, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Self, KitError> {
        let key = fixture.aggregate.clone().unwrap_or_else(|| KEY.into());
        let stream = StreamName::new(format!("{}-{key}", deciding.setup.category));
        let stream = stream.map_err(|error| not_a_fixture(file, format!("`aggregate`: {error}")))?;
        let clock = Arc::new(ManualClock::default());
        let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
        for (index, (value, id)) in fixture.given.events.iter().zip((FIRST_ID..).map(Uuid::from_u128)).enumerate() {
            let bad = |reason: String| not_a_fixture(file, format!("event {index} of `given`: {reason}"));
            let (mut event, time_us) = event(value, id).map_err(bad)?;
            event.stream.get_or_insert_with(|| stream.clone());
            set(&clock, time_us).map_err(bad)?;
            let request = AppendRequest::unconditional(vec![event]);
            store.append(request).wait().map_err(|error| bad(error.to_string()))?;
        }
        let store = AsyncStore::new(Arc::new(store));
        Ok(Self { deciding, store, clock, stream, key, bus: None, disturbance })
    }

    /// A command of a fixture, at its time.
    fn command(&self, index: usize, value: &Value) -> Result<Command, String> {
        let Commanded { command_type, data, id, metadata, timestamp } =
            Commanded::deserialize(value).map_err(|error| error.to_string())?;
        set(&self.clock, timestamp.as_ref().map(microseconds).transpose()?)?;
        Ok(Command {
            aggregate: self.deciding.setup.category.clone(),
            key: self.key.clone(),
            id: id.unwrap_or_else(|| format!("command-{index}")),
            command_type,
            data: data.to_string().into_bytes(),
            content_type: None,
            metadata,
            expected: ExpectedVersion::Any,
            condition: None,
            deadline_ms: None,
        })
    }

    /// The bus, with an aggregate that was made before, or not.
    fn bus(&mut self) -> Result<Commands, KitError> {
        if let (Some(bus), false) = (&self.bus, self.disturbance.crash) {
            return Ok(bus.clone());
        }
        let claims = Claims::default();
        let mut setup = self.deciding.setup.clone();
        if self.disturbance.crash {
            // So that what is made anew is made of a snapshot.
            setup.policy.snapshot_every = 1;
        }
        claims.claim(setup).map_err(|error| KitError::Host { reason: error.to_string() })?;
        let bus = Commands::new(self.store.clone(), claims, Arc::clone(&self.clock) as Arc<dyn Clock>);
        Ok(self.bus.insert(bus).clone())
    }

    async fn send(&mut self, index: usize, command: Command, came: &mut Came) -> Result<(), KitError> {
        let bus = self.bus()?;
        let watch = Stopwatch::start();
        let answer = bus.send(command.clone(), Commands::allow_all()).await;
        let us = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        if self.disturbance.twice {
            let again = bus.send(command.clone(), Commands::allow_all()).await;
            let [once, twice] = [&answer, &again].map(|answer| answer.as_ref().ok().map(|settled| &settled.outcome));
            if once != twice {
                came.differ(format!("command {index} had another outcome when it was sent again"), None);
            }
        }
        let given = Given { index, event_type: command.command_type, stream: Some(self.stream.to_string()) };
        let call = came.take(index, answer, given, &self.stored()?);
        came.calls.push(Call { us, ..call });
        Ok(())
    }

    fn stored(&self) -> Result<Vec<RecordedEvent>, KitError> {
        let failed = |error: StoreError| KitError::Host { reason: error.to_string() };
        Ok(self.store.store().read(&everything()).map_err(failed)?.events)
    }

    /// What the aggregate shows of itself, where that is an object of JSON.
    async fn state(&mut self) -> Result<Option<BTreeMap<String, Value>>, KitError> {
        let category = self.deciding.setup.category.clone();
        match self.bus()?.state_at(self.stream.clone(), Some(category), Point::Now).await {
            Ok(found) => Ok(serde_json::from_slice(&found.state).ok()),
            Err(CommandError::NoSuchAggregate { .. }) => Ok(Some(BTreeMap::new())),
            // It shows nothing of itself, or is at fault, which its commands have told.
            Err(_) => Ok(None),
        }
    }
}

fn not_a_fixture(file: &Path, reason: String) -> KitError {
    KitError::NotAFixture { file: file.into(), reason }
}

fn decided_of(command: usize, event: &RecordedEvent) -> Decided {
    Decided {
        command,
        event_type: event.event_type.to_string(),
        tags: event.tags.iter().map(ToString::to_string).collect(),
        data: json_or_text(&event.data),
    }
}

fn appended(cause: usize, event: &RecordedEvent) -> super::Appended {
    super::Appended {
        cause,
        event_type: event.event_type.to_string(),
        stream: event.stream.as_ref().map(ToString::to_string),
        tags: event.tags.iter().map(ToString::to_string).collect(),
        data: json_or_text(&event.data),
    }
}
