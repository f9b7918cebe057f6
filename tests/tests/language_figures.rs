//! What a plugin costs in each language, by the same plugin in all of them: the table of `docs/src/languages.md`.
//!
//! `cargo test --release -p tidemill-tests --test language_figures -- --ignored --nocapture` prints it. Ratios hold from
//! machine to machine; absolute figures do not. Times are the processor's, of the whole process (Linux): delivery,
//! commits and compiling on every core included. By the clock are those that are too short for that: a load from the
//! cache, and the start of an instance, which is what its first call takes longer than those after it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tidemill::clock::SystemClock;
use tidemill::delivery::{Effects, EventBatch, Handled, Handler, Permit, Policy, Setup, Subscription, Usage, spawn};
use tidemill::event::{EventType, NewEvent, Pattern, PluginName};
use tidemill::runtime::{Engine, EngineOptions, InstanceOptions, Limits, LoadedComponent};
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, Store};
use tidemill_plugins::ORDER_TOTALS;
use tidemill_templates::{LANGUAGES, Language};
use tidemill_tests::projects::{Project, can_build};
use tokio::runtime::Runtime;

const EVENTS: u64 = 20_000;
const CUSTOMERS: u64 = 100;
const ROUNDS: u32 = 3;

#[test]
#[ignore = "measures for minutes and prints a table"]
fn what_a_plugin_costs_in_each_language() {
    let runtime = Runtime::new().unwrap();
    let data = temporary();
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(&OpenOptions::new(data.path()), Arc::new(SystemClock)).unwrap());
    fill(&store);
    println!(
        "| language | component | compile | from the cache | start of an instance | its memory | an event, by 1 | by 256 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for language in LANGUAGES.iter().filter(|language| can_build(language)) {
        let component = component(language);
        let cache = temporary();
        let (compile, _, _) = load(&component, cache.path());
        let (_, cached, loaded) = load(&component, cache.path());
        let mut seen = Seen::default();
        let [one, many] = [1, 256].map(|batch| {
            let rounds = (0..ROUNDS).map(|round| {
                let name = format!("{}-{batch}-{round}", language.name);
                let (took, now) = deliver(&runtime, &store, &loaded, batch, &name);
                seen.add(&now);
                took
            });
            rounds.min().unwrap().as_secs_f64() * 1e6 / EVENTS as f64
        });
        let [size, memory] = [component.len(), seen.memory_bytes].map(|bytes| format!("{:.2} MB", bytes as f64 / 1e6));
        let [compile, cached, start] =
            [compile, cached, seen.start()].map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
        let title = language.title;
        println!("| {title} | {size} | {compile} | {cached} | {start} | {memory} | {one:.0} µs | {many:.0} µs |");
    }
}

/// What was seen of an instance.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Its first call, and the shortest after it.
    first: Option<Duration>,
    later: Option<Duration>,
    /// The most memory that it had.
    memory_bytes: usize,
}

impl Seen {
    fn call(&mut self, took: Duration, memory_bytes: usize) {
        match self.first {
            None => self.first = Some(took),
            Some(_) => self.later = Some(self.later.map_or(took, |shortest| shortest.min(took))),
        }
        self.memory_bytes = self.memory_bytes.max(memory_bytes);
    }

    /// Takes over the shortest of each time and the most memory.
    fn add(&mut self, other: &Self) {
        let shortest = |one: Option<Duration>, two: Option<Duration>| one.into_iter().chain(two).min();
        self.first = shortest(self.first, other.first);
        self.later = shortest(self.later, other.later);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
    }

    fn start(&self) -> Duration {
        self.first.unwrap_or_default().saturating_sub(self.later.unwrap_or_default())
    }
}

/// A handler whose calls are timed.
struct Timed {
    inner: Box<dyn Handler>,
    seen: Arc<Mutex<Seen>>,
}

impl Handler for Timed {
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        let begin = Instant::now();
        let handled = self.inner.handle(batch, effects);
        let took = begin.elapsed();
        self.seen.lock().unwrap().call(took, self.inner.usage().memory_peak_bytes);
        handled
    }

    fn usage(&self) -> Usage {
        self.inner.usage()
    }
}

fn temporary() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The shared example in this language.
fn component(language: &'static Language) -> Vec<u8> {
    if language.name == "rust" {
        return ORDER_TOTALS.component.to_vec();
    }
    let project = Project::new(language, "figures", "order-totals");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins/order-totals");
    project.replace_source(&example.join(language.name).join(Path::new(language.source).file_name().unwrap()));
    project.build()
}

fn fill(store: &Arc<dyn Store>) {
    let event = |number: u64| {
        let customer = format!("customer-{}", number % CUSTOMERS);
        let body = json!({ "order": number.to_string(), "customer": customer, "total_cents": 1250 });
        NewEvent::json(EventType::new("OrderPlaced").unwrap(), body.to_string().as_bytes())
    };
    for first in (0..EVENTS).step_by(1000) {
        let events = (first..first + 1000).map(event).collect();
        store.append(AppendRequest::unconditional(events)).wait().unwrap();
    }
}

/// The processor's time of a load, the clock's, and what was loaded.
fn load(component: &[u8], cache: &Path) -> (Duration, Duration, LoadedComponent) {
    let engine = Engine::new(EngineOptions { cache_dir: Some(cache.into()), ..EngineOptions::default() }).unwrap();
    let (cpu, begin) = (cpu_time(), Instant::now());
    let loaded = engine.load(component).unwrap();
    (cpu_time() - cpu, begin.elapsed(), loaded)
}

/// Handles every event from the beginning, under a name of its own; the time it took, and what was seen of its instance.
fn deliver(
    runtime: &Runtime,
    store: &Arc<dyn Store>,
    loaded: &LoadedComponent,
    batch: usize,
    name: &str,
) -> (Duration, Seen) {
    let plugin = PluginName::new(name).unwrap();
    let limits = Limits::default();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let inner = loaded.subscriber(InstanceOptions::new(plugin.clone(), limits));
    let handler: Box<dyn Handler> = Box::new(Timed { inner, seen: Arc::clone(&seen) });
    let policy = Policy { batch_events_max: batch, ..Policy::default() };
    let subscription = Subscription {
        filter: tidemill::event::Filter { types: vec![Pattern::new("OrderPlaced").unwrap()], ..Default::default() },
        ..Subscription::default()
    };
    let append = Permit::of([Pattern::new("CustomerGotVip").unwrap()]);
    let ([component_digest, manifest_digest], handlers) = ([const { String::new() }; 2], vec![handler]);
    let setup = Setup { plugin, subscription, policy, append, component_digest, manifest_digest, handlers };
    let begin = cpu_time();
    let took = runtime.block_on(async {
        let dispatcher = spawn(setup, Arc::clone(store), Arc::new(SystemClock));
        let mut watch = dispatcher.watch();
        let settled = watch.wait_for(|status| status.checkpoint.0 >= EVENTS).await.unwrap().clone();
        assert_eq!((settled.counters.handled, settled.counters.parked), (EVENTS, 0), "{settled:?}");
        let took = cpu_time() - begin;
        dispatcher.stop().await;
        took
    });
    let seen = seen.lock().unwrap().clone();
    (took, seen)
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Fields 14 and 15, in hundredths of a second, counted after the command's closing parenthesis.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}
