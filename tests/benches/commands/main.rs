//! What commands cost: over HTTP beside plain guarded appends, by the length of an aggregate's history, hot, and what
//! lifting events adds to their delivery.
//!
//! Run by `cargo bench -p tidemill-tests --bench commands`. All of it decides by the account component. `rates` runs the
//! real server as a process of its own and its clients in this one; the other parts run in process. An option measures
//! parts alone, `--quick` makes turns and histories short: for trying it, not for figures. Ratios hold from machine to
//! machine; absolute figures do not.

#![expect(clippy::print_stdout, reason = "a benchmark prints its tables")]

mod histories;
mod hot;
mod lifts;
mod rates;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use serde_json::json;
use tidemill::api::parse_command;
use tidemill::clock::SystemClock;
use tidemill::command::{AggregateCode, AggregatePolicy, AggregateSetup, Claims, Command, Commands};
use tidemill::delivery::Permit;
use tidemill::event::{Category, EventType, NewEvent, Pattern, PluginName, StreamName};
use tidemill::runtime::{Engine, EngineOptions, InstanceOptions, Limits};
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, AsyncStore, Store};
use tidemill_plugins::ACCOUNT;
use tokio::runtime::Runtime;

/// What the host runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Beside the build, as the system's temporary directory may be memory.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");
/// Events of an append that fills a log.
const FILL_EVENTS: u64 = 1000;

/// What commands cost.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure; everything when none is given.
    parts: Vec<Part>,
    /// Short turns and short histories.
    #[arg(long)]
    quick: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// Commands a second over HTTP, beside guarded appends.
    Rates,
    /// Deciding for aggregates of 10, 1,000 and 100,000 events, that are not in memory.
    Histories,
    /// Deciding for an aggregate in memory, without the commit.
    Hot,
    /// Delivery of events that are lifted.
    Lifts,
}

fn main() -> anyhow::Result<()> {
    let Options { parts, quick, .. } = Options::parse();
    let parts = if parts.is_empty() { Part::value_variants() } else { &parts };
    let runtime = Runtime::new()?;
    for part in parts {
        match part {
            Part::Rates => rates::measure(if quick { Duration::from_millis(300) } else { Duration::from_secs(3) })?,
            Part::Histories => histories::measure(&runtime, if quick { &[10, 1000] } else { &[10, 1000, 100_000] })?,
            Part::Hot => hot::measure(&runtime, if quick { 200 } else { 20_000 })?,
            Part::Lifts => lifts::measure(&runtime, if quick { 2000 } else { 200_000 })?,
        }
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(EmbeddedStore::open(&OpenOptions::new(path), Arc::new(SystemClock))?))
}

/// The account's code.
fn account() -> anyhow::Result<Arc<dyn AggregateCode>> {
    let loaded = Engine::new(EngineOptions::default())?.load(ACCOUNT.component)?;
    let options = InstanceOptions::new(PluginName::new("account")?, Limits::default());
    loaded.aggregate(options).context("the account decides commands")
}

/// A bus that decides for accounts, with none of them in memory.
fn bus(store: &Arc<dyn Store>, code: &Arc<dyn AggregateCode>, snapshot_every: u64) -> anyhow::Result<Commands> {
    let claims = Claims::default();
    claims.claim(AggregateSetup {
        plugin: PluginName::new("account")?,
        category: Category::new("account")?,
        digest: String::new(),
        append: Permit::of([Pattern::new("*")?]),
        code: Arc::clone(code),
        policy: AggregatePolicy { snapshot_every, ..AggregatePolicy::default() },
        chain: Arc::default(),
    })?;
    Ok(Commands::new(AsyncStore::new(Arc::clone(store)), claims, Arc::new(SystemClock)))
}

/// A deposit of a cent.
fn deposit(account: &str, id: &str) -> anyhow::Result<Command> {
    let body = json!({ "id": id, "type": "Deposit", "data": { "cents": 1 } });
    let command = parse_command(Category::new("account")?, account.to_owned(), body.to_string().as_bytes());
    command.map_err(|reason| anyhow::anyhow!("{reason}"))
}

/// Gives an account a history of so many events.
fn fill(store: &Arc<dyn Store>, account: &str, events: u64) -> anyhow::Result<()> {
    let stream = StreamName::new(format!("account-{account}"))?;
    let event = |number: u64| -> anyhow::Result<NewEvent> {
        let (event_type, data) = match number {
            0 => ("AccountOpened", json!({ "owner": "ada" })),
            _ => ("MoneyDeposited", json!({ "cents": 1 })),
        };
        Ok(NewEvent::json(EventType::new(event_type)?, data.to_string()).on(stream.clone()))
    };
    for first in (0..events).step_by(FILL_EVENTS as usize) {
        let batch = (first..events.min(first + FILL_EVENTS)).map(event).collect::<anyhow::Result<_>>()?;
        store.append(AppendRequest::unconditional(batch)).wait()?;
    }
    Ok(())
}

/// What deciding took so far, without the commits: how often, and how long in all.
fn decided(commands: &Commands) -> anyhow::Result<(u64, Duration)> {
    let claimed = commands.claims().list();
    let times = &claimed.first().context("somebody decides")?.counts.decide_times;
    Ok((times.count(), Duration::from_nanos(times.sum())))
}
