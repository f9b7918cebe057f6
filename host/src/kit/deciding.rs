//! Fixtures of a component that decides commands: they are sent by the real bus, one after the other, to one aggregate
//! over a store in memory.
//!
//! Between commands the aggregate stays in memory, as in a host. Under a disturbance it does not: thrown away before
//! each command it is made of its events, and with every command decided twice it is made of its snapshot, too
//! ([`super::doubted`]).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::command::command;
use super::doubted::{Cost, Doubted};
use super::fixture::{Fixture, Then};
use super::outcome::CameOf;
use super::report::Difference;
use super::run::json_or_text;
use super::world::{LOOKED_AT_MAX, event, ids, set};
use super::wrapped::Disturbance;
use super::{KitError, Written};
use crate::clock::{Clock, ManualClock};
use crate::command::{AggregateSetup, Claims, Command, CommandError, Commands, Outcome, Point, Settled};
use crate::event::{Filter, NameError, RecordedEvent, StreamName};
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, AsyncStore, ReadRequest, Store, StoreError};

/// The aggregate that a fixture speaks of: what follows the category in its stream's name.
const KEY: &str = "1";

/// What came of a fixture.
pub(super) struct Decided {
    pub(super) found: Then,
    /// What could not be had though it is expected.
    pub(super) missing: Option<Difference>,
    /// What all of it took.
    pub(super) cost: Cost,
    /// What each command took until it was settled.
    pub(super) took: Vec<Took>,
}

/// What one command took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// Time within calls, in microseconds.
    pub(super) us: u64,
    /// The most memory of an instance by then, in bytes.
    pub(super) memory_bytes: usize,
}

/// Why a state cannot be had.
struct Unhad {
    reason: String,
    /// Whether the code faults over it; it may have no snapshots either.
    is_fault: bool,
}

/// One run of a fixture.
pub(super) struct Deciding<'a> {
    file: &'a Path,
    setup: AggregateSetup,
    disturbance: Disturbance,
    cost: Cost,
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    stream: StreamName,
}

impl<'a> Deciding<'a> {
    pub(super) fn new(file: &'a Path, setup: AggregateSetup, disturbance: Disturbance) -> Result<Self, NameError> {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let stream = StreamName::new(format!("{}-{KEY}", setup.category))?;
        let cost = Cost::default();
        let code = Arc::new(Doubted::new(Arc::clone(&setup.code), disturbance.twice, cost.clone()));
        Ok(Self { file, setup: AggregateSetup { code, ..setup }, disturbance, cost, clock, store, stream })
    }

    /// Sends every command, and says what came of them.
    pub(super) async fn run(&self, fixture: &Fixture) -> Result<Decided, KitError> {
        if !fixture.given.state.is_empty() || !fixture.config.is_empty() {
            let reason = "a component that decides has no state but what its events make, and no settings: say \
                          `given.events`";
            return Err(self.bad(reason.into()));
        }
        self.history(&fixture.given.events).await?;
        let mut commands = self.commands();
        let (mut outcomes, mut took, mut appended) = (Vec::new(), Vec::new(), false);
        for (index, written) in fixture.when.iter().enumerate() {
            let command = self.command(index, written)?;
            if self.disturbance.crash {
                commands = self.commands();
            }
            let before_us = self.cost.us();
            let sent = commands.send(command, Commands::allow_all()).await;
            appended = sent.as_ref().is_ok_and(|settled| !followed(settled).is_empty());
            let mut came = match &sent {
                Ok(settled) => CameOf::settled(settled, &self.events(settled).map_err(failed)?),
                Err(error) => CameOf::failed(error),
            };
            let us = self.cost.us().saturating_sub(before_us);
            took.push(Took { us, memory_bytes: self.cost.memory_peak_bytes() });
            came.keep_what_is_said(fixture.then.outcomes.as_ref().and_then(|wanted| wanted.get(index)));
            outcomes.push(came);
        }
        let state = self.state(&commands).await?;
        // No later command would come upon it that the last one decided what cannot be taken in.
        let matters = |unhad: &&Unhad| fixture.then.state.is_some() || (appended && unhad.is_fault);
        let missing = state.as_ref().err().filter(matters).map(|Unhad { reason, .. }| Difference {
            what: format!("state, which cannot be had: {reason}"),
            expected: fixture.then.state.as_ref().map(|expected| json!(expected)),
            found: None,
        });
        let found = Then { state: state.ok(), outcomes: Some(outcomes), ..Then::default() };
        Ok(Decided { found, missing, cost: self.cost.clone(), took })
    }

    /// The bus, without an aggregate in memory.
    fn commands(&self) -> Commands {
        let claims = Claims::default();
        // Nobody else claims anything.
        let _ = claims.claim(self.setup.clone());
        Commands::new(AsyncStore::new(Arc::clone(&self.store)), claims, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    /// Stores what happened to the aggregate before.
    async fn history(&self, events: &[Written]) -> Result<(), KitError> {
        for ((index, written), id) in events.iter().enumerate().zip(ids()) {
            let bad = |reason: String| self.bad(format!("event {index} of `given`: {reason}"));
            let (mut event, time_us) = event(written, id).map_err(bad)?;
            event.stream.get_or_insert_with(|| self.stream.clone());
            set(&self.clock, time_us).map_err(bad)?;
            let appended = self.store.append(AppendRequest::unconditional(vec![event])).await;
            appended.map_err(|error| bad(error.to_string()))?;
        }
        Ok(())
    }

    fn command(&self, index: usize, written: &Written) -> Result<Command, KitError> {
        let read = command(index, written, (self.setup.category.clone(), KEY.into()), &self.clock);
        read.map_err(|reason| self.bad(format!("command {index} of `when`: {reason}")))
    }

    /// The events that followed from a command.
    fn events(&self, settled: &Settled) -> Result<Vec<RecordedEvent>, StoreError> {
        let followed = followed(settled);
        let query = Filter::stream(&self.stream).into();
        let request = ReadRequest { query, limit: LOOKED_AT_MAX, bytes_max: usize::MAX, ..ReadRequest::default() };
        let mut events = self.store.read(&request)?.events;
        events.retain(|event| followed.iter().any(|decided| decided.id == event.id));
        Ok(events)
    }

    /// The aggregate's state, empty where nothing happened to it; or why its code does not give it.
    async fn state(&self, commands: &Commands) -> Result<Result<BTreeMap<String, Value>, Unhad>, KitError> {
        let bytes = match commands.state_at(self.stream.clone(), None, Point::Now).await {
            Ok(found) => found.state,
            Err(CommandError::NoSuchAggregate { .. }) => return Ok(Ok(BTreeMap::new())),
            Err(error) => {
                let (reason, is_fault) = (error.to_string(), error.fault().is_some());
                let known = is_fault || matches!(error, CommandError::NoState { .. });
                return if known { Ok(Err(Unhad { reason, is_fault })) } else { Err(KitError::Host { reason }) };
            }
        };
        Ok(Ok(match json_or_text(&bytes) {
            Value::Object(fields) => fields.into_iter().collect(),
            other => [(String::new(), other)].into(),
        }))
    }

    fn bad(&self, reason: String) -> KitError {
        KitError::NotAFixture { file: self.file.into(), reason }
    }
}

/// What followed from a command.
fn followed(settled: &Settled) -> &[crate::command::Decided] {
    match &settled.outcome {
        Outcome::Accepted(decided) => decided,
        Outcome::Rejected(_) => &[],
    }
}

fn failed(error: StoreError) -> KitError {
    KitError::Host { reason: error.to_string() }
}
