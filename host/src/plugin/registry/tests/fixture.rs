//! A registry over a directory of its own, and what tests do to it and wait for.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;
use tracing_subscriber::fmt::MakeWriter;

use super::fake::FakeLoader;
use crate::clock::ManualClock;
use crate::command::Claims;
use crate::event::{EventType, NewEvent, PluginName, Position};
use crate::plugin::{
    Loader, PluginInfo, Problem, Registry, RegistryOptions, RunningInfo, SecretResolver, SecretSource,
};
use crate::store::memory::MemoryStore;
use crate::store::{AppendRequest, Store};

/// Long enough for any machine; no test waits for it unless it fails.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);

/// A registry over a directory of its own, at a pace that suits tests.
pub(super) struct Fixture {
    pub(super) directory: TempDir,
    pub(super) kept: TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) loader: Arc<FakeLoader>,
    pub(super) claims: Claims,
    pub(super) registry: Option<Registry>,
}

/// Secrets in files.
struct Files;

impl SecretResolver for Files {
    fn resolve(&self, source: &SecretSource) -> Result<String, String> {
        match source {
            SecretSource::File(path) => fs::read_to_string(path).map_err(|error| error.to_string()),
            SecretSource::Environment(_) => Err("there are none".into()),
        }
    }
}

impl Fixture {
    /// The directory is filled by `fill` before the registry starts.
    pub(super) fn new(fill: impl FnOnce(&Self)) -> Self {
        let loader = Arc::new(FakeLoader::default());
        Self::over(loader.clone(), loader, fill)
    }

    /// The same with a loader of its own.
    pub(super) fn with_loader(loader: Arc<dyn Loader>, fill: impl FnOnce(&Self)) -> Self {
        Self::over(Arc::default(), loader, fill)
    }

    fn over(fake: Arc<FakeLoader>, loader: Arc<dyn Loader>, fill: impl FnOnce(&Self)) -> Self {
        let clock = Arc::new(ManualClock::at(1_000));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let directory = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        let claims = Claims::default();
        let mut fixture = Self { directory, kept, clock, store, loader: fake, claims, registry: None };
        fill(&fixture);
        fixture.start(loader);
        fixture
    }

    fn start(&mut self, loader: Arc<dyn Loader>) {
        let options = RegistryOptions {
            secrets: Arc::new(Files),
            archive: Some(self.kept.path().into()),
            directory: self.directory.path().into(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            loader,
            checks: Arc::default(),
            schemas: Arc::default(),
            claims: self.claims.clone(),
            debounce: Duration::from_millis(5),
            poll: Duration::from_millis(50),
        };
        self.registry = Some(Registry::start(options));
    }

    /// Ends the registry, and starts another one over the same store and directory.
    pub(super) async fn restart(&mut self) {
        self.registry().shutdown().await;
        self.start(self.loader.clone());
    }

    pub(super) fn registry(&self) -> &Registry {
        self.registry.as_ref().unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a file there the way a careful tool does: written aside, then moved into place.
    pub(super) fn put(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let aside = path.with_extension("tmp");
        fs::write(&aside, content).unwrap();
        fs::rename(aside, path).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(super) async fn append(&self, count: usize) -> Position {
        let event = || NewEvent::json(EventType::new("E").unwrap(), "1");
        let events = (0..count).map(|_| event()).collect();
        self.store.append(AppendRequest::unconditional(events)).await.unwrap().last_position()
    }

    /// Waits until something holds of a plugin.
    pub(super) async fn until(&self, name: &str, holds: impl Fn(&PluginInfo) -> bool) -> PluginInfo {
        let now = || self.registry().get(&plugin(name));
        let what = || format!("{name} never came to it: {:?}", now());
        wait_or(what, || now().filter(|info| holds(info))).await
    }

    pub(super) async fn until_generation(&self, name: &str, generation: u64) -> RunningInfo {
        let info = self.until(name, |info| generation_of(info) == generation).await;
        info.running.unwrap()
    }

    pub(super) async fn until_problem(&self, name: &str) -> Problem {
        self.until(name, |info| info.problem.is_some()).await.problem.unwrap()
    }

    pub(super) async fn until_gone(&self, name: &str) {
        wait("it never went", || self.registry().get(&plugin(name)).is_none().then_some(())).await;
    }

    pub(super) async fn until_handled(&self, name: &str, position: Position) {
        let handled =
            |info: &PluginInfo| info.running.as_ref().is_some_and(|running| running.status.checkpoint >= position);
        self.until(name, handled).await;
    }

    /// Waits until the directory has been looked at several times more.
    pub(super) async fn looks(&self) {
        for round in 0..3 {
            let name = format!("probe-{round}");
            self.put(&format!("{name}.wasm"), "probe");
            self.until_generation(&name, 1).await;
            self.remove(&format!("{name}.wasm"));
            self.until_gone(&name).await;
        }
    }

    pub(super) fn loads(&self) -> Vec<String> {
        let loads = self.loader.loads.lock().unwrap();
        loads.iter().filter(|text| *text != "probe").cloned().collect()
    }

    pub(super) fn journal(&self) -> Vec<(String, u64)> {
        self.loader.journal.lock().unwrap().iter().map(|(label, position)| (label.clone(), position.0)).collect()
    }
}

pub(super) async fn wait<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or(|| what.to_owned(), look).await
}

/// The same, where what is told of it is as it was in the end.
async fn wait_or<T>(what: impl FnOnce() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let poll = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("{}", what()))
}

pub(super) fn plugin(name: &str) -> PluginName {
    PluginName::new(name).unwrap()
}

pub(super) fn generation_of(info: &PluginInfo) -> u64 {
    info.running.as_ref().map_or(0, |running| running.generation)
}

/// Everything logged by this thread while it lives.
#[derive(Clone, Default)]
pub(super) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    pub(super) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let subscriber = tracing_subscriber::fmt().with_writer(logged.clone()).with_ansi(false).finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
