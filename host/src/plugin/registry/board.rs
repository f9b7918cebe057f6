//! What keepers and the supervisor tell readers. Locks are held for a look, never across a wait.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::info::{AggregateInfo, PluginInfo, Problem, RunningInfo, UsedPercent};
use super::keeper::Order;
use super::prepare::Allowed;
use super::queries::Queries;
use crate::clock::Clock;
use crate::delivery::Dispatcher;
use crate::event::PluginName;
use crate::plugin::source::Stamp;
use crate::plugin::{Loaded, Manifest, SourceError};
use crate::projection::{Pool, QueryCounts, QueryRefused};
use crate::schema::Chain;

/// What can be seen of the plugins.
pub(super) struct Board {
    clock: Arc<dyn Clock>,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    plugins: BTreeMap<PluginName, Entry>,
    directory: Option<Problem>,
    strays: BTreeMap<PathBuf, Problem>,
    /// What lifts events, or why that is not known; none before the first look.
    chain: Option<Result<Arc<Chain>, String>>,
    /// Names under which nothing may be installed now.
    kept_out: BTreeSet<PluginName>,
}

/// Nothing is installed under this name while it lives.
pub(super) struct KeptOut {
    board: Arc<Board>,
    name: PluginName,
}

impl Drop for KeptOut {
    fn drop(&mut self) {
        self.board.lock().kept_out.remove(&self.name);
    }
}

/// What can be seen of one plugin.
#[derive(Default)]
pub(super) struct Entry {
    /// Where its files are.
    pub(super) source: PathBuf,
    /// Whether something is being loaded.
    pub(super) loading: bool,
    /// What is wrong with its files.
    pub(super) problem: Option<Problem>,
    /// What runs.
    pub(super) running: Option<Running>,
    /// What answers its queries.
    pub(super) queries: Queries,
    /// What decides commands.
    pub(super) deciding: Option<AggregateInfo>,
    /// Where its keeper takes orders.
    pub(super) orders: Option<mpsc::Sender<Order>>,
}

/// What runs under a plugin's name. Cheap to clone.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) generation: u64,
    pub(super) digest: String,
    /// SHA-256 of the component that is installed, in hex.
    pub(super) installed: String,
    /// The manifest that it was given, before anything of it was taken back.
    pub(super) given: Arc<Manifest>,
    /// What of that is in force.
    pub(super) manifest: Arc<Manifest>,
    pub(super) loaded: Arc<dyn Loaded>,
    pub(super) allowed: Allowed,
    pub(super) dispatcher: Dispatcher,
    pub(super) component_path: PathBuf,
    pub(super) manifest_path: PathBuf,
    /// How the files were that its secrets were read from.
    pub(super) secrets: Vec<Option<Stamp>>,
}

