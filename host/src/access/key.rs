//! One key: its secret, which only its holder has, and what is kept of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::keys::KeyError;
use super::scope::Scope;
use crate::event::{Filter, Pattern};

/// What every secret begins with, so that people and scanners of source code know one when they see it.
const SECRET_PREFIX: &str = "tidemill_";
/// What every hash begins with.
const HASH_PREFIX: &str = "sha256:";
/// Longest name of a key, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What the holder of a key presents. Its text is given out by [`Secret::reveal`] alone, never by formatting.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of random bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8; 32]) -> Self {
        Self(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What somebody presents, whatever it is.
    #[must_use]
    pub fn presented(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be shown once or sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(&self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The SHA-256 of a secret's text; as text, `sha256:` and hex.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// What it is looked up by. That this is found in a time which depends on it tells nothing of the secret: whoever
    /// presents secrets does not choose their hashes.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for KeyHash {
    /// Takes the same time whatever differs.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for KeyHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What stands there may be the key itself.
        let bad = || "a `hash` is no hash of a key; it is `sha256:` and 64 digits of hex".to_owned();
        let hex = text.strip_prefix(HASH_PREFIX).filter(|hex| hex.len() == 64 && hex.is_ascii()).ok_or_else(bad)?;
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = hex.get(2 * index..2 * index + 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

/// What a key is called: 1 to 64 letters, digits, `-`, `_` and `.`. It may be shown and logged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(plain) {
            return Err(format!(
                "a key cannot be called {text:?}; give it 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' and '.'"
            ));
        }
        Ok(Self(text))
    }
}

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

/// What is kept of a key, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it is called.
    pub name: KeyName,
    /// Of its secret.
    pub hash: KeyHash,
    /// What it is for; at least one.
    pub scopes: Vec<Scope>,
    /// The beginnings of names of streams that it is for; none is all streams, and events on no stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// The types of event that it is for, where `Order*` is every one that begins so; none is all types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Pattern>,
    /// When it was made, as in RFC 3339. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

impl Key {
    /// The events that it may read and append.
    ///
    /// # Errors
    /// When the beginning of a stream's name will not do.
    pub(super) fn reach(&self) -> Result<Filter, KeyError> {
        let stream = |prefix: &String| {
            let pattern = Pattern::new(format!("{prefix}*")).map_err(|error| error.to_string());
            match pattern {
                Ok(pattern) if !prefix.is_empty() && !prefix.contains('*') => Ok(pattern),
                Ok(_) => Err("give what the names begin with, without '*'".to_owned()),
                Err(reason) => Err(reason),
            }
            .map_err(|reason| KeyError::Stream { name: self.name.clone(), given: prefix.clone(), reason })
        };
        let streams = self.streams.iter().map(stream).collect::<Result<_, _>>()?;
        Ok(Filter { types: self.types.clone(), streams, ..Filter::default() })
    }

    /// Whether it has a scope, or one that includes it.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|has| has.includes(scope))
    }
}
