//! A plugin that is replaced hundreds of times while events keep coming, by versions of which many are broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tidemill::clock::SystemClock;
use tidemill::delivery::live_owner;
use tidemill::event::{EventType, Filter, NewEvent, Pattern, PluginName, Position};
use tidemill::plugin::{PluginInfo, Registry, RegistryOptions};
use tidemill::runtime::{CompileLimits, Compiler, Engine, EngineOptions};
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, ReadRequest, Store};
use tidemill_plugins::{COUNTER, Example};
use tidemill_tests::{another_version, guests, install, poll, replace, tidemill};

use crate::raw;

/// How often the plugin is replaced, or is tried to be.
const RELOADS: u8 = 200;
/// Good versions that take turns.
const VERSIONS: u8 = 4;
/// What loops at its start ends by its fuel soon; time is enough for the others, however busy the machine is.
const MANIFEST: &str = "[subscribe]\ntypes = [\"Ticked\"]\n[grants]\nappend = [\"Echoed\"]\n\
                        [limits]\nbatch_time = \"600s\"\nfuel = 100000000\n";

/// A store, and the plugins of a directory that is looked at often.
struct Setting {
    store: Arc<dyn Store>,
    registry: Registry,
    plugins: PathBuf,
    _directory: TempDir,
}

impl Setting {
    fn start(compiler: Option<Compiler>, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [data, plugins, cache] = ["data", "plugins", "cache"].map(|name| directory.path().join(name));
        std::fs::create_dir(&plugins).unwrap();
        prepare(&plugins);
        let clock = Arc::new(SystemClock);
        let store: Arc<dyn Store> =
            Arc::new(EmbeddedStore::open(&OpenOptions::new(&data), Arc::clone(&clock) as _).unwrap());
        let engine =
            Engine::new(EngineOptions { cache_dir: Some(cache), compiler, ..EngineOptions::default() }).unwrap();
        let options = RegistryOptions {
            debounce: Duration::from_millis(5),
            poll: Duration::from_millis(100),
            ..RegistryOptions::new(plugins.clone(), Arc::clone(&store), clock, Arc::new(engine))
        };
        let registry = Registry::start(options);
        Self { store, registry, plugins, _directory: directory }
    }

    fn info(&self, name: &PluginName) -> Option<PluginInfo> {
        self.registry.get(name)
    }

    fn append(&self, count: u64) -> u64 {
        let event = || NewEvent::json(EventType::new("Ticked").unwrap(), "{}");
        let events = (0..count).map(|_| event()).collect();
        self.store.append(AppendRequest::unconditional(events)).wait().unwrap();
        count
    }

    /// Waits for a version after this one to run; answers which it is.
    fn next(&self, name: &PluginName, generation: u64) -> u64 {
        poll(&format!("a version after {generation}"), || {
            let info = self.info(name)?;
            let now = info.running.as_ref()?.generation;
            (now > generation && info.problem.is_none()).then_some(now)
        })
    }

    /// Waits until everything is settled, what the plugin appends itself included.
    fn settle(&self, name: &PluginName) {
        poll("the plugin to come to rest", || {
            let status = self.registry.dispatcher(name)?.status();
            (status.checkpoint == self.store.head()).then_some(())
        });
    }

    /// Positions of the events of a type, and their streams.
    fn events(&self, event_type: &str) -> Vec<(Position, Option<String>)> {
        let filter = Filter { types: vec![Pattern::new(event_type).unwrap()], ..Filter::default() };
        let (mut found, mut after) = (Vec::new(), Position(0));
        loop {
            let page = self.store.read(&ReadRequest { query: filter.clone().into(), after, ..ReadRequest::default() });
            let events = page.unwrap().events;
            let Some(last) = events.last() else { return found };
            after = last.position;
            found.extend(events.iter().map(|event| (event.position, event.stream.as_ref().map(ToString::to_string))));
        }
    }
}

fn name(text: &str) -> PluginName {
    PluginName::new(text).unwrap()
}

