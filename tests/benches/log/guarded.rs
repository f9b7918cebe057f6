//! Appends that ask something of the log, beside those that ask nothing, in turns on one store.
//!
//! The store holds some events first, sealed ones too, so that streams and tags are there to be found. An
//! expected version is given for every stream of an append; a condition names one tag.

use std::sync::Arc;

use tidemill_tests::bench::{Guard, Load, Table, Tidemill, Turn, Workload, drive, fill, micros, ratio, thousands};
use tokio::runtime::Runtime;

use crate::options::{Options, directory};

const POINTS: [(usize, u64); 2] = [(64, 1), (1, 100)];
const GUARDS: [(Guard, &str); 4] = [
    (Guard::None, "none"),
    (Guard::Version, "expected version"),
    (Guard::Tag, "tag, after the head"),
    (Guard::UnusedTag, "unused tag, ever"),
];
const STREAMS: u64 = 100_000;
/// What the store holds first, in events.
const FILLED: u64 = 400_000;

/// Prints the table.
pub(crate) fn run(runtime: &Runtime, options: &Options) -> anyhow::Result<()> {
    let place = directory()?;
    let store = Arc::new(Tidemill::open(place.path())?);
    let workload = Arc::new(Workload::new(STREAMS));
    fill(runtime, &*store, &workload, FILLED)?;
    let mut best = [const { [const { None::<Turn> }; GUARDS.len()] }; POINTS.len()];
    for _ in 0..options.rounds {
        for (row, (appenders, batch)) in best.iter_mut().zip(POINTS) {
            for (turn, (guard, _)) in row.iter_mut().zip(GUARDS) {
                let load = Load { guard, ..options.load(appenders, batch) };
                turn.get_or_insert_default().keep_best(drive(runtime, &store, &workload, &load)?);
            }
        }
    }
    let title = format!(
        "Guarded appends: best of {} rounds on one store of {}+ events",
        options.rounds,
        thousands(FILLED as f64)
    );
    let heads = ["guard", "appenders", "batch", "events/s", "p50 µs", "p99 µs", "conflicts", "of unguarded"];
    let table = Table::begin(&title, &[20], &heads);
    for (row, (appenders, batch)) in best.iter().zip(POINTS) {
        let unguarded = row.iter().flatten().next().map_or(f64::NAN, Turn::rate);
        for (turn, (_, name)) in row.iter().flatten().zip(GUARDS) {
            table.row(&[
                name.to_owned(),
                appenders.to_string(),
                batch.to_string(),
                thousands(turn.rate()),
                micros(turn.latencies.quantile(0.5)),
                micros(turn.latencies.quantile(0.99)),
                turn.conflicts.to_string(),
                ratio(turn.rate(), unguarded),
            ]);
        }
    }
    Ok(())
}
