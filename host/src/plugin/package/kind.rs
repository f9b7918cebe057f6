//! What a component is in a plugins directory: where it lies follows from that, and what its manifest may say.

use crate::plugin::{Manifest, ManifestError};
use crate::runtime::Anatomy;

/// What a component is in a plugins directory, which says where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plugin: in a folder of its own.
    Plugin,
    /// What lifts events: among its like, without a manifest.
    Upcaster,
    /// What commands are held to: among its like, with a manifest beside it, if it has one.
    Validator,
}

impl Kind {
    /// What a component is. One with several roles counts as a plugin: who loads it tells what is wrong.
    #[must_use]
    pub fn of(anatomy: &Anatomy) -> Self {
        match anatomy.check_one_role() {
            Ok(()) if anatomy.is_upcaster() => Self::Upcaster,
            Ok(()) if anatomy.is_validator() => Self::Validator,
            _ => Self::Plugin,
        }
    }

    /// The same of its bytes. What is no component at all counts as a plugin, too.
    #[must_use]
    pub fn of_component(component: &[u8]) -> Self {
        Anatomy::of(component).map_or(Self::Plugin, |anatomy| Self::of(&anatomy))
    }

    /// Reads the manifest of what is of this kind; `file` is its name in errors.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn manifest(self, file: &str, text: &str) -> Result<Manifest, ManifestError> {
        match self {
            Self::Plugin | Self::Upcaster => Manifest::parse(file, text),
            Self::Validator => Manifest::parse_validator(file, text),
        }
    }
}
