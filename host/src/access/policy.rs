//! The one place that decides.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::key::{KeyName, Secret};
use super::keys::{Keys, Known};
use super::scope::Scope;
use crate::error::ErrorClass;
use crate::event::{EventType, Filter, Query, RecordedEvent, StreamName};

/// By whom what may be done.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The keys; none where whoever gets through to the server may do everything.
    keys: Option<Keys>,
}

/// Who asks: the holder of a key, or whoever gets through where no keys are.
#[derive(Clone, Debug)]
pub struct Principal(Option<Arc<Known>>);

/// Why somebody is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoEntry {
    /// No key was presented.
    #[error("a key is needed; send it as `Authorization: Bearer KEY`; an operator makes one by `tidemill keys new`")]
    NoKey,
    /// What was presented is no key of this server.
    #[error("the key is not one of this server's; it may have been taken back: ask its operator for another one")]
    UnknownKey,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Learn where the log ends, or how far a source was followed: needs a key, whatever it is for.
    Head,
    /// Look at metrics, which hold nothing of events: needs `read`, however narrowed.
    Metrics,
    /// Read events, of which only those within [`Principal::reach`] are shown.
    Read,
    /// Read what tells of all streams and types.
    ReadAll,
    /// Read of one stream.
    ReadStream(&'a StreamName),
    /// Read this event.
    ReadEvent(&'a RecordedEvent),
    /// Append something.
    Append,
    /// Append an event of a type, on a stream or on none.
    AppendEvent(&'a EventType, Option<&'a StreamName>),
    /// Let an append depend on the version of a stream, which a refusal tells.
    Expect(&'a StreamName),
    /// Let an append depend on whether there are such events, which a refusal tells. A narrowed guard would not
    /// guard, so one that looks further is refused instead.
    Guard(&'a Query),
    /// Tell how far a source is followed; sources belong to no stream.
    Follow,
    /// Look after the server: plugins, dead letters, backups, retention.
    Admin,
}

/// Why somebody may not do something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// Keys have come to be since it was asked.
    #[error("a key is needed since a moment ago; send it as `Authorization: Bearer KEY`")]
    NoKey,
    /// The key was taken back, or changed, since it was presented.
    #[error("key {key} was taken back or changed a moment ago")]
    Revoked {
        /// The key.
        key: KeyName,
    },
    /// The key is not for that.
    #[error("key {key} has no scope `{scope}`; use a key that has it: tidemill keys new NAME --scope {scope}")]
    Scope {
        /// The key.
        key: KeyName,
        /// The scope that it needs.
        scope: Scope,
    },
    /// What followed from a command is beyond what who sent it may append.
    #[error("who sent the command may not append events of type {event_type:?}; send it with a key of wider reach")]
    Beyond {
        /// The event's type.
        event_type: String,
    },
    /// The key is for that, but not there.
    #[error("key {key} has the scope `{scope}` only for {reach}, and {what}; use a key of wider reach")]
    Reach {
        /// The key.
        key: KeyName,
        /// The scope that it needs more of.
        scope: Scope,
        /// What it is for, in words.
        reach: String,
        /// What is beyond.
        what: String,
    },
}

impl Denied {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Denied
    }

    /// The scope that is missing, or too narrow.
    #[must_use]
    pub const fn scope(&self) -> Option<Scope> {
        match self {
            Self::NoKey | Self::Revoked { .. } => None,
            Self::Beyond { .. } => Some(Scope::Append),
            Self::Scope { scope, .. } | Self::Reach { scope, .. } => Some(*scope),
        }
    }
}

impl Policy {
    /// Whoever gets through to the server may do everything.
    #[must_use]
    pub const fn open() -> Self {
        Self { keys: None }
    }

    /// Only who has one of these keys may do something, and only what it is for.
    #[must_use]
    pub const fn of_keys(keys: Keys) -> Self {
        Self { keys: Some(keys) }
    }

    /// Whether it asks for no key.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.keys.is_none()
    }

    /// Who presents a secret, or none.
    ///
    /// # Errors
    /// When a key is needed and none of the keys was presented.
    pub fn admit(&self, presented: Option<&Secret>) -> Result<Principal, NoEntry> {
        let Some(keys) = &self.keys else { return Ok(Principal(None)) };
        let known = keys.find(presented.ok_or(NoEntry::NoKey)?).ok_or(NoEntry::UnknownKey)?;
        Ok(Principal(Some(Arc::clone(known))))
    }

    /// Whether somebody may do something.
    ///
    /// # Errors
    /// When not, and why.
    pub fn decide(&self, principal: &Principal, action: &Action<'_>) -> Result<(), Denied> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let known = principal.0.as_ref().ok_or(Denied::NoKey)?;
        if !keys.has(known) {
            return Err(Denied::Revoked { key: known.key.name.clone() });
        }
        if let Some(scope) = action.scope().filter(|scope| !known.key.has(*scope)) {
            return Err(Denied::Scope { key: known.key.name.clone(), scope });
        }
        match action.beyond(&known.reach) {
            None => Ok(()),
            Some(what) => Err(Denied::Reach {
                key: known.key.name.clone(),
                scope: action.scope().unwrap_or(Scope::Admin),
                reach: in_words(known),
                what,
            }),
        }
    }
}

