//! How fast stored events reach a subscriber with durable state, and what an idle host weighs.
//!
//! Run by `cargo bench -p tidemill-tests --bench delivery`. One run measures, over the same store and the
//! same dispatcher, counting by type in three forms: the counter component, which takes batches in bulk; a
//! component on the plain lane; a native handler. Then rebuilding the state of the first beside the live one; then
//! catching up on a type that is rare among many other events; by several plugins, partitions and sizes of batches;
//! reloads under load; idle hosts with ten and with two hundred plugins. An option measures one part alone:
//! `--catch-up`, `--rebuild`, `--rare`, `--plugins`, `--partitions`, `--batches`, `--reload`, `--idle-host`, `--many`.
//! Ratios hold from machine to machine; absolute figures do not. The processor's time is that of the whole process:
//! writer, reader and handler.

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "a benchmark prints its table")]

mod reload;
mod resident;
mod shapes;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidemill::clock::SystemClock;
use tidemill::delivery::{
    Effects, EventBatch, Evidence, Failure, HandleError, Handled, Handler, Permit, Policy, Rebuild, Setup,
    Subscription, Verdict, spawn,
};
use tidemill::event::{EventType, Filter, NewEvent, Pattern, PluginName, RecordedEvent, StreamName};
use tidemill::runtime::{Engine, EngineOptions, InstanceOptions, Limits};
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, Store};
use tidemill_plugins::COUNTER;
use tidemill_tests::bench::Figures;
use tidemill_tests::guests;
use tokio::runtime::Runtime;

/// What the host runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Beside the build, as the system's temporary directory may be memory.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");
const EVENTS: u64 = 1_000_000;
const DATA_BYTES: usize = 256;
const BATCH: u64 = 1000;
/// How often each handler is measured.
const ROUNDS: usize = 5;
/// One event in so many is of the rare type.
const RARE_EVERY: u64 = 100;

/// What to do for one part, and what it needs.
enum Part {
    /// Measures on the filled store.
    Filled(fn(&Runtime, &Arc<dyn Store>) -> anyhow::Result<()>),
    /// Measures on its own.
    Alone(fn(&Runtime) -> anyhow::Result<()>),
}

/// What can be measured, by the option that asks for it alone.
const PARTS: &[(&str, Part)] = &[
    ("--catch-up", Part::Filled(catch_up)),
    ("--rebuild", Part::Filled(rebuild)),
    ("--rare", Part::Filled(rare)),
    ("--plugins", Part::Filled(shapes::plugins)),
    ("--partitions", Part::Filled(shapes::partitions)),
    ("--batches", Part::Filled(shapes::batches)),
    ("--reload", Part::Alone(reload::measure)),
    ("--idle-host", Part::Alone(resident::ten)),
    ("--many", Part::Alone(resident::many)),
];

fn main() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [asked, directory] = arguments.as_slice()
        && asked == resident::MEASURE
    {
        return resident::measure(&runtime, Path::new(directory));
    }
    let unknown = arguments.iter().find(|argument| PARTS.iter().all(|(option, _)| option != argument));
    anyhow::ensure!(unknown.is_none(), "unknown option {}", unknown.map_or("", String::as_str));
    let asked = |option: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == option);
    let mut filled = None;
    for (_, part) in PARTS.iter().filter(|(option, _)| asked(option)) {
        match part {
            Part::Alone(measure) => measure(&runtime)?,
            Part::Filled(measure) => {
                if filled.is_none() {
                    let directory = tempfile::TempDir::new_in(TMP)?;
                    let store = open(directory.path())?;
                    fill(&store, EVENTS)?;
                    filled = Some((store, directory));
                }
                let (store, _) = filled.as_ref().context("it is filled")?;
                measure(&runtime, store)?;
            }
        }
    }
    Ok(())
}

