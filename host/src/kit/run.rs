//! Fixtures run: real delivery over a store in memory, until everything is settled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::KitError;
use super::deciding::Deciding;
use super::fixture::{Fixture, Then};
use super::recorded::{Call, Calls, Recorded};
use super::report::{Difference, Report, compare};
use super::world::World;
use super::wrapped::{Disturbance, Disturbed};
use crate::clock::SystemClock;
use crate::command::AggregateSetup;
use crate::delivery::{Backoff, Dispatcher, Handler, Setup, Start, State, Status, Usage, spawn};
use crate::event::{Category, Filter, PluginName, Position};
use crate::plugin::{Loaded, Loader, Manifest, Proposed, Runnable, SecretResolver, runnable};
use crate::projection::Projection;
use crate::runtime::{Description, InstanceOptions, LoadError, LoadOptions, LogLine, Role, Transcript};
use crate::store::StoreError;

/// How often an event is tried, unless the manifest says less.
const ATTEMPTS_MAX: u32 = 2;
/// How long a plugin may take to settle what it is given.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// A component with its manifest, ready to be given events.
pub struct Kit {
    name: PluginName,
    loaded: Arc<dyn Loaded>,
    filter: Filter,
    component: PathBuf,
    manifest: Manifest,
    manifest_path: PathBuf,
    secrets: Box<dyn SecretResolver>,
}

/// A fixture that was run event by event.
#[derive(Clone, Debug)]
pub struct Traced {
    /// What came of it, whole.
    pub report: Report,
    /// Each call of the plugin.
    pub calls: Vec<Call>,
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
        let Runnable { loaded, setup, .. } = runnable(proposed, None, loader, &*secrets)?;
        Ok(Self {
            name: proposed.name.clone(),
            loaded,
            filter: setup.subscription.filter,
            component: proposed.component_path.into(),
            manifest: proposed.manifest.clone(),
            manifest_path: proposed.manifest_path.into(),
            secrets,
        })
    }

    /// How the component introduces itself, if it does.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.loaded.description()
    }

    /// Whether it reaches nothing outside.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        self.loaded.replayable()
    }

    /// Which events it is handed.
    #[must_use]
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Runs a fixture, and says what came of it. Blocks.
    ///
    /// # Errors
    /// When its events are none, or its settings do not fit the manifest.
    pub fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Report, KitError> {
        let Traced { mut report, .. } = self.once(file, fixture, disturbance, &self.manifest)?;
        keep_what_is_said(&mut report.found, &fixture.then);
        Ok(report)
    }

    /// Runs a fixture with every event in a call of its own, and says what came of each. Blocks. It may expect
    /// nothing.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn trace(&self, file: &Path, fixture: &Fixture) -> Result<Traced, KitError> {
        let mut manifest = self.manifest.clone();
        manifest.policy.batch_events_max = 1;
        manifest.policy.partitions = 1;
        self.once(file, fixture, Disturbance::default(), &manifest)
    }

    fn once(
        &self,
        file: &Path,
        fixture: &Fixture,
        disturbance: Disturbance,
        manifest: &Manifest,
    ) -> Result<Traced, KitError> {
        if self.loaded.roles().contains(&Role::Aggregate) {
            let report = self.decide(file, fixture, disturbance, manifest)?;
            return Ok(Traced { report, calls: Vec::new() });
        }
        let world = World::of(file, fixture, &self.name)?;
        let calls = Calls::default();
        let (setup, projection) = self.setup(fixture, disturbance, manifest, world.given, &calls)?;
        let partitions = setup.handlers.len();
        let status = runtime()?.block_on(deliver(setup, &world));
        let calls = calls.take();
        let failed = |error: StoreError| KitError::Host { reason: error.to_string() };
        let mut found = world.found(&status).map_err(failed)?;
        found.log = Some(logged(&calls));
        if let (Some(queries), Some(mut projection)) = (&fixture.then.queries, projection) {
            let moment = world.moment().map_err(failed)?;
            found.queries = Some(queries.iter().map(|asked| asked.ask(&mut *projection, moment.clone())).collect());
        }
        let mut expected = fixture.then.clone();
        if partitions > 1 {
            // Partitions append and log side by side: their order says nothing.
            [&mut expected, &mut found].into_iter().for_each(Then::sort);
        }
        if disturbance.partitions > 0 {
            // What met the writes of another partition is done again, and logged again.
            expected.log = None;
        }
        let mut differences = compare(&expected, &found);
        differences.extend(status.as_ref().err().map(unsettled));
        let cost = status.as_ref().unwrap_or_else(|status| status).cost;
        let report = Report {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            about: fixture.about.clone(),
            differences,
            found,
            settled: status.is_ok(),
            handler_us: cost.handler_us,
            fuel: cost.usage.fuel,
            memory_peak_bytes: cost.usage.memory_peak_bytes,
        };
        Ok(Traced { report, calls })
    }

    /// Sends the commands of a fixture to the component, which decides them.
    fn decide(
        &self,
        file: &Path,
        fixture: &Fixture,
        disturbance: Disturbance,
        manifest: &Manifest,
    ) -> Result<Report, KitError> {
        let host = |reason: String| KitError::Host { reason };
        let proposed = self.proposed(manifest);
        let Runnable { setup, options, loaded } =
            runnable(&proposed, Some(Arc::clone(&self.loaded)), &NoLoader, &*self.secrets)?;
        let code = loaded.aggregate(options).ok_or_else(|| host("it decides nothing".into()))?;
        let named = manifest.aggregate.category.clone();
        let category = named.map_or_else(|| Category::new(self.name.as_str()), Ok);
        let setup = AggregateSetup {
            plugin: self.name.clone(),
            category: category.map_err(|reason| host(reason.to_string()))?,
            digest: setup.component_digest,
            granted: setup.granted,
            code,
            policy: manifest.aggregate.clone(),
        };
        let deciding = Deciding::new(file, setup, disturbance).map_err(|reason| host(reason.to_string()))?;
        let (found, cost) = runtime()?.block_on(deciding.run(fixture))?;
        Ok(Report {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            about: fixture.about.clone(),
            differences: compare(&fixture.then, &found),
            found,
            settled: true,
            handler_us: cost.us(),
            fuel: 0,
            memory_peak_bytes: cost.memory_peak_bytes(),
        })
    }

    fn proposed<'a>(&'a self, manifest: &'a Manifest) -> Proposed<'a> {
        Proposed {
            name: &self.name,
            component: &[],
            component_path: &self.component,
            manifest,
            manifest_path: &self.manifest_path,
        }
    }

    /// What runs for a fixture: the manifest with its settings, and few, quick attempts.
    fn setup(
        &self,
        fixture: &Fixture,
        disturbance: Disturbance,
        manifest: &Manifest,
        given: Position,
        calls: &Calls,
    ) -> Result<(Setup, Option<Box<dyn Projection>>), KitError> {
        let mut manifest = manifest.clone();
        let settings = fixture.config.iter().map(|(key, value)| (key.clone(), text(value)));
        manifest.config.extend(settings);
        manifest.policy.max_attempts = manifest.policy.max_attempts.min(ATTEMPTS_MAX);
        manifest.policy.backoff = Backoff { initial_ms: 1, max_ms: 1, jitter: false };
        if disturbance.partitions > 0 {
            manifest.policy.partitions = disturbance.partitions;
        }
        let loaded = Some(Arc::clone(&self.loaded));
        let Runnable { mut setup, options, loaded } =
            runnable(&self.proposed(&manifest), loaded, &NoLoader, &*self.secrets)?;
        setup.subscription.start = Start::After(given);
        let handler = || -> Box<dyn Handler> {
            let transcript = Transcript::kept();
            let inner =
                disturbed(&loaded, InstanceOptions { transcript: transcript.clone(), ..options.clone() }, disturbance);
            Box::new(Recorded { inner, transcript, calls: calls.clone(), given })
        };
        setup.handlers = (0..manifest.policy.partitions.max(1)).map(|_| handler()).collect();
        Ok((setup, loaded.projection(options.clone())))
    }
}

