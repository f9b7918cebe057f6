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
use super::hurried::Hurried;
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
    /// Where the last chain failed for lack of time, the same files may make one.
    hurried: Hurried,
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
        Self { files, loader, taken: None, loaded: HashMap::new(), hurried: Hurried::default() }
    }

    /// Looks at the folder. Blocks: components that it has not met are compiled.
    pub(crate) fn look(&mut self) -> Outlook {
        let folder = self.files.folder().to_owned();
        let (contents, settled) = match self.files.look() {
            Ok(found) => found,
            Err(error) => return Outlook { chain: Some(Err(error)), settling: false, folder },
        };
        let same = self.taken.as_ref().is_some_and(|(taken, _)| *taken == contents);
        if settled && (!same || self.hurried.is_due()) {
            let mut hurried = false;
            let chain = self.chain(&contents, &mut hurried);
            self.hurried.tried(same, hurried);
            self.loaded.retain(|digest, _| contents.values().any(|other| other == digest));
            self.taken = Some((contents, chain));
        }
        Outlook { chain: self.taken.as_ref().map(|(_, chain)| chain.clone()), settling: !settled, folder }
    }

    /// What the files are. `hurried` is set where they failed for lack of time.
    fn chain(&mut self, contents: &Contents, hurried: &mut bool) -> Taken {
        let mut steps = Vec::new();
        for (path, digest) in contents {
            let declares = path.extension() == Some(OsStr::new("toml"));
            steps.extend(if declares { declared(path)? } else { self.component(path, digest, hurried)? });
        }
        Chain::new(steps).map(Arc::new).map_err(|reason| SourceError::Upcasters { reason: reason.to_string() })
    }

    fn component(&mut self, path: &Path, digest: &str, hurried: &mut bool) -> Result<Vec<Step>, SourceError> {
        let loaded = match self.loaded.get(digest) {
            Some(loaded) => loaded.clone(),
            None => {
                let bytes = read_component(path, digest)?;
                let loaded = self.loader.load_upcaster(&bytes).map_err(|error| {
                    *hurried = matches!(error, LoadError::CompileLimit { .. });
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::plugin::Loaded;
    use crate::runtime::LoadOptions;

    /// Never has the time to compile anything.
    #[derive(Default)]
    struct Hasty(AtomicU32);

    impl Loader for Hasty {
        fn load(&self, _: &[u8], _: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
            Err(LoadError::no_upcaster(&[]))
        }

        fn load_upcaster(&self, _: &[u8]) -> Result<LoadedUpcaster, LoadError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(LoadError::CompileLimit { reason: "it took too long".into() })
        }
    }

    #[test]
    fn a_component_that_cannot_be_compiled_in_time_is_tried_again_ever_more_rarely() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(UPCASTERS_FOLDER)).unwrap();
        fs::write(directory.path().join(UPCASTERS_FOLDER).join("u.wasm"), "wasm").unwrap();
        let loader = Arc::new(Hasty::default());
        let mut upcasters = Upcasters::new(directory.path(), Arc::clone(&loader) as Arc<dyn Loader>);
        let mut tries = Vec::new();
        for look in 0..70 {
            let before = loader.0.load(Ordering::Relaxed);
            let outlook = upcasters.look();
            assert!(outlook.settling || outlook.chain.unwrap().is_err());
            tries.extend((loader.0.load(Ordering::Relaxed) > before).then_some(look));
        }
        let [first, rest @ ..] = tries.as_slice() else { panic!("it is never tried") };
        assert_eq!(rest.iter().map(|look| look - first).collect::<Vec<_>>(), [2, 6, 14, 30, 62]);
        fs::write(directory.path().join(UPCASTERS_FOLDER).join("u.wasm"), "other wasm").unwrap();
        let before = loader.0.load(Ordering::Relaxed);
        (0..3).for_each(|_| drop(upcasters.look()));
        assert_eq!(loader.0.load(Ordering::Relaxed), before + 1, "another file is tried as soon as it stands still");
    }
}
