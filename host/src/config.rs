//! What the host is told when it starts: flags, then environment variables `TIDEMILL_…`, then defaults.
//!
//! One struct for each way of running it. The command line fills them; a Rust program that embeds the
//! host fills them by hand.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Where a server listens unless told, and where commands look for one.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7117";

/// Where a server listens for gRPC when it is told to, but not where.
pub const DEFAULT_GRPC_ADDRESS: &str = "127.0.0.1:7118";

/// How the host serves.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
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
}

impl ServeOptions {
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
}
