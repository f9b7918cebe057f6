//! The engine: its configuration, and the way from bytes to a [`LoadedComponent`].

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Strategy, WasmBacktraceDetails};

use super::cache::Cache;
use super::component::{Loaded, LoadedComponent};
use super::contract::{self, KnownExports};
use super::fault::{FRAMES_MAX, chain};
use super::guest::Guest;
use super::ticker::Ticker;
use super::trial::{self, Exports};
use super::{Limits, LoadError, authority, compile};
use crate::error::ErrorClass;

/// How an engine is made.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Where compiled artefacts are kept: a directory of the host's own, made if it is not there. None
    /// compiles at every load.
    pub cache_dir: Option<PathBuf>,
}

/// Why there is no engine.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The engine does not run on this machine.
    #[error("the WebAssembly engine cannot run here: {reason}")]
    Unsupported {
        /// What it says.
        reason: String,
    },
    /// The thread that counts deadlines cannot be started.
    #[error("the deadline thread cannot be started")]
    Ticker(#[source] io::Error),
    /// The compile cache cannot be used.
    #[error("the compile cache {path} cannot be opened; make it a directory that the host can write to")]
    CacheDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Unsupported { .. } => ErrorClass::Bug,
            Self::Ticker(_) | Self::CacheDir { .. } => ErrorClass::Unavailable,
        }
    }
}

/// Loads components. Cheap to clone; the deadline thread stops with the last clone and the last component.
#[derive(Clone)]
pub struct Engine(Arc<EngineInner>);

/// What an engine and its components share.
pub(super) struct EngineInner {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    _ticker: Ticker,
}

impl Engine {
    /// Makes an engine, and starts its deadline thread.
    ///
    /// # Errors
    /// When the machine is not supported, or the cache directory cannot be used.
    pub fn new(options: EngineOptions) -> Result<Self, EngineError> {
        let unsupported = |error: wasmtime::Error| EngineError::Unsupported { reason: chain(&error) };
        let engine = wasmtime::Engine::new(&config()).map_err(unsupported)?;
        let linker = authority::linker(&engine).map_err(unsupported)?;
        let open =
            |path: PathBuf| Cache::open(path.clone(), &engine).map_err(|source| EngineError::CacheDir { path, source });
        let cache = options.cache_dir.map(open).transpose()?;
        let ticker = Ticker::start(engine.clone()).map_err(EngineError::Ticker)?;
        Ok(Self(Arc::new(EngineInner { engine, linker, cache, _ticker: ticker })))
    }

    /// Loads a component, and tries it within the default [`Limits`]. Blocks: compiling takes from
    /// milliseconds to seconds.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing of a component that is not loaded stays.
    pub fn load(&self, component: &[u8]) -> Result<LoadedComponent, LoadError> {
        self.load_within(component, &Limits::default())
    }

    /// The same, tried within the limits that the plugin will have: one that needs much memory to start
    /// needs it in its trial, too.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_within(&self, component: &[u8], limits: &Limits) -> Result<LoadedComponent, LoadError> {
        compile::check_kind(component)?;
        let digest = compile::digest(component);
        let component = self.compiled(component, &digest)?;
        contract::check_imports(&self.0.engine, &component)?;
        let known = KnownExports::of(&self.0.engine, &component)?;
        let exports = Exports::find(&component, &known)?;
        let pre = self
            .0
            .linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::MismatchedImport { reason: chain(&error) })?;
        let description = trial::run(&pre, &exports, limits)?;
        Ok(LoadedComponent::new(Loaded {
            _engine: Arc::clone(&self.0),
            digest,
            roles: known.roles(),
            description,
            pre,
            lane: exports.lane,
            handle: exports.handle.index,
        }))
    }

    /// From the cache, or compiled and cached.
    fn compiled(&self, component: &[u8], digest: &str) -> Result<Component, LoadError> {
        let EngineInner { engine, cache, .. } = &*self.0;
        if let Some(component) = cache.as_ref().and_then(|cache| cache.get(engine, digest)) {
            return Ok(component);
        }
        let component = compile::compile(engine, component)?;
        if let Some(cache) = cache {
            cache.put(digest, &component);
        }
        Ok(component)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("cache", &self.0.cache).finish_non_exhaustive()
    }
}

/// The configuration for untrusted components. Whatever a guest does not need is off.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        // Never by an environment variable of the host.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .shared_memory(false)
        .gc_support(false)
        .wasm_memory64(false);
    config
}
