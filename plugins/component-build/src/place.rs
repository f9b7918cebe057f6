//! Where the build happens: the workspace, `OUT_DIR`, and the inner cargo's target directory.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{BuildError, TARGET};

/// The directories of one build.
#[derive(Debug)]
pub(crate) struct Place {
    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) workspace: PathBuf,
    /// The build script's `OUT_DIR`.
    pub(crate) out_dir: PathBuf,
    /// The inner cargo's target directory.
    pub(crate) components: PathBuf,
}

impl Place {
    pub(crate) fn from_environment() -> Result<Self, BuildError> {
        let out_dir = path_from("OUT_DIR")?;
        let workspace = workspace_above(&path_from("CARGO_MANIFEST_DIR")?)?;
        let triple = env::var_os("TARGET").unwrap_or_default();
        let target =
            target_directory(&out_dir, &triple).ok_or(BuildError::NoTargetDirectory { out_dir: out_dir.clone() })?;
        Ok(Self { workspace, components: target.join("components"), out_dir })
    }

    /// Where cargo puts a package's `cdylib`, or, below `examples`, those of its examples.
    pub(crate) fn artifacts(&self, profile: &str) -> PathBuf {
        self.components.join(TARGET).join(profile)
    }
}

fn path_from(variable: &'static str) -> Result<PathBuf, BuildError> {
    env::var_os(variable).map(PathBuf::from).ok_or(BuildError::NotABuildScript { variable })
}

/// `<target>` out of `<target>/[<triple>/]<profile>/build/<package>-<hash>/out`.
fn target_directory(out_dir: &Path, triple: &OsStr) -> Option<PathBuf> {
    let build = out_dir.ancestors().find(|directory| directory.file_name() == Some(OsStr::new("build")))?;
    let above_profile = build.parent()?.parent()?;
    match above_profile.file_name() == Some(triple) {
        true => Some(above_profile.parent()?.to_path_buf()),
        false => Some(above_profile.to_path_buf()),
    }
}

fn workspace_above(package: &Path) -> Result<PathBuf, BuildError> {
    let is_workspace = |directory: &&Path| {
        fs::read_to_string(directory.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "[workspace]"))
    };
    let found = package.ancestors().find(is_workspace);
    found.map(Path::to_path_buf).ok_or(BuildError::NoWorkspace { from: package.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_the_same_for_every_profile_and_triple() {
        let triple = OsStr::new("x86_64-unknown-linux-gnu");
        for out_dir in [
            "/build/w/target/debug/build/p-1/out",
            "/build/w/target/release/build/p-1/out",
            "/build/w/target/x86_64-unknown-linux-gnu/debug/build/p-1/out",
        ] {
            assert_eq!(target_directory(Path::new(out_dir), triple), Some("/build/w/target".into()), "{out_dir}");
        }
        assert_eq!(target_directory(Path::new("/tmp/out"), triple), None);
    }

    #[test]
    fn the_workspace_is_found_from_a_package() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = workspace_above(package).unwrap();
        assert!(workspace.join("wit").is_dir());
        assert!(matches!(workspace_above(Path::new("/")), Err(BuildError::NoWorkspace { .. })));
    }
}
