//! `tidemill bench read`: clients that read the log from its beginning.

use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::CommonArgs;
use super::latencies::Latencies;
use super::report::{Measured, Report};
use super::target::{Connection, Failure, Target};
use super::workload::Workload;
use crate::cli::client::ClientError;
use crate::cli::error::{CliError, Exit};
use crate::clock::Stopwatch;

/// How long a server may send nothing.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill bench read                              the log of a running server, by one client
  tidemill bench read --scratch --clients 1,4
  tidemill bench read --scratch --grpc http://127.0.0.1:50051

HTTP subscribes (server-sent events), gRPC reads. A log that is empty is filled first with --events events; one
that is not is read as it is, up to so many.")]
pub(in crate::cli) struct ReadArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// How many clients read side by side; several numbers make several turns
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [1], value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: Vec<u32>,
    /// How many events each client reads, at most
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
}

/// Measures each target in turns.
pub(super) async fn run(args: &ReadArgs, targets: &[Target], report: &mut Report<'_, '_>) -> Result<(), CliError> {
    let workload = Workload::new(args.common.bytes);
    let mut logs = Vec::new();
    for target in targets {
        let events = filled(target, args.events, &workload).await.map_err(|error| target.explain(error))?;
        logs.push((target, events));
    }
    for clients in &args.clients {
        let mut first = None;
        for (target, events) in &logs {
            let measured = turn(target, *clients as usize, *events, &workload).await?;
            report.row(target, &measured, first)?;
            first = first.or_else(|| Some(measured.rate()));
        }
    }
    Ok(())
}

/// How many events there are to read, at most `events`.
async fn filled(target: &Target, events: u32, workload: &Workload) -> Result<u32, Failure> {
    let mut connection = target.try_connect().await?;
    let head = connection.head().await?;
    if head > 0 {
        return Ok(u32::try_from(head).unwrap_or(u32::MAX).min(events));
    }
    connection.import(workload, events as usize).await?;
    Ok(events)
}

async fn turn(target: &Target, clients: usize, each: u32, workload: &Workload) -> Result<Measured, CliError> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(target.connect().await?);
    }
    let begin = Stopwatch::start();
    let mut running = JoinSet::new();
    for connection in connections {
        running.spawn(read(connection, each));
    }
    while let Some(ended) = running.join_next().await {
        let ended = ended.map_err(|error| CliError::new(Exit::Failure, format_args!("a client failed: {error}")))?;
        ended.map_err(|error| target.explain(error))?;
    }
    let events = u64::from(each) * clients as u64;
    Ok(Measured {
        benchmark: "read",
        clients,
        events,
        payload_bytes: events * workload.bytes(),
        time: begin.elapsed(),
        latencies: Latencies::new(),
        is_durable: false,
        syncs: None,
    })
}

/// Reads so many events.
async fn read(connection: Connection, events: u32) -> Result<(), Failure> {
    let (mut arrivals, mut seen) = (connection.read(events).await?, 0);
    while seen < events as usize {
        let arrived = timeout(ARRIVAL_MAX, arrivals.next()).await;
        match arrived.unwrap_or(Ok(None))? {
            Some(count) => seen += count,
            // Positions are counted, and retention may have removed some of them.
            None => {
                let reason = format!("the answer ended after {seen} of {events} events");
                return Err(ClientError::Connection { reason }.into());
            }
        }
    }
    Ok(())
}
