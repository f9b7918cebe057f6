//! How fast the log is: appends beside the disk's limit, guards, growth, reads, and opening after a kill.
//!
//! ```text
//! cargo bench -p tidemill-tests --bench log -- [part…] [--events N] [--store DIR] [--rounds N] [--turn-ms N]
//! ```
//! Without a part, all of them run. Figures are of this process on this disk beside the build; ratios hold
//! from machine to machine, absolute figures do not. Every answer comes after its sync. In `append` and
//! `guarded` what is compared takes turns and the best round of each counts; `growth`, `reads` and `open`
//! work on one store of `--events` events, made first if need be and kept when `--store` names its place.

mod append;
mod growth;
mod guarded;
mod open;
mod options;
mod reads;
mod redb_indexed;
mod waits;

use options::{Options, Part};
use tidemill_tests::bench::is_memory;
use tokio::runtime::Runtime;

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::read();
    if let Some(directory) = &options.append_until_killed {
        return open::append_until_killed(directory, &options);
    }
    let place = options.store.clone().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    std::fs::create_dir_all(&place)?;
    anyhow::ensure!(!is_memory(&place), "{} is in memory, where syncs cost nothing; give --store DIR", place.display());
    let runtime = Runtime::new()?;
    for part in options.parts() {
        match part {
            Part::Append => append::run(&runtime, &options)?,
            Part::Waits => waits::run(&runtime, &options)?,
            Part::Guarded => guarded::run(&runtime, &options)?,
            Part::Growth | Part::Reads | Part::Open => {}
        }
    }
    let store = growth::Place::new(&options)?;
    for part in options.parts() {
        match part {
            Part::Growth => growth::run(&runtime, &options, &store)?,
            Part::Reads => reads::run(&runtime, &options, &store)?,
            Part::Open => open::run(&runtime, &options, &store)?,
            Part::Append | Part::Waits | Part::Guarded => {}
        }
    }
    Ok(())
}
