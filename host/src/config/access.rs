//! Who is let in, and over what.

use std::path::{Path, PathBuf};

use clap::Args;

/// The keys file, below the data directory unless told otherwise.
const KEYS_FILE: &str = "keys.toml";

/// Who is let in, and over what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct AccessOptions {
    /// File of the keys that are asked for, made by `tidemill keys new`; without keys only this machine is listened to
    /// [default: `keys.toml` in the data directory]
    #[arg(long, value_name = "FILE", env = "TIDEMILL_KEYS")]
    pub keys: Option<PathBuf>,
    /// Speak TLS, with the certificate in this file (PEM; those that lead to its authority after it)
    #[arg(long, value_name = "FILE", env = "TIDEMILL_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// File of the certificate's private key (PEM)
    #[arg(long, value_name = "FILE", env = "TIDEMILL_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Listen to other machines though no key is asked for: whoever reaches the address may read, append and administer
    #[arg(long, env = "TIDEMILL_INSECURE_LISTEN")]
    pub insecure_listen: bool,
}

impl AccessOptions {
    /// Where keys are kept, of a server with this data directory.
    #[must_use]
    pub fn keys_file(&self, data: &Path) -> PathBuf {
        self.keys.clone().unwrap_or_else(|| default_keys_file(data))
    }
}

/// Where keys are kept unless told otherwise.
#[must_use]
pub fn default_keys_file(data: &Path) -> PathBuf {
    data.join(KEYS_FILE)
}