impl Principal {
    /// The key's name; none where no keys are.
    #[must_use]
    pub fn key(&self) -> Option<&KeyName> {
        self.0.as_ref().map(|known| &known.key.name)
    }

    /// The events that the principal may read or append at all.
    #[must_use]
    pub fn reach(&self) -> Filter {
        self.0.as_ref().map(|known| known.reach.clone()).unwrap_or_default()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key().map_or("anyone", KeyName::as_str))
    }
}

impl Action<'_> {
    /// The scope that it needs; none if any will do.
    const fn scope(&self) -> Option<Scope> {
        match self {
            Self::Head => None,
            Self::Metrics | Self::Read | Self::ReadAll | Self::ReadStream(_) | Self::ReadEvent(_) => Some(Scope::Read),
            Self::Append | Self::AppendEvent(..) | Self::Expect(_) | Self::Guard(_) | Self::Follow => {
                Some(Scope::Append)
            }
            Self::Admin => Some(Scope::Admin),
        }
    }

    /// What of it is beyond a reach, in words, if anything is.
    fn beyond(&self, reach: &Filter) -> Option<String> {
        let stream = |name: &StreamName| format!("stream {name} is outside of that");
        match self {
            Self::Head | Self::Metrics | Self::Read | Self::Append | Self::Admin => None,
            Self::ReadAll => (!reach.is_all()).then(|| "this tells of all streams and types".to_owned()),
            Self::Follow => (!reach.is_all()).then(|| "sources belong to no stream".to_owned()),
            Self::ReadStream(name) | Self::Expect(name) => {
                (!reach.matches_stream(Some(name.as_str()))).then(|| stream(name))
            }
            Self::ReadEvent(event) => (!reach.matches(event)).then(|| "the event is outside of that".to_owned()),
            Self::AppendEvent(_, name) if !reach.matches_stream(name.map(StreamName::as_str)) => {
                Some(name.map_or_else(|| "an event is on no stream".to_owned(), stream))
            }
            Self::AppendEvent(event_type, _) => (!reach.matches_type(event_type.as_str()))
                .then(|| format!("an event is of type {event_type}, which is outside of that")),
            Self::Guard(query) => {
                (!query.is_within(reach)).then(|| "the condition looks at events outside of that".to_owned())
            }
        }
    }
}

/// What a key is narrowed to.
fn in_words(known: &Known) -> String {
    let streams = known.key.streams.iter().map(|prefix| format!("streams {prefix}*"));
    let types = known.key.types.iter().map(|pattern| format!("type {pattern}"));
    let words: Vec<_> = streams.chain(types).collect();
    words.join(", ")
}
