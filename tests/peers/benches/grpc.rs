//! The gRPC face beside the UmaDB server: the same client, over loopback, on one disk, in turns.
//!
//! ```text
//! cargo bench --bench grpc -- [--rounds N] [--turn-ms N] [--events N]
//! ```
//! Appends of one event of 256 bytes, each on stable storage before its answer and guarded by a condition: no event
//! carries the tag that names it. Every client has a connection of its own. Best round of each. Then a log of
//! `--events` events is read by one client. Servers and clients share the processors; the server under test is the
//! only one that runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use tempfile::TempDir;
use tidemill_peers::Served;
use tidemill_tests::bench::{Guard, Load, Table, Turn, Workload, drive, fill, is_memory, micros, ratio, thousands};
use tokio::runtime::Runtime;

/// How fast the gRPC face is beside its peer.
#[derive(Debug, Parser)]
struct Options {
    /// How often turns are taken.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a turn is, in milliseconds; a third as long is appended before it.
    #[arg(long, default_value_t = 2000)]
    turn_ms: u64,
    /// Events in the log that is read.
    #[arg(long, default_value_t = 300_000)]
    events: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const CLIENTS: [usize; 3] = [1, 8, 64];

#[derive(Clone, Copy, Debug)]
enum Peer {
    Tidemill,
    UmaDb,
    UmaDbPipelined,
}

const PEERS: [Peer; 3] = [Peer::Tidemill, Peer::UmaDb, Peer::UmaDbPipelined];

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    anyhow::ensure!(!is_memory(place), "the build is in memory, where syncs cost nothing");
    let runtime = Arc::new(Runtime::new()?);
    appends(&runtime, place, &options)?;
    reads(&runtime, place, &options)
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::Tidemill => "Tidemill",
            Self::UmaDb => "UmaDB",
            Self::UmaDbPipelined => "UmaDB, pipelined",
        }
    }

    fn serve(self, runtime: &Arc<Runtime>, directory: &Path, clients: usize) -> anyhow::Result<Served> {
        match self {
            Self::Tidemill => Served::tidemill(runtime, directory, clients),
            Self::UmaDb => Served::umadb(runtime, directory, clients, false),
            Self::UmaDbPipelined => Served::umadb(runtime, directory, clients, true),
        }
    }
}

fn appends(runtime: &Arc<Runtime>, place: &Path, options: &Options) -> anyhow::Result<()> {
    let turn = Duration::from_millis(options.turn_ms);
    let mut best = [const { [const { None::<Turn> }; PEERS.len()] }; CLIENTS.len()];
    for _ in 0..options.rounds {
        for (row, clients) in best.iter_mut().zip(CLIENTS) {
            for (best, peer) in row.iter_mut().zip(PEERS) {
                let directory = TempDir::new_in(place)?;
                let served = Arc::new(peer.serve(runtime, directory.path(), clients)?);
                let load = Load { appenders: clients, batch: 1, guard: Guard::UnusedTag, warm_up: turn / 3, turn };
                let turn = drive(runtime, &served, &Arc::new(Workload::new(1_000_000)), &load)?;
                best.get_or_insert_default().keep_best(turn);
            }
        }
    }
    let title = format!("gRPC appends of one event, guarded, best of {} rounds", options.rounds);
    let heads = ["clients", "what", "events/s", "p50 µs", "p99 µs", "ours is times"];
    let table = Table::begin(&title, &[8, 17], &heads);
    for (row, clients) in best.iter().zip(CLIENTS) {
        let ours = row.iter().flatten().next().map_or(f64::NAN, Turn::rate);
        for (turn, peer) in row.iter().flatten().zip(PEERS) {
            table.row(&[
                clients.to_string(),
                peer.name().to_owned(),
                thousands(turn.rate()),
                micros(turn.latencies.quantile(0.5)),
                micros(turn.latencies.quantile(0.99)),
                ratio(ours, turn.rate()),
            ]);
        }
    }
    Ok(())
}

fn reads(runtime: &Arc<Runtime>, place: &Path, options: &Options) -> anyhow::Result<()> {
    let events = options.events;
    let title =
        format!("One client reads {} events over gRPC, best of {} rounds", thousands(events as f64), options.rounds);
    let table = Table::begin(&title, &[17], &["what", "events/s", "ours is times"]);
    let mut ours = f64::NAN;
    for peer in [Peer::Tidemill, Peer::UmaDb] {
        let directory = TempDir::new_in(place)?;
        let served = peer.serve(runtime, directory.path(), 1)?;
        fill(runtime, &served, &Workload::new(events / 10), events)?;
        let mut best = 0.0_f64;
        for _ in 0..options.rounds {
            let begin = Instant::now();
            let read = served.read_all()?;
            anyhow::ensure!(read == events, "{read} of {events} events were read");
            best = best.max(events as f64 / begin.elapsed().as_secs_f64());
        }
        ours = if matches!(peer, Peer::Tidemill) { best } else { ours };
        table.row(&[peer.name().to_owned(), thousands(best), ratio(ours, best)]);
    }
    Ok(())
}
