//! A component and the manifest it would run under, as files that are given to a command.

use std::env;
use std::fmt::Display;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::error::{CliError, Exit};
use crate::config::{HostSecrets, own_compiler};
use crate::error::with_sources;
use crate::event::PluginName;
use crate::kit::{Kit, KitError};
use crate::plugin::{Kind, Manifest, Proposed, UPCASTERS_FOLDER, read_at_most, read_component};
use crate::runtime::{Engine, EngineOptions};

/// The name of a manifest in a plugin's folder.
const MANIFEST: &str = "plugin.toml";
/// Largest manifest, in bytes: what a host takes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// What to do about a component that is no chain by itself.
const OTHER_LIFTS: &str = "if others lift what it does not, put them, rules or components, into upcasters/ beside the \
                           project's dev.toml: all of them are one chain";
/// What to give in the place of a directory.
const PACKED: &str = "give a .wasm file, such as the one that `tidemill plugins pack .` writes in a project";

/// Both, read.
pub(super) struct ComponentFile {
    name: PluginName,
    component: Vec<u8>,
    path: PathBuf,
    manifest: Manifest,
    manifest_path: PathBuf,
    has_manifest: bool,
}

impl ComponentFile {
    /// Reads a component, and the manifest that is named; else the one beside it, if there is one.
    pub(super) fn read(path: &Path, manifest: Option<&Path>) -> Result<Self, CliError> {
        let hint = "give the .wasm file that the build wrote";
        let component = component(path).map_err(|error| error.hint(hint))?;
        refuse_rules(path.display(), &component)?;
        let kind = Kind::of_component(&component);
        let found = manifest.map(Path::to_owned).or_else(|| manifest_beside(kind, path));
        let parse =
            |file: &Path| kind.manifest(&file.display().to_string(), &manifest_text(file)?).map_err(CliError::usage);
        let parsed = found.as_deref().map(parse).transpose()?;
        Ok(Self {
            name: name(path),
            component,
            path: path.into(),
            has_manifest: parsed.is_some(),
            manifest: parsed.unwrap_or_default(),
            manifest_path: found.unwrap_or_else(|| MANIFEST.into()),
        })
    }

    /// Why it would not be run; where that is for want of a grant and nobody named a manifest, there may be one elsewhere.
    pub(super) fn refused(&self, error: CliError) -> CliError {
        match &error {
            CliError::Failed { exit: Exit::Denied, .. } if !self.has_manifest => {
                error.hint("no manifest lies beside it, and none was given: if it has one, say --manifest FILE")
            }
            _ => error,
        }
    }

    /// What fixtures are run on. A component that lifts events is one chain with what lies in `upcasters` of its project.
    pub(super) fn kit(&self, project: Option<&Path>, engine: Engine) -> Result<Kit, CliError> {
        let is_upcaster = Kind::of_component(&self.component) == Kind::Upcaster;
        let others = project.map(|project| project.join(UPCASTERS_FOLDER));
        let others = others.filter(|others| is_upcaster && others.is_dir());
        let kit = match &others {
            Some(others) => Kit::upcaster_with(&self.proposed(), others, &engine),
            None => Kit::new(&self.proposed(), Arc::new(engine), Box::new(HostSecrets)),
        };
        kit.map_err(|error| {
            let told = CliError::new(error.class().into(), with_sources(&error));
            let is_alone = others.is_none() && matches!(error, KitError::NoChain { .. });
            if is_alone { told.hint(OTHER_LIFTS) } else { told }
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

/// Where what was compiled is kept, so that the same component is compiled once.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct CacheArgs {
    /// Keep what was compiled in this directory, which must be your own [default: tidemill in XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR", env = "TIDEMILL_CACHE")]
    cache: Option<PathBuf>,
    /// Compile anew, and keep nothing
    #[arg(long, conflicts_with = "cache")]
    no_cache: bool,
}

impl CacheArgs {
    /// An engine that compiles as the host does. What is kept is found by the component's digest and the engine's
    /// version, and run only if it is, byte for byte, what was written.
    pub(super) fn engine(&self) -> Result<Engine, CliError> {
        let cache_dir = match (&self.cache, self.no_cache) {
            (_, true) => None,
            (Some(dir), _) => Some(own(dir).map_err(|why| unusable(dir, &why))?),
            // Where there is no such place, it is compiled anew.
            (None, _) => users().and_then(|dir| own(&dir).ok()),
        };
        Engine::new(EngineOptions { compiler: own_compiler(), cache_dir, ..EngineOptions::default() })
            .map_err(|error| CliError::new(error.class().into(), with_sources(&error)))
    }
}

/// The place for such things of the user who runs this.
fn users() -> Option<PathBuf> {
    let absolute = |variable: &str| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("tidemill"))
}

/// A directory that nobody else can write to: what is in it is run as code. Made if it is not there.
fn own(dir: &Path) -> Result<PathBuf, String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir).and_then(|()| fs::metadata(dir));
    let found = made.map_err(|error| error.to_string())?;
    let (mine, theirs) = (rustix::process::geteuid().as_raw(), found.uid());
    match () {
        () if theirs != mine => Err("it belongs to somebody else".into()),
        () if found.mode() & 0o022 != 0 => Err("others can write to it; take that away by `chmod go-w`".into()),
        () => Ok(dir.into()),
    }
}

