//! The same catching up by several plugins, by several partitions, and in batches of several sizes.

use std::sync::Arc;

use tidemill::delivery::{Handler, Policy, Start, Subscription};
use tidemill::event::{PluginName, Position};
use tidemill::runtime::{Engine, EngineOptions, InstanceOptions, Limits};
use tidemill::store::Store;
use tidemill_plugins::COUNTER;
use tidemill_tests::guests;
use tokio::runtime::Runtime;

use crate::{EVENTS, Key, Measured, NativeCounter, component, deliver_all, setup};

/// Plugins side by side.
const PLUGINS: [usize; 3] = [1, 4, 16];
/// Partitions of one plugin.
const PARTITIONS: [u32; 2] = [1, 2];
/// Most events in one call, and how many events are handed over so: small calls are slow.
const BATCHES: [(usize, u64); 4] = [(1, EVENTS / 10), (16, EVENTS / 2), (256, EVENTS), (1024, EVENTS)];

/// All events to several counters at once.
pub(crate) fn plugins(runtime: &Runtime, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    println!("\n{EVENTS} events to several counters side by side; events are counted for each of them\n");
    head("plugins");
    for plugins in PLUGINS {
        let handlers = counters(plugins)?.into_iter().enumerate();
        let setups = handlers.map(|(number, handler)| {
            setup(&format!("of-{plugins}-{number}"), Subscription::default(), Policy::default(), vec![handler])
        });
        row(&plugins.to_string(), &deliver_all(runtime, store, setups.collect::<anyhow::Result<_>>()?)?);
    }
    Ok(())
}

/// What is counted by: events of one stream, all of them in one partition, or of a type, which every partition sees.
const KEYS: [(&str, Key); 2] =
    [("own", |event| event.stream.as_ref().map_or("", |it| it.as_str())), ("one", |_| "all")];

/// All events to one counter in several instances: a component that counts by type, so that every partition writes the
/// same few keys; and a native one, where each partition writes keys of its own, and where all write one.
pub(crate) fn partitions(runtime: &Runtime, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    println!("\n{EVENTS} events of ten streams to one counter in several partitions\n");
    head("partitions");
    let measure = |name: &str, partitions: u32, handlers| -> anyhow::Result<()> {
        let policy = Policy { partitions, ..Policy::default() };
        let setup = setup(&format!("{name}-{partitions}"), Subscription::default(), policy, handlers)?;
        row(&format!("{name} {partitions}"), &deliver_all(runtime, store, vec![setup])?);
        Ok(())
    };
    for partitions in PARTITIONS {
        measure("by-type", partitions, counters(partitions as usize)?)?;
    }
    for (name, key) in KEYS {
        for partitions in PARTITIONS {
            let counter = |_| Box::new(NativeCounter { key }) as Box<dyn Handler>;
            measure(&format!("native-{name}-key"), partitions, (0..partitions).map(counter).collect())?;
        }
    }
    Ok(())
}

/// One counter on either lane, handed over few or many at a time.
pub(crate) fn batches(runtime: &Runtime, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    println!("\nto one counter, in batches of several sizes\n");
    head("lane and batch");
    for (lane, bytes) in [("bulk", COUNTER.component), ("plain", guests::COUNT_TYPES)] {
        for (batch_events_max, events) in BATCHES {
            let policy = Policy { batch_events_max, ..Policy::default() };
            let start = Start::After(Position(store.head().0.saturating_sub(events)));
            let subscription = Subscription { start, ..Subscription::default() };
            let name = format!("batch-{lane}-{batch_events_max}");
            let setup = setup(&name, subscription, policy, vec![component(bytes)?])?;
            row(&format!("{lane} {batch_events_max}"), &deliver_all(runtime, store, vec![setup])?);
        }
    }
    Ok(())
}

/// Several handlers of one counter, as for the partitions of a plugin, on one engine.
fn counters(count: usize) -> anyhow::Result<Vec<Box<dyn Handler>>> {
    let loaded = Engine::new(EngineOptions::default())?.load(COUNTER.component)?;
    let handler = |_| Ok(loaded.subscriber(InstanceOptions::new(PluginName::new("counter")?, Limits::default())));
    (0..count).map(handler).collect()
}

fn head(what: &str) {
    println!("{what:<16} events/s   us/event   cpu us/event");
}

fn row(what: &str, measured: &Measured) {
    let each = |seconds: f64| seconds * 1e6 / measured.events as f64;
    let (wall, cpu) = (each(measured.wall.as_secs_f64()), each(measured.cpu.as_secs_f64()));
    println!("{what:<16} {:8.0}   {wall:8.2}   {cpu:12.2}", measured.rate());
}
