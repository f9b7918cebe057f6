//! Appends, each on a fresh store, beside what the disk allows.
//!
//! `bare file` is the limit: one thread, one write and one sync for as many events as the store's groups
//! held in the same round, and nothing else. `bare group commit` has the same appenders as the store, who
//! hand their events to a thread that writes and syncs what waits. `redb, all indexes` is the same group
//! commit over redb with every index in the transaction.

use std::path::Path;
use std::sync::Arc;

use tidemill_tests::bench::{
    BareFile, BareSink, GroupCommit, Load, Table, Target, Tidemill, Turn, Workload, drive, micros, ratio, thousands,
};
use tokio::runtime::Runtime;

use crate::options::{Options, directory};
use crate::redb_indexed::RedbIndexed;

/// Appenders, and events in each of their appends.
const POINTS: [(usize, u64); 7] = [(1, 1), (8, 1), (64, 1), (256, 1), (1, 100), (1, 1000), (4, 1000)];
/// Where redb is compared: it is slow, and known to be.
const REDB_AT: (usize, u64) = (64, 1);
const STREAMS: u64 = 1_000_000;

#[derive(Default)]
struct Point {
    store: Turn,
    bare_file: f64,
    bare_group_commit: Turn,
    redb: Turn,
}

/// Prints the table.
pub(crate) fn run(runtime: &Runtime, options: &Options) -> anyhow::Result<()> {
    let mut points: Vec<Point> = POINTS.iter().map(|_| Point::default()).collect();
    for _ in 0..options.rounds {
        // Removed at the end of the round: on some disks that keeps them busy for a while.
        let round = directory()?;
        for (point, (appenders, batch)) in points.iter_mut().zip(POINTS) {
            let place = round.path().join(format!("{appenders} x {batch}"));
            point.measure(runtime, &place, &options.load(appenders, batch))?;
        }
    }
    let title = format!("Appends: events/s, best of {} rounds", options.rounds);
    let heads = [
        "appenders",
        "batch",
        "events/s",
        "group",
        "p50 µs",
        "p99 µs",
        "bare file",
        "of it",
        "bare group commit",
        "of it",
        "redb, all indexes",
        "times it",
    ];
    let table = Table::begin(&title, &[], &heads);
    for (point, (appenders, batch)) in points.iter().zip(POINTS) {
        let Point { store, bare_file, bare_group_commit, redb } = point;
        table.row(&[
            appenders.to_string(),
            batch.to_string(),
            thousands(store.rate()),
            thousands(store.group),
            micros(store.latencies.quantile(0.5)),
            micros(store.latencies.quantile(0.99)),
            thousands(*bare_file),
            ratio(store.rate(), *bare_file),
            thousands(bare_group_commit.rate()),
            ratio(store.rate(), bare_group_commit.rate()),
            thousands(redb.rate()),
            ratio(store.rate(), redb.rate()),
        ]);
    }
    Ok(())
}

impl Point {
    fn measure(&mut self, runtime: &Runtime, place: &Path, load: &Load) -> anyhow::Result<()> {
        let store = turn(runtime, Tidemill::open(&place.join("store"))?, load)?;
        let mut file = BareFile::create(place)?;
        let group = store.group.round().max(1.0);
        let commits = file.commit_for(load.turn, group as usize)?;
        self.bare_file = self.bare_file.max(group * commits.count() as f64 / commits.total().as_secs_f64());
        self.bare_group_commit.keep_best(turn(runtime, GroupCommit::new(BareSink(file), 0), load)?);
        if (load.appenders, load.batch) == REDB_AT {
            let redb = RedbIndexed::create(&place.join("redb"))?;
            self.redb.keep_best(turn(runtime, GroupCommit::new(redb, 0), load)?);
        }
        self.store.keep_best(store);
        Ok(())
    }
}

fn turn(runtime: &Runtime, target: impl Target, load: &Load) -> anyhow::Result<Turn> {
    drive(runtime, &Arc::new(target), &Arc::new(Workload::new(STREAMS)), load)
}
