//! What the operator allows one plugin, as the manifest says it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::event::Pattern;
use crate::runtime::{AddressGrant, HttpGrant};

/// The `[grants]` of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestGrants {
    /// Event types it may append.
    pub append: Vec<Pattern>,
    /// Event types it may be handed.
    pub read: Vec<Pattern>,
    /// Where it may send HTTP requests.
    pub http: Vec<HttpGrant>,
    /// Addresses that it may reach although they are not public.
    pub http_private: Vec<AddressGrant>,
    /// Which keys of `[config]` it may read.
    pub config: ConfigGrant,
    /// Secrets that are used for it, by name.
    pub secrets: BTreeMap<String, SecretGrant>,
}

impl Default for ManifestGrants {
    fn default() -> Self {
        Self {
            append: Vec::new(),
            read: vec![Pattern::all()],
            http: Vec::new(),
            http_private: Vec::new(),
            config: ConfigGrant::All,
            secrets: BTreeMap::new(),
        }
    }
}

/// Which keys of `[config]` a plugin may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigGrant {
    /// Every one.
    All,
    /// These.
    Keys(Vec<String>),
}

impl ConfigGrant {
    /// Whether it allows a key.
    #[must_use]
    pub fn allows(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.iter().any(|granted| granted == key),
        }
    }
}

/// A secret, and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretGrant {
    /// Where it comes from.
    pub source: SecretSource,
    /// The header that the host puts it in; the guest does not see it.
    pub header: Option<HeaderGrant>,
    /// Whether the guest may read it as configuration, under its name.
    pub config: bool,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the host.
    Environment(String),
    /// A file; a relative path is one from the manifest's folder. A line break at its end does not count.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// A header that carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderGrant {
    /// Requests that get it.
    pub host: HttpGrant,
    /// The header's name.
    pub name: String,
    /// What stands before the secret, such as `Bearer `.
    pub prefix: String,
}

/// Gets secrets. What it answers is handed to nobody but the plugins that are granted it.
pub trait SecretResolver: Send + Sync + 'static {
    /// The secret, as text. Blocks.
    ///
    /// # Errors
    /// Why there is none, without any of it.
    fn resolve(&self, source: &SecretSource) -> Result<String, String>;
}

/// Has no secrets: for hosts that were given none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl SecretResolver for NoSecrets {
    fn resolve(&self, _: &SecretSource) -> Result<String, String> {
        Err("this host was started without a source of secrets".into())
    }
}
