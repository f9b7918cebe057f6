//! What is asked for on the command line.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use tidemill_tests::bench::{Guard, Load};

/// How fast the log is.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What to measure; everything when none is given.
    parts: Vec<Part>,
    /// Events of the store that grows, is read and is opened.
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) events: u64,
    /// Where that store is kept; used as it is when there is one.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// How often turns are taken.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How long a turn is, in milliseconds; a third as long is appended before it.
    #[arg(long, default_value_t = 1000)]
    pub(crate) turn_ms: u64,
    /// How long waits are watched, in seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) wait_seconds: u64,
    /// For the process that is killed.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) append_until_killed: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Appends by several appenders and in batches, beside a bare file and redb with every index.
    Append,
    /// The longest waits for an answer while segments are sealed and indexes merged.
    Waits,
    /// Appends with an expected version or a condition, beside those without.
    Guarded,
    /// Rate, writes and memory as the log grows.
    Growth,
    /// Reads of the grown log.
    Reads,
    /// Opening the grown log, after a close and after a kill.
    Open,
}

impl Options {
    /// Reads the command line; ends the process when it is wrong.
    pub(crate) fn read() -> Self {
        Self::parse()
    }

    /// What to measure, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        if self.parts.is_empty() { Part::value_variants() } else { &self.parts }
    }

    /// An unguarded load for one turn.
    pub(crate) const fn load(&self, appenders: usize, batch: u64) -> Load {
        let warm_up = Duration::from_millis(self.turn_ms / 3);
        Load { appenders, batch, guard: Guard::None, warm_up, turn: Duration::from_millis(self.turn_ms) }
    }
}

/// A new directory, gone when dropped. Beside the build: the system's temporary directory may be memory.
pub(crate) fn directory() -> io::Result<TempDir> {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))
}
