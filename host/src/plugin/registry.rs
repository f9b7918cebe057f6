//! Keeps the plugins of a directory running.
//!
//! One task, the supervisor, looks at the directory and tells each plugin's own task, its keeper, what
//! should run; a keeper does one thing at a time, so nothing of one plugin ever races with itself, and no
//! plugin waits for another. What is wanted travels in a cell of one value: a newer wish replaces one that
//! nobody has come to yet. Both write what can be seen from outside on the board, which readers share.

mod arrivals;
mod beside;
mod board;
mod check;
mod error;
mod info;
mod installed;
mod keeper;
mod prepare;
mod queries;
mod refused;
mod reload;
mod requests;
mod supervisor;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;

use beside::Beside;
use board::{Board, Running};
pub use check::{Checked, Proposed, Refusal, Runnable, check, runnable};
pub use error::InstallError;
pub use info::{
    AggregateInfo, DescriptionInfo, GrantsInfo, LimitsInfo, PluginInfo, PolicyInfo, Problem, RunningInfo,
    SubscriptionInfo, UsedPercent,
};
pub(crate) use installed::Installed;
use keeper::{Order, Surroundings};
pub(super) use prepare::try_out;
pub use refused::GenerationRefused;
use reload::{LOOKS_MAX, LookAsked};
use supervisor::{Eyes, Place};

use super::archive::Archive;
use super::source::{UPCASTERS_FOLDER, is_absent};
use super::watcher::Pace;
use super::{Loader, NoSecrets, SecretResolver};
use crate::clock::Clock;
use crate::command::{Checks, Claims};
use crate::delivery::{CommandError, Dispatcher, Rebuild, removed_from_history};
use crate::error::with_sources;
use crate::event::{PluginName, Position};
use crate::schema::{Chain, SchemaCell, TypeSchemas};
use crate::store::{SNAPSHOTS_OWNER, Store, StoreError};

/// How long files must stand still before they are taken.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How long to go without a look at the directory when no notification comes.
const POLL: Duration = Duration::from_secs(2);

/// What a registry works with.
#[derive(Clone)]
pub struct RegistryOptions {
    /// The plugins directory.
    pub directory: PathBuf,
    /// Where events, state and checkpoints are.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What turns components into code.
    pub loader: Arc<dyn Loader>,
    /// Where those that decide commands say so.
    pub claims: Claims,
    /// What gets the secrets that manifests name.
    pub secrets: Arc<dyn SecretResolver>,
    /// Where the components that a plugin may return to are kept; none where none are.
    pub archive: Option<PathBuf>,
    /// Where what appends are held to is put.
    pub schemas: Arc<SchemaCell>,
    /// Where what commands are held to is put.
    pub checks: Arc<Checks>,
    /// How long files must stand still before they are taken.
    pub debounce: Duration,
    /// How long to go without a look at the directory when no notification comes; at least `debounce`.
    pub poll: Duration,
}

impl RegistryOptions {
    /// The usual pace: files must stand still for 200 ms, and no change goes unseen for more than 2 s. No
    /// secrets.
    #[must_use]
    pub fn new(directory: PathBuf, store: Arc<dyn Store>, clock: Arc<dyn Clock>, loader: Arc<dyn Loader>) -> Self {
        let (claims, secrets, schemas) = (Claims::default(), Arc::new(NoSecrets), Arc::default());
        let checks = Arc::default();
        Self {
            directory,
            store,
            clock,
            loader,
            claims,
            secrets,
            archive: None,
            schemas,
            checks,
            debounce: DEBOUNCE,
            poll: POLL,
        }
    }
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOptions")
            .field("directory", &self.directory)
            .field("debounce", &self.debounce)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

/// The plugins of a directory, running. Dropping it stops them, without waiting.
pub struct Registry {
    board: Arc<Board>,
    store: Arc<dyn Store>,
    secrets: Arc<dyn SecretResolver>,
    schemas: Arc<SchemaCell>,
    archive: Arc<Archive>,
    looks: mpsc::Sender<LookAsked>,
    ready: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Begins to run what is in the directory, in the background. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(options: RegistryOptions) -> Self {
        let board = Arc::new(Board::new(Arc::clone(&options.clock)));
        let (stop, stopping) = watch::channel(false);
        let (tell_ready, ready) = watch::channel(false);
        let (looks, asked) = mpsc::channel(LOOKS_MAX);
        let (store, secrets) = (Arc::clone(&options.store), Arc::clone(&options.secrets));
        let surroundings = Surroundings::new(&options, Arc::clone(&board));
        let archive = Arc::clone(&surroundings.archive);
        if is_absent(&options.directory.join(UPCASTERS_FOLDER)) {
            board.note_chain(Ok(Arc::default()));
        }
        surroundings.claims.set_unlifted(board.known_chain().err());
        let pace = Pace { debounce: options.debounce, poll: options.poll };
        let RegistryOptions { directory, loader, schemas, checks, .. } = options;
        let place = Place { directory, loader, schemas: Arc::clone(&schemas), checks };
        let beside = Beside::open(&place);
        let eyes = Eyes::open(place, pace);
        tokio::spawn(supervisor::run((eyes, beside), pace, surroundings, tell_ready, (asked, stopping)));
        Self { board, store, secrets, schemas, archive, looks, ready, stop }
    }

    /// What lifts events to today's schema.
    ///
    /// # Errors
    /// Why that is not known: the upcasters are not read yet, or have been broken since the start.
    pub fn chain(&self) -> Result<Arc<Chain>, String> {
        self.board.known_chain()
    }

