//! The same catching up by several plugins, by several partitions, and in batches of several sizes.

use std::sync::Arc;

use tidemill::delivery::{Handler, Policy, Start, Subscription};
use tidemill::event::{PluginName, Position};
use tidemill::runtime::{Engine, EngineOptions, InstanceOptions, Limits};
use tidemill::store::Store;
use tidemill_plugins::COUNTER;
use tidemill_tests::guests;
use tokio::runtime::Runtime;

use crate::{EVENTS, Measured, component, deliver_all, setup};

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

/// All events to one counter in several instances.
pub(crate) fn partitions(runtime: &Runtime, store: &Arc<dyn Store>) -> anyhow::Result<()> {
    println!("\n{EVENTS} events of ten streams to one counter in several partitions\n");
    head("partitions");
    for partitions in PARTITIONS {
        let policy = Policy { partitions, ..Policy::default() };
        let handlers = counters(partitions as usize)?;
        let setup = setup(&format!("in-{partitions}"), Subscription::default(), policy, handlers)?;
        row(&partitions.to_string(), &deliver_all(runtime, store, vec![setup])?);
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
