//! Reads of the grown log: one thread, warm, each kind by itself.

use anyhow::Context;
use tidemill::store::{Direction, ReadRequest, Store};
use tidemill_tests::bench::{ReadFigures, Table, Tidemill, Workload, measure_reads, micros, sample, thousands};
use tokio::runtime::Runtime;

use crate::growth::{Place, streams};
use crate::options::Options;

const READS: u64 = 10_000;

/// Prints the table.
pub(crate) fn run(runtime: &Runtime, options: &Options, place: &Place) -> anyhow::Result<()> {
    let store = place.filled(runtime, options)?;
    let workload = Workload::new(streams(options));
    let mut figures = measure_reads(&*store, &workload, options.events)?;
    figures.push(sample("a stream's version", READS, |random| {
        Ok(usize::from(store.store().stream_head(&workload.stream(random))?.is_some()))
    })?);
    figures.push(by_time(&store)?);
    let heads = ["read", "reads", "events each", "mean µs", "p50 µs", "p99 µs", "events/s"];
    let table = Table::begin(&format!("Reads of {} events", thousands(options.events as f64)), &[25], &heads);
    figures.iter().for_each(|figures| row(&table, figures));
    Ok(())
}

/// The first hundred events from a time on.
fn by_time(store: &Tidemill) -> anyhow::Result<ReadFigures> {
    let end = |direction| -> anyhow::Result<u64> {
        let page = store.store().read(&ReadRequest { direction, limit: 1, ..ReadRequest::default() })?;
        Ok(page.events.first().context("the log is empty")?.timestamp_us)
    };
    let (first, last) = (end(Direction::Forwards)?, end(Direction::Backwards)?);
    sample("100 events from a time on", READS / 10, |random| {
        let since_us = Some(first + random % (last - first).max(1));
        Ok(store.read(&ReadRequest { since_us, limit: 100, ..ReadRequest::default() })?.events)
    })
}

fn row(table: &Table, figures: &ReadFigures) {
    let latencies = &figures.latencies;
    table.row(&[
        figures.what.to_owned(),
        thousands(latencies.count() as f64),
        format!("{:.1}", figures.events_per_read()),
        micros(latencies.mean()),
        micros(latencies.quantile(0.5)),
        micros(latencies.quantile(0.99)),
        thousands(figures.rate()),
    ]);
}
