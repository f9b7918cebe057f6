//! What the edge asks of whoever runs the plugins.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, ready};
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::watch;

use super::rehearsals::Rehearse;
use crate::delivery::{CommandError, Letters, Redriven, Retry, Status};
use crate::error::ErrorClass;
use crate::event::{PluginName, Position};
use crate::plugin::GenerationRefused;
use crate::projection::{Answered, Query, QueryCounts, QueryRefused};
use crate::schema::{Chain, TypeSchemas};

/// The running plugins.
pub trait Plugins: Send + Sync + 'static {
    /// Every installed plugin, in name order.
    fn list(&self) -> Vec<PluginSummary>;

    /// One installed plugin.
    fn get(&self, name: &PluginName) -> Option<PluginSummary>;

    /// What is wrong with the plugins directory beyond what concerns one plugin, for people.
    fn problems(&self) -> Vec<String>;

    /// Whether everything that was installed at the start runs, or is known to be broken.
    fn is_ready(&self) -> bool;

    /// A plugin's delivery as it changes; none when it is not running.
    fn watch(&self, name: &PluginName) -> Option<watch::Receiver<Status>>;

    /// Hands dead letters to their plugin again.
    fn retry_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        retry: Retry,
    ) -> BoxFuture<'a, Result<Redriven, CommandRefused>>;

    /// Pauses a plugin, or ends whatever has stopped it.
    fn set_paused<'a>(&'a self, name: &'a PluginName, paused: bool) -> BoxFuture<'a, Result<(), CommandRefused>>;

    /// Gives dead letters up; answers how many.
    fn discard_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        letters: Letters,
    ) -> BoxFuture<'a, Result<u64, CommandRefused>>;

    /// Begins to build a plugin's state anew, from a position; `force` has it built also where events were removed.
    fn rebuild<'a>(
        &'a self,
        name: &'a PluginName,
        _from: Option<Position>,
        _force: bool,
    ) -> BoxFuture<'a, Result<(), CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    /// Ends that.
    fn cancel_rebuild<'a>(&'a self, name: &'a PluginName) -> BoxFuture<'a, Result<(), CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    /// Returns to what was live before.
    fn roll_back<'a>(&'a self, name: &'a PluginName) -> BoxFuture<'a, Result<(), CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    /// Loads a plugin anew from its files; with `installed` also where something else runs instead of them.
    fn reload<'a>(&'a self, name: &'a PluginName, _installed: bool) -> BoxFuture<'a, Result<(), CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    /// Sees to it that nothing is installed under a name while the answer lives; none when something is.
    fn keep_out(&self, name: &PluginName) -> Option<Box<dyn Send>> {
        self.get(name).is_none().then(|| Box::new(()) as Box<dyn Send>)
    }

    /// What a plugin kept is removed: so is what is kept for it beside the store.
    fn forgotten<'a>(&'a self, _: &'a PluginName) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    /// Has a plugin answer a query.
    fn query<'a>(&'a self, name: &'a PluginName, _: &'a Query) -> BoxFuture<'a, Result<Answered, QueryRefused>> {
        ready(Err(QueryRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    /// What was asked of a plugin; none of one that answers no queries.
    fn query_counts(&self, _: &PluginName) -> Option<QueryCounts> {
        None
    }

    /// What lifts events to today's schema.
    ///
    /// # Errors
    /// Why that is not known, for people.
    fn chain(&self) -> Result<Arc<Chain>, String> {
        Ok(Arc::default())
    }

    /// What is known of types' data.
    fn schemas(&self) -> Arc<TypeSchemas> {
        Arc::default()
    }

    /// Who rehearses them; none where none runs.
    fn rehearsals(&self) -> Option<Arc<dyn Rehearse>> {
        None
    }
}

/// What is known of an installed plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSummary {
    /// Its name.
    pub name: PluginName,
    /// Its delivery; none when it has never run, for example because its component does not load.
    pub status: Option<Status>,
    /// Whatever else there is to show: version, digest, subscription, limits, grants, load errors.
    pub details: Map<String, Value>,
}

/// Why a plugin did not do as it was told.
#[derive(Debug, Error)]
pub enum CommandRefused {
    /// Nobody runs the plugin.
    #[error("plugin {plugin} is not running; start `tidemill serve` with the plugin installed, then try again")]
    NotRunning {
        /// The plugin.
        plugin: PluginName,
    },
    /// It runs, and has no delivery.
    #[error(
        "plugin {plugin} decides commands and is handed no events, so there is nothing to retry, to discard, to pause or to \
         resume"
    )]
    Decides {
        /// The plugin.
        plugin: PluginName,
    },
    /// Another generation does not become live.
    #[error(transparent)]
    Generation(#[from] GenerationRefused),
    /// Its delivery could not carry it out.
    #[error(transparent)]
    Delivery(#[from] CommandError),
}

impl CommandRefused {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotRunning { .. } => ErrorClass::Unavailable,
            Self::Decides { .. } => ErrorClass::Conflict,
            Self::Generation(error) => error.class(),
            Self::Delivery(error) => error.class(),
        }
    }
}

/// Nobody runs plugins: a data directory is read while no server runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPlugins;

impl Plugins for NoPlugins {
    fn list(&self) -> Vec<PluginSummary> {
        Vec::new()
    }

    fn get(&self, _: &PluginName) -> Option<PluginSummary> {
        None
    }

    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn watch(&self, _: &PluginName) -> Option<watch::Receiver<Status>> {
        None
    }

    fn retry_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        _: Retry,
    ) -> BoxFuture<'a, Result<Redriven, CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    fn set_paused<'a>(&'a self, name: &'a PluginName, _: bool) -> BoxFuture<'a, Result<(), CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }

    fn discard_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        _: Letters,
    ) -> BoxFuture<'a, Result<u64, CommandRefused>> {
        ready(Err(CommandRefused::NotRunning { plugin: name.clone() })).boxed()
    }
}
