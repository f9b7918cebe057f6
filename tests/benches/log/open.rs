//! Opening the grown log: after a close, and after a kill in the midst of appends.
//!
//! The kills are real: another process of this program appends until it is killed. What it was answered is
//! there afterwards, or the benchmark fails.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use tidemill_tests::bench::{Figures, Table, Target, Tidemill, Workload, fill, megabytes, millis, thousands};
use tokio::runtime::Runtime;

use crate::growth::{Place, streams};
use crate::options::Options;

const CLOSES: usize = 3;
/// How much the process appends before each kill, in events: so that the journals are full to different
/// degrees.
const KILLED_AFTER: [u64; 5] = [20_000, 50_000, 80_000, 110_000, 300_000];
/// Events in each answer of that process.
const STEP: u64 = 1000;

/// Prints the table.
pub(crate) fn run(runtime: &Runtime, options: &Options, place: &Place) -> anyhow::Result<()> {
    drop(place.filled(runtime, options)?);
    let table = Table::begin("Opening", &[26], &["after", "events", "open ms", "memory MB"]);
    let row = |what: String, (store, took): (Tidemill, Duration)| -> anyhow::Result<()> {
        let memory = megabytes(Figures::now().resident_bytes);
        table.row(&[what, thousands(store.head()? as f64), millis(took), memory]);
        Ok(())
    };
    for _ in 0..CLOSES {
        row("a close".to_owned(), opened(place.path())?)?;
    }
    for events in KILLED_AFTER {
        let answered = append_and_kill(place.path(), options, events)?;
        let (store, took) = opened(place.path())?;
        let head = store.head()?;
        anyhow::ensure!(
            head >= answered,
            "position {answered} was answered, but the log ends at {head} after the kill"
        );
        row(format!("a kill at {} more", thousands(events as f64)), (store, took))?;
    }
    Ok(())
}

fn opened(path: &Path) -> anyhow::Result<(Tidemill, Duration)> {
    let begin = Instant::now();
    let store = Tidemill::open(path)?;
    Ok((store, begin.elapsed()))
}

/// Has another process append so many events, kills it at once, and answers the last position it was told.
fn append_and_kill(path: &Path, options: &Options, events: u64) -> anyhow::Result<u64> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--append-until-killed")
        .arg(path)
        .args(["--events", &options.events.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its stdout is piped")?).lines();
    let mut answered = 0;
    for _ in 0..events / STEP {
        let line = lines.next().context("the appending process ended by itself")??;
        answered = line.trim().parse().with_context(|| format!("the appending process said {line:?}"))?;
    }
    child.kill()?;
    child.wait()?;
    Ok(answered)
}

/// Appends without end, and prints the head after each step.
pub(crate) fn append_until_killed(path: &Path, options: &Options) -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let store = Tidemill::open(path)?;
    let workload = Workload::starting_at(store.head()?, streams(options));
    let mut out = std::io::stdout();
    loop {
        fill(&runtime, &store, &workload, STEP)?;
        writeln!(out, "{}", store.head()?)?;
    }
}
