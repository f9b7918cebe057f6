//! A running host: the log, and the plugins that live on it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::api::Maintenance;
use crate::clock::{Clock, SystemClock};
use crate::command::{Checks, Claims, Commands, DeletionsTask, QueueOptions, QueueTask};
use crate::config::HostSecrets;
use crate::delivery::Dispatcher;
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::plugin::{
    Loader, PluginInfo, Problem, Registry, RegistryOptions, Rehearsals, RehearsalsOptions, finish_promotions,
};
use crate::runtime::{Compiler, Engine, EngineError, EngineOptions, Trust};
use crate::schema::SchemaCell;
use crate::store::embedded::{EmbeddedStore, OpenOptions};
use crate::store::{AsyncStore, CheckedStore, Store, StoreError};

/// Folder for compiled components, below the data directory.
const CACHE_FOLDER: &str = "cache";
/// Folder for candidates and their reports, below the data directory.
const CANDIDATES_FOLDER: &str = "candidates";

/// Folder for components that plugins run or may return to, below the data directory.
const COMPONENTS_FOLDER: &str = "components";

/// What a host runs on.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The data directory; made if it is not there.
    pub data: PathBuf,
    /// The plugins directory; made if it is not there. None for a store without plugins.
    pub plugins: Option<PathBuf>,
    /// What compiles components in processes of their own, in bounded time and memory. None compiles them in this
    /// process.
    pub compiler: Option<Compiler>,
    /// Which servers the requests of plugins believe.
    pub trust: Trust,
    /// How accepted commands wait to be decided.
    pub queue: QueueOptions,
}

impl HostOptions {
    /// A store in a directory, without plugins.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self { data, plugins: None, compiler: None, trust: Trust::default(), queue: QueueOptions::default() }
    }
}

/// Why a host did not start.
#[derive(Debug, Error)]
pub enum HostError {
    /// The store did not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The component engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The plugins directory is not there and could not be made.
    #[error("plugins directory {path} could not be made: {reason}; make it, or give another --plugins")]
    PluginsDirectory {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

impl HostError {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Engine(error) => error.class(),
            Self::PluginsDirectory { .. } => ErrorClass::Invalid,
        }
    }
}

