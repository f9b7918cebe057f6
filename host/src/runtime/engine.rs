//! The engine: its configuration, and the way from bytes to a [`LoadedComponent`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Strategy, WasmBacktraceDetails};

use super::cache::{self, Cache};
use super::compiler::Compiler;
use super::component::InstanceOptions;
use super::component::{Loaded, LoadedComponent};
use super::contract::{self, KnownExports};
use super::fault::{FRAMES_MAX, chain};
use super::guest::Guest;
use super::http::Trust;
use super::instance::Linked;
use super::ticker::Ticker;
use super::trial::{self, Exports};
use super::upcaster::{Upcaster, UpcasterExports};
use super::validator::Validator;
use super::{Anatomy, Limits, LoadError, authority, compile, mismatch};
use crate::command::Validate;
use crate::error::ErrorClass;
use crate::schema::{Lift, Upcast};

/// How an engine is made.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Where compiled artefacts are kept: a directory of the host's own, made if it is not there. None
    /// compiles at every load.
    pub cache_dir: Option<PathBuf>,
    /// What compiles components in a process of its own, in bounded time and memory. None compiles them in this
    /// process, where a hostile one can take both.
    pub compiler: Option<Compiler>,
    /// Which servers the requests of plugins believe.
    pub trust: Trust,
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

/// How a component is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// What the plugin may use: the component is tried within it.
    pub limits: Limits,
    /// Whether the plugin is granted any HTTP; one that imports it is refused otherwise.
    pub http: bool,
    /// The unstable interfaces that its manifest allows it, such as `unstable-timers`.
    pub unstable: Vec<String>,
}

/// Loads components. Cheap to clone; the deadline thread stops with the last clone and the last component.
#[derive(Clone)]
pub struct Engine(Arc<EngineInner>);

