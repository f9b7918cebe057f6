//! `tidemill bench deliver`: clients that wait, and how long each waits for a new event.

use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::CommonArgs;
use super::latencies::Latencies;
use super::report::{Measured, Report};
use super::target::{Arrivals, Target};
use super::workload::{Batch, Workload};
use crate::cli::error::{CliError, Exit};
use crate::clock::Stopwatch;

/// How long an event may be on its way.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill bench deliver --scratch                 500 clients wait, over HTTP and over gRPC
  tidemill bench deliver --scratch --clients 1,100,5000 --events 50
  tidemill bench deliver --yes                     with a running server, whose log then has those events

Each event is appended when the one before has reached everybody. Times are from before it is sent until a client
has it, so its append is part of them. Every client is a connection: thousands of them need `ulimit -n`.")]
pub(in crate::cli) struct DeliverArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// How many clients wait; several numbers make several turns
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_values_t = [500], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: Vec<u32>,
    /// How many events are appended, one after the other
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
}

/// Measures each target in turns.
pub(super) async fn run(args: &DeliverArgs, targets: &[Target], report: &mut Report<'_, '_>) -> Result<(), CliError> {
    for target in targets {
        let head = target.connect().await?.head().await.map_err(|error| target.explain(error))?;
        target.may_append(head, args.common.yes)?;
    }
    for clients in &args.clients {
        let mut first = None;
        for target in targets {
            let measured = turn(args, target, *clients as usize).await?;
            report.row(target, &measured, first)?;
            first = first.or_else(|| Some(measured.rate()));
        }
    }
    Ok(())
}

async fn turn(args: &DeliverArgs, target: &Target, clients: usize) -> Result<Measured, CliError> {
    let workload = Workload::new(args.common.bytes);
    let mut appender = target.connect().await?;
    let head = appender.head().await.map_err(|error| target.explain(error))?;
    let tag = workload.tag("deliver");
    let (tell, mut told) = mpsc::channel(1024);
    for _ in 0..clients {
        let subscribed = target.connect().await?.subscribe(&tag, head).await;
        tokio::spawn(wait(subscribed.map_err(|error| target.explain(error))?, tell.clone()));
    }
    drop(tell);
    let syncs_before = target.syncs().await;
    let (mut latencies, all) = (Latencies::new(), Stopwatch::start());
    for n in 0..args.events {
        let batch = Batch { tag: tag.clone(), events: 1, guarded: false };
        let sent = Stopwatch::start();
        appender.append(&workload, &batch).await.map_err(|error| target.explain(error))?;
        for missing in (1..=clients).rev() {
            match timeout(DELIVERY_MAX, told.recv()).await {
                Ok(Some(Some(came))) => latencies.record(Duration::from_nanos(Stopwatch::since_ns(came, sent))),
                _ => return Err(undelivered(target, n, missing)),
            }
        }
    }
    let time = all.elapsed();
    let syncs = syncs_before.zip(target.syncs().await).map(|(before, after)| (after.saturating_sub(before), time));
    let events = u64::from(args.events) * clients as u64;
    let payload_bytes = events * workload.bytes();
    Ok(Measured { benchmark: "deliver", clients, events, payload_bytes, time, latencies, is_durable: false, syncs })
}

fn undelivered(target: &Target, before: u32, missing: usize) -> CliError {
    let what = format!("{}: after {before} events, {missing} clients did not get the next", target.name());
    CliError::new(Exit::Unavailable, what).hint("the server's log says more; many clients need `ulimit -n`")
}

/// Tells when each event comes; none when no more will.
async fn wait(mut arrivals: Arrivals, tell: mpsc::Sender<Option<Stopwatch>>) {
    loop {
        let count = match arrivals.next().await {
            Ok(Some(count)) => count,
            Ok(None) | Err(_) => {
                // Nobody listens any more once all is measured.
                let _ = tell.send(None).await;
                return;
            }
        };
        let now = Stopwatch::start();
        for _ in 0..count {
            if tell.send(Some(now)).await.is_err() {
                return;
            }
        }
    }
}
