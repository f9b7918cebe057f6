//! The arguments, as the help shows them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::append::AppendArgs;
use super::ask::AskArgs;
use super::backup::BackupArgs;
use super::bench::BenchCommand;
use super::color::Color;
use super::command::CommandsCommand;
use super::completions::{CompletionsArgs, ManArgs};
use super::config::ConfigCommand;
use super::dead_letters::DeadLettersCommand;
use super::dev::DevArgs;
use super::doctor::DoctorArgs;
use super::events_read::ReadArgs;
use super::events_tail::TailArgs;
use super::export::ExportArgs;
use super::identity::IdentityArgs;
use super::import::ImportArgs;
use super::keys::KeysCommand;
use super::new::NewArgs;
use super::plugins::PluginsCommand;
use super::restore::RestoreArgs;
use super::retention::RetentionCommand;
use super::server_url::ServerUrl;
use super::state::StateCommand;
use super::stream_state::SnapshotsCommand;
use super::streams::StreamsCommand;
use super::top::TopArgs;
use super::types::TypesCommand;
use super::verify::VerifyArgs;
use crate::config::{DEFAULT_ADDRESS, DemoOptions, RELOADED, ServeOptions};
use crate::telemetry::{LogFormat, levels};

const EXAMPLES: &str = "\
First steps:
  tidemill serve --data ./pond                     start a server
  tidemill append --type OrderPlaced --stream order-1 --data '{\"total\":12}'
  tidemill events read                             see what the log holds
  tidemill events tail                             see what comes in, as it comes
  tidemill plugins ls                              see who listens, and how far they are
  tidemill demo                                    a shop with five plugins, in a minute

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 unavailable or time-out, 6 denied";