/// A running host. [`Host::shutdown`] ends it in order; dropping it ends it as a crash would, which loses
/// nothing either.
#[derive(Clone)]
pub struct Host {
    store: Arc<EmbeddedStore>,
    /// The same, for whoever appends.
    log: Arc<dyn Store>,
    registry: Option<Arc<Registry>>,
    rehearsals: Option<Arc<Rehearsals>>,
    commands: Commands,
    /// Drops snapshots of deleted streams; none without plugins, as nobody would write one.
    deletions: Option<Arc<DeletionsTask>>,
    /// Decides what was accepted; none without plugins, as nobody would decide.
    queue: Option<Arc<QueueTask>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("store", &self.store).field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Host {
    /// Opens the store and begins to run the plugins, which load in the background. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// When the store does not open, or a directory cannot be made.
    pub async fn start(options: HostOptions) -> Result<Self, HostError> {
        let candidates = options.data.join(CANDIDATES_FOLDER);
        let archive = Some(options.data.join(COMPONENTS_FOLDER));
        let queue = options.queue.clone();
        let started = tokio::task::spawn_blocking(move || Self::open(&options)).await;
        let opened = started.map_err(|_| StoreError::ReadFailed { reason: "opening the store panicked".into() })??;
        let (Opened { store, clock, plugins }, claims) = (opened, Claims::default());
        let schemas = Arc::<SchemaCell>::default();
        let log: Arc<dyn Store> =
            Arc::new(CheckedStore::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&schemas)));
        let checks = Arc::<Checks>::default();
        let commands = Commands::queueing(
            AsyncStore::new(Arc::clone(&log)),
            claims.clone(),
            Arc::clone(&clock),
            Arc::clone(&checks),
            queue,
        );
        let Some((engine, directory)) = plugins else {
            return Ok(Self {
                store,
                log,
                registry: None,
                rehearsals: None,
                commands,
                deletions: None,
                queue: None,
                clock,
            });
        };
        let (on, loader) = (Arc::clone(&log), Arc::new(engine) as Arc<dyn Loader>);
        let plugins = directory.clone();
        let options = RegistryOptions::new(directory, Arc::clone(&on), Arc::clone(&clock), Arc::clone(&loader));
        let secrets = Arc::new(HostSecrets);
        let options = RegistryOptions { secrets, archive, schemas, claims, checks, ..options };
        let registry = Arc::new(Registry::start(options));
        let (runs, time) = (Arc::clone(&registry), Arc::clone(&clock));
        let options = RehearsalsOptions { registry: runs, store: on, clock: time, loader, candidates, plugins };
        let rehearsals = Some(Arc::new(Rehearsals::new(options)));
        let loaded = Arc::clone(&registry);
        let queue = Some(Arc::new(commands.work(async move { loaded.ready().await })));
        let deletions = Some(Arc::new(commands.follow_deletions()));
        Ok(Self { store, log, registry: Some(registry), rehearsals, commands, deletions, queue, clock })
    }

    fn open(options: &HostOptions) -> Result<Opened, HostError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Arc::new(EmbeddedStore::open(&OpenOptions::new(&options.data), Arc::clone(&clock))?);
        let plugins = match &options.plugins {
            None => None,
            Some(directory) => {
                std::fs::create_dir_all(directory).map_err(|error| HostError::PluginsDirectory {
                    path: directory.clone(),
                    reason: error.to_string(),
                })?;
                finish_promotions(&options.data.join(CANDIDATES_FOLDER), directory);
                let cache_dir = Some(options.data.join(CACHE_FOLDER));
                let compiler = options.compiler.clone();
                let engine = Engine::new(EngineOptions { cache_dir, compiler, trust: options.trust.clone() })?;
                Some((engine, directory.clone()))
            }
        };
        Ok(Opened { store, clock, plugins })
    }

    /// The log.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.log)
    }

    /// Looks after the log's files.
    #[must_use]
    pub fn maintenance(&self) -> Arc<dyn Maintenance> {
        Arc::clone(&self.store) as Arc<dyn Maintenance>
    }

    /// Carries commands out.
    #[must_use]
    pub fn commands(&self) -> Commands {
        self.commands.clone()
    }

    /// Every plugin there is in the directory, in name order: running, loading or broken.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginInfo> {
        self.registry.as_ref().map(|registry| registry.list()).unwrap_or_default()
    }

    /// One plugin of the directory.
    #[must_use]
    pub fn plugin(&self, name: &PluginName) -> Option<PluginInfo> {
        self.registry.as_ref()?.get(name)
    }

    /// The delivery of a running plugin.
    #[must_use]
    pub fn dispatcher(&self, name: &PluginName) -> Option<Dispatcher> {
        self.registry.as_ref()?.dispatcher(name)
    }

    /// What runs the plugins; none for a store without them.
    #[must_use]
    pub fn registry(&self) -> Option<Arc<Registry>> {
        self.registry.clone()
    }

    /// Who rehearses plugins; none for a store without them.
    #[must_use]
    pub fn rehearsals(&self) -> Option<Arc<Rehearsals>> {
        self.rehearsals.clone()
    }

    /// What is wrong with the plugins directory, and with files in it that belong to no plugin.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.registry.as_ref().map(|registry| registry.problems()).unwrap_or_default()
    }

    /// Whether every plugin that was in the directory at the start runs or is known to be broken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.registry.as_ref().is_none_or(|registry| registry.is_ready())
    }

    /// Waits until every plugin that was in the directory at the start runs or is known to be broken.
    pub async fn plugins_loaded(&self) {
        if let Some(registry) = &self.registry {
            registry.ready().await;
        }
    }

    /// The time that the host goes by.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Stops the plugins at their next batch boundary. The store closes when the last handle to it is
    /// dropped.
    pub async fn shutdown(self) {
        if let Some(queue) = &self.queue {
            queue.stop();
        }
        if let Some(deletions) = &self.deletions {
            deletions.stop();
        }
        if let Some(registry) = &self.registry {
            registry.shutdown().await;
        }
    }
}

/// What is ready before plugins run.
struct Opened {
    store: Arc<EmbeddedStore>,
    clock: Arc<dyn Clock>,
    plugins: Option<(Engine, PathBuf)>,
}
