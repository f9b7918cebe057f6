//! A component and the manifest it would run under, as files that are given to a command.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{CliError, Exit};
use crate::config::own_compiler;
use crate::error::with_sources;
use crate::event::PluginName;
use crate::plugin::{Manifest, Proposed};
use crate::runtime::{Engine, EngineOptions};

/// The name of a manifest in a plugin's folder.
const MANIFEST: &str = "plugin.toml";

/// Both, read.
pub(super) struct ComponentFile {
    name: PluginName,
    component: Vec<u8>,
    path: PathBuf,
    manifest: Manifest,
    manifest_path: PathBuf,
}

impl ComponentFile {
    /// Reads a component, and the manifest that is named; else `plugin.toml` beside it, else the file of its name that
    /// ends in `.toml`, else none.
    pub(super) fn read(path: &Path, manifest: Option<&Path>) -> Result<Self, CliError> {
        let hint = "give the .wasm file that the build wrote";
        let component = read(path).map_err(|error| error.hint(hint))?;
        let beside = [path.with_file_name(MANIFEST), path.with_extension("toml")];
        let found = manifest.map(Path::to_owned).or_else(|| beside.into_iter().find(|path| path.is_file()));
        let parsed = found.as_deref().map(parse).transpose()?;
        Ok(Self {
            name: name(path),
            component,
            path: path.into(),
            manifest: parsed.unwrap_or_default(),
            manifest_path: found.unwrap_or_else(|| MANIFEST.into()),
        })
    }

    /// What would be installed.
    pub(super) fn proposed(&self) -> Proposed<'_> {
        Proposed {
            name: &self.name,
            component: &self.component,
            component_path: &self.path,
            manifest: &self.manifest,
            manifest_path: &self.manifest_path,
        }
    }
}

/// An engine that compiles as the host does, and keeps nothing.
pub(super) fn engine() -> Result<Engine, CliError> {
    Engine::new(EngineOptions { compiler: own_compiler(), ..EngineOptions::default() })
        .map_err(|error| CliError::new(error.class().into(), with_sources(&error)))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failure };
        CliError::new(exit, format_args!("{} cannot be read: {error}", path.display()))
    })
}

fn parse(path: &Path) -> Result<Manifest, CliError> {
    let text = String::from_utf8(read(path)?);
    let text = text.map_err(|_| CliError::usage(format_args!("{} is not text in UTF-8", path.display())))?;
    Manifest::parse(&path.display().to_string(), &text).map_err(CliError::usage)
}

/// The name it would have in a plugins directory, more or less.
fn name(file: &Path) -> PluginName {
    let stem = |path: &Path| PluginName::new(path.file_stem()?.to_str()?).ok();
    stem(file).unwrap_or_else(|| PluginName::from_stored("plugin"))
}
