//! The store beside UmaDB and SQLite: the same events, clients, disk and durability, in turns.
//!
//! ```text
//! cargo bench --bench peers -- [--events N] [--rounds N] [--turn-ms N]
//! ```
//! First appends on fresh stores, best round of each. Then every store is filled with `--events` events,
//! and reads and appends are measured again on those. UmaDB is there twice for appends: with streams as
//! tags, and without them, which is less work than the others do. SQLite is there with a group commit in
//! front, and with a transaction per append.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use tempfile::TempDir;
use tidemill_peers::{SqliteReader, SqliteSink, UmaDb};
use tidemill_tests::bench::{
    GroupCommit, Guard, Load, ReadFigures, Table, Tidemill, Turn, Workload, drive, fill, is_memory, measure_reads,
    micros, ratio, thousands,
};
use tokio::runtime::Runtime;

/// How fast the store is beside its peers.
#[derive(Debug, Parser)]
struct Options {
    /// Events that every store is filled with before it is read.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often turns are taken.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is, in milliseconds; a third as long is appended before it.
    #[arg(long, default_value_t = 1000)]
    turn_ms: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Appenders, events in each of their appends, and what they ask for.
const POINTS: [(usize, u64, Guard); 6] = [
    (1, 1, Guard::None),
    (8, 1, Guard::None),
    (64, 1, Guard::None),
    (1, 1000, Guard::None),
    (64, 1, Guard::Tag),
    (1, 1000, Guard::Tag),
];

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Tidemill,
    UmaDb,
    UmaDbWithoutStreams,
    Sqlite,
    SqliteOneByOne,
}

/// All of it: ours first.
const PEERS: [Peer; 5] = [Peer::Tidemill, Peer::UmaDb, Peer::UmaDbWithoutStreams, Peer::Sqlite, Peer::SqliteOneByOne];
/// What can do every read.
const READERS: [Peer; 3] = [Peer::Tidemill, Peer::UmaDb, Peer::Sqlite];

/// One of them, open.
enum Subject {
    Tidemill(Arc<Tidemill>),
    UmaDb(Arc<UmaDb>),
    Sqlite(Arc<GroupCommit>, PathBuf),
}

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    anyhow::ensure!(
        !is_memory(Path::new(env!("CARGO_TARGET_TMPDIR"))),
        "the build is in memory, where syncs cost nothing"
    );
    let runtime = Runtime::new()?;
    fresh(&runtime, &options)?;
    filled(&runtime, &options)
}

/// Appends on fresh stores.
fn fresh(runtime: &Runtime, options: &Options) -> anyhow::Result<()> {
    let mut best = [const { [const { None }; PEERS.len()] }; POINTS.len()];
    for _ in 0..options.rounds {
        // Removed at the end of the round: on some disks that keeps them busy for a while.
        let round = directory()?;
        for ((index, row), point) in best.iter_mut().enumerate().zip(POINTS) {
            for (turn, peer) in row.iter_mut().zip(PEERS) {
                let subject = Subject::open(peer, &round.path().join(format!("{index} {}", peer.name())))?;
                let workload = Arc::new(Workload::new(1_000_000));
                keep_best(turn, subject.drive(runtime, &workload, &options.load(point))?);
            }
        }
    }
    print_appends(&format!("Appends to fresh stores, best of {} rounds", options.rounds), &best, &PEERS);
    Ok(())
}

/// Fills stores, reads them, appends to them.
fn filled(runtime: &Runtime, options: &Options) -> anyhow::Result<()> {
    let place = directory()?;
    let (mut subjects, mut rates) = (Vec::new(), Vec::new());
    for peer in READERS {
        let subject = Subject::open(peer, &place.path().join(peer.name()))?;
        let workload = Arc::new(Workload::new(options.events / 10));
        let begin = Instant::now();
        subject.fill(runtime, &workload, options.events)?;
        rates.push(options.events as f64 / begin.elapsed().as_secs_f64());
        subjects.push((subject, workload));
    }
    let events = thousands(options.events as f64);
    print_fills(&events, &rates);
    let mut reads: Vec<Vec<ReadFigures>> = vec![Vec::new(); subjects.len()];
    for _ in 0..options.rounds {
        for (best, (subject, workload)) in reads.iter_mut().zip(&subjects) {
            let round = subject.read(workload, options.events)?;
            best.resize(round.len(), ReadFigures::default());
            best.iter_mut().zip(round).for_each(|(best, round)| best.keep_best(round));
        }
    }
    print_reads(&events, &reads);
    let mut appends = [const { [const { None }; READERS.len()] }; POINTS.len()];
    for _ in 0..options.rounds {
        for (row, point) in appends.iter_mut().zip(POINTS) {
            for (turn, (subject, workload)) in row.iter_mut().zip(&subjects) {
                keep_best(turn, subject.drive(runtime, workload, &options.load(point))?);
            }
        }
    }
    print_appends(&format!("Appends to stores of {events} events and more"), &appends, &READERS);
    Ok(())
}

