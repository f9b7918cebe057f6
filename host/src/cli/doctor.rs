//! `tidemill doctor`: whether everything is as a server needs it, and what to do about what is not.
//!
//! It looks at the sizes of the store, and at what is around it, one file each: the data directory and its disk
//! (`directory`), the environment and ports (`settings`), the plugins directory (`plugins`), a running server
//! (`server`). It changes nothing: a data directory is looked at without writing, and the file that measures its disk has
//! no name. A server that has the directory open is said to have it.

mod check;
mod directory;
mod plugins;
mod server;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use ureq::http::Method;

use check::{Area, Check, State};

use super::args::SourceArgs;
use super::client::{Client, ClientError, Server};
use super::error::{CliError, Exit};
use super::output::{Output, shown};
use super::query::Query;
use super::table::Table;
use crate::api::{DoctorView, PartView};
use crate::clock::SystemClock;
use crate::config::{DEFAULT_ADDRESS, DEFAULT_GRPC_ADDRESS};
use crate::error::with_sources;
use crate::runtime::Compiler;
use crate::store::StoreError;
use crate::store::embedded::{ClosedStore, EmbeddedStore};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill doctor                        a running server, its plugins and its store
  tidemill doctor --data ./pond          a data directory that no server uses, as one would find it; nothing is changed
  tidemill doctor --data ./pond --plugins ./plugins --listen 0.0.0.0:7117
  tidemill doctor --json | jq '.checks[] | select(.state == \"wrong\")'

Without a server: whose the data directory is, what does not belong in it, its file system, free space and the
speed of its disk; every manifest and component in the plugins directory; the addresses to listen on, as `tidemill.toml`
says if --data finds one. With one: what it says of itself. And the environment. Each finding says what to do.

Amplification is what the store takes on disk over the bytes of its sealed events as encoded.
Sealed events stand in segments and are indexed in files; later ones stand in journals, of a
fixed size, and are indexed in memory. `tidemill verify` looks at every byte.

Exit codes: 0 nothing is wrong, 1 something is, 3 there is no store, 5 it is in use, or no server answers")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) source: SourceArgs,
    /// With --data: directory that the server would load plugins from [default: `plugins` in the data directory]
    #[arg(long, value_name = "DIR", env = "TIDEMILL_PLUGINS")]
    plugins: Option<PathBuf>,
    /// With --data: address that the server would listen on
    #[arg(long, value_name = "ADDR", env = "TIDEMILL_LISTEN", default_value = DEFAULT_ADDRESS)]
    listen: SocketAddr,
    /// With --data: address that the server would serve gRPC on [default: none]
    #[arg(long, value_name = "ADDR", env = "TIDEMILL_GRPC_LISTEN", num_args = 0..=1, default_missing_value = DEFAULT_GRPC_ADDRESS)]
    grpc_listen: Option<SocketAddr>,
    /// With --data: file with the server's settings [default: `tidemill.toml` in the data directory, else
    /// /etc/tidemill/tidemill.toml]
    #[arg(long, value_name = "FILE", env = "TIDEMILL_CONFIG")]
    config: Option<PathBuf>,
    /// The file that was read, or what is wrong with it.
    #[arg(skip)]
    pub(super) settings: Option<Result<Option<PathBuf>, String>>,
}

/// Everything that was found.
#[derive(Serialize)]
struct Found {
    /// The sizes; none when no server answers.
    #[serde(flatten)]
    view: Option<DoctorView>,
    /// What was looked at.
    checks: Vec<Check>,
}

/// Looks, prints, and fails when something is wrong.
pub(super) fn run(
    args: &DoctorArgs,
    server: Server,
    compiler: Option<Compiler>,
    output: &mut Output<'_>,
) -> Result<(), CliError> {
    let (mut found, unreachable) = match &args.source.data {
        Some(directory) => without_server(args, directory, compiler)?,
        None => with_server(server)?,
    };
    found.checks.extend(settings::environment());
    if args.source.json {
        output.json(&found)?;
    } else {
        found.print(output)?;
    }
    unreachable.map_or_else(|| found.verdict(), Err)
}

/// Looks at a directory, and at what a server would find around it; that one has it is the error.
fn without_server(
    args: &DoctorArgs,
    directory: &Path,
    compiler: Option<Compiler>,
) -> Result<(Found, Option<CliError>), CliError> {
    let (view, store, in_use) = match closed(directory) {
        Ok((view, store)) => (Some(view), store, None),
        Err(error @ StoreError::InUse { .. }) => {
            let what = format!("a running server has {}", directory.display());
            let advice = "ask the server: `tidemill doctor` with its --server; the store is looked at when none has it";
            (None, Check::unusual(Area::Store, what, advice), Some(error.into()))
        }
        Err(StoreError::NotAStore { .. }) if !EmbeddedStore::exists(directory) => {
            return Err(CliError::no_store(directory));
        }
        Err(error) => return Err(error.into()),
    };
    let mut checks = vec![store];
    checks.extend(directory::checks(directory));
    checks.extend(args.settings.as_ref().map(settings::file));
    let folder = args.plugins.clone().unwrap_or_else(|| directory.join("plugins"));
    checks.extend(plugins::checks(&folder, compiler));
    if in_use.is_none() {
        checks.extend([Some(args.listen), args.grpc_listen].into_iter().flatten().map(settings::port));
    }
    Ok((Found { view, checks }, in_use))
}

