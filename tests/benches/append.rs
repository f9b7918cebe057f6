//! How fast the redb store appends: single events by many appenders at once, and batches by one.
//!
//! Run by `cargo bench -p tidemill-tests --bench append`; numbers after `--` select points by their appenders. Each point is compared, in the same run and over
//! the same kind of file, with bare redb: transactions of as many events as the store's groups held on
//! average, put at the right edge of one table, one row per event and one row per block. Ratios hold from
//! machine to machine; absolute figures do not.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, StorageBackend, TableDefinition};
use tempfile::TempDir;
use tidemill::clock::SystemClock;
use tidemill::event::{EventType, NewEvent, StreamName};
use tidemill::store::redb::{OpenOptions, RedbStore};
use tidemill::store::{AppendRequest, Store};
use tokio::runtime::Runtime;

/// Payload of an event, in bytes.
const DATA_BYTES: usize = 256;
/// How often every point is measured, the store and bare redb in turns. The best of all rounds counts: what
/// else the machine does only ever makes a round slower.
const ROUNDS: usize = 6;
/// How long each turn is measured.
const TURN: Duration = Duration::from_millis(500);
/// What is appended before the clock runs.
const WARM_UP: Duration = Duration::from_millis(200);
/// Bytes of an event as the store encodes it: 50 of numbers, the type, the stream, the payload.
const ENCODED_BYTES: usize = 50 + 6 + 8 + DATA_BYTES;
/// Largest row of several events, in bytes; as in the store.
const BLOCK_BYTES: usize = (16 << 10) - 64;

/// Appenders, and events in each of their appends.
const POINTS: [(usize, usize); 6] = [(1, 1), (8, 1), (64, 1), (256, 1), (1, 100), (1, 1000)];

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

fn main() -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let wanted: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let points = POINTS.iter().filter(|(appenders, _)| wanted.is_empty() || wanted.contains(appenders));
    let new = |(appenders, batch): &(usize, usize)| Point { appenders: *appenders, batch: *batch, ..Point::default() };
    let mut results: Vec<_> = points.map(new).collect();
    for _ in 0..ROUNDS {
        for point in &mut results {
            point.measure(&runtime)?;
        }
    }
    println!("single events of {DATA_BYTES} bytes, every append synced before its answer; best of {ROUNDS} rounds\n");
    println!("appenders  batch  events/s  group  us/group  bare rows/s  bare blocks/s  of rows  of blocks");
    results.iter().for_each(Point::print);
    let rate = |appenders| {
        let point = results.iter().find(|point| (point.appenders, point.batch) == (appenders, 1));
        point.map_or(f64::NAN, |point| point.store.rate())
    };
    println!("\n64 appenders reach {:.1} times the rate of one", rate(64) / rate(1));
    Ok(())
}

/// The best figures of one number of appenders and size of batch.
#[derive(Default)]
struct Point {
    appenders: usize,
    batch: usize,
    store: Measured,
    rows: Measured,
    blocks: Measured,
}

impl Point {
    fn measure(&mut self, runtime: &Runtime) -> anyhow::Result<()> {
        let round = measure_store(runtime, self.appenders, self.batch)?;
        self.rows.keep_best(measure_bare(round.group(), Layout::Rows)?);
        self.blocks.keep_best(measure_bare(round.group(), Layout::Blocks)?);
        self.store.keep_best(round);
        Ok(())
    }

    fn print(&self) {
        let Self { appenders, batch, store, rows, blocks } = self;
        let (group, us_per_group) = (store.group(), store.seconds * 1e6 / store.commits.max(1) as f64);
        let (rate, rows, blocks) = (store.rate(), rows.rate(), blocks.rate());
        println!(
            "{appenders:9}  {batch:5}  {rate:8.0}  {group:5}  {us_per_group:8.0}  {rows:11.0}  {blocks:13.0}  {:7.2}  {:9.2}",
            rate / rows,
            rate / blocks,
        );
    }
}

/// What happened in one turn.
#[derive(Default)]
struct Measured {
    events: u64,
    commits: u64,
    seconds: f64,
}

impl Measured {
    fn keep_best(&mut self, other: Self) {
        if self.seconds == 0.0 || other.rate() > self.rate() {
            *self = other;
        }
    }

    /// Events per second.
    fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    /// Events per commit, on average.
    fn group(&self) -> u64 {
        (self.events / self.commits.max(1)).max(1)
    }
}