/// All events through each form of the counter, in turns.
fn catch_up(runtime: &Runtime, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    println!("catching up on {EVENTS} stored events of {DATA_BYTES} bytes, state and checkpoint durable\n");
    println!("handler      events/s   cpu us/event");
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let measure = |name: &str, handler: Box<dyn Handler>| -> anyhow::Result<f64> {
            let all = Subscription { filter: Filter::all(), ..Subscription::default() };
            let measured = deliver(runtime, store, &format!("{name}-{round}"), all, handler)?;
            measured.print(name);
            Ok(measured.rate())
        };
        let native = measure("native", Box::new(NativeCounter { key: by_type }))?;
        rates[0].push(measure("bulk", component(COUNTER.component)?)? / native);
        rates[1].push(measure("plain", component(guests::COUNT_TYPES)?)? / native);
    }
    for (lane, rates) in ["bulk", "plain"].iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        println!("\nthe {lane} lane reaches {:.2} of the native handler (median of {ROUNDS})", rates[ROUNDS / 2]);
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(EmbeddedStore::open(&OpenOptions::new(path), Arc::new(SystemClock))?))
}

/// Events on ten streams; one in a hundred is of the type `Rare`.
fn fill(store: &Arc<dyn Store>, count: u64) -> anyhow::Result<()> {
    let data = format!("\"{}\"", "x".repeat(DATA_BYTES - 2));
    let event = |number: u64| -> anyhow::Result<NewEvent> {
        let event_type = if number.is_multiple_of(RARE_EVERY) { "Rare" } else { "Common" };
        let event = NewEvent::json(EventType::new(event_type)?, data.as_bytes());
        Ok(event.on(StreamName::new(format!("stream-{}", number % 10))?))
    };
    for first in (0..count).step_by(BATCH as usize) {
        let events = (first..first + BATCH).map(event).collect::<anyhow::Result<_>>()?;
        store.append(AppendRequest::unconditional(events)).wait()?;
    }
    Ok(())
}

fn component(bytes: &[u8]) -> anyhow::Result<Box<dyn Handler>> {
    let engine = Engine::new(EngineOptions::default())?;
    let loaded = engine.load(bytes)?;
    let plugin = PluginName::new("counter")?;
    Ok(loaded.subscriber(InstanceOptions::new(plugin, Limits::default())))
}

/// What an event is counted under.
type Key = fn(&RecordedEvent) -> &str;

/// What the counter plugin does, without wasm.
struct NativeCounter {
    key: Key,
}

impl NativeCounter {
    fn count(key: &str, effects: &mut Effects) -> anyhow::Result<()> {
        let before = effects.state_get(key)?;
        let count: u64 = before.map_or(Ok(0), |bytes| serde_json::from_slice(&bytes))?;
        effects.state_set(key, serde_json::to_vec(&(count + 1))?)?;
        Ok(())
    }
}

impl Handler for NativeCounter {
    fn handle(&mut self, batch: EventBatch, mut effects: Effects) -> Handled {
        let failed = batch.iter().enumerate().find_map(|(index, event)| {
            let error = Self::count((self.key)(event), &mut effects).err()?;
            let verdict = Verdict::Retry { after_ms: None };
            Some(HandleError::Failure(Failure { index, verdict, reason: error.to_string() }))
        });
        Handled { effects, outcome: failed.map_or(Ok(()), Err), evidence: Evidence::default() }
    }
}

fn by_type(event: &RecordedEvent) -> &str {
    event.event_type.as_str()
}

struct Measured {
    events: u64,
    wall: Duration,
    cpu: Duration,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64()
    }

    fn print(&self, handler: &str) {
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.events as f64;
        println!("{handler:<12} {:8.0}   {cpu:.2}", self.rate());
    }
}

/// Runs a handler from its checkpoint to the head.
fn deliver(
    runtime: &Runtime,
    store: &Arc<dyn Store>,
    name: &str,
    subscription: Subscription,
    handler: Box<dyn Handler>,
) -> anyhow::Result<Measured> {
    let setup = setup(name, subscription, Policy::default(), vec![handler])?;
    deliver_all(runtime, store, vec![setup])
}

fn setup(
    name: &str,
    subscription: Subscription,
    policy: Policy,
    handlers: Vec<Box<dyn Handler>>,
) -> anyhow::Result<Setup> {
    let (plugin, append) = (PluginName::new(name)?, Permit::default());
    let [component_digest, manifest_digest] = [const { String::new() }; 2];
    Ok(Setup { plugin, subscription, policy, append, component_digest, manifest_digest, handlers })
}

