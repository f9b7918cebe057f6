//! What can be wrong with the files of plugins.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::ErrorClass;
use crate::event::{NameError, PluginName};
use crate::plugin::ManifestError;

/// Why files are not a plugin that can be loaded. Whatever ran under that name goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// The plugins directory itself cannot be listed.
    #[error("the plugins directory {} cannot be listed: {reason}; what runs goes on until it is back", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The upcasters make no chain.
    #[error("the upcasters are not taken: {reason}")]
    Upcasters {
        /// What is wrong with them, where, and what to do.
        reason: String,
    },
    /// The schemas of types are not taken.
    #[error("the schemas are not taken: {reason}")]
    Schemas {
        /// What is wrong with them, where, and what to do.
        reason: String,
    },
    /// The upcasters make no chain, and never did since the start.
    #[error("no plugin is handed events before the upcasters are mended: {reason}")]
    Unlifted {
        /// What is wrong with them, where, and what to do.
        reason: String,
    },
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {reason}; mend it, or remove it", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// It is a pipe, a device, or a folder where a file should be.
    #[error("{} is not a file; put a regular file there", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file is too large.
    #[error("{} has {bytes} bytes; at most {bytes_max} are allowed", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The validators cannot be asked.
    #[error("{reason}; those before go on, if there were any")]
    Validators {
        /// What is wrong, and where.
        reason: String,
    },
    /// A manifest is not UTF-8.
    #[error("{} is not UTF-8 text; save it as UTF-8", path.display())]
    NotText {
        /// The manifest.
        path: PathBuf,
    },
    /// The name of a file or folder cannot be that of a plugin.
    #[error("{} cannot be a plugin: {reason}; rename it", path.display())]
    BadName {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: NameError,
    },
    /// A folder and a bare component have one name.
    #[error(
        "plugin {name} is there twice, as {} and as {}; remove one of them (whichever runs goes on)",
        folder.display(), file.display()
    )]
    TwoOfOneName {
        /// The name.
        name: PluginName,
        /// The folder.
        folder: PathBuf,
        /// The bare component.
        file: PathBuf,
    },
    /// A folder holds a component but no manifest.
    #[error(
        "{} holds a component but no plugin.toml; add one (an empty file will do), \
         or move the component up, beside the folder", folder.display()
    )]
    NoManifest {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder holds a manifest but no component.
    #[error("{} holds a plugin.toml but no .wasm file; put the component there", folder.display())]
    NoComponent {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder holds several components and does not say which one it is.
    #[error(
        "{} holds several .wasm files ({names}); say which one it is in its plugin.toml: component = \"...\"",
        folder.display()
    )]
    SeveralComponents {
        /// The folder.
        folder: PathBuf,
        /// Their names.
        names: String,
    },
    /// The manifest names a component that is not there.
    #[error("{} names component {component:?}, which is not in that folder; put it there, or change the name", manifest.display())]
    MissingComponent {
        /// The manifest.
        manifest: PathBuf,
        /// The name.
        component: String,
    },
    /// A manifest without a component beside it.
    #[error("{} has no component: there is no {} beside it; add it, or remove the manifest", manifest.display(), component.display())]
    StrayManifest {
        /// The manifest.
        manifest: PathBuf,
        /// Where the component would be.
        component: PathBuf,
    },
    /// The manifest of a bare component names one.
    #[error("{} belongs to the component beside it and cannot name another; remove its `component` line", manifest.display())]
    ComponentNamed {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The component is no longer what was seen.
    #[error("{} changed while it was being read; it is loaded when it is complete", path.display())]
    Changed {
        /// The component.
        path: PathBuf,
    },
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl SourceError {
    /// What kind of thing went wrong.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Directory { .. } | Self::Unreadable { .. } | Self::Changed { .. } => ErrorClass::Unavailable,
            Self::TwoOfOneName { .. } => ErrorClass::Conflict,
            Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::NotText { .. }
            | Self::Upcasters { .. }
            | Self::Schemas { .. }
            | Self::Validators { .. }
            | Self::Unlifted { .. }
            | Self::BadName { .. }
            | Self::NoManifest { .. }
            | Self::NoComponent { .. }
            | Self::SeveralComponents { .. }
            | Self::MissingComponent { .. }
            | Self::StrayManifest { .. }
            | Self::ComponentNamed { .. } => ErrorClass::Invalid,
            Self::Manifest(error) => error.class(),
        }
    }
}
