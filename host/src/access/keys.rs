//! All keys, and the file they stand in.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key::{Key, KeyName, Secret};
use super::scope::Scope;
use crate::error::ErrorClass;
use crate::event::{Filter, Pattern};

/// Most streams and types that one key may be narrowed to, each.
const NARROWED_MAX: usize = 100;

/// What the file begins with.
const HEAD: &str = "\
# Keys of a Tidemill server: made by `tidemill keys new`, listed by `tidemill keys ls`, taken back by `tidemill keys rm`.
# A server takes up changes within a second. Only hashes stand here: the secrets are with whoever was given them.
";

/// Why a key will not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is for nothing.
    #[error("key {name} has no scope; give it read, append or admin")]
    NoScope {
        /// The key.
        name: KeyName,
    },
    /// What is for everything cannot be narrowed.
    #[error(
        "key {name} has the scope admin and is narrowed to streams or types, but a backup and the state of plugins \
         hold events of all; make one key for admin and another one for the rest"
    )]
    NarrowedAdmin {
        /// The key.
        name: KeyName,
    },
    /// A stream's beginning will not do.
    #[error("key {name}: streams that begin with {given:?}: {reason}")]
    Stream {
        /// The key.
        name: KeyName,
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is narrowed to more than anybody can look through.
    #[error("key {name} is narrowed to {count} streams or types; at most {NARROWED_MAX} are allowed of each")]
    TooNarrowed {
        /// The key.
        name: KeyName,
        /// How many.
        count: usize,
    },
    /// There is another key of that name.
    #[error(
        "there is a key {name} already; give this one another name, or take that one back: tidemill keys rm {name}"
    )]
    Exists {
        /// The key.
        name: KeyName,
    },
    /// Two keys have the same secret.
    #[error("key {name} has the hash of another key; make it anew by `tidemill keys new`")]
    SameHash {
        /// The second of them.
        name: KeyName,
    },
}

impl KeyError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Exists { .. } => ErrorClass::Conflict,
            Self::NoScope { .. }
            | Self::NarrowedAdmin { .. }
            | Self::Stream { .. }
            | Self::TooNarrowed { .. }
            | Self::SameHash { .. } => ErrorClass::Invalid,
        }
    }
}

/// Why a text is no keys file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysError {
    /// It is not the TOML that is expected.
    #[error("not a keys file: {0}")]
    Syntax(String),
    /// A key will not do.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What a key shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it is called.
    pub name: KeyName,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// The beginnings of names of streams that it is for; none is all.
    pub streams: Vec<String>,
    /// The types of event that it is for; none is all.
    pub types: Vec<Pattern>,
    /// When it was made, as in RFC 3339.
    pub created: String,
}

/// A key that was found to be in order, and the events that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) key: Key,
    pub(super) reach: Filter,
}

/// Every key there is. Each has a name and a hash of its own.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// In the order of the file.
    keys: Vec<Arc<Known>>,
    by_prefix: HashMap<u64, Arc<Known>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Key>,
}

#[derive(Serialize)]
struct FileView<'a> {
    key: Vec<&'a Key>,
}

impl KeysError {
    /// Which line, and what is wrong with it, without what stands there: it may be a key.
    fn syntax(error: &toml::de::Error, text: &str) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        Self::Syntax(format!("line {line}: {}", error.message()))
    }
}

impl Keys {
    /// Takes the text of a keys file.
    ///
    /// # Errors
    /// Says which line or which key will not do.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let file: File = toml::from_str(text).map_err(|error| KeysError::syntax(&error, text))?;
        let mut keys = Self::default();
        for key in file.key {
            keys.insert(key)?;
        }
        Ok(keys)
    }

    /// The text of the keys file.
    #[must_use]
    pub fn render(&self) -> String {
        let file = FileView { key: self.iter().collect() };
        // Plain values: nothing of this can fail.
        let text = toml::to_string(&file).unwrap_or_default();
        format!("{HEAD}\n{text}")
    }

    /// Every key, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|known| &known.key)
    }

    /// Adds a key of a secret.
    ///
    /// # Errors
    /// When it will not do.
    pub fn add(&mut self, new: NewKey, secret: &Secret) -> Result<(), KeyError> {
        let NewKey { name, mut scopes, streams, types, created } = new;
        scopes.sort_unstable();
        scopes.dedup();
        self.insert(Key { name, hash: secret.hash(), scopes, streams, types, created: Some(created) })
    }

    /// Takes a key away; tells whether it was there.
    pub fn remove(&mut self, name: &KeyName) -> bool {
        let count = self.keys.len();
        self.keys.retain(|known| known.key.name != *name);
        self.by_prefix.retain(|_, known| known.key.name != *name);
        self.keys.len() < count
    }

    /// The key that has a secret.
    pub(super) fn find(&self, secret: &Secret) -> Option<&Arc<Known>> {
        let hash = secret.hash();
        self.by_prefix.get(&hash.prefix()).filter(|known| known.key.hash == hash)
    }

    /// Whether a key is still there, as it was.
    pub(super) fn has(&self, known: &Arc<Known>) -> bool {
        let there = self.by_prefix.get(&known.key.hash.prefix());
        there.is_some_and(|there| Arc::ptr_eq(there, known) || there == known)
    }

    fn insert(&mut self, key: Key) -> Result<(), KeyError> {
        let name = || key.name.clone();
        if key.scopes.is_empty() {
            return Err(KeyError::NoScope { name: name() });
        }
        let (streams, types) = (key.streams.len(), key.types.len());
        if key.has(Scope::Admin) && streams + types > 0 {
            return Err(KeyError::NarrowedAdmin { name: name() });
        }
        if streams.max(types) > NARROWED_MAX {
            return Err(KeyError::TooNarrowed { name: name(), count: streams.max(types) });
        }
        if self.iter().any(|other| other.name == key.name) {
            return Err(KeyError::Exists { name: name() });
        }
        let reach = key.reach()?;
        let prefix = key.hash.prefix();
        if self.by_prefix.contains_key(&prefix) {
            return Err(KeyError::SameHash { name: name() });
        }
        let known = Arc::new(Known { key, reach });
        self.keys.push(Arc::clone(&known));
        self.by_prefix.insert(prefix, known);
        Ok(())
    }
}
