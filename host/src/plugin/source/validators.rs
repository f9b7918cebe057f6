//! The folder of validators: components that commands are held to before they are decided.
//!
//! It stands in the plugins directory and is no plugin. Each `.wasm` in it is one; a `.toml` of the same name says which
//! commands it is asked of, what it may use and what it is configured with. They are asked in the order of their names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceError;
use super::files::read_component;
use super::steady::Contents;
use super::upcasters::text;
use crate::command::{Validate, Validator};
use crate::error::with_sources;
use crate::event::PluginName;
use crate::plugin::Loader;
use crate::plugin::manifest::ValidatorManifest;
use crate::runtime::{InstanceOptions, LoadError};

/// Its name in the plugins directory.
pub(crate) const VALIDATORS_FOLDER: &str = "validators";

/// Makes validators of files, and remembers their code.
pub(super) struct Validators {
    loader: Arc<dyn Loader>,
    /// Code by the SHA-256 of the component and the text of its manifest, so that each is loaded once.
    loaded: HashMap<(String, Option<String>), Arc<dyn Validate>>,
    /// Whether the last ones failed for lack of time, so that the same files may do.
    hurried: bool,
}

impl Validators {
    pub(super) fn new(loader: Arc<dyn Loader>) -> Self {
        Self { loader, loaded: HashMap::new(), hurried: false }
    }

    /// Whether the same files may do when they are read again.
    pub(super) const fn hurried(&self) -> bool {
        self.hurried
    }

    /// What the files are, in the order of their names. Blocks.
    pub(super) fn read(&mut self, contents: &Contents) -> Result<Vec<Validator>, SourceError> {
        self.hurried = false;
        let is = |path: &Path, ending: &str| path.extension() == Some(OsStr::new(ending));
        let mut manifests: BTreeMap<PathBuf, &Path> = BTreeMap::new();
        for path in contents.keys().filter(|path| is(path, "toml")) {
            manifests.insert(path.with_extension("wasm"), path);
        }
        if let Some((component, manifest)) = manifests.iter().find(|(component, _)| !contents.contains_key(*component))
        {
            let (manifest, component) = (manifest.to_path_buf(), component.clone());
            return Err(SourceError::StrayManifest { manifest, component });
        }
        let mut known = HashSet::new();
        let mut validators = Vec::new();
        for (path, digest) in contents.iter().filter(|(path, _)| is(path, "wasm")) {
            let text = manifests.get(path).map(|manifest| text(manifest)).transpose()?;
            let manifest = match (manifests.get(path), &text) {
                (Some(manifest), Some(text)) => ValidatorManifest::parse(&manifest.display().to_string(), text)?,
                _ => ValidatorManifest::default(),
            };
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let key = (digest.clone(), text);
            let code = match self.loaded.get(&key) {
                Some(code) => Arc::clone(code),
                None => {
                    let code = self.load(path, digest, &manifest)?;
                    // It stays, though another one cannot be loaded.
                    self.loaded.insert(key.clone(), Arc::clone(&code));
                    code
                }
            };
            known.insert(key);
            validators.push(Validator { name, commands: manifest.commands.into(), code });
        }
        self.loaded.retain(|key, _| known.contains(key));
        Ok(validators)
    }

    fn load(
        &mut self,
        path: &Path,
        digest: &str,
        manifest: &ValidatorManifest,
    ) -> Result<Arc<dyn Validate>, SourceError> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = PluginName::new(stem).map_err(|reason| SourceError::BadName { path: path.into(), reason })?;
        let bytes = read_component(path, digest)?;
        let options =
            InstanceOptions { config: manifest.config.clone(), ..InstanceOptions::new(name, manifest.limits) };
        self.loader.load_validator(&bytes, options).map_err(|error| {
            self.hurried |= matches!(error, LoadError::CompileLimit { .. });
            SourceError::Validators { reason: format!("{}: {}", path.display(), with_sources(&error)) }
        })
    }
}
