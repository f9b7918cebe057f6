//! A plugin as one file: a component with its manifest and with what its authors say of it, in custom sections.
//!
//! The names of the sections are those that tools for components read and write, and that registries show as OCI
//! annotations (`org.opencontainers.image.*`); the manifest has one of its own. What is embedded is the author's word:
//! it is shown and offered, and never in force by itself.

mod asked;
mod kind;
mod place;
mod read;
mod sections;

use thiserror::Error;

use crate::plugin::ManifestError;

pub use asked::Asked;
pub use kind::Kind;
pub use place::{PlaceError, Placing, Present};
pub(crate) use read::read_at_most;
pub use read::read_component;

/// The section that holds `plugin.toml`.
const MANIFEST_SECTION: &str = "tidemill:manifest";
/// Largest manifest that is embedded, or taken, in bytes.
const MANIFEST_BYTES_MAX: usize = 64 << 10;
/// What errors call it.
const MANIFEST_NAME: &str = "the embedded plugin.toml";

/// What authors say of a component. Nothing of it is checked; none where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageLabels {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// Who made it.
    pub authors: Option<String>,
    /// Under what terms: an SPDX expression.
    pub licenses: Option<String>,
    /// Where its source is: a URL.
    pub source: Option<String>,
    /// Which revision of that source it was built from.
    pub revision: Option<String>,
    /// Where people read about it: a URL.
    pub homepage: Option<String>,
}

impl PackageLabels {
    /// The labels but the name, each with the section that holds it.
    fn sections(&self) -> [(&'static str, Option<&String>); 7] {
        [
            ("version", self.version.as_ref()),
            ("description", self.description.as_ref()),
            ("authors", self.authors.as_ref()),
            ("licenses", self.licenses.as_ref()),
            ("source", self.source.as_ref()),
            ("revision", self.revision.as_ref()),
            ("homepage", self.homepage.as_ref()),
        ]
    }

    /// These, and where there is none those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            version: self.version.or(other.version),
            description: self.description.or(other.description),
            authors: self.authors.or(other.authors),
            licenses: self.licenses.or(other.licenses),
            source: self.source.or(other.source),
            revision: self.revision.or(other.revision),
            homepage: self.homepage.or(other.homepage),
        }
    }
}

/// The component with its manifest and its labels embedded; what it held of them before is replaced by what is given,
/// and stays where nothing is. None when its sections do not read.
#[must_use]
pub fn pack(component: &[u8], manifest: Option<&str>, labels: &PackageLabels) -> Option<Vec<u8>> {
    let mut written: Vec<(&str, Vec<u8>)> = Vec::new();
    written.extend(manifest.map(|text| (MANIFEST_SECTION, text.as_bytes().to_vec())));
    let said = labels.sections().into_iter().filter_map(|(section, text)| Some((section, text?.as_bytes().to_vec())));
    written.extend(said);
    written.extend(labels.name.as_ref().map(|name| sections::names_with(component, name)));
    let written: Vec<(&str, &[u8])> = written.iter().map(|(name, content)| (*name, &**content)).collect();
    sections::with_sections(component, &written)
}

/// The name that a component has for itself, if it has one.
#[must_use]
pub fn packed_name(component: &[u8]) -> Option<&str> {
    sections::own_name(component)
}

/// Why a manifest that a component carries is not taken.
#[derive(Debug, Error)]
pub enum PackedError {
    /// It is too large.
    #[error("{MANIFEST_NAME} has {bytes} bytes; at most {MANIFEST_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not text.
    #[error("{MANIFEST_NAME} is not text in UTF-8")]
    NotText,
    /// It is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The manifest that a component carries: its text; none when it carries none.
///
/// # Errors
/// When it is no manifest, or too large for one.
pub fn packed_manifest(component: &[u8]) -> Result<Option<String>, PackedError> {
    let Some(bytes) = sections::section(component, MANIFEST_SECTION) else { return Ok(None) };
    if bytes.len() > MANIFEST_BYTES_MAX {
        return Err(PackedError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PackedError::NotText)?;
    Kind::of_component(component).manifest(MANIFEST_NAME, text)?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_packed_is_there_to_read() {
        let labels = PackageLabels {
            name: Some("big-orders".into()),
            version: Some("1.2.3".into()),
            licenses: Some("Apache-2.0".into()),
            ..PackageLabels::default()
        };
        let packed = pack(EMPTY, Some("[limits]\nmemory = \"32MiB\"\n"), &labels).unwrap();
        assert_eq!(packed_name(&packed), Some("big-orders"));
        assert_eq!(packed_manifest(&packed).unwrap().as_deref(), Some("[limits]\nmemory = \"32MiB\"\n"));
        let later = PackageLabels { version: Some("1.2.4".into()), ..PackageLabels::default() };
        let again = pack(&packed, None, &later).unwrap();
        let labels = crate::runtime::Anatomy::of(&again).unwrap().labels;
        assert_eq!(
            (&*labels["version"], &*labels["licenses"], &*labels["name"]),
            ("1.2.4", "Apache-2.0", "big-orders")
        );
        assert!(packed_manifest(&again).unwrap().is_some(), "what is not given stays");
    }

    #[test]
    fn a_manifest_that_is_none_is_an_error() {
        assert_eq!(packed_manifest(EMPTY).unwrap(), None);
        let long = [b"#".as_slice(), &[b'x'; MANIFEST_BYTES_MAX]].concat();
        for wrong in [&b"colour = 1"[..], b"\xff\xfe", &long] {
            let packed = sections::with_sections(EMPTY, &[(MANIFEST_SECTION, wrong)]).unwrap();
            let error = packed_manifest(&packed).unwrap_err().to_string();
            assert!(error.contains("the embedded plugin.toml"), "{error}");
        }
    }
}
