//! How long a plugin handles nothing while it is replaced under load.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidemill::clock::SystemClock;
use tidemill::event::{EventType, NewEvent, PluginName};
use tidemill::plugin::{Registry, RegistryOptions};
use tidemill::runtime::{Engine, EngineOptions};
use tidemill::store::{AppendRequest, Store};
use tidemill_plugins::COUNTER;
use tidemill_tests::{another_version, install, replace};
use tokio::runtime::Runtime;

use crate::{TMP, open};

/// How often the plugin is replaced.
const RELOADS: usize = 200;
/// Events of one append.
const APPENDED: usize = 8;
/// Wait between appends: events keep coming, and the disk has time for what is measured.
const PACE: Duration = Duration::from_millis(1);
/// How long a stretch without a reload is, to compare with, and what is looked at after each reload.
const STRETCH: Duration = Duration::from_millis(50);

/// Where a disk is memory, if the machine has such a place: what is left of a pause when no sync is waited for.
const MEMORY: &str = "/dev/shm";

/// The moments at which the plugin's checkpoint was seen to advance.
type Advances = Arc<Mutex<Vec<Instant>>>;

/// Measures the longest pause of each reload, and of as many stretches without one: on the disk, and in memory.
pub(crate) fn measure(runtime: &Runtime) -> anyhow::Result<()> {
    measure_in(runtime, "on the disk", TMP)?;
    if Path::new(MEMORY).is_dir() { measure_in(runtime, "in memory", MEMORY) } else { Ok(()) }
}

fn measure_in(runtime: &Runtime, medium: &str, parent: &str) -> anyhow::Result<()> {
    let directory = tempfile::TempDir::new_in(parent)?;
    let store = open(&directory.path().join("data"))?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let appender = scope.spawn(|| append_until(&store, &stop));
        let measured = runtime.block_on(reloads(&store, directory.path()));
        stop.store(true, Ordering::Relaxed);
        let appended = appender.join().map_err(|_| anyhow::anyhow!("the appender panicked"))??;
        let (quiet, reloading) = measured?;
        println!("\n{RELOADS} reloads {medium} while {appended} events were appended; longest pause of each, in ms\n");
        println!("                   p50       p99       max");
        print("without a reload", quiet);
        print("with a reload", reloading);
        Ok(())
    })
}

fn append_until(store: &Arc<dyn Store>, stop: &AtomicBool) -> anyhow::Result<usize> {
    let mut appended = 0;
    while !stop.load(Ordering::Relaxed) {
        let event = || Ok(NewEvent::json(EventType::new("Ticked")?, "{\"n\":1}"));
        let events = (0..APPENDED).map(|_| event()).collect::<anyhow::Result<_>>()?;
        store.append(AppendRequest::unconditional(events)).wait()?;
        appended += APPENDED;
        std::thread::sleep(PACE);
    }
    Ok(appended)
}

/// The longest pause of each stretch without a reload, and of each reload.
async fn reloads(store: &Arc<dyn Store>, directory: &Path) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let plugins = directory.join("plugins");
    install(&plugins, "counter", &COUNTER);
    let cache_dir = Some(directory.join("cache"));
    let engine = Engine::new(EngineOptions { cache_dir, ..EngineOptions::default() })?;
    let options = RegistryOptions::new(plugins.clone(), Arc::clone(store), Arc::new(SystemClock), Arc::new(engine));
    let quick = RegistryOptions { debounce: Duration::from_millis(5), poll: Duration::from_millis(100), ..options };
    let registry = Registry::start(quick);
    registry.ready().await;
    let name = PluginName::new("counter")?;
    let file = plugins.join("counter/plugin.wasm");
    // Compiled before it counts.
    let versions = [1, 2].map(|number| another_version(COUNTER.component, number));
    let mut generation = 1;
    for version in &versions {
        generation = reload(&registry, &name, &file, version, generation).await?;
    }
    let advances = watch(&registry, &name)?;
    let (mut quiet, mut reloading) = (Vec::new(), Vec::new());
    for round in 0..RELOADS {
        let begin = Instant::now();
        tokio::time::sleep(STRETCH).await;
        quiet.push((begin, Instant::now()));
        let begin = Instant::now();
        let version = versions.get(round % 2).context("there are two")?;
        generation = reload(&registry, &name, &file, version, generation).await?;
        tokio::time::sleep(STRETCH).await;
        reloading.push((begin, Instant::now()));
    }
    registry.shutdown().await;
    let advances = advances.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let longest = |stretches: Vec<(Instant, Instant)>| {
        stretches.into_iter().map(|(begin, end)| longest_pause(&advances, begin, end)).collect()
    };
    Ok((longest(quiet), longest(reloading)))
}

/// Replaces the plugin; answers when another generation runs, with its number.
async fn reload(
    registry: &Registry,
    name: &PluginName,
    file: &Path,
    version: &[u8],
    before: u64,
) -> anyhow::Result<u64> {
    replace(file, version);
    let begin = Instant::now();
    loop {
        let running = registry.get(name).and_then(|info| info.running);
        if let Some(running) = running.filter(|running| running.generation > before) {
            return Ok(running.generation);
        }
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(60), "the reload does not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Notes every advance of the plugin from now on.
fn watch(registry: &Registry, name: &PluginName) -> anyhow::Result<Advances> {
    let advances = Advances::default();
    let mut status = registry.dispatcher(name).context("the counter does not run")?.watch();
    let noted = Arc::clone(&advances);
    tokio::spawn(async move {
        let mut checkpoint = status.borrow().checkpoint;
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().checkpoint;
            if now > checkpoint {
                noted.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                checkpoint = now;
            }
        }
    });
    Ok(advances)
}

/// The longest time between two advances of which the first is in a stretch.
fn longest_pause(advances: &[Instant], begin: Instant, end: Instant) -> Duration {
    let pairs = advances.iter().zip(advances.iter().skip(1));
    let within = pairs.filter(|(from, _)| **from >= begin && **from < end);
    within.map(|(from, to)| *to - *from).max().unwrap_or(end - begin)
}

fn print(what: &str, mut pauses: Vec<Duration>) {
    pauses.sort();
    let at = |share: usize| {
        let index = (pauses.len() * share / 100).min(pauses.len().saturating_sub(1));
        pauses.get(index).map_or(f64::NAN, |pause| pause.as_secs_f64() * 1e3)
    };
    println!("{what:<16} {:7.2}   {:7.2}   {:7.2}", at(50), at(99), at(100));
}