/// `appenders` tasks, each appending `batch` events and waiting for the answer, again and again.
fn measure_store(runtime: &Runtime, appenders: usize, batch: usize) -> anyhow::Result<Measured> {
    let directory = directory()?;
    let (backend, syncs) = CountingBackend::create(directory.path())?;
    let options = OpenOptions::new(directory.path());
    let store: Arc<dyn Store> = Arc::new(RedbStore::open_with_backend(backend, &options, Arc::new(SystemClock))?);
    let begin = Instant::now() + WARM_UP;
    let end = begin + TURN;
    let tasks: Vec<_> =
        (0..appenders).map(|appender| runtime.spawn(append_until(Arc::clone(&store), appender, batch, end))).collect();
    std::thread::sleep(begin.saturating_duration_since(Instant::now()));
    let (head, syncs_before) = (store.head().0, syncs.load(Ordering::Relaxed));
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let events = store.head().0 - head;
    let commits = (syncs.load(Ordering::Relaxed) - syncs_before) / syncs_per_commit()?;
    let seconds = begin.elapsed().as_secs_f64();
    for task in tasks {
        runtime.block_on(task)??;
    }
    Ok(Measured { events, commits, seconds })
}

async fn append_until(store: Arc<dyn Store>, appender: usize, batch: usize, end: Instant) -> anyhow::Result<()> {
    let event_type = EventType::new("Bench1")?;
    let stream = StreamName::new(format!("bench-{:02}", appender % 100))?;
    let data = format!("\"{}\"", "x".repeat(DATA_BYTES - 2)).into_bytes();
    while Instant::now() < end {
        let event = || {
            let mut event = NewEvent::json(event_type.clone(), data.clone());
            event.stream = Some(stream.clone());
            event
        };
        let events = (0..batch).map(|_| event()).collect();
        store.append(AppendRequest::unconditional(events)).await?;
    }
    Ok(())
}

enum Layout {
    Rows,
    Blocks,
}

/// Bare redb transactions that hold `batch` events each.
fn measure_bare(batch: u64, layout: Layout) -> anyhow::Result<Measured> {
    let directory = directory()?;
    let (backend, _) = CountingBackend::create(directory.path())?;
    let database = Builder::new().set_cache_size(64 << 20).create_with_backend(backend)?;
    let row = match layout {
        Layout::Rows => vec![0x5A; ENCODED_BYTES],
        Layout::Blocks => vec![0x5A; (BLOCK_BYTES / ENCODED_BYTES).min(usize::try_from(batch)?) * ENCODED_BYTES],
    };
    let rows = (batch * ENCODED_BYTES as u64).div_ceil(row.len() as u64);
    let mut next = 0;
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        put(&database, &row, next, rows)?;
        next += rows;
    }
    let (begin, mut commits) = (Instant::now(), 0);
    while begin.elapsed() < TURN {
        put(&database, &row, next, rows)?;
        next += rows;
        commits += 1;
    }
    Ok(Measured { events: commits * batch, commits, seconds: begin.elapsed().as_secs_f64() })
}

fn put(database: &Database, row: &[u8], first: u64, rows: u64) -> anyhow::Result<()> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(ROWS)?;
        for key in first..first + rows {
            table.insert(key, row)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// How often redb syncs in one commit, counted.
fn syncs_per_commit() -> anyhow::Result<u64> {
    let directory = directory()?;
    let (backend, syncs) = CountingBackend::create(directory.path())?;
    let database = Builder::new().create_with_backend(backend)?;
    put(&database, b"x", 0, 1)?;
    let before = syncs.load(Ordering::Relaxed);
    for key in 1..=10 {
        put(&database, b"x", key, 1)?;
    }
    Ok(((syncs.load(Ordering::Relaxed) - before) / 10).max(1))
}

/// Beside the build, as the system's temporary directory may be memory.
fn directory() -> io::Result<TempDir> {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))
}

/// A file that counts its syncs.
#[derive(Debug)]
struct CountingBackend {
    file: FileBackend,
    syncs: Arc<AtomicU64>,
}

impl CountingBackend {
    fn create(directory: &Path) -> anyhow::Result<(Self, Arc<AtomicU64>)> {
        let path = directory.join("bench.redb");
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(path)?;
        let syncs = Arc::new(AtomicU64::new(0));
        Ok((Self { file: FileBackend::new(file)?, syncs: Arc::clone(&syncs) }, syncs))
    }
}

impl StorageBackend for CountingBackend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
