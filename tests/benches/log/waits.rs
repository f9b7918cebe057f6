//! The longest waits for an answer, in turns long enough that segments are sealed and indexes merged.
//!
//! The disk itself makes one wait: the bare file, committing groups of the same size for as long, shows how
//! much of the wait is the disk's.

use std::sync::Arc;
use std::time::Duration;

use tidemill_tests::bench::{BareFile, Latencies, Load, Table, Tidemill, Workload, drive, millis, thousands};
use tokio::runtime::Runtime;

use crate::options::{Options, directory};

const POINTS: [(usize, u64); 3] = [(64, 1), (256, 1), (1, 1000)];
const STREAMS: u64 = 1_000_000;

/// Prints the table.
pub(crate) fn run(runtime: &Runtime, options: &Options) -> anyhow::Result<()> {
    let title = format!("Waits for an answer over {} s, in ms", options.wait_seconds);
    let heads = ["of", "appenders", "batch", "events", "p50", "p99", "p99.9", "longest"];
    let table = Table::begin(&title, &[9], &heads);
    for (appenders, batch) in POINTS {
        let load = Load { turn: Duration::from_secs(options.wait_seconds), ..options.load(appenders, batch) };
        let place = directory()?;
        let store = Arc::new(Tidemill::open(&place.path().join("store"))?);
        let turn = drive(runtime, &store, &Arc::new(Workload::new(STREAMS)), &load)?;
        drop(store);
        let row = |of: &str, events: f64, latencies: &Latencies| {
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| millis(latencies.quantile(share)));
            let (events, longest) = (thousands(events), millis(latencies.max()));
            table.row(&[of.to_owned(), appenders.to_string(), batch.to_string(), events, p50, p99, p999, longest]);
        };
        row("store", turn.events as f64, &turn.latencies);
        let group = turn.group.round().max(1.0);
        let bare = BareFile::create(place.path())?.commit_for(load.turn, group as usize)?;
        row("bare file", group * bare.count() as f64, &bare);
    }
    Ok(())
}
