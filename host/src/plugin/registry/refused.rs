//! Why a plugin is not rebuilt, not rolled back, or not reloaded.

use std::path::PathBuf;

use thiserror::Error;

use super::error::InstallError;
use crate::delivery::CommandError;
use crate::error::ErrorClass;
use crate::event::{PluginName, Position};
use crate::store::StoreError;

/// Why another generation does not become live.
#[derive(Debug, Error)]
pub enum GenerationRefused {
    /// There is no such plugin.
    #[error("no plugin called {plugin} is installed; `tidemill plugins ls` lists them")]
    NotInstalled {
        /// The name asked for.
        plugin: PluginName,
    },
    /// It does not run.
    #[error("plugin {plugin} does not run; `tidemill plugins inspect {plugin}` says why")]
    NotRunning {
        /// The plugin.
        plugin: PluginName,
    },
    /// It runs, and has neither state nor generations.
    #[error(
        "plugin {plugin} decides commands: it keeps no state that could be rebuilt, and no version from before to roll back \
         to; to return to one, put its component into the plugins directory"
    )]
    Decides {
        /// The plugin.
        plugin: PluginName,
    },
    /// It would do again what it did outside.
    #[error(
        "{} can send HTTP requests, and a rebuild would send them again, so its state is not rebuilt; put what keeps \
         state into a plugin without [grants] http",
        component.display()
    )]
    ReachesOut {
        /// The component.
        component: PathBuf,
    },
    /// Events that its state is made of are gone.
    #[error(
        "events before position {before} that the state of plugin {plugin} may come from were removed by retention, so it \
         would be built without them; `tidemill retention ls` shows what is kept. To build it of what is left all the same, \
         say `force=true` (`--force`), or `from` (`--from`) which position"
    )]
    Removed {
        /// The plugin.
        plugin: PluginName,
        /// Events before this position were removed.
        before: Position,
    },
    /// The component that was live before is gone.
    #[error(
        "the component {digest}, which plugin {plugin} ran before, is not kept any more; put it into the plugins \
         directory"
    )]
    ComponentGone {
        /// The plugin.
        plugin: PluginName,
        /// SHA-256 of the component, in hex.
        digest: String,
    },
    /// What lies in the directory cannot run.
    #[error("plugin {plugin} is not reloaded; what ran before goes on")]
    NotReloaded {
        /// The plugin.
        plugin: PluginName,
        /// Why.
        #[source]
        reason: Box<InstallError>,
    },
    /// The component that was live before cannot run now.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Its delivery could not carry it out.
    #[error(transparent)]
    Delivery(#[from] CommandError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GenerationRefused {
    /// What lies in the directory cannot run.
    pub(super) fn not_reloaded(plugin: PluginName, reason: InstallError) -> Self {
        Self::NotReloaded { plugin, reason: Box::new(reason) }
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotInstalled { .. } => ErrorClass::NotFound,
            Self::NotRunning { .. } => ErrorClass::Unavailable,
            Self::ReachesOut { .. } => ErrorClass::Invalid,
            // Not who asks is wrong, but the plugin's kind or the files are.
            Self::Decides { .. } | Self::Removed { .. } | Self::ComponentGone { .. } | Self::NotReloaded { .. } => {
                ErrorClass::Conflict
            }
            Self::Install(error) => error.class(),
            Self::Delivery(error) => error.class(),
            Self::Store(error) => error.class(),
        }
    }
}
