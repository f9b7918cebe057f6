//! Fixtures of what handles events: real delivery over a store in memory, until everything is settled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::KitError;
use super::fixture::{Fixture, Then};
use super::heard::unheard;
use super::recorded::{Call, Calls, Recorded};
use super::report::{Difference, Report, compare};
use super::subject::Traced;
use super::world::World;
use super::wrapped::{Disturbance, Disturbed};
use crate::clock::SystemClock;
use crate::delivery::{Backoff, Dispatcher, Handler, Setup, Start, State, Status, Usage, spawn};
use crate::event::{Filter, PluginName, Position};
use crate::plugin::{Loaded, Loader, Manifest, Proposed, Runnable, SecretResolver, runnable};
use crate::projection::Projection;
use crate::runtime::{InstanceOptions, LoadError, LoadOptions, LogLine, Transcript};
use crate::store::StoreError;

/// How often an event is tried, unless the manifest says less.
const ATTEMPTS_MAX: u32 = 2;
/// How long a plugin may take to settle what it is given.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// A component that handles events, with its manifest.
pub(super) struct Handling {
    name: PluginName,
    loaded: Arc<dyn Loaded>,
    pub(super) filter: Filter,
    component: PathBuf,
    manifest: Manifest,
    manifest_path: PathBuf,
    secrets: Box<dyn SecretResolver>,
}

impl Handling {
    pub(super) fn new(proposed: &Proposed<'_>, runnable: Runnable, secrets: Box<dyn SecretResolver>) -> Self {
        Self {
            name: proposed.name.clone(),
            loaded: runnable.loaded,
            filter: runnable.setup.subscription.filter,
            component: proposed.component_path.into(),
            manifest: proposed.manifest.clone(),
            manifest_path: proposed.manifest_path.into(),
            secrets,
        }
    }

    pub(super) fn loaded(&self) -> &dyn Loaded {
        &*self.loaded
    }

    /// Runs a fixture as the manifest says. One of which it listens to nothing is none.
    pub(super) fn run(&self, file: &Path, fixture: &Fixture, disturbance: Disturbance) -> Result<Traced, KitError> {
        let traced = self.once(file, fixture, disturbance, &self.manifest)?;
        match traced.report.warnings.as_slice() {
            [first, ..] if traced.report.warnings.len() == fixture.when.len() => Err(KitError::NotAFixture {
                file: file.into(),
                reason: format!("it listens to no event of `when`, so nothing is handled: {first}"),
            }),
            _ => Ok(traced),
        }
    }

    /// Runs a fixture with every event in a call of its own.
    pub(super) fn trace(&self, file: &Path, fixture: &Fixture) -> Result<Traced, KitError> {
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
        found.leave_out_the_hosts(&expected);
        if disturbance.partitions > 0 {
            // What met the writes of another partition is done again, and logged again.
            expected.log = None;
        }
        let mut differences = compare(&expected, &found);
        differences.extend(status.as_ref().err().map(unsettled));
        let cost = status.as_ref().unwrap_or_else(|status| status).cost;
        let report = Report {
            differences,
            found,
            warnings: unheard(&self.filter, &world.when),
            settled: status.is_ok(),
            handler_us: cost.handler_us,
            fuel: cost.usage.fuel,
            memory_peak_bytes: cost.usage.memory_peak_bytes,
            ..Report::about(file, fixture)
        };
        Ok(Traced { report, calls })
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

fn disturbed(loaded: &Arc<dyn Loaded>, options: InstanceOptions, disturbance: Disturbance) -> Box<dyn Handler> {
    let (loaded, transcript) = (Arc::clone(loaded), options.transcript.clone());
    let make = Box::new(move || loaded.subscriber(options.clone()));
    Box::new(Disturbed { disturbance, inner: make(), make, transcript, before: Usage::default() })
}

/// What drives a run.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, KitError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(|error| KitError::Host { reason: error.to_string() })
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