fn unusable(dir: &Path, why: &str) -> CliError {
    CliError::usage(format_args!("--cache {}: {why}", dir.display()))
        .hint("what is kept there is run as code: give a directory of your own, or --no-cache")
}

/// An engine that keeps nothing.
pub(super) fn engine() -> Result<Engine, CliError> {
    CacheArgs { cache: None, no_cache: true }.engine()
}

/// The bytes of a component's file.
pub(super) fn component(path: &Path) -> Result<Vec<u8>, CliError> {
    read_component(path).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => unreadable(path, &error).hint(PACKED),
        _ => unreadable(path, &error),
    })
}

/// Refuses what is no component, but declares lifts: there are other commands for that.
pub(super) fn refuse_rules(name: impl Display, bytes: &[u8]) -> Result<(), CliError> {
    let declares = |text: &str| text.lines().any(|line| line.trim_start().starts_with("[[upcast"));
    if !std::str::from_utf8(bytes).is_ok_and(declares) {
        return Ok(());
    }
    Err(CliError::usage(format_args!("{name} holds rules of upcasters, and is no component")).hint(
        "`tidemill plugins test` checks rules; they run when they lie in the folder `upcasters` of the plugins directory",
    ))
}

/// The manifest of a component, where none is named: `plugin.toml` beside it, else the file of its name that ends in
/// `.toml`. What lifts events has none: beside it lie rules.
pub(super) fn manifest_beside(kind: Kind, component: &Path) -> Option<PathBuf> {
    let beside = [component.with_file_name(MANIFEST), component.with_extension("toml")];
    beside.into_iter().find(|path| kind != Kind::Upcaster && path.is_file())
}

/// The text of a manifest.
pub(super) fn manifest_text(path: &Path) -> Result<String, CliError> {
    let bytes = read_at_most(path, MANIFEST_BYTES_MAX).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|_| CliError::usage(format_args!("{} is not text in UTF-8", path.display())))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        io::ErrorKind::IsADirectory => {
            return CliError::usage(format_args!("{} is a directory, and a file is asked for", path.display()));
        }
        io::ErrorKind::FileTooLarge => Exit::Usage,
        _ => Exit::Failure,
    };
    CliError::new(exit, format_args!("{} cannot be read: {error}", path.display()))
}

/// The name it would have in a plugins directory, more or less.
fn name(file: &Path) -> PluginName {
    let stem = |path: &Path| PluginName::new(path.file_stem()?.to_str()?).ok();
    stem(file).unwrap_or_else(|| PluginName::from_stored("plugin"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn rules_of_upcasters_are_told_what_takes_them() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("shop.toml");
        fs::write(&file, "# rules\n[[upcast]]\ntype = \"Sold\"\nfrom = 1\nto = 2\n").unwrap();
        let Err(CliError::Failed { exit, what, hint }) = ComponentFile::read(&file, None) else {
            panic!("it was read")
        };
        assert!(exit == Exit::Usage && what.ends_with("holds rules of upcasters, and is no component"), "{what}");
        assert!(hint.unwrap().contains("`tidemill plugins test` checks rules"));
        for other in [&b"[delivery]\npartitions = 2\n"[..], b"\0asm\x0d\0\x01\0", b"\xff[[upcast]]"] {
            assert!(refuse_rules("x", other).is_ok());
        }
    }

    #[test]
    fn a_cache_that_others_can_write_to_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("cache/deep");
        let args = |dir: &Path| CacheArgs { cache: Some(dir.into()), no_cache: false };
        args(&dir).engine().unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let Err(CliError::Failed { what, hint, .. }) = args(&dir).engine() else { panic!("it was taken") };
        assert!(what.contains("others can write to it") && hint.is_some(), "{what}");
    }
}
