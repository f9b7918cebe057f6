//! A component that has passed every check and is ready to be instantiated.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::aggregate::Code;
use super::engine::EngineInner;
use super::instance::Linked;
use super::query::Asked;
use super::repeatable::Repeatable;
use super::subscriber::Subscriber;
use super::trial::Entry;
use super::{Denials, Grants, Limits, Transcript};
use crate::command::AggregateCode;
use crate::delivery::Handler;
use crate::event::PluginName;
use crate::projection::Projection;

/// Key of the pair in a description's `extra` that says which schema the state has.
const STATE_SCHEMA: &str = "schema";

/// What a component can do, found from what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It reacts to events.
    Subscriber,
    /// It answers queries about what it has made of them.
    Projection,
    /// It decides commands.
    Aggregate,
}

impl Role {
    /// Its name, whichever interface makes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::Projection => "projection",
            Self::Aggregate => "aggregate",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a component introduces itself. Its own words, unchecked; empty means nothing said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its own name.
    pub name: String,
    /// Its own version, for people.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// The event types it listens to; `*` at the end matches any rest.
    pub types: Vec<String>,
    /// The streams it listens to.
    pub streams: Vec<String>,
    /// The tags an event must all carry.
    pub tags: Vec<String>,
    /// The event types it wants to append.
    pub append: Vec<String>,
    /// Pairs of a later contract.
    pub extra: Vec<(String, String)>,
}

impl Description {
    /// The schema that its state has, in its own words: another one than before asks for a state that is built anew.
    #[must_use]
    pub fn state_schema(&self) -> Option<&str> {
        self.extra.iter().find(|(key, _)| key == STATE_SCHEMA).map(|(_, schema)| schema.as_str())
    }
}

/// For whom an instance runs, and with what.
#[derive(Clone, Debug)]
pub struct InstanceOptions {
    /// The installed plugin.
    pub plugin: PluginName,
    /// What it may use.
    pub limits: Limits,
    /// What `config` answers.
    pub config: BTreeMap<String, String>,
    /// What it may do outside the store.
    pub grants: Grants,
    /// Where what it was denied is counted.
    pub denials: Denials,
    /// Where what it logs is kept beside the host's log; nowhere by default.
    pub transcript: Transcript,
}

impl InstanceOptions {
    /// A plugin that is granted nothing and configured with nothing.
    #[must_use]
    pub fn new(plugin: PluginName, limits: Limits) -> Self {
        Self {
            plugin,
            limits,
            config: BTreeMap::new(),
            grants: Grants::default(),
            denials: Denials::default(),
            transcript: Transcript::default(),
        }
    }
}

/// A loaded component. Cheap to clone; clones share the compiled code.
#[derive(Clone)]
pub struct LoadedComponent(Arc<Loaded>);

/// The parts of a loaded component.
pub(super) struct Loaded {
    /// Keeps the ticker going: without it no deadline would ever come.
    pub(super) _engine: Arc<EngineInner>,
    pub(super) digest: String,
    pub(super) roles: Vec<Role>,
    pub(super) description: Option<Description>,
    /// What its authors say of it, by label.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) linked: Linked,
    /// What is called.
    pub(super) entry: Entry,
}

impl LoadedComponent {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self(Arc::new(loaded))
    }

    /// SHA-256 of the component's bytes, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What it can do; at least one role.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.0.roles
    }

    /// How it introduces itself, if it does.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.0.description.as_ref()
    }

    /// What its authors say of it, in its file: `version`, `authors`, `licenses`, `source` and the like.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.0.labels
    }

    /// A handler that runs it as a subscriber, on an instance of its own that is made at the first call.
    #[must_use]
    pub fn subscriber(&self, options: InstanceOptions) -> Box<dyn Handler> {
        let subscriber = Subscriber::new(Arc::clone(&self.0), options);
        if self.replayable() { Box::new(Repeatable::new(subscriber)) } else { Box::new(subscriber) }
    }

    /// What asks it, on an instance of its own that is made at the first query; none if it answers none.
    #[must_use]
    pub fn projection(&self, options: InstanceOptions) -> Option<Box<dyn Projection>> {
        self.0.entry.query()?;
        Some(Box::new(Asked::new(Arc::clone(&self.0), options)))
    }

    /// The code of an aggregate, if it decides commands.
    #[must_use]
    pub fn aggregate(&self, options: InstanceOptions) -> Option<Arc<dyn AggregateCode>> {
        Some(Arc::new(Code::new(Arc::clone(&self.0), options)?))
    }

    /// Whether two runs over the same events give the same result: it imports nothing that reaches outside.
    #[must_use]
    pub fn replayable(&self) -> bool {
        !self.0.linked.waits
    }
}

impl fmt::Debug for LoadedComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedComponent")
            .field("digest", &self.0.digest)
            .field("roles", &self.0.roles)
            .finish_non_exhaustive()
    }
}
