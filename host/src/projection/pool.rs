//! The instances of one version of a plugin that answer queries.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Answer, Counted, Moment, NoAnswer, Projection, Query};
use crate::clock::Stopwatch;
use crate::error::ErrorClass;
use crate::event::{PluginName, Position};
use crate::store::StoreError;

/// Queries of one plugin that are answered at a time: each has an instance, with the memory that a manifest allows.
const AT_A_TIME_MAX: usize = 4;
/// Queries of one plugin that wait for an instance; the next one is refused.
const WAITING_MAX: usize = 256;
/// Instances that are kept while nobody asks.
const IDLE_MAX: usize = 2;

/// What came of a query that reached the plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The checkpoint that the state was as of.
    pub checkpoint: Position,
    /// The answer, or why there is none.
    pub answer: Result<Answer, NoAnswer>,
}

/// Why a query did not reach the plugin.
#[derive(Debug, Error)]
pub enum QueryRefused {
    /// It is over a bound.
    #[error("{reason}")]
    Invalid {
        /// Which.
        reason: String,
    },
    /// There is no such plugin.
    #[error("no plugin is called {plugin}; `tidemill plugins ls` lists them")]
    NotInstalled {
        /// Its name.
        plugin: PluginName,
    },
    /// It does not run.
    #[error("plugin {plugin} is not running, so nobody can answer; `tidemill plugins inspect {plugin}` says why")]
    NotRunning {
        /// The plugin.
        plugin: PluginName,
    },
    /// It answers no queries.
    #[error(
        "plugin {plugin} answers no queries: its component exports no tidemill:plugin/projection; what it keeps can be \
         read by `tidemill state scan {plugin}`"
    )]
    NoProjection {
        /// The plugin.
        plugin: PluginName,
    },
    /// Too many wait for an answer.
    #[error("too many queries of plugin {plugin} wait for their turn; try again later, or give a longer timeout_ms")]
    Busy {
        /// The plugin.
        plugin: PluginName,
    },
    /// Another version is being swapped in, and takes long.
    #[error("plugin {plugin} is being replaced; try again later")]
    Replaced {
        /// The plugin.
        plugin: PluginName,
    },
    /// Its state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl QueryRefused {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid { .. } => ErrorClass::Invalid,
            Self::NotInstalled { .. } => ErrorClass::NotFound,
            Self::NoProjection { .. } => ErrorClass::Conflict,
            Self::NotRunning { .. } | Self::Busy { .. } | Self::Replaced { .. } => ErrorClass::Unavailable,
            Self::Store(error) => error.class(),
        }
    }
}

/// Makes an instance.
type Make = Box<dyn Fn() -> Option<Box<dyn Projection>> + Send + Sync>;

/// The instances of one version of a plugin. Dropping it ends those that are idle; queries on their way are answered.
pub struct Pool {
    plugin: PluginName,
    make: Make,
    idle: Mutex<Vec<Box<dyn Projection>>>,
    /// Places to be answered.
    places: Arc<Semaphore>,
    /// Places to be answered or to wait.
    queue: Arc<Semaphore>,
    counted: Arc<Counted>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("plugin", &self.plugin).field("idle", &self.idle().len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool without instances: `make` makes them, each when it is needed.
    #[must_use]
    pub fn new(
        plugin: PluginName,
        counted: Arc<Counted>,
        make: impl Fn() -> Option<Box<dyn Projection>> + Send + Sync + 'static,
    ) -> Self {
        let at_a_time = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).clamp(1, AT_A_TIME_MAX);
        Self {
            plugin,
            make: Box::new(make),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(at_a_time)),
            queue: Arc::new(Semaphore::new(at_a_time + WAITING_MAX)),
            counted,
        }
    }

    /// Where its queries are counted.
    #[must_use]
    pub const fn counted(&self) -> &Arc<Counted> {
        &self.counted
    }

    /// Answers a query as of the moment that `look` finds when it is its turn; none when that moment is not this
    /// version's. `look` blocks.
    ///
    /// # Errors
    /// When too many wait, or the state cannot be read.
    pub async fn ask<L>(self: &Arc<Self>, query: &Query, look: L) -> Result<Option<Answered>, QueryRefused>
    where
        L: FnOnce() -> Result<Option<Moment>, StoreError> + Send + 'static,
    {
        let began = Stopwatch::start();
        let asked = self.turn(query.clone(), look).await;
        let result = match &asked {
            Ok(Some(Answered { answer: Ok(_), .. })) => "ok",
            Ok(Some(Answered { answer: Err(why), .. })) => why.as_str(),
            // It is asked again, and counted then.
            Ok(None) => return asked,
            Err(QueryRefused::Busy { .. }) => "busy",
            Err(_) => "unavailable",
        };
        self.counted.count(result, began.elapsed_ns());
        asked
    }

    async fn turn<L>(self: &Arc<Self>, query: Query, look: L) -> Result<Option<Answered>, QueryRefused>
    where
        L: FnOnce() -> Result<Option<Moment>, StoreError> + Send + 'static,
    {
        let busy = || QueryRefused::Busy { plugin: self.plugin.clone() };
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| busy())?;
        let place = timeout(query.wait, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or_else(busy)?;
        let pool = Arc::clone(self);
        // Whoever asked may be gone: the places are held by what runs.
        let answering = move || {
            let _places: [OwnedSemaphorePermit; 2] = [queued, place];
            pool.answer(&query, look)
        };
        let stopped = |_| QueryRefused::NotRunning { plugin: self.plugin.clone() };
        tokio::task::spawn_blocking(answering).await.map_err(stopped)?
    }

    /// Has an instance answer: it is started first, so that the moment is that of the call.
    fn answer(
        &self,
        query: &Query,
        look: impl FnOnce() -> Result<Option<Moment>, StoreError>,
    ) -> Result<Option<Answered>, QueryRefused> {
        let kept = self.idle().pop();
        let made = kept.or_else(|| (self.make)());
        let mut projection = made.ok_or_else(|| QueryRefused::NoProjection { plugin: self.plugin.clone() })?;
        projection.start();
        let answered = look().map(|moment| {
            moment.map(|moment| Answered { checkpoint: moment.checkpoint, answer: projection.query(query, moment) })
        });
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(projection);
        }
        Ok(answered?)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Box<dyn Projection>>> {
        // Instances go in and out whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