/// What an engine and its components share.
pub(super) struct EngineInner {
    engine: wasmtime::Engine,
    linker: Linker<Guest>,
    /// Links what waits, too.
    waiting_linker: Linker<Guest>,
    cache: Option<Cache>,
    compiler: Option<Compiler>,
    trust: Trust,
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
        let waiting_linker = authority::waiting_linker(&engine).map_err(unsupported)?;
        let open =
            |path: PathBuf| Cache::open(path.clone(), &engine).map_err(|source| EngineError::CacheDir { path, source });
        let cache = options.cache_dir.map(open).transpose()?;
        let ticker = Ticker::start(engine.clone()).map_err(EngineError::Ticker)?;
        Ok(Self(Arc::new(EngineInner {
            engine,
            linker,
            waiting_linker,
            cache,
            compiler: options.compiler,
            trust: options.trust,
            _ticker: ticker,
        })))
    }

    /// Loads a component that is granted no HTTP, and tries it within the default [`Limits`]. Blocks:
    /// compiling takes from milliseconds to seconds.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing of a component that is not loaded stays.
    pub fn load(&self, component: &[u8]) -> Result<LoadedComponent, LoadError> {
        self.load_with(component, &LoadOptions::default())
    }

    /// The same, as the plugin will run: one that needs much memory to start needs it in its trial, too.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_with(&self, component: &[u8], options: &LoadOptions) -> Result<LoadedComponent, LoadError> {
        let anatomy = Anatomy::of(component)?;
        anatomy.check_one_role()?;
        let digest = compile::digest(component);
        let component = self.compiled(component, &digest)?;
        self.linked(&component, (digest, anatomy.labels), options).map_err(|error| self.explained(&component, error))
    }

    /// An error in the words of the component's WIT, if it says more there.
    fn explained(&self, component: &Component, error: LoadError) -> LoadError {
        mismatch::explain(&self.0.engine, component, error)
    }

    /// Checks a compiled component against all that the host has and wants, and tries it.
    fn linked(
        &self,
        component: &Component,
        (digest, labels): (String, BTreeMap<String, String>),
        options: &LoadOptions,
    ) -> Result<LoadedComponent, LoadError> {
        contract::check_unstable(&self.0.engine, component, &options.unstable)?;
        // What was built for another world wants other things, too: that it is no plugin says more.
        let known = match KnownExports::of(&self.0.engine, component) {
            Err(error) if component.component_type().exports(&self.0.engine).next().is_some() => return Err(error),
            known => known,
        };
        let imports = contract::check_imports(&self.0.engine, component, options.http)?;
        let known = known?;
        if known.aggregate.is_some() {
            contract::check_pure(&self.0.engine, component)?;
        }
        let exports = Exports::find(component, &known)?;
        let linker = if imports.http { &self.0.waiting_linker } else { &self.0.linker };
        let pre =
            linker.instantiate_pre(component).map_err(|error| LoadError::MismatchedImport { reason: chain(&error) })?;
        let linked = Linked { pre, waits: imports.http, trust: self.0.trust.clone() };
        let (entry, description) = trial::run(&linked, exports, &options.limits)?;
        Ok(LoadedComponent::new(Loaded {
            _engine: Arc::clone(&self.0),
            digest,
            roles: known.roles(),
            description,
            labels,
            linked,
            entry,
        }))
    }

    /// Loads a component that lifts events, and asks what it lifts. Blocks: compiling takes from milliseconds to
    /// seconds.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_upcaster(&self, component: &[u8]) -> Result<(Vec<Lift>, Arc<dyn Upcast>), LoadError> {
        // A file that does not read is told of in the same words wherever it is looked at.
        Anatomy::of(component)?.check_one_role()?;
        let component = self.compiled(component, &compile::digest(component))?;
        let loaded = self.linked_upcaster(&component).map_err(|error| self.explained(&component, error));
        loaded.map(|(lifts, upcaster)| (lifts, Arc::new(upcaster) as Arc<dyn Upcast>))
    }

    fn linked_upcaster(&self, component: &Component) -> Result<(Vec<Lift>, Upcaster), LoadError> {
        contract::check_imports(&self.0.engine, component, false)?;
        let interface = KnownExports::upcaster(&self.0.engine, component)?;
        let find = |function| trial::Export::find(component, &interface, function);
        let exports = UpcasterExports { lifts: find("lifts")?, upcast: find("upcast")? };
        Upcaster::load(Arc::clone(&self.0), self.linked_alone(component)?, exports)
    }

    /// Loads a component that holds commands against rules, and tries it. Blocks: compiling takes from milliseconds to
    /// seconds.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_validator(&self, component: &[u8], options: InstanceOptions) -> Result<Arc<dyn Validate>, LoadError> {
        // A file that does not read is told of in the same words wherever it is looked at.
        Anatomy::of(component)?.check_one_role()?;
        let component = self.compiled(component, &compile::digest(component))?;
        let loaded = self.linked_validator(&component, options).map_err(|error| self.explained(&component, error));
        loaded.map(|validator| Arc::new(validator) as Arc<dyn Validate>)
    }

    fn linked_validator(&self, component: &Component, options: InstanceOptions) -> Result<Validator, LoadError> {
        contract::check_imports(&self.0.engine, component, false)?;
        let interface = KnownExports::validator(&self.0.engine, component)?;
        let export = trial::Export::find(component, &interface, "validate")?;
        Validator::load(Arc::clone(&self.0), self.linked_alone(component)?, export, options)
    }

    /// Links what reaches nothing outside.
    fn linked_alone(&self, component: &Component) -> Result<Linked, LoadError> {
        let pre = self.0.linker.instantiate_pre(component);
        let pre = pre.map_err(|error| LoadError::MismatchedImport { reason: chain(&error) })?;
        Ok(Linked { pre, waits: false, trust: self.0.trust.clone() })
    }

    /// From the cache, or compiled and cached.
    fn compiled(&self, component: &[u8], digest: &str) -> Result<Component, LoadError> {
        let EngineInner { engine, cache, compiler, .. } = &*self.0;
        if let Some(component) = cache.as_ref().and_then(|cache| cache.get(engine, digest)) {
            return Ok(component);
        }
        let failed = |error: wasmtime::Error| LoadError::Engine { reason: chain(&error) };
        let keep = |artefact: &[u8]| cache.as_ref().and_then(|cache| cache.put(engine, digest, artefact));
        let Some(compiler) = compiler else {
            let component = compile::compile(engine, component)?;
            if cache.is_none() {
                return Ok(component);
            }
            let artefact = component.serialize().map_err(failed)?;
            return Ok(keep(&artefact).unwrap_or(component));
        };
        let artefact = compiler.compile(component)?;
        keep(&artefact).map_or_else(|| cache::deserialize(engine, &artefact).map_err(failed), Ok)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("cache", &self.0.cache).finish_non_exhaustive()
    }
}

/// The configuration for untrusted components. Whatever a guest does not need is off.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        // For all plugins, so that what each costs is seen: 5 % of a call in bulk, 12 % on the plain lane.
        .consume_fuel(true)
        // The same bits on every machine: a replay must not differ by a NaN.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        // Never by an environment variable of the host.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .shared_memory(false)
        .gc_support(false)
        .wasm_memory64(false);
    config
}
