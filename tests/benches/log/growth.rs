//! How the log grows: rate, what is written, and memory, million by million.
//!
//! `written` is what the process sent to the disk, sealing, merging and closing included; `stored` what the
//! segments take, which hold the events once. Memory and processor time are the whole process's, drawing the
//! events included.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;
use tidemill_tests::bench::{
    Figures, Table, Target, Tidemill, Workload, directory_bytes, fill, megabytes, millis, ratio, thousands,
};
use tokio::runtime::Runtime;

use crate::options::{Options, directory};

/// Events in each row.
const STEP: u64 = 1_000_000;

/// Where the store is that grows, is read and is opened.
pub(crate) struct Place {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Place {
    /// The place that was asked for, or one that is gone when dropped.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        if let Some(path) = &options.store {
            return Ok(Self { path: path.clone(), _temporary: None });
        }
        let temporary = directory()?;
        Ok(Self { path: temporary.path().join("store"), _temporary: Some(temporary) })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the store, filling it first if it does not hold enough.
    pub(crate) fn filled(&self, runtime: &Runtime, options: &Options) -> anyhow::Result<Arc<Tidemill>> {
        let store = Arc::new(Tidemill::open(&self.path)?);
        let head = store.head()?;
        if head < options.events {
            fill(runtime, &*store, &Workload::starting_at(head, streams(options)), options.events - head)?;
        }
        Ok(store)
    }
}

/// Streams of a store that holds ten events of each.
pub(crate) const fn streams(options: &Options) -> u64 {
    options.events / 10
}

/// Prints the tables.
pub(crate) fn run(runtime: &Runtime, options: &Options, place: &Place) -> anyhow::Result<()> {
    let store = Arc::new(Tidemill::open(place.path())?);
    let workload = Workload::starting_at(store.head()?, streams(options));
    let (mut before, mut rates) = (Figures::now(), Vec::new());
    let (start, first) = (store.head()?, before);
    let heads = [
        "events",
        "events/s",
        "of the first",
        "longest wait ms",
        "cpu µs/event",
        "written B/event",
        "memory MB",
        "disk MB",
    ];
    let table = Table::begin("Growth, one appender, batches of 1,000", &[12], &heads);
    while store.head()? < options.events {
        let count = STEP.min(options.events - store.head()?);
        let begin = Instant::now();
        let waits = fill(runtime, &*store, &workload, count)?;
        rates.push(count as f64 / begin.elapsed().as_secs_f64());
        let now = Figures::now();
        let rate = rates.last().copied().unwrap_or(f64::NAN);
        table.row(&[
            thousands(store.head()? as f64),
            thousands(rate),
            ratio(rate, rates.first().copied().unwrap_or(f64::NAN)),
            millis(waits.max()),
            ratio((now.cpu - before.cpu).as_secs_f64() * 1e6, count as f64),
            thousands((now.written_bytes - before.written_bytes) as f64 / count as f64),
            megabytes(now.resident_bytes),
            megabytes(directory_bytes(place.path(), |_| true)?),
        ]);
        before = now;
    }
    let grown = (store.head()? - start) as f64;
    drop(store);
    whole_life(place.path(), options.events as f64, grown, &first)
}

/// Prints what the whole growth cost, the close included.
fn whole_life(path: &Path, events: f64, grown: f64, first: &Figures) -> anyhow::Result<()> {
    let now = Figures::now();
    let per_event = |ending: &str| anyhow::Ok(directory_bytes(path, |name| name.ends_with(ending))? as f64 / events);
    let (segments, indexes) = (per_event(".segment")?, per_event(".index")?);
    let written = (now.written_bytes - first.written_bytes) as f64 / grown;
    let heads =
        ["written B/event", "segments B/event", "indexes B/event", "written per stored", "peak memory MB", "disk MB"];
    let table = Table::begin("The whole life, the close included", &[], &heads);
    let all = megabytes(directory_bytes(path, |_| true)?);
    let [a, b, c] = [written, segments, indexes].map(thousands);
    table.row(&[a, b, c, ratio(written, segments), megabytes(now.peak_bytes), all]);
    Ok(())
}