    /// What is known of types' data.
    #[must_use]
    pub fn schemas(&self) -> Arc<TypeSchemas> {
        self.schemas.get()
    }

    /// Every plugin there is in the directory, in name order: running, loading or broken.
    #[must_use]
    pub fn list(&self) -> Vec<PluginInfo> {
        self.board.list()
    }

    /// One plugin of the directory.
    #[must_use]
    pub fn get(&self, name: &PluginName) -> Option<PluginInfo> {
        self.board.get(name)
    }

    /// The delivery of a running plugin.
    #[must_use]
    pub fn dispatcher(&self, name: &PluginName) -> Option<Dispatcher> {
        self.board.dispatcher(name)
    }

    /// What runs under a name, to be rehearsed.
    pub(crate) fn installed(&self, name: &PluginName) -> Option<Installed> {
        Some(Installed::new(name, self.board.running(name)?, Arc::clone(&self.secrets)))
    }

    /// Builds a plugin's state anew with the component that runs, beside the live one; answers when that has begun.
    /// Where events of it were removed, it is built of what is left only when `force` or `from` says so.
    ///
    /// # Errors
    /// When the plugin does not run, does something outside, or is being rebuilt, where to begin is not in the log, or
    /// events were removed.
    pub async fn rebuild(
        &self,
        name: &PluginName,
        from: Option<Position>,
        force: bool,
    ) -> Result<(), GenerationRefused> {
        let running = self.running(name)?;
        if !running.loaded.replayable() {
            return Err(GenerationRefused::ReachesOut { component: running.component_path });
        }
        let policy = &running.manifest.policy;
        let setup = running.allowed.setup(&*running.loaded, policy, &running.digest, policy.partitions);
        if from.is_none() && !force {
            let (plugin, store, subscription) = (name.clone(), Arc::clone(&self.store), setup.subscription.clone());
            let work = spawn_blocking(move || removed_from_history(&plugin, &subscription, &*store));
            let panicked = |_| Err(StoreError::ReadFailed { reason: "the thread that asks the store panicked".into() });
            if let Some(before) = work.await.unwrap_or_else(panicked)? {
                return Err(GenerationRefused::Removed { plugin: name.clone(), before });
            }
        }
        let reason = "an operator asked for it".into();
        let how = Rebuild::Begin { from, reason, live: running.digest.clone() };
        running.dispatcher.rebuild(setup, how).await?;
        // It may have lost a grant before that began: what is built would have it still.
        if Arc::ptr_eq(&running.manifest, &self.running(name)?.manifest) {
            return Ok(());
        }
        running.dispatcher.cancel_rebuild().await?;
        Err(CommandError::Replaced { plugin: name.clone() }.into())
    }

    /// Ends a rebuild and drops what it has built.
    ///
    /// # Errors
    /// When the plugin does not run, or is not being rebuilt.
    pub async fn cancel_rebuild(&self, name: &PluginName) -> Result<(), GenerationRefused> {
        Ok(self.running(name)?.dispatcher.cancel_rebuild().await?)
    }

    /// Returns to the component, and to the state, that were live before; the plugins directory stays as it is.
    /// Answers when it has happened.
    ///
    /// # Errors
    /// When the plugin does not run or is being rebuilt, nothing was live before, or that cannot run now.
    pub async fn roll_back(&self, name: &PluginName) -> Result<(), GenerationRefused> {
        self.running(name)?;
        self.order(name, Order::RollBack).await
    }

    /// Sees to it that nothing is installed under a name while the answer lives; none when something is.
    pub fn keep_out(&self, name: &PluginName) -> Option<impl Send + use<>> {
        self.board.keep_out(name)
    }

    /// Lets go of the components that were kept for a plugin whose data is removed.
    pub async fn forgotten(&self, name: &PluginName) {
        let (plugin, archive, store) = (name.clone(), Arc::clone(&self.archive), Arc::clone(&self.store));
        let tidied = tokio::task::spawn_blocking(move || archive.tidy(&plugin, [], &*store)).await;
        if let Ok(Err(error)) = tidied {
            tracing::warn!(plugin = %name, error = with_sources(&error), "components that nobody needs are still kept");
        }
    }

    fn running(&self, name: &PluginName) -> Result<Running, GenerationRefused> {
        self.board.running(name).ok_or_else(|| match self.board.get(name) {
            None => GenerationRefused::NotInstalled { plugin: name.clone() },
            Some(info) if info.deciding.is_some() => GenerationRefused::Decides { plugin: name.clone() },
            Some(_) => GenerationRefused::NotRunning { plugin: name.clone() },
        })
    }

    /// What is wrong with the directory, and with files in it that belong to no plugin.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.board.problems()
    }

    /// Every plugin that is in the directory or has left progress in the store, in name order. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn known_names(&self) -> Result<Vec<PluginName>, StoreError> {
        let mut names: BTreeSet<PluginName> = self.store.plugins()?.into_iter().collect();
        names.retain(|name| name.as_str() != SNAPSHOTS_OWNER);
        names.extend(self.board.names());
        Ok(names.into_iter().collect())
    }

    /// Whether everything that was in the directory at the start runs or is known to be broken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until everything that was in the directory at the start runs or is known to be broken.
    pub async fn ready(&self) {
        // An error means that the registry is stopping: nobody needs to wait longer.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Stops every plugin at its next batch boundary; answers when all have stopped.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

#[cfg(test)]
mod tests;
