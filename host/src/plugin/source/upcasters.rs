//! The folder of upcasters: what lifts events to today's schema, for all plugins and readers.
//!
//! It stands in the plugins directory and is no plugin. Each `.toml` in it holds declared lifts, each `.wasm` is a
//! component that exports the role of an upcaster. They are one chain: it is taken as a whole when all files have
//! stood still for two looks, or refused as a whole, and then the one before goes on.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceError;
use super::files::read_component;
use super::steady::{Contents, Steady};
use crate::error::with_sources;
use crate::plugin::{LoadedUpcaster, Loader};
use crate::runtime::LoadError;
use crate::schema::{Chain, Step, rules};

/// Its name in the plugins directory.
pub(crate) const UPCASTERS_FOLDER: &str = "upcasters";

/// What came of a folder's files.
type Taken = Result<Arc<Chain>, SourceError>;

/// Looks at the folder, and remembers what it made of it.
pub(crate) struct Upcasters {
    files: Steady,
    loader: Arc<dyn Loader>,
    /// What the chain was made of, and what came of it.
    taken: Option<(Contents, Taken)>,
    /// Components by the SHA-256 of their bytes, so that each is compiled once.
    loaded: HashMap<String, LoadedUpcaster>,
    /// Whether the last chain failed for lack of time, so that the same files may make one.
    hurried: bool,
}

/// What a look found.
pub(crate) struct Outlook {
    /// The chain that the files are, or what is wrong with them; none while nothing has stood still yet.
    pub(crate) chain: Option<Taken>,
    /// Whether another look is due one debounce later.
    pub(crate) settling: bool,
    /// The folder.
    pub(crate) folder: PathBuf,
}

impl Upcasters {
    /// Nothing is seen yet.
    pub(crate) fn new(directory: &Path, loader: Arc<dyn Loader>) -> Self {
        let files = Steady::new(directory.join(UPCASTERS_FOLDER), &["toml", "wasm"]);
        Self { files, loader, taken: None, loaded: HashMap::new(), hurried: false }
    }

    /// Looks at the folder. Blocks: components that it has not met are compiled.
    pub(crate) fn look(&mut self) -> Outlook {
        let folder = self.files.folder().to_owned();
        let (contents, settled) = match self.files.look() {
            Ok(found) => found,
            Err(error) => return Outlook { chain: Some(Err(error)), settling: false, folder },
        };
        let known = self.taken.as_ref().is_some_and(|(taken, _)| *taken == contents) && !self.hurried;
        if settled && !known {
            self.hurried = false;
            let chain = self.chain(&contents);
            self.loaded.retain(|digest, _| contents.values().any(|other| other == digest));
            self.taken = Some((contents, chain));
        }
        Outlook { chain: self.taken.as_ref().map(|(_, chain)| chain.clone()), settling: !settled, folder }
    }

    fn chain(&mut self, contents: &Contents) -> Taken {
        let mut steps = Vec::new();
        for (path, digest) in contents {
            let declares = path.extension() == Some(OsStr::new("toml"));
            steps.extend(if declares { declared(path)? } else { self.component(path, digest)? });
        }
        Chain::new(steps).map(Arc::new).map_err(|reason| SourceError::Upcasters { reason: reason.to_string() })
    }

    fn component(&mut self, path: &Path, digest: &str) -> Result<Vec<Step>, SourceError> {
        let loaded = match self.loaded.get(digest) {
            Some(loaded) => loaded.clone(),
            None => {
                let bytes = read_component(path, digest)?;
                let loaded = self.loader.load_upcaster(&bytes).map_err(|error| {
                    self.hurried |= matches!(error, LoadError::CompileLimit { .. });
                    SourceError::Upcasters { reason: format!("{}: {}", path.display(), with_sources(&error)) }
                })?;
                self.loaded.insert(digest.to_owned(), loaded.clone());
                loaded
            }
        };
        let step = |lift| Step {
            lift,
            origin: path.display().to_string(),
            identity: digest.to_owned(),
            upcast: Arc::clone(&loaded.upcast),
        };
        Ok(loaded.lifts.iter().cloned().map(step).collect())
    }
}

fn declared(path: &Path) -> Result<Vec<Step>, SourceError> {
    let steps = rules::read(&path.display().to_string(), &text(path)?);
    steps.map_err(|error| SourceError::Upcasters { reason: error.to_string() })
}

/// The text of a file.
pub(super) fn text(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => SourceError::NotText { path: path.into() },
        _ => SourceError::Unreadable { path: path.into(), reason: error.to_string() },
    })
}
