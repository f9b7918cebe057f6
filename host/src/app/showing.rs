//! Shows a host's plugins to the API.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::Host;
use crate::api::{CommandRefused, PluginSummary, Plugins, Rehearse};
use crate::delivery::{Dispatcher, Letters, Redriven, Retry, Status};
use crate::event::{PluginName, Position};
use crate::plugin::{PluginInfo, Registry};
use crate::projection::{Answered, Query, QueryCounts, QueryRefused};
use crate::schema::{Chain, TypeSchemas};

/// The plugins of a host, as the API asks for them.
pub(super) struct Showing(pub(super) Host);

impl Showing {
    fn registry(&self, name: &PluginName) -> Result<Arc<Registry>, CommandRefused> {
        self.0.registry().ok_or_else(|| CommandRefused::NotRunning { plugin: name.clone() })
    }

    fn running(&self, name: &PluginName) -> Result<Dispatcher, CommandRefused> {
        self.0.dispatcher(name).ok_or_else(|| match self.0.plugin(name) {
            Some(info) if info.deciding.is_some() => CommandRefused::Decides { plugin: name.clone() },
            Some(_) | None => CommandRefused::NotRunning { plugin: name.clone() },
        })
    }
}

impl Plugins for Showing {
    fn list(&self) -> Vec<PluginSummary> {
        self.0.plugins().into_iter().map(summary).collect()
    }

    fn get(&self, name: &PluginName) -> Option<PluginSummary> {
        self.0.plugin(name).map(summary)
    }

    fn problems(&self) -> Vec<String> {
        self.0.problems().into_iter().map(|problem| problem.reason).collect()
    }

    fn chain(&self) -> Result<Arc<Chain>, String> {
        self.0.registry().map_or_else(|| Ok(Arc::default()), |registry| registry.chain())
    }

    fn schemas(&self) -> Arc<TypeSchemas> {
        self.0.registry().map(|registry| registry.schemas()).unwrap_or_default()
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn watch(&self, name: &PluginName) -> Option<watch::Receiver<Status>> {
        self.0.dispatcher(name).map(|dispatcher| dispatcher.watch())
    }

    fn retry_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        retry: Retry,
    ) -> BoxFuture<'a, Result<Redriven, CommandRefused>> {
        async move { Ok(self.running(name)?.retry_dead_letters(retry).await?) }.boxed()
    }

    fn set_paused<'a>(&'a self, name: &'a PluginName, paused: bool) -> BoxFuture<'a, Result<(), CommandRefused>> {
        async move {
            let dispatcher = self.running(name)?;
            let done = if paused { dispatcher.pause().await } else { dispatcher.resume().await };
            Ok(done?)
        }
        .boxed()
    }

    fn discard_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        letters: Letters,
    ) -> BoxFuture<'a, Result<u64, CommandRefused>> {
        async move { Ok(self.running(name)?.discard_dead_letters(letters).await?) }.boxed()
    }

    fn rebuild<'a>(
        &'a self,
        name: &'a PluginName,
        from: Option<Position>,
        force: bool,
    ) -> BoxFuture<'a, Result<(), CommandRefused>> {
        async move { Ok(self.registry(name)?.rebuild(name, from, force).await?) }.boxed()
    }

    fn cancel_rebuild<'a>(&'a self, name: &'a PluginName) -> BoxFuture<'a, Result<(), CommandRefused>> {
        async move { Ok(self.registry(name)?.cancel_rebuild(name).await?) }.boxed()
    }

    fn roll_back<'a>(&'a self, name: &'a PluginName) -> BoxFuture<'a, Result<(), CommandRefused>> {
        async move { Ok(self.registry(name)?.roll_back(name).await?) }.boxed()
    }

    fn reload<'a>(&'a self, name: &'a PluginName, installed: bool) -> BoxFuture<'a, Result<(), CommandRefused>> {
        async move { Ok(self.registry(name)?.reload(name, installed).await?) }.boxed()
    }

    fn keep_out(&self, name: &PluginName) -> Option<Box<dyn Send>> {
        match self.0.registry() {
            Some(registry) => Some(Box::new(registry.keep_out(name)?)),
            None => Some(Box::new(())),
        }
    }

    fn forgotten<'a>(&'a self, name: &'a PluginName) -> BoxFuture<'a, ()> {
        async move {
            if let Some(registry) = self.0.registry() {
                registry.forgotten(name).await;
            }
            if let Some(rehearsals) = self.0.rehearsals() {
                rehearsals.forgotten(name).await;
            }
        }
        .boxed()
    }

    fn query<'a>(&'a self, name: &'a PluginName, query: &'a Query) -> BoxFuture<'a, Result<Answered, QueryRefused>> {
        let not_running = || QueryRefused::NotRunning { plugin: name.clone() };
        async move { self.0.registry().ok_or_else(not_running)?.query(name, query).await }.boxed()
    }

    fn query_counts(&self, name: &PluginName) -> Option<QueryCounts> {
        self.0.registry()?.query_counts(name)
    }

    fn rehearsals(&self) -> Option<Arc<dyn Rehearse>> {
        Some(self.0.rehearsals()? as Arc<dyn Rehearse>)
    }
}

/// Name and status by themselves, the rest as it serialises.
fn summary(info: PluginInfo) -> PluginSummary {
    let details = match serde_json::to_value(&info) {
        Ok(Value::Object(fields)) => fields.into_iter().filter(|(key, _)| key != "name" && key != "status").collect(),
        // A struct of texts and numbers serialises to an object.
        _ => Map::new(),
    };
    PluginSummary { name: info.name, status: info.running.map(|running| running.status), details }
}