fn runtime() -> Result<Runtime, KitError> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| KitError::Host { reason: error.to_string() })
}

fn disturbed(loaded: &Arc<dyn Loaded>, options: InstanceOptions, disturbance: Disturbance) -> Box<dyn Handler> {
    let (loaded, transcript) = (Arc::clone(loaded), options.transcript.clone());
    let make = Box::new(move || loaded.subscriber(options.clone()));
    Box::new(Disturbed { disturbance, inner: make(), make, transcript, before: Usage::default() })
}

/// Nothing is loaded twice.
struct NoLoader;

impl Loader for NoLoader {
    fn load(&self, _: &[u8], _: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
        Err(LoadError::Engine { reason: "it is loaded already".into() })
    }
}

/// A setting, as the guest sees it: text as it is, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value, as fixtures show it.
pub(super) fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// The lines of calls that count.
fn logged(calls: &[Call]) -> Vec<LogLine> {
    calls.iter().filter(|call| call.is_final()).flat_map(|call| call.log.iter().cloned()).collect()
}

fn unsettled(status: &Status) -> Difference {
    let what = "it has not settled its events within a minute".to_owned();
    Difference { what, expected: None, found: Some(Value::String(status.state.as_str().to_owned())) }
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
    if said.log.is_none() {
        found.log = None;
    }
    if said.outcomes.is_none() {
        found.outcomes = None;
    }
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
