//! `tidemill dev`: a plugin's project built, run and shown, again whenever something in it changes.
//!
//! The command builds by the project's own command, loads what came of it as the host would, and hands it events in a
//! store in memory: those of its fixtures, of a server, or of a file. It writes nowhere: not to the server it reads
//! from, and not into the project, but what the build leaves there. What is run is decided by what is in files, not by
//! when they were written, so a build that writes beside its sources does not set itself off.

mod build;
mod feed;
pub(super) mod project;
mod session;
mod show;
mod sources;

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::project::Project;
use self::session::Session;
use self::show::Show;
use self::sources::Sources;
use super::client::{Client, Server};
use super::error::{CliError, Exit};
use super::output::Output;
use crate::plugin::{Pace, Watcher};

/// Most events of a run.
const EVENTS_MAX: u64 = 50_000;
/// Events that are taken of a server, unless it is said.
const LIVE_EVENTS: u64 = 100;
/// How files are watched: an editor writes several at once.
const PACE: Pace = Pace { debounce: Duration::from_millis(200), poll: Duration::from_secs(2) };

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill dev                                     build, run the fixtures, and again on every change
  tidemill dev big-orders --once                   once, for CI: the exit code says whether all passed
  tidemill dev --server http://127.0.0.1:7117 --from 1000 --limit 50
  tidemill dev --live                              the first events of TIDEMILL_SERVER that it listens to
  tidemill dev --events orders.ndjson --json       a file of events, as of `tidemill export`; results as JSON

`dev.toml` in the project's folder says how it is built; `tidemill new` writes it:
  language = \"rust\"                                which tools it needs; may be missing
  build = \"cargo build --release --target wasm32-wasip2\"
  component = \"target/wasm32-wasip2/release/big_orders.wasm\"
Its plugin.toml says what it listens to and may do, its fixtures/ what it is given and what must come of it.
An upcaster is one chain with the rules (.toml) and components (.wasm) in its upcasters/, if there is one.

For each event it is told what the plugin answered, appended, stored and logged, and what that took: in a
call of its own, so a server, which hands events over in batches, takes less. Fixtures are also run in
batches, and what comes then decides. Of a server, what comes in meanwhile is handed over too, up to the
limit; nothing is written to it.")]
pub(super) struct DevArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Hand it events of the server instead of its fixtures; so does --server
    #[arg(long)]
    pub(super) live: bool,
    /// Begin with the event at this position of the server's log
    #[arg(long, value_name = "POSITION", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// Take so many events at most [default: 100 of a server, all of a file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    limit: Option<u64>,
    /// Hand it the events of a file instead, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["live", "from"])]
    events: Option<PathBuf>,
    /// Let a plugin with HTTP send its requests for events of a server or a file
    #[arg(long)]
    http: bool,
    /// Build and run once, then end
    #[arg(long)]
    once: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Whether what was given on the command line says that a server's events are wanted.
pub(super) fn asks_for_server(root: &ArgMatches) -> bool {
    let is_given = |matches: &ArgMatches, id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    root.subcommand_matches("dev").is_some_and(|dev| {
        !is_given(dev, "events") && (is_given(root, "server") || is_given(dev, "from") || is_given(dev, "limit"))
    })
}

/// Builds and runs, and goes on until interrupted.
pub(super) fn run(args: &DevArgs, server: Server, output: &mut Output<'_>) -> Result<(), CliError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::new(Exit::Failure, format_args!("no async runtime: {error}")))?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            () = interrupted() => Ok(Ended::Interrupted),
            ended = watch(args, server, output) => ended.map(|()| Ended::Done),
        }
    });
    // A plugin that is still at work is not waited for.
    runtime.shutdown_background();
    match ended? {
        Ended::Interrupted if args.once => Err(CliError::new(Exit::Failure, "interrupted")),
        Ended::Interrupted | Ended::Done => Ok(()),
    }
}

/// How a run came to its end.
enum Ended {
    Done,
    Interrupted,
}

async fn interrupted() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Then the signal ends the process.
        _ => std::future::pending().await,
    }
}

async fn watch(args: &DevArgs, server: Server, output: &mut Output<'_>) -> Result<(), CliError> {
    // A folder that is none of a project is not gone through.
    Project::read(&args.folder)?;
    let mut show = Show::new(output, args.json);
    let mut session = Session::new(args, Client::Server(server));
    let mut watcher = Watcher::new(PACE);
    let mut seen = None;
    loop {
        let sources = Sources::of(&args.folder, args.events.as_deref())?;
        watcher.rearm(sources.folders.iter().map(PathBuf::as_path));
        let changed = seen.as_ref() != Some(&sources.state);
        let news = !changed && session.has_news().await;
        if changed || news {
            let ran = session.step(&sources.state, news, &mut show).await;
            if args.once {
                return ran;
            }
            show.ran(ran)?;
            if changed {
                show.watching(&args.folder)?;
            }
            seen = Some(sources.state);
        }
        watcher.due(false).await;
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::cli::args::Command;
    use crate::cli::layers;

    #[test]
    fn a_server_that_is_named_is_asked_for_its_events() {
        let asks = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            let (cli, _) = layers::parse(&words).ok().unwrap();
            let Command::Dev(args) = cli.command else { panic!("{line}") };
            args.live
        };
        for line in [
            "tidemill dev --server localhost:1",
            "tidemill --server localhost:1 dev",
            "tidemill dev --from 7",
            "tidemill dev --limit 7",
            "tidemill dev --live",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in ["tidemill dev", "tidemill dev x --once", "tidemill dev --events a.ndjson --limit 7"] {
            assert!(!asks(line), "{line}");
        }
    }
}