impl Board {
    /// Nothing is known yet.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, written: Mutex::default() }
    }

    /// Lets a plugin be installed, unless that may not be now.
    pub(super) fn admit(&self, name: &PluginName) -> bool {
        let mut written = self.lock();
        let admitted = !written.kept_out.contains(name);
        if admitted {
            written.plugins.entry(name.clone()).or_default();
        }
        admitted
    }

    /// Keeps a name free; none when something is installed under it, or it is kept free already.
    pub(super) fn keep_out(self: &Arc<Self>, name: &PluginName) -> Option<KeptOut> {
        let mut written = self.lock();
        let free = !written.plugins.contains_key(name) && written.kept_out.insert(name.clone());
        free.then(|| KeptOut { board: Arc::clone(self), name: name.clone() })
    }

    /// Changes what is seen of a plugin.
    pub(super) fn write(&self, name: &PluginName, change: impl FnOnce(&mut Entry)) {
        change(self.lock().plugins.entry(name.clone()).or_default());
    }

    /// Takes a plugin off.
    pub(super) fn remove(&self, name: &PluginName) {
        self.lock().plugins.remove(name);
    }

    /// A problem that is known from now on.
    pub(super) fn problem(&self, reason: String) -> Problem {
        Problem { reason, since_us: self.clock.now_us() }
    }

    /// Notes what is wrong with the directory; says whether that is news.
    pub(super) fn note_directory(&self, reason: Option<String>) -> bool {
        let problem = reason.map(|reason| self.problem(reason));
        let mut written = self.lock();
        let reason_of = |problem: &Option<Problem>| problem.as_ref().map(|problem| problem.reason.clone());
        if reason_of(&written.directory) == reason_of(&problem) {
            return false;
        }
        written.directory = problem;
        true
    }

    /// Notes what is wrong with files of no plugin; answers what is news.
    pub(super) fn note_strays(&self, strays: &BTreeMap<PathBuf, SourceError>) -> Vec<String> {
        let mut written = self.lock();
        written.strays.retain(|path, _| strays.contains_key(path));
        let mut news = Vec::new();
        for (path, error) in strays {
            let reason = error.to_string();
            if written.strays.get(path).is_none_or(|known| known.reason != reason) {
                news.push(reason.clone());
                written.strays.insert(path.clone(), self.problem(reason));
            }
        }
        news
    }

    /// Notes what lifts events from now on. What is wrong with it matters only while there never was any.
    pub(super) fn note_chain(&self, chain: Result<Arc<Chain>, String>) {
        let known = &mut self.lock().chain;
        match (&known, chain) {
            (Some(Ok(_)), Err(_)) => {}
            (_, Ok(chain)) => {
                if !matches!(known, Some(Ok(before)) if *before == chain) {
                    if known.is_some() || !chain.is_empty() {
                        tracing::info!(lifts = chain.lifts().count(), digest = chain.digest(), "upcasters taken");
                    }
                    *known = Some(Ok(chain));
                }
            }
            (_, Err(reason)) => *known = Some(Err(reason)),
        }
    }

    /// What lifts events, or why that is not known; none before the first look.
    pub(super) fn chain(&self) -> Option<Result<Arc<Chain>, String>> {
        self.lock().chain.clone()
    }

    /// What lifts events, or why that is not known by now.
    pub(super) fn known_chain(&self) -> Result<Arc<Chain>, String> {
        self.chain().unwrap_or_else(|| Err("the upcasters are not read yet".into()))
    }

    /// Every plugin, in name order.
    pub(super) fn list(&self) -> Vec<PluginInfo> {
        self.lock().plugins.iter().map(|(name, entry)| entry.info(name)).collect()
    }

    /// One plugin.
    pub(super) fn get(&self, name: &PluginName) -> Option<PluginInfo> {
        self.lock().plugins.get(name).map(|entry| entry.info(name))
    }

    /// Every plugin's name.
    pub(super) fn names(&self) -> Vec<PluginName> {
        self.lock().plugins.keys().cloned().collect()
    }

    /// The delivery of a running plugin.
    pub(super) fn dispatcher(&self, name: &PluginName) -> Option<Dispatcher> {
        self.lock().plugins.get(name)?.running.as_ref().map(|running| running.dispatcher.clone())
    }

    /// What runs under a name.
    pub(super) fn running(&self, name: &PluginName) -> Option<Running> {
        self.lock().plugins.get(name)?.running.clone()
    }

    /// What runs under a name, and answers its queries.
    pub(super) fn answering(&self, name: &PluginName) -> Result<(Running, Arc<Pool>), QueryRefused> {
        let written = self.lock();
        let plugin = || name.clone();
        let entry = written.plugins.get(name).ok_or_else(|| QueryRefused::NotInstalled { plugin: plugin() })?;
        let running = entry.running.clone().ok_or_else(|| QueryRefused::NotRunning { plugin: plugin() })?;
        let pool = entry.queries.pool().ok_or_else(|| QueryRefused::NoProjection { plugin: plugin() })?;
        Ok((running, pool))
    }

    /// What was asked of a plugin.
    pub(super) fn query_counts(&self, name: &PluginName) -> Option<QueryCounts> {
        self.lock().plugins.get(name)?.queries.counts()
    }

    /// The time.
    pub(super) const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Where the keeper of a plugin takes orders.
    pub(super) fn orders(&self, name: &PluginName) -> Option<mpsc::Sender<Order>> {
        self.lock().plugins.get(name)?.orders.clone()
    }

    /// What is wrong beside the plugins.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let written = self.lock();
        written.directory.iter().chain(written.strays.values()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // What is written is whole after every change, so a panic elsewhere leaves nothing half done.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Notes where the files are.
    pub(super) fn at(&mut self, source: &Path) {
        self.source = source.into();
    }

    /// Has further queries answered by what the version that runs is allowed now.
    pub(super) fn renew_queries(&mut self) {
        self.running.iter().for_each(|running| self.queries.renew(running));
    }

    fn info(&self, name: &PluginName) -> PluginInfo {
        PluginInfo {
            name: name.clone(),
            source: self.source.clone(),
            loading: self.loading,
            problem: self.problem.clone(),
            running: self.running.as_ref().map(Running::info),
            deciding: self.deciding.clone(),
        }
    }
}

impl Running {
    fn info(&self) -> RunningInfo {
        let (limits, policy, status) = (&self.manifest.limits, &self.manifest.policy, self.dispatcher.status());
        RunningInfo {
            generation: self.generation,
            digest: self.digest.clone(),
            roles: self.loaded.roles().iter().map(ToString::to_string).collect(),
            description: self.loaded.description().map(Into::into),
            labels: self.loaded.labels(),
            subscription: (&*self.allowed.subscription).into(),
            policy: policy.into(),
            limits: limits.into(),
            grants: (&self.manifest.grants).into(),
            replayable: self.loaded.replayable(),
            denied: self.allowed.options.denials.count(),
            used_percent: UsedPercent::of(limits, policy, &status),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_name_that_is_kept_free_lets_nothing_in_and_one_that_is_taken_is_not_kept_free() {
        let board = Arc::new(Board::new(Arc::new(SystemClock)));
        let name = PluginName::new("it").unwrap();
        let kept_out = board.keep_out(&name);
        assert!(kept_out.is_some() && board.keep_out(&name).is_none() && !board.admit(&name));
        assert!(board.get(&name).is_none(), "nothing is seen of it");
        drop(kept_out);
        assert!(board.admit(&name) && board.keep_out(&name).is_none());
        board.remove(&name);
        assert!(board.keep_out(&name).is_some());
    }
}