/// The version that comes as number `reload`, and why it is not loaded, if it is not.
fn version(reload: u8) -> (Vec<u8>, Option<&'static str>) {
    match reload % 10 {
        3 => (b"garbage".to_vec(), Some("not WebAssembly")),
        5 => (guests::HTTP_GET.to_vec(), Some("in [grants]: http")),
        7 => (raw::component(raw::LOOP_AT_START), Some("start")),
        _ => (another_version(guests::EMIT, reload % VERSIONS), None),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_hundreds_of_reloads_under_load_handle_every_event_once_and_in_order() {
    let first = Example { name: "", component: guests::EMIT, manifest: MANIFEST };
    let setting = Setting::start(None, |plugins| install(plugins, "echo", &first));
    let (echo, stop) = (name("echo"), AtomicBool::new(false));
    let file = setting.plugins.join("echo/plugin.wasm");
    let appended = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (1_u64..).map_while(|n| (!stop.load(Ordering::Relaxed)).then(|| setting.append(n % 7 + 1))).sum::<u64>()
        });
        let mut generation = setting.next(&echo, 0);
        for reload in 0..RELOADS {
            let (component, refused) = version(reload);
            replace(&file, &component);
            match refused {
                None => generation = setting.next(&echo, generation),
                Some(word) => poll(&format!("version {reload} to be refused"), || {
                    let info = setting.info(&echo)?;
                    assert_eq!(info.running?.generation, generation, "the last good version runs on");
                    info.problem?.reason.contains(word).then_some(())
                }),
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    setting.settle(&echo);
    let expected: Vec<_> =
        setting.events("Ticked").into_iter().map(|(position, _)| Some(format!("echo-{position}"))).collect();
    let echoed: Vec<_> = setting.events("Echoed").into_iter().map(|(_, stream)| stream).collect();
    assert!(appended > 0 && expected.len() as u64 == appended);
    assert!(echoed == expected, "every event is echoed once, and in order");
    let owner = live_owner(&echo, &*setting.store).unwrap();
    let count = setting.store.state_get(&owner, "count").unwrap().unwrap();
    assert_eq!(String::from_utf8(count).unwrap(), appended.to_string());
    assert_eq!(setting.store.dead_letter_count(&owner).unwrap(), 0);
    setting.registry.shutdown().await;
}

/// Takes the compiler many seconds, and exports nothing.
fn slow_to_compile() -> Vec<u8> {
    let locals = 400;
    let sums: String = (1..=locals)
        .map(|local| format!("(local.set {local} (i64.add (local.get {local}) (local.get {})))", local % locals + 1))
        .collect();
    let loops = format!("(loop {sums} (br_if 0 (local.get 0)))").repeat(100);
    let function = format!("(func (param i32) (local {}) {loops})", "i64 ".repeat(locals));
    wat::parse_str(format!("(component (core module {}))", function.repeat(64))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_replaced_while_it_compiles_never_runs_and_delays_nobody() {
    let limits = CompileLimits { time_ms: 120_000, ..CompileLimits::default() };
    let compiler = Compiler::tidemill(PathBuf::from(tidemill().get_program()), limits);
    let setting = Setting::start(Some(compiler), |plugins| {
        install(plugins, "it", &COUNTER);
        install(plugins, "other", &COUNTER);
    });
    let (it, other) = (name("it"), name("other"));
    [&it, &other].into_iter().for_each(|plugin| assert_eq!(setting.next(plugin, 0), 1));
    let file = setting.plugins.join("it/plugin.wasm");
    replace(&file, &slow_to_compile());
    let loading = || setting.info(&it).is_some_and(|info| info.loading);
    poll("the slow version to be compiled", || loading().then_some(()));
    tokio::task::block_in_place(|| setting.append(5));
    [&it, &other].into_iter().for_each(|plugin| setting.settle(plugin));
    assert!(loading(), "both have counted while it is compiled");
    replace(&file, &another_version(COUNTER.component, 1));
    assert_eq!(setting.next(&it, 1), 2, "nothing ran in between");
    tokio::task::block_in_place(|| setting.append(5));
    [&it, &other].into_iter().for_each(|plugin| setting.settle(plugin));
    setting.registry.shutdown().await;
}