/// Runs plugins side by side, each from its checkpoint to the head; the events are those of all of them.
fn deliver_all(runtime: &Runtime, store: &Arc<dyn Store>, setups: Vec<Setup>) -> anyhow::Result<Measured> {
    let head = store.head();
    let (begin, cpu) = (Instant::now(), Figures::now().cpu);
    runtime.block_on(async {
        let start = |setup| spawn(setup, Arc::clone(store), Arc::new(SystemClock));
        let dispatchers: Vec<_> = setups.into_iter().map(start).collect();
        let mut events = 0;
        for dispatcher in &dispatchers {
            let mut watch = dispatcher.watch();
            let status = watch.wait_for(|status| status.checkpoint >= head).await;
            events += status.context("the delivery ended early")?.counters.handled;
        }
        let (wall, cpu) = (begin.elapsed(), Figures::now().cpu.saturating_sub(cpu));
        for dispatcher in dispatchers {
            dispatcher.stop().await;
        }
        Ok(Measured { events, wall, cpu })
    })
}

/// All events once more, into another state, while the live one waits for new ones.
fn rebuild(runtime: &Runtime, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    let (head, plugin) = (store.head(), PluginName::new("rebuilt")?);
    let setup = || -> anyhow::Result<Setup> {
        Ok(Setup {
            plugin: plugin.clone(),
            subscription: Subscription { filter: Filter::all(), ..Subscription::default() },
            policy: Policy::default(),
            append: Permit::default(),
            component_digest: "counter".into(),
            manifest_digest: String::new(),
            handlers: vec![component(COUNTER.component)?],
        })
    };
    let how = Rebuild::Begin { from: None, reason: "measured".into(), live: "counter".into() };
    let (live, built) = (setup()?, setup()?);
    let (caught_up, rebuilt, pause_us) = runtime.block_on(async {
        let begin = Instant::now();
        let dispatcher = spawn(live, Arc::clone(store), Arc::new(SystemClock));
        let mut watch = dispatcher.watch();
        watch.wait_for(|status| status.checkpoint >= head).await?;
        let caught_up = begin.elapsed();
        let begin = Instant::now();
        dispatcher.rebuild(built, how).await?;
        let status =
            watch.wait_for(|status| status.generation == 1 && status.rebuild_pause_us.is_some()).await?.clone();
        let rebuilt = begin.elapsed();
        dispatcher.stop().await;
        anyhow::Ok((caught_up, rebuilt, status.rebuild_pause_us.unwrap_or_default()))
    })?;
    let rate = |wall: Duration| EVENTS as f64 / wall.as_secs_f64();
    println!(
        "\nrebuilding the bulk counter's state: {:.0} events/s; catching up was {:.0}",
        rate(rebuilt),
        rate(caught_up)
    );
    println!("nothing was handled for {:.1} ms when it became live", pause_us as f64 / 1000.0);
    Ok(())
}

/// The cost of a matching event must not depend on what is stored beside it, but for the cache.
fn rare(runtime: &Runtime, full: &Arc<dyn Store>) -> anyhow::Result<()> {
    let filter = Filter { types: vec![Pattern::new("Rare")?], ..Filter::default() };
    let subscription = || Subscription { filter: filter.clone(), ..Subscription::default() };
    println!("\nevents of a type that is one in {RARE_EVERY}; the store's cache holds about 150,000 events");
    let directories = [tempfile::TempDir::new_in(TMP)?, tempfile::TempDir::new_in(TMP)?];
    let (small, half) = (open(directories[0].path())?, open(directories[1].path())?);
    fill(&small, EVENTS / 10)?;
    fill(&half, EVENTS / 2)?;
    for (stored, store) in [(EVENTS / 10, &small), (EVENTS / 2, &half), (EVENTS, full)] {
        let best = (0..5)
            .map(|round| {
                let name = format!("rare-{stored}-{round}");
                deliver(runtime, store, &name, subscription(), Box::new(NativeCounter { key: by_type }))
            })
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .min_by(|a, b| a.wall.cmp(&b.wall))
            .context("five rounds were run")?;
        let each = best.wall.as_secs_f64() * 1e6 / best.events as f64;
        println!("{:>9} matching among {stored:>8} stored: {each:.2} us each", best.events);
    }
    Ok(())
}
