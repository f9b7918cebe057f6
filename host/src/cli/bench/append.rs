//! `tidemill bench append`: clients that append one after the other, each as fast as it is answered.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;

use super::CommonArgs;
use super::latencies::Latencies;
use super::report::{Measured, Report};
use super::target::{Connection, Target};
use super::workload::{Batch, Workload};
use crate::cli::error::{CliError, Exit};
use crate::clock::Stopwatch;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill bench append --scratch                  what this machine can do, over HTTP and gRPC
  tidemill bench append --scratch --clients 1,8,64 --disk /var/lib/tidemill
  tidemill bench append --scratch --grpc http://127.0.0.1:50051   beside another server of umadb.v1.DCB
  tidemill bench append --scratch --import         many events in one request, as lines

Each append has one event, and a condition: that no event carries the tag that it brings. It is answered when it
is durable. A third as long is appended before it counts. `x DISK` is events a second over what the disk alone
syncs in a second; `x FIRST` compares with the first target. With --import, HTTP sends lines of NDJSON in one
body, gRPC appends of 1,000 events.")]
pub(in crate::cli) struct AppendArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// How many clients append side by side; several numbers make several turns
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1, 8, 64], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: Vec<u32>,
    /// How long each turn counts
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Events of an append
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    batch: u32,
    /// Append without a condition
    #[arg(long)]
    unconditional: bool,
    /// Append --events events in one go, by one client
    #[arg(long)]
    import: bool,
    /// How many events --import appends
    #[arg(long, value_name = "N", default_value_t = 200_000, requires = "import")]
    events: u32,
}

/// Reads a time in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let told = || "give seconds, from 0.01 to 3600".to_owned();
    text.parse().ok().filter(|seconds| (0.01..=3600.0).contains(seconds)).ok_or_else(told)
}

/// Measures each target in turns.
pub(super) async fn run(args: &AppendArgs, targets: &[Target], report: &mut Report<'_, '_>) -> Result<(), CliError> {
    for target in targets {
        let head = target.connect().await?.head().await.map_err(|error| target.explain(error))?;
        target.may_append(head, args.common.yes)?;
    }
    let turns: &[u32] = if args.import { &[1] } else { &args.clients };
    for clients in turns {
        let mut first = None;
        for target in targets {
            let measured = if args.import {
                import(args, target).await?
            } else {
                appends(args, target, *clients as usize).await?
            };
            report.row(target, &measured, first)?;
            first = first.or_else(|| Some(measured.rate()));
        }
    }
    Ok(())
}

/// What all clients of a turn do.
struct Load {
    workload: Workload,
    batch: usize,
    guarded: bool,
    begin: Stopwatch,
    /// When it begins to count.
    from: Duration,
    until: Duration,
}

async fn appends(args: &AppendArgs, target: &Target, clients: usize) -> Result<Measured, CliError> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(target.connect().await?);
    }
    let counts = Duration::from_secs_f64(args.seconds);
    let from = counts / 3;
    let syncs_before = target.syncs().await;
    let load = Arc::new(Load {
        workload: Workload::new(args.common.bytes),
        batch: args.batch as usize,
        guarded: !args.unconditional,
        begin: Stopwatch::start(),
        from,
        until: from + counts,
    });
    let mut running = JoinSet::new();
    for (client, connection) in connections.into_iter().enumerate() {
        let (load, target) = (Arc::clone(&load), target.clone());
        running.spawn(async move { client_loop(&load, &target, client, connection).await });
    }
    let (mut latencies, mut events) = (Latencies::new(), 0);
    while let Some(ended) = running.join_next().await {
        let ended = ended.map_err(|error| CliError::new(Exit::Failure, format_args!("a client failed: {error}")))?;
        let (theirs, appended) = ended?;
        latencies.add(&theirs);
        events += appended;
    }
    let ran = load.begin.elapsed();
    let syncs = syncs_before.zip(target.syncs().await).map(|(before, after)| (after.saturating_sub(before), ran));
    let payload_bytes = events * load.workload.bytes();
    Ok(Measured {
        benchmark: "append",
        clients,
        events,
        payload_bytes,
        time: counts,
        latencies,
        is_durable: true,
        syncs,
    })
}

/// Appends until the time is over; answers how long each append took that counts, and how many events they had.
async fn client_loop(
    load: &Load,
    target: &Target,
    client: usize,
    mut connection: Connection,
) -> Result<(Latencies, u64), CliError> {
    let (mut latencies, mut events) = (Latencies::new(), 0);
    for n in 0_u64.. {
        let tag = load.workload.tag(&format!("{client}-{n}"));
        let batch = Batch { tag, events: load.batch, guarded: load.guarded };
        let one = Stopwatch::start();
        connection.append(&load.workload, &batch).await.map_err(|error| target.explain(error))?;
        let (took, now) = (one.elapsed(), load.begin.elapsed());
        if now >= load.until {
            break;
        }
        if now >= load.from {
            latencies.record(took);
            events += load.batch as u64;
        }
    }
    Ok((latencies, events))
}

async fn import(args: &AppendArgs, target: &Target) -> Result<Measured, CliError> {
    let workload = Workload::new(args.common.bytes);
    let mut connection = target.connect().await?;
    let syncs_before = target.syncs().await;
    let begin = Stopwatch::start();
    connection.import(&workload, args.events as usize).await.map_err(|error| target.explain(error))?;
    let time = begin.elapsed();
    let syncs = syncs_before.zip(target.syncs().await).map(|(before, after)| (after.saturating_sub(before), time));
    let events = u64::from(args.events);
    let payload_bytes = events * workload.bytes();
    Ok(Measured {
        benchmark: "import",
        clients: 1,
        events,
        payload_bytes,
        time,
        latencies: Latencies::new(),
        is_durable: true,
        syncs,
    })
}