/// An event store that runs its subscribers inside itself, as sandboxed WebAssembly components
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, after_help = EXAMPLES, max_term_width = 110)]
pub(super) struct Cli {
    #[command(flatten, next_help_heading = "Options of every command")]
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
pub(super) struct GlobalArgs {
    /// Server to talk to
    #[arg(long, value_name = "URL", global = true, env = "TIDEMILL_SERVER", default_value_t = default_server())]
    pub(super) server: ServerUrl,
    #[command(flatten)]
    pub(super) identity: IdentityArgs,
    /// Talk to whom this table of ~/.config/tidemill/profiles.toml names: its keys are these options, as `server`
    #[arg(long, value_name = "NAME", global = true, env = "TIDEMILL_PROFILE")]
    pub(super) profile: Option<String>,
    /// When to colour what is printed
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    pub(super) color: Color,
    /// How much to log: error, warn, info, debug, trace, or pairs like `tidemill::store=debug`
    #[arg(long, value_name = "LEVEL", global = true, env = "TIDEMILL_LOG", value_parser = levels)]
    pub(super) log: Option<String>,
}

fn default_server() -> ServerUrl {
    #[expect(clippy::expect_used, reason = "a constant, held by a test")]
    DEFAULT_ADDRESS.parse().expect("the default address is an address")
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server: the log, the plugins and the HTTP API
    Serve(Box<ServeArgs>),
    /// Append one event, or events from stdin, one JSON object a line
    Append(Box<AppendArgs>),
    /// Read the log
    #[command(subcommand)]
    Events(EventsCommand),
    /// See the types of events: how many, how they are lifted, what their data must look like
    #[command(subcommand)]
    Types(TypesCommand),
    /// See the streams; end one for good
    #[command(subcommand)]
    Streams(StreamsCommand),
    /// Send a command to an aggregate; see what became of one
    #[command(subcommand, name = "command")]
    Commands(CommandsCommand),
    /// See and drop snapshots of aggregates
    #[command(subcommand)]
    Snapshots(SnapshotsCommand),
    /// See which settings `serve` has and where they come from; the schemas of its files
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Start writing a plugin: a project in Rust, TypeScript, Python, Go or C
    New(NewArgs),
    /// Build a plugin's project on every change, hand it events, and see what it does
    Dev(DevArgs),
    /// See the plugins: what they are, how far they have come
    #[command(subcommand, visible_alias = "plugin")]
    Plugins(PluginsCommand),
    /// See events that a plugin could not handle; hand them over again, or discard them
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Look into a plugin's state
    #[command(subcommand)]
    State(StateCommand),
    /// Ask a plugin: have it answer a query from its state
    Query(AskArgs),
    /// See what is kept for how long, what was removed, and which plugin holds that back
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Make, list and take back the keys that a server asks for
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Look at every byte of a store: is it what was written, does the index say what the log says
    Verify(VerifyArgs),
    /// Write all that a store holds to another place, while it is in use
    Backup(BackupArgs),
    /// Make a data directory of a backup
    Restore(RestoreArgs),
    /// Write events as lines of JSON, for another store or program
    Export(ExportArgs),
    /// Append the lines of an export; those that are stored already are not stored again
    Import(ImportArgs),
    /// Check a server, or a data directory and what is around it: what is wrong, and what to do
    Doctor(DoctorArgs),
    /// Measure a server, or several beside each other: appends, reads, delivery
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Watch a server: its head, its plugins, what they do
    Top(TopArgs),
    /// Print what a shell completes
    Completions(CompletionsArgs),
    /// Print the manual's page, or write one for each command
    Man(ManArgs),
    /// Compile the component on stdin: what the server runs for each that it does not know
    #[command(hide = true)]
    CompileComponent(CompileArgs),
    /// Watch a small shop run on five plugins: crash one, swap one, restart, and prove nothing was lost
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill serve                                   data in ./tidemill-data, plugins in ./tidemill-data/plugins
  tidemill serve --data /var/lib/tidemill --plugins /etc/tidemill/plugins --log-format json
  tidemill serve --listen 127.0.0.1:0              pick a free port and print it
  tidemill serve --grpc-listen                     let clients of UmaDB in, at http://127.0.0.1:7118
  tidemill serve --listen 0.0.0.0:7117 --tls-cert cert.pem --tls-key key.pem   for other machines; make a key before
  tidemill serve --retention order=30d --retention trace=7d,1000000events

Without a key (`tidemill keys new`) no key is asked for, and only addresses of this machine may be listened on.
Keys and certificates are taken up when their files change, or on SIGHUP.
Every option can stand in `tidemill.toml` too: in the data directory, in /etc/tidemill, or where --config says.
There `--drain-time 20` is `drain_time = 20`, and `--retention order=30d` is `order = \"30d\"` in [retention].
`tidemill config show` tells which value counts and where it comes from. SIGHUP reads the file again.

Plugins are picked up, replaced and removed as files come, change and go. SIGTERM or Ctrl-C finishes what
is in flight and ends.")]
pub(super) struct ServeArgs {
    /// File with settings [default: `tidemill.toml` in the data directory, else /etc/tidemill/tidemill.toml]
    #[arg(long, value_name = "FILE", env = "TIDEMILL_CONFIG")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) options: ServeOptions,
    /// How log lines look
    #[arg(long, value_enum, env = "TIDEMILL_LOG_FORMAT", default_value_t)]
    pub(super) log_format: LogFormat,
    /// How much to log: error, warn, info, debug, trace, or pairs like `tidemill::store=debug`
    #[arg(long, value_name = "LEVEL", env = "TIDEMILL_LOG", default_value = "info", value_parser = levels, help_heading = RELOADED)]
    pub(super) log: String,
}

/// What the compile may take.
#[derive(Debug, Args)]
pub(super) struct CompileArgs {
    /// Address space, in bytes
    pub(super) memory_bytes: u64,
    /// Processor time, in milliseconds
    pub(super) cpu_ms: u64,
    /// Wall time, in milliseconds
    pub(super) time_ms: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidemill demo
  tidemill demo --orders 300 --keep --json | jq .")]
pub(super) struct DemoArgs {
    #[command(flatten)]
    pub(super) options: DemoOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Print events in the order of the log
    Read(ReadArgs),
    /// Print the last events, then every new one as it comes
    Tail(TailArgs),
}

/// Where to read: a server, or a directory when none runs.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SourceArgs {
    /// Read this data directory instead of asking a server; only while no server uses it
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}
