//! Why a rehearsal or a promotion is refused.

use std::path::PathBuf;

use thiserror::Error;

use super::InstallError;
use crate::delivery::rehearsal::RehearsalError;
use crate::error::ErrorClass;
use crate::event::PluginName;
use crate::plugin::CandidateError;

/// Why a rehearsal or a promotion is refused. What runs goes on as it was, except where the text says so.
#[derive(Debug, Error)]
pub enum RehearsalRefused {
    /// There is no such plugin.
    #[error("no plugin called {plugin} is installed; `tidemill plugins ls` lists them")]
    NotInstalled {
        /// The name.
        plugin: PluginName,
    },
    /// The plugin has no version that could be loaded.
    #[error("plugin {plugin} does not run; `tidemill plugins inspect {plugin}` says why")]
    NotRunning {
        /// The plugin.
        plugin: PluginName,
    },
    /// It runs, and has no events that a version could be compared over.
    #[error(
        "plugin {plugin} decides commands and is handed no events, so versions of it are not rehearsed and there is no \
         candidate to promote; to install another version, put its component into the plugins directory"
    )]
    Decides {
        /// The plugin.
        plugin: PluginName,
    },
    /// The candidate cannot be loaded, or one of both versions cannot be rehearsed.
    #[error(transparent)]
    Candidate(#[from] InstallError),
    /// The rehearsal came to no result.
    #[error(transparent)]
    Rehearsal(#[from] RehearsalError),
    /// The files of the candidate failed.
    #[error(transparent)]
    Files(#[from] CandidateError),
    /// There is nothing to promote.
    #[error(
        "plugin {plugin} has no candidate with a report; `tidemill plugins shadow {plugin} --component FILE` makes one"
    )]
    NoCandidate {
        /// The plugin.
        plugin: PluginName,
    },
    /// The candidate does not do what the live version does.
    #[error(
        "the candidate of plugin {plugin} differs from the live version: {outcomes} outcomes, {emissions} emissions, \
         {state} state keys; if that is meant so, promote it with --force"
    )]
    NotClean {
        /// The plugin.
        plugin: PluginName,
        /// Events that ended differently.
        outcomes: u64,
        /// Emissions that differ.
        emissions: u64,
        /// Keys that differ.
        state: u64,
    },
    /// Another version runs than the one that the candidate was compared with.
    #[error(
        "the candidate of plugin {plugin} was compared with component {compared}, and {live} runs by now; \
         shadow it again"
    )]
    OtherLive {
        /// The plugin.
        plugin: PluginName,
        /// SHA-256 of the one in the report, in hex.
        compared: String,
        /// SHA-256 of the one that runs, in hex.
        live: String,
    },
    /// The live version runs under another manifest than when the candidate was compared with it.
    #[error(
        "the candidate of plugin {plugin} was compared with what runs under another manifest, and {} says something else \
         by now; shadow it again", manifest.display()
    )]
    OtherManifest {
        /// The plugin.
        plugin: PluginName,
        /// Its manifest.
        manifest: PathBuf,
    },
    /// The candidate has no manifest of its own, and the one in the directory is not that of the version that runs.
    #[error(
        "the candidate of plugin {plugin} was compared under the manifest of the version that runs, and {} says something \
         else, under which it would run; shadow it again with the manifest that it shall have (--manifest FILE), or put the \
         former one in that place", manifest.display()
    )]
    OtherFile {
        /// The plugin.
        plugin: PluginName,
        /// Where the manifest is, or would be, in the plugins directory.
        manifest: PathBuf,
    },
    /// Its files are being replaced.
    #[error("plugin {plugin} is being promoted; see what runs when that is through")]
    Promoting {
        /// The plugin.
        plugin: PluginName,
    },
    /// The registry refused the files.
    #[error("the candidate's files are in place, but it does not run: {reason}; put the former ones back, or mend it")]
    NotTaken {
        /// What the registry says.
        reason: String,
    },
    /// The registry has not come to it.
    #[error("the candidate's files are in place, but it does not run yet; see `tidemill plugins inspect {plugin}`")]
    NotYet {
        /// The plugin.
        plugin: PluginName,
    },
}

impl RehearsalRefused {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotInstalled { .. } | Self::NoCandidate { .. } => ErrorClass::NotFound,
            Self::NotRunning { .. } | Self::NotYet { .. } => ErrorClass::Unavailable,
            Self::Candidate(error) => error.class(),
            Self::Rehearsal(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Decides { .. }
            | Self::NotClean { .. }
            | Self::OtherLive { .. }
            | Self::OtherManifest { .. }
            | Self::OtherFile { .. }
            | Self::Promoting { .. } => ErrorClass::Conflict,
            Self::NotTaken { .. } => ErrorClass::Invalid,
        }
    }
}
