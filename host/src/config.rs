//! What the host is told when it starts: flags, then environment variables `TIDEMILL_…`, then `tidemill.toml`, then
//! defaults.
//!
//! A setting is declared once, as a flag of `serve` ([`Setting`]); the file's reader, what shows where a value comes
//! from ([`Layers`]), the JSON schema ([`schema`]) and what is read again on SIGHUP ([`Reload`]) follow from that.
//!
//! One struct for each way of running it. The command line fills them; a Rust program that embeds the
//! host fills them by hand.

mod access;
mod authorities;
mod file;
mod layers;
mod limits;
mod profile;
mod queue;
mod reload;
pub mod schema;
mod secrets;
mod setting;
mod supervisor;
mod variables;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;

use crate::event::Category;
use crate::store::retention::Retention;

use crate::runtime::{CompileLimits, Compiler};

pub use access::{AccessOptions, default_keys_file};
pub use authorities::{AuthoritiesError, authorities};
pub use file::{CONFIG_NAME, ConfigError, SYSTEM_CONFIG};
pub use layers::{Effective, Layers, LoadError, Origin, load};
pub use limits::Limits;
pub use profile::{profiles_file, with_profile};
pub use queue::QueueLimits;
pub use reload::{Change, ReadLayers, Reload, Reread};
pub use secrets::HostSecrets;
pub use setting::{RELOADED, Setting};
pub use supervisor::Supervisor;
pub use variables::{OF_SCRIPTS, Slip};

/// Where a server listens unless told, and where commands look for one.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7117";

/// Where a server listens for gRPC when it is told to, but not where.
pub const DEFAULT_GRPC_ADDRESS: &str = "127.0.0.1:7118";

/// Longest drain that can be asked for, in seconds.
const DRAIN_SECONDS_MAX: u64 = 300;

/// How the host serves.
#[derive(Clone, Debug, Args)]
pub struct ServeOptions {
    /// Directory that holds the log and the plugins' state; made if it is not there
    #[arg(long, value_name = "DIR", env = "TIDEMILL_DATA", default_value = "tidemill-data")]
    pub data: PathBuf,
    /// Directory to load plugins from, watched while running [default: `plugins` in the data directory]
    #[arg(long, value_name = "DIR", env = "TIDEMILL_PLUGINS")]
    pub plugins: Option<PathBuf>,
    /// Address to listen on; port 0 picks a free one and prints it
    #[arg(long, value_name = "ADDR", env = "TIDEMILL_LISTEN", default_value = DEFAULT_ADDRESS)]
    pub listen: SocketAddr,
    /// Serve gRPC too (protocol `umadb.v1.DCB`), on this address or, without one, on 127.0.0.1:7118; port 0 picks
    /// a free one and prints it
    #[arg(long, value_name = "ADDR", env = "TIDEMILL_GRPC_LISTEN", num_args = 0..=1, default_missing_value = DEFAULT_GRPC_ADDRESS)]
    pub grpc_listen: Option<SocketAddr>,
    /// Who is let in, and over what.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Certificate authorities that HTTPS requests of plugins believe beside the public ones (PEM)
    #[arg(long, value_name = "FILE", env = "TIDEMILL_HTTP_CA")]
    pub http_ca: Option<PathBuf>,
    /// How much is taken on at a time, and how long a client is waited for.
    #[command(flatten)]
    pub limits: Limits,
    /// How accepted commands wait.
    #[command(flatten)]
    pub queue: QueueLimits,
    /// What compiles components in processes of their own; none compiles them in this one.
    #[arg(skip)]
    pub compiler: Option<Compiler>,
    /// Let events of a category (the part of the stream's name before the first `-`) go once they are older than
    /// so long, or when there are so many newer ones, and no plugin needs them: `order=30d`, `order=1000events` or
    /// both; repeat it for others, in the environment separated by `;` [default: everything is kept]
    #[arg(long, value_name = "CATEGORY=BOUNDS", env = "TIDEMILL_RETENTION", value_delimiter = ';', help_heading = RELOADED)]
    pub retention: Vec<Retention>,
    /// How long to go on after SIGTERM or Ctrl-C, at most, until plugins have finished their batches and requests in
    /// flight are answered
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_DRAIN_TIME", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=DRAIN_SECONDS_MAX))]
    pub drain_time: u64,
    /// Send traces and metrics by OTLP (protobuf over HTTP) to this receiver, such as http://localhost:4318 or, within
    /// TLS, `https://otlp.example.com`
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// File of the certificate authority (PEM) that an https:// receiver is trusted by, and by no other [default: the
    /// public ones]
    #[arg(long, value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    pub otlp_ca: Option<PathBuf>,
    /// Time between two sendings of metrics
    #[arg(long, value_name = "SECONDS", env = "TIDEMILL_OTLP_INTERVAL", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub otlp_interval: u64,
    /// Who is told that the server is ready, alive and stopping; none tells nobody.
    #[arg(skip)]
    pub supervisor: Option<Supervisor>,
    /// Where settings are read again on SIGHUP; without it SIGHUP ends the server.
    #[arg(skip)]
    pub reload: Option<Reload>,
}

/// A category has two policies.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "category {category} has two retention policies; give one, with both bounds if need be: {category}=30d,1000events"
)]
pub struct TwoPolicies {
    /// The category.
    pub category: Category,
}

impl ServeOptions {
    /// Checks that every category has one policy at most.
    ///
    /// # Errors
    /// Names the first that has two.
    pub fn check_retention(&self) -> Result<(), TwoPolicies> {
        let mut seen = HashSet::new();
        let twice = self.retention.iter().find(|policy| !seen.insert(&policy.category));
        twice.map_or(Ok(()), |policy| Err(TwoPolicies { category: policy.category.clone() }))
    }

    /// The directory plugins are loaded from.
    #[must_use]
    pub fn plugins_dir(&self) -> PathBuf {
        self.plugins.clone().unwrap_or_else(|| self.data.join("plugins"))
    }
}

/// How the demo runs.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoOptions {
    /// How many orders the shop takes
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub orders: u64,
    /// Seed of everything random; the same seed places the same orders
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub seed: u64,
    /// Keep the data directory and tell where it is
    #[arg(long)]
    pub keep: bool,
    /// Print the proof as JSON
    #[arg(long)]
    pub json: bool,
    /// What compiles components in processes of their own; none compiles them in this one.
    #[arg(skip)]
    pub compiler: Option<Compiler>,
}

/// This process's own program: by a link that stays right when the file is replaced, where there is one.
pub(crate) fn own_program() -> Option<PathBuf> {
    const LINK: &str = "/proc/self/exe";
    if Path::new(LINK).exists() { Some(LINK.into()) } else { std::env::current_exe().ok() }
}

/// The same as the compiler, for the `tidemill` binary.
#[must_use]
pub fn own_compiler() -> Option<Compiler> {
    own_program().map(|program| Compiler::tidemill(program, CompileLimits::default()))
}
