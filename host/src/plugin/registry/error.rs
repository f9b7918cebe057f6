//! Why a plugin is not replaced by what lies in the directory.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::command::Taken;
use crate::delivery::CommandError;
use crate::document::line_in;
use crate::error::ErrorClass;
use crate::event::{NameError, PluginName};
use crate::plugin::{SecretSource, SourceError};
use crate::runtime::LoadError;

/// Why what lies in the directory does not run. What ran before goes on, except where the text says so.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The files are not a plugin.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The component cannot be run.
    #[error("{} cannot be loaded", component.display())]
    Load {
        /// The component.
        component: PathBuf,
        /// Why.
        #[source]
        reason: LoadError,
    },
    /// The component introduces itself with a text that is no name.
    #[error(
        "{} describes itself wrongly: {list} holds {text:?}: {reason}; mend the component, or write in the manifest, {}",
        component.display(), line_in("subscribe", list, "[...]")
    )]
    BadDescription {
        /// The component.
        component: PathBuf,
        /// Which list of the description.
        list: &'static str,
        /// The text, cut to 64 characters.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The component asks for something that makes no sense.
    #[error("{} asks for what nobody can grant: {key} {text:?}: {reason}; mend the component", component.display())]
    BadRequest {
        /// The component.
        component: PathBuf,
        /// The kind of request.
        key: &'static str,
        /// The text, cut to 64 characters.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The component asks for more than its manifest grants.
    #[error(
        "{} asks for more than it is granted, and is not loaded; to allow it, write in {}, {lines}",
        component.display(), manifest.display()
    )]
    NotGranted {
        /// The component.
        component: PathBuf,
        /// The manifest, or where it would be.
        manifest: PathBuf,
        /// What to write there.
        lines: String,
    },
    /// A secret of the manifest is not there.
    #[error(
        "secret {name} of {}: {source_of_it}: {reason}; provide it, or take it out of [grants] secrets",
        manifest.display()
    )]
    Secret {
        /// Its name.
        name: String,
        /// The manifest.
        manifest: PathBuf,
        /// Where it should come from.
        source_of_it: SecretSource,
        /// Why it does not.
        reason: String,
    },
    /// A candidate plays other roles than what it would replace.
    #[error(
        "{} plays the roles {found:?}, and what it would replace {installed:?}; build it for those, or install it \
         under another name",
        component.display()
    )]
    OtherRoles {
        /// The component.
        component: PathBuf,
        /// Its roles.
        found: Vec<&'static str>,
        /// Those of what runs.
        installed: Vec<&'static str>,
    },
    /// The manifest of a candidate names another file than the one that it would replace.
    #[error(
        "the manifest names component {named:?}, and the installed one is {}; name that, or none",
        installed.display()
    )]
    OtherFile {
        /// The name in the manifest.
        named: String,
        /// The installed component.
        installed: PathBuf,
    },
    /// The manifest of a candidate would get at a secret that the installed one does not grant so.
    #[error(
        "the candidate's manifest does not get secret {name} as the installed one does, {}; change it there first, \
         then try the candidate",
        manifest.display()
    )]
    OtherSecret {
        /// Its name.
        name: String,
        /// The installed manifest, or where it would be.
        manifest: PathBuf,
    },
    /// A version that is to be rehearsed would do something outside.
    #[error(
        "{} can send HTTP requests, and a rehearsal would send them again, so it is not rehearsed; put what keeps state \
         into a plugin without [grants] http, or try it on a copy of the data directory",
        component.display()
    )]
    ReachesOut {
        /// The component.
        component: PathBuf,
    },
    /// Its state would be rebuilt, which would do again what it does outside.
    #[error(
        "{} can send HTTP requests, and rebuilding its state would send them again; take [grants] http or [delivery] \
         rebuild out of its manifest",
        component.display()
    )]
    NotRebuilt {
        /// The component.
        component: PathBuf,
    },
    /// What was built became live while it was installed.
    #[error("what plugin {plugin} built became live meanwhile, again and again; touch its files to have them taken up")]
    Overtaken {
        /// The plugin.
        plugin: PluginName,
    },
    /// Building its state did not begin.
    #[error("its state cannot be rebuilt, so what ran before goes on")]
    Rebuild(#[source] CommandError),
    /// Its bytes could not be kept.
    #[error("{} could not be kept in the data directory", component.display())]
    Archive {
        /// The component.
        component: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Another plugin decides for the same aggregates.
    #[error(transparent)]
    AggregateTaken(Taken),
    /// It is not said for which aggregates it decides, and its name cannot say it.
    #[error(
        "plugin {plugin} decides commands, and its name is no category of streams: {reason}; write one in {}: \
         [aggregate] category = \"...\"",
        manifest.display()
    )]
    NoCategory {
        /// The plugin.
        plugin: PluginName,
        /// The manifest, or where it would be.
        manifest: PathBuf,
        /// What is wrong with its name.
        reason: NameError,
    },
    /// The engine failed on it.
    #[error("{} made the engine panic while it was loaded; please report this component", component.display())]
    Panicked {
        /// The component.
        component: PathBuf,
    },
    /// Its delivery had ended by itself.
    #[error("its delivery had ended, so there was nothing to replace; touch its files to start it anew")]
    Delivery(#[source] CommandError),
}

impl InstallError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Load { reason, .. } => reason.class(),
            Self::BadDescription { .. }
            | Self::BadRequest { .. }
            | Self::OtherRoles { .. }
            | Self::OtherFile { .. }
            | Self::NotRebuilt { .. }
            | Self::NoCategory { .. }
            | Self::ReachesOut { .. } => ErrorClass::Invalid,
            Self::AggregateTaken(_) | Self::Overtaken { .. } => ErrorClass::Conflict,
            Self::NotGranted { .. } | Self::OtherSecret { .. } => ErrorClass::Denied,
            Self::Secret { .. } | Self::Archive { .. } => ErrorClass::Unavailable,
            Self::Panicked { .. } => ErrorClass::Bug,
            Self::Delivery(error) | Self::Rebuild(error) => error.class(),
        }
    }

    /// Whether something else is live, or built, than when it was planned: then it is installed anew.
    pub(super) const fn is_overtaken(&self) -> bool {
        matches!(
            self,
            Self::Overtaken { .. }
                | Self::Rebuild(
                    CommandError::Replaced { .. }
                        | CommandError::Rebuilding { .. }
                        | CommandError::NotRebuilding { .. }
                )
        )
    }

    /// The error with its causes, in one line.
    pub(in crate::plugin) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line = format!("{line}: {error}");
            cause = error.source();
        }
        line
    }
}
