//! `tidemill bench`: how fast a server is, or several beside each other in one run.
//!
//! It is a client like any other: over HTTP, and over gRPC to every server that speaks `umadb.v1.DCB`. Each
//! client has a connection of its own, within TLS where the URL says so, with the key that the command was given. What it appends has the type [`workload::EVENT_TYPE`] and stays in the log;
//! so a log with events is written to only when that was said, or when it is a scratch store's. One file per
//! benchmark (`append`, `read`, `deliver`); `target` is whom they talk to, `http` and `grpc::client` are how.

mod append;
mod deliver;
mod http;
mod latencies;
mod read;
mod report;
mod scratch;
mod target;
mod wire;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::runtime::Builder;

use append::AppendArgs;
use deliver::DeliverArgs;
use read::ReadArgs;
use report::{Disk, Report};
use scratch::Scratch;
use target::Target;
use wire::Wire;

use super::client::Server;
use super::disk;
use super::error::{CliError, Exit};
use super::output::Output;
use super::server_url::ServerUrl;

/// How long the disk is measured.
const DISK_TIME: Duration = Duration::from_millis(700);

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Measure how fast events are stored
    Append(AppendArgs),
    /// Measure how fast the log is read from its beginning
    Read(ReadArgs),
    /// Measure how long a new event takes to reach those who wait for it
    Deliver(DeliverArgs),
}

/// Whom to measure, and how to tell.
#[derive(Clone, Debug, Default, Args)]
struct CommonArgs {
    /// Measure a server of its own, over a store in a temporary directory, instead of --server: HTTP and gRPC
    #[arg(long)]
    scratch: bool,
    /// Measure this server too, over gRPC (protocol umadb.v1.DCB), https:// within TLS; repeat for several. The key
    /// goes to the host of --server alone
    #[arg(long, value_name = "URL")]
    grpc: Vec<ServerUrl>,
    /// Measure gRPC alone
    #[arg(long)]
    grpc_only: bool,
    /// Append to a server that holds events already; what a benchmark appends stays in its log
    #[arg(long)]
    yes: bool,
    /// Payload of an event, in bytes
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(2..=65_536))]
    bytes: u32,
    /// Directory on the disk that is measured beside the servers; a scratch store is made in it [default: the
    /// system's temporary directory]
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// Print JSON, one object a line for each measurement
    #[arg(long)]
    json: bool,
}

impl BenchCommand {
    const fn common(&self) -> &CommonArgs {
        match self {
            Self::Append(args) => &args.common,
            Self::Read(args) => &args.common,
            Self::Deliver(args) => &args.common,
        }
    }
}

/// Measures, and prints as it goes.
pub(super) fn run(command: &BenchCommand, server: &Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let common = command.common();
    let place = common.disk.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = common.scratch.then(|| Scratch::start(&place)).transpose()?;
    let (authorities, authorization) = server.credentials();
    let wire = Wire::new(authorities, authorization)
        .map_err(|error| CliError::usage(format_args!("--tls-ca holds no authority: {error}")))?;
    let targets = targets(common, (server, &wire), scratch.as_ref());
    if targets.is_empty() {
        return Err(CliError::usage("--grpc-only leaves nothing to measure").hint("give --grpc URL, or --scratch"));
    }
    let disk = disk::sync_speed(&place, DISK_TIME).map_err(|error| {
        CliError::new(Exit::Failure, format_args!("the disk under {} cannot be measured: {error}", place.display()))
            .hint("give a directory that can be written by --disk DIR")
    })?;
    let is_memory = disk::file_system(&place).is_some_and(|found| found.is_memory);
    let mut report = Report::new(output, common.json, Disk { place, per_second: disk.per_second, is_memory })?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::new(Exit::Failure, format_args!("no async runtime: {error}")))?;
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = measure(command, &targets, &mut report) => measured,
            _ = tokio::signal::ctrl_c() => Err(CliError::new(Exit::Failure, "interrupted")),
        }
    });
    // Whoever still waits for an event waits in vain.
    runtime.shutdown_background();
    measured
}

async fn measure(command: &BenchCommand, targets: &[Target], report: &mut Report<'_, '_>) -> Result<(), CliError> {
    match command {
        BenchCommand::Append(args) => append::run(args, targets, report).await,
        BenchCommand::Read(args) => read::run(args, targets, report).await,
        BenchCommand::Deliver(args) => deliver::run(args, targets, report).await,
    }
}

/// Whom to measure, in the order in which they take turns.
fn targets(common: &CommonArgs, (server, wire): (&Server, &Wire), scratch: Option<&Scratch>) -> Vec<Target> {
    let own = match scratch {
        Some(scratch) => {
            let none = Wire::default();
            let grpc = Target::grpc(&scratch.grpc, &none).scratch_of(&scratch.http);
            vec![Target::http(&scratch.http, &none).scratch(), grpc]
        }
        None => vec![Target::http(server.url(), wire)],
    };
    let own = own.into_iter().filter(|target| !common.grpc_only || target.is_grpc());
    // The key is for one host: others would get it who should not have it.
    let of = |url: &ServerUrl| if url.host() == server.url().host() { wire.clone() } else { wire.without_key() };
    own.chain(common.grpc.iter().map(|url| Target::grpc(url, &of(url)))).collect()
}
