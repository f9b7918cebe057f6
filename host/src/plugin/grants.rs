//! What the operator allows one plugin, as the manifest says it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::event::Pattern;
use crate::runtime::{AddressGrant, HttpGrant};

/// The `[grants]` of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestGrants {
    /// Event types it may append.
    pub append: Vec<Pattern>,
    /// Commands it may send, as `aggregate:Type`.
    pub dispatch: Vec<Pattern>,
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
            dispatch: Vec::new(),
            read: vec![Pattern::all()],
            http: Vec::new(),
            http_private: Vec::new(),
            config: ConfigGrant::All,
            secrets: BTreeMap::new(),
        }
    }
}

impl ManifestGrants {
    /// What of it another manifest grants, too.
    pub(crate) fn within(&self, other: &Self) -> Self {
        let same = |(name, grant): &(&String, &SecretGrant)| other.secrets.get(*name) == Some(*grant);
        Self {
            append: both(&self.append, &other.append, Pattern::covers),
            dispatch: both(&self.dispatch, &other.dispatch, Pattern::covers),
            read: both(&self.read, &other.read, Pattern::covers),
            http: both(&self.http, &other.http, HttpGrant::covers),
            http_private: self.http_private.iter().filter(|it| other.http_private.contains(it)).cloned().collect(),
            config: self.config.within(&other.config),
            secrets: self.secrets.iter().filter(same).map(|(name, grant)| (name.clone(), grant.clone())).collect(),
        }
    }
}

/// What is in both lists, as far as single entries of one are covered by the other.
pub(crate) fn both<T: Clone>(one: &[T], other: &[T], covers: fn(&T, &T) -> bool) -> Vec<T> {
    let mut both = Vec::new();
    for mine in one {
        if other.iter().any(|theirs| covers(theirs, mine)) {
            both.push(mine.clone());
        } else {
            both.extend(other.iter().filter(|theirs| covers(mine, theirs)).cloned());
        }
    }
    both
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

    fn within(&self, other: &Self) -> Self {
        match self {
            Self::All => other.clone(),
            Self::Keys(keys) => Self::Keys(keys.iter().filter(|key| other.allows(key)).cloned().collect()),
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

impl SecretSource {
    /// The same, with a path, if it has one, that does not depend on where the host was started.
    pub(super) fn in_folder(&self, folder: Option<&Path>) -> Self {
        match (self, folder) {
            (Self::File(path), Some(folder)) => Self::File(folder.join(path)),
            _ => self.clone(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Manifest;

    fn grants(text: &str) -> ManifestGrants {
        Manifest::parse("plugin.toml", text).unwrap().grants
    }

    #[test]
    fn what_is_left_is_what_both_grant() {
        let before = grants(
            r#"
            [config]
            a = 1
            b = 2
            [grants]
            append = ["Stock*", "Paid"]
            http = ["https://*.example.com", "https://pay.test/v1"]
            http_private = ["10.0.0.0/8"]
            [grants.secrets]
            KEY = { env = "K", host = "https://pay.test/v1", header = "x-key" }
            OTHER = { env = "O", config = true }"#,
        );
        let after = grants(
            r#"
            [config]
            a = 1
            b = 2
            [grants]
            append = ["StockReserved", "Other"]
            read = ["Order*"]
            http = ["https://a.example.com", "https://pay.test/v2"]
            config = ["b"]
            [grants.secrets]
            OTHER = { env = "O", config = true }
            KEY = { env = "K", config = true }"#,
        );
        let left = before.within(&after);
        let texts = |patterns: &[Pattern]| patterns.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!((texts(&left.append), texts(&left.read)), (vec!["StockReserved".into()], vec!["Order*".into()]));
        assert_eq!(left.http.iter().map(ToString::to_string).collect::<Vec<_>>(), ["https://a.example.com"]);
        assert!(left.http_private.is_empty() && left.config == ConfigGrant::Keys(vec!["b".into()]));
        assert_eq!(left.secrets.keys().collect::<Vec<_>>(), ["OTHER"], "a secret that is used otherwise is another");
        assert_eq!(before.within(&before), before);
        assert_eq!(left.within(&before), left);
    }
}