/// Asks a server; what else there is to tell is told even if none answers, with that as the error.
fn with_server(server: Server) -> Result<(Found, Option<CliError>), CliError> {
    let url = server.url().clone();
    let client = Client::Server(server);
    match client.send(&Method::GET, "/livez") {
        Err(error @ ClientError::Connection { .. }) => {
            let what = format!("no server answers at {url}");
            let advice = "start one with `tidemill serve`, or look at a data directory by --data DIR";
            let checks = vec![Check::wrong(Area::Server, what, advice)];
            Ok((Found { view: None, checks }, Some(client.explain(error))))
        }
        _ => {
            let view = client.get(&Query::path(&["v1", "doctor"]))?;
            Ok((Found { view: Some(view), checks: server::checks(&client)? }, None))
        }
    }
}

/// Measures a store that nobody uses. The sizes are told even if the log does not open.
fn closed(directory: &Path) -> Result<(DoctorView, Check), StoreError> {
    let looked = ClosedStore::look(directory)?;
    let sizes = looked.sizes()?;
    match ClosedStore::try_to_open(directory, Arc::new(SystemClock)) {
        Ok(counts) => Ok((DoctorView::new(&sizes, Some(counts)), Check::ok(Area::Store, "the log opens"))),
        Err(error) => {
            let what = format!("the log does not open: {}", with_sources(&error));
            let check = Check::wrong(Area::Store, what, "`tidemill verify --data DIR` tells what is damaged");
            Ok((DoctorView::new(&sizes, None), check))
        }
    }
}

impl Found {
    fn print(&self, output: &mut Output<'_>) -> Result<(), CliError> {
        if let Some(view) = &self.view {
            print(view, output)?;
        }
        let unusual = self.view.iter().flat_map(|view| &view.findings);
        let unusual = unusual.map(|finding| Check::unusual(Area::Store, &finding.what, &finding.advice));
        let mut checks: Vec<_> = self.checks.iter().cloned().chain(unusual).collect();
        checks.sort_by_key(|check| check.state);
        checks.iter().try_for_each(|check| check.print(output))
    }

    /// An error when something is wrong.
    fn verdict(&self) -> Result<(), CliError> {
        let mut wrong = self.checks.iter().filter(|check| check.state == State::Wrong);
        let Some(first) = wrong.next() else { return Ok(()) };
        let what = match wrong.count() {
            0 => first.what.clone(),
            more => format!("{} things are wrong, first: {}", more + 1, first.what),
        };
        let error = CliError::new(Exit::Failure, shown(&what, usize::MAX));
        Err(match &first.advice {
            Some(advice) => error.hint(advice),
            None => error,
        })
    }
}

fn print(view: &DoctorView, output: &mut Output<'_>) -> Result<(), CliError> {
    let count = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| HumanCount(number).to_string());
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), |text| shown(text, 64));
    for (name, value) in [
        ("events", count(view.events)),
        ("streams", count(view.streams)),
        ("head", count(view.head)),
        ("sealed up to", count(Some(view.sealed))),
        ("given back", count(Some(view.stubs))),
        ("sealed from", text(&view.sealed_from)),
        ("sealed until", text(&view.sealed_until)),
        ("payload", HumanBytes(view.payload_bytes).to_string()),
        ("amplification", view.amplification.map_or_else(|| "-".to_owned(), |times| format!("{times:.2}"))),
    ] {
        output.line(&format!("{name:<14} {value}"))?;
    }
    for (category, before) in &view.removed_before {
        let category = shown(category, 64);
        output.line(&format!("{:<14} {category} before {}", "removed", HumanCount(*before)))?;
    }
    output.line("")?;
    parts(view).print(output)?;
    output.line("")
}

fn parts(view: &DoctorView) -> Table<4> {
    let mut table = Table::new(["PART", "#FILES", "#SIZE", "#BYTES PER EVENT"]);
    let mut row = |name: &str, part: &PartView| {
        let per_event = part.bytes_per_event.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.1}"));
        table.row([name.to_owned(), part.files.to_string(), HumanBytes(part.bytes).to_string(), per_event]);
    };
    row("segments", &view.segments);
    row("index", &view.index);
    row("journals", &view.journals);
    row("plugins' data", &PartView { files: 1, bytes: view.state_bytes, bytes_per_event: None });
    let files = view.segments.files + view.index.files + view.journals.files + 1;
    row("all", &PartView { files, bytes: view.total_bytes, bytes_per_event: None });
    for (level, files) in view.index_files_by_level.iter().enumerate() {
        table.row([format!("index level {level}"), files.to_string(), "-".to_owned(), "-".to_owned()]);
    }
    table
}