impl Options {
    fn load(&self, (appenders, batch, guard): (usize, u64, Guard)) -> Load {
        let turn = Duration::from_millis(self.turn_ms);
        Load { appenders, batch, guard, warm_up: turn / 3, turn }
    }
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Tidemill => "Tidemill",
            Self::UmaDb => "UmaDB",
            Self::UmaDbWithoutStreams => "UmaDB, no streams",
            Self::Sqlite => "SQLite, grouped",
            Self::SqliteOneByOne => "SQLite",
        }
    }
}

impl Subject {
    fn open(peer: Peer, place: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place)?;
        let sqlite = place.join("events.sqlite");
        Ok(match peer {
            Peer::Tidemill => Self::Tidemill(Arc::new(Tidemill::open(place)?)),
            Peer::UmaDb => Self::UmaDb(Arc::new(UmaDb::create(place, true)?)),
            Peer::UmaDbWithoutStreams => Self::UmaDb(Arc::new(UmaDb::create(place, false)?)),
            Peer::Sqlite => Self::Sqlite(Arc::new(GroupCommit::new(SqliteSink::open(&sqlite)?, 0)), sqlite),
            Peer::SqliteOneByOne => {
                Self::Sqlite(Arc::new(GroupCommit::one_by_one(SqliteSink::open(&sqlite)?, 0)), sqlite)
            }
        })
    }

    fn drive(&self, runtime: &Runtime, workload: &Arc<Workload>, load: &Load) -> anyhow::Result<Turn> {
        match self {
            Self::Tidemill(target) => drive(runtime, target, workload, load),
            Self::UmaDb(target) => drive(runtime, target, workload, load),
            Self::Sqlite(target, _) => drive(runtime, target, workload, load),
        }
    }

    fn fill(&self, runtime: &Runtime, workload: &Workload, events: u64) -> anyhow::Result<()> {
        match self {
            Self::Tidemill(target) => fill(runtime, &**target, workload, events),
            Self::UmaDb(target) => fill(runtime, &**target, workload, events),
            Self::Sqlite(target, _) => fill(runtime, &**target, workload, events),
        }?;
        Ok(())
    }

    fn read(&self, workload: &Workload, events: u64) -> anyhow::Result<Vec<ReadFigures>> {
        match self {
            Self::Tidemill(store) => measure_reads(&**store, workload, events),
            Self::UmaDb(store) => measure_reads(&**store, workload, events),
            Self::Sqlite(_, path) => measure_reads(&SqliteReader::open(path)?, workload, events),
        }
    }
}

fn keep_best(best: &mut Option<Turn>, turn: Turn) {
    best.get_or_insert_default().keep_best(turn);
}

/// A new directory, gone when dropped. Beside the build: the system's temporary directory may be memory.
fn directory() -> std::io::Result<TempDir> {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))
}

fn print_appends<const N: usize>(title: &str, best: &[[Option<Turn>; N]], peers: &[Peer; N]) {
    let heads = ["what", "appenders", "batch", "guard", "events/s", "p50 µs", "p99 µs", "conflicts", "ours is times"];
    let table = Table::begin(title, &[17], &heads);
    for (turns, (appenders, batch, guard)) in best.iter().zip(POINTS) {
        let ours = turns.iter().flatten().next().map_or(f64::NAN, Turn::rate);
        for (turn, peer) in turns.iter().flatten().zip(peers) {
            table.row(&[
                peer.name().to_owned(),
                appenders.to_string(),
                batch.to_string(),
                if guard == Guard::None { "none" } else { "tag" }.to_owned(),
                thousands(turn.rate()),
                micros(turn.latencies.quantile(0.5)),
                micros(turn.latencies.quantile(0.99)),
                turn.conflicts.to_string(),
                ratio(ours, turn.rate()),
            ]);
        }
    }
}

fn print_fills(events: &str, rates: &[f64]) {
    let table = Table::begin(
        &format!("Filling with {events} events, batches of 1,000"),
        &[17],
        &["what", "events/s", "ours is times"],
    );
    let ours = rates.first().copied().unwrap_or(f64::NAN);
    for (rate, peer) in rates.iter().zip(READERS) {
        table.row(&[peer.name().to_owned(), thousands(*rate), ratio(ours, *rate)]);
    }
}

fn print_reads(events: &str, best: &[Vec<ReadFigures>]) {
    let heads = ["read", "what", "events each", "mean µs", "p50 µs", "p99 µs", "events/s", "ours is times"];
    let table = Table::begin(&format!("Reads of {events} events"), &[24, 17], &heads);
    let Some(ours) = best.first() else { return };
    for (kind, ours) in ours.iter().enumerate() {
        for (theirs, peer) in best.iter().filter_map(|kinds| kinds.get(kind)).zip(READERS) {
            if theirs.latencies.count() == 0 {
                continue;
            }
            table.row(&[
                theirs.what.to_owned(),
                peer.name().to_owned(),
                format!("{:.1}", theirs.events_per_read()),
                micros(theirs.latencies.mean()),
                micros(theirs.latencies.quantile(0.5)),
                micros(theirs.latencies.quantile(0.99)),
                thousands(theirs.rate()),
                ratio(ours.rate(), theirs.rate()),
            ]);
        }
    }
}
