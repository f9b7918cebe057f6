//! What the registry asks of an engine: bytes in, handlers out.
//!
//! A seam, so that the rules of the registry are tested without wasm. The runtime's [`Engine`] is the one
//! that hosts use.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{AggregateCode, Validate};
use crate::delivery::Handler;
use crate::projection::Projection;
use crate::runtime::{Description, Engine, InstanceOptions, LoadError, LoadOptions, LoadedComponent, Role};
use crate::schema::{Lift, Upcast};

/// Turns the bytes of a component into code that can be run.
pub trait Loader: Send + Sync + 'static {
    /// Compiles, checks and links a component, and tries it as it will run. Blocks, maybe for seconds; called
    /// on a blocking thread.
    ///
    /// # Errors
    /// When the bytes are not a component that this release can run.
    fn load(&self, component: &[u8], options: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError>;

    /// The same for a component that lifts events. As it stands here it loads none.
    ///
    /// # Errors
    /// When the bytes are not an upcaster that this release can run.
    fn load_upcaster(&self, _: &[u8]) -> Result<LoadedUpcaster, LoadError> {
        Err(LoadError::no_upcaster(&[]))
    }

    /// The same for a component that holds commands against rules. As it stands here it loads none.
    ///
    /// # Errors
    /// When the bytes are not a validator that this release can run.
    fn load_validator(&self, _: &[u8], _: InstanceOptions) -> Result<Arc<dyn Validate>, LoadError> {
        Err(LoadError::no_validator(&[]))
    }
}

/// An upcaster that was compiled, checked and linked.
#[derive(Clone)]
pub struct LoadedUpcaster {
    /// What it declares.
    pub lifts: Vec<Lift>,
    /// What carries them out.
    pub upcast: Arc<dyn Upcast>,
}

/// A component that was compiled, checked and linked.
pub trait Loaded: Send + Sync + 'static {
    /// The roles that its exports give it.
    fn roles(&self) -> &[Role];

    /// How it introduces itself, if it does.
    fn description(&self) -> Option<&Description>;

    /// What its authors say of it, in its file; nothing unless it says otherwise.
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Whether two runs over the same events give the same result: it reaches nothing outside.
    fn replayable(&self) -> bool;

    /// A handler that runs it as a subscriber.
    fn subscriber(&self, options: InstanceOptions) -> Box<dyn Handler>;

    /// What asks it; none if it answers no queries.
    fn projection(&self, _options: InstanceOptions) -> Option<Box<dyn Projection>> {
        None
    }

    /// The code of an aggregate, if it decides commands.
    fn aggregate(&self, _: InstanceOptions) -> Option<Arc<dyn AggregateCode>> {
        None
    }
}

impl Loader for Engine {
    fn load(&self, component: &[u8], options: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
        Ok(Arc::new(self.load_with(component, options)?))
    }

    fn load_upcaster(&self, component: &[u8]) -> Result<LoadedUpcaster, LoadError> {
        let (lifts, upcast) = self.load_upcaster(component)?;
        Ok(LoadedUpcaster { lifts, upcast })
    }

    fn load_validator(&self, component: &[u8], options: InstanceOptions) -> Result<Arc<dyn Validate>, LoadError> {
        self.load_validator(component, options)
    }
}

impl Loaded for LoadedComponent {
    fn roles(&self) -> &[Role] {
        self.roles()
    }

    fn description(&self) -> Option<&Description> {
        self.description()
    }

    fn labels(&self) -> BTreeMap<String, String> {
        self.labels().clone()
    }

    fn replayable(&self) -> bool {
        self.replayable()
    }

    fn subscriber(&self, options: InstanceOptions) -> Box<dyn Handler> {
        self.subscriber(options)
    }

    fn projection(&self, options: InstanceOptions) -> Option<Box<dyn Projection>> {
        self.projection(options)
    }

    fn aggregate(&self, options: InstanceOptions) -> Option<Arc<dyn AggregateCode>> {
        self.aggregate(options)
    }
}
