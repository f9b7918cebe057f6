//! Fixtures of what handles events: real delivery over a store in memory, until everything is settled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::KitError;
use super::fixture::{Fixture, Then, Waited};
use super::heard::unheard;
use super::recorded::{Call, Calls, Recorded};
use super::report::{Difference, Report, compare};
use super::subject::Traced;
use super::world::World;
use super::wrapped::{Disturbance, Disturbed};
use crate::clock::Clock;
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
        found.waits = Some(waits(&calls));
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
            // What met the writes of another partition is done again: it is logged, and asks for time, once more.
            (expected.log, expected.waits) = (None, None);
        }
        let mut differences = compare(&expected, &found);
        differences.extend(status.as_ref().err().map(unsettled));
        let cost = status.as_ref().unwrap_or_else(|status| status).cost;
        let report = Report {
            differences,
            found,
            warnings: unheard(&self.filter, &world.when),
            settled: status.is_ok(),
            // By a stopwatch: the clock of delivery stands still, but for waits.
            handler_us: calls.iter().map(|call| call.us).sum(),
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
            Box::new(Recorded { inner, transcript, calls: calls.clone(), given, asked: BTreeMap::new() })
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

/// The waits that were given.
fn waits(calls: &[Call]) -> Vec<Waited> {
    let waited = |call: &Call| {
        let (event, reason) = (call.events.first()?.index, call.reason.clone().into_iter().collect());
        Some(Waited { event, after_ms: call.retry_after_ms?, reason })
    };
    calls.iter().filter(|call| call.waited).filter_map(waited).collect()
}

fn unsettled(status: &Status) -> Difference {
    let what = "it has not settled its events within a minute".to_owned();
    Difference { what, expected: None, found: Some(Value::String(status.state.as_str().to_owned())) }
}

/// Delivers until everything is settled or the plugin stops; the status then, as an error when neither comes.
async fn deliver(setup: Setup, world: &World) -> Result<Status, Status> {
    let dispatcher = spawn(setup, Arc::clone(&world.store), Arc::clone(&world.clock) as Arc<dyn Clock>);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{
        Effects, EventBatch, Evidence, Failure, HandleError, Handled, Permit, Policy, Subscription, Verdict,
    };

    const MINUTE_MS: u64 = 60_000;

    /// Asks for a minute for its first event, so many times.
    struct Asks(u32);

    impl Handler for Asks {
        fn handle(&mut self, _: EventBatch, effects: Effects) -> Handled {
            let verdict = Verdict::Retry { after_ms: Some(MINUTE_MS) };
            let failure = Failure { index: 0, verdict, reason: "the bank is closed".into() };
            let outcome = if self.0 == 0 { Ok(()) } else { Err(HandleError::Failure(failure)) };
            self.0 = self.0.saturating_sub(1);
            Handled { effects, outcome, evidence: Evidence::default() }
        }
    }

    /// The events waited for, those set aside with their attempts, and by how much the clock moved, in milliseconds.
    fn asked(times: u32) -> (Vec<usize>, Vec<(usize, u32)>, u64) {
        let (file, plugin) = (Path::new("a.json"), PluginName::new("p").unwrap());
        let text = r#"{"when":[{"type":"A"},{"type":"B"}],"then":{"waits":[]}}"#;
        let world = World::of(file, &Fixture::parse(file, text).unwrap(), &plugin).unwrap();
        let calls = Calls::default();
        let handler = Recorded {
            inner: Box::new(Asks(times)),
            transcript: Transcript::kept(),
            calls: calls.clone(),
            given: world.given,
            asked: BTreeMap::new(),
        };
        let backoff = Backoff { initial_ms: 1, max_ms: 1, jitter: false };
        let setup = Setup {
            plugin,
            subscription: Subscription::default(),
            policy: Policy { max_attempts: ATTEMPTS_MAX, backoff, ..Policy::default() },
            append: Permit::default(),
            component_digest: String::new(),
            manifest_digest: String::new(),
            handlers: vec![Box::new(handler)],
        };
        let began_us = world.clock.now_us();
        let status = runtime().unwrap().block_on(deliver(setup, &world));
        assert!(status.is_ok());
        let dead = world.found(&status).unwrap().dead_letters.unwrap();
        let waits = waits(&calls.take());
        assert!(waits.iter().all(|wait| wait.after_ms == MINUTE_MS && wait.reason == ["the bank is closed"]));
        let dead = dead.iter().map(|dead| (dead.event, dead.attempts)).collect();
        (waits.iter().map(|wait| wait.event).collect(), dead, (world.clock.now_us() - began_us) / 1000)
    }

    #[test]
    fn a_wait_that_is_asked_for_passes_at_once_and_counts_no_attempt() {
        assert_eq!(asked(2), (vec![0, 0], vec![], 2 * MINUTE_MS));
    }

    #[test]
    fn who_asks_for_ever_has_an_end() {
        let (waits, dead, _) = asked(u32::MAX);
        assert_eq!((waits, dead), (vec![0, 0, 0, 1, 1, 1], vec![(0, ATTEMPTS_MAX), (1, ATTEMPTS_MAX)]));
    }
}
