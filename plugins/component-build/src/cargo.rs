//! Runs the inner cargo.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;
use crate::{BuildError, Guests, TARGET};

/// Variables of the outer run that the inner one keeps although they begin like those it loses.
const KEPT: &[&str] = &["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_BUILD_JOBS", "RUSTC"];
/// The same, by how they begin: where crates come from and how progress is shown.
const KEPT_PREFIXES: &[&str] =
    &["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRY_", "CARGO_REGISTRIES_", "CARGO_SOURCE_", "CARGO_TERM_"];
/// How variables begin that would carry the outer run's flags, wrappers or package into the inner one.
const DROPPED_PREFIXES: &[&str] = &["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "CLIPPY", "DEP_", "__CARGO"];

/// Checks that the guests' target is installed.
pub(crate) fn require_target() -> Result<(), BuildError> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(BuildError::io("running", &rustc))?;
    let library = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    match output.status.success() && library.is_dir() {
        true => Ok(()),
        false => Err(BuildError::TargetMissing { library }),
    }
}

/// Builds the guests into the inner target directory. Cargo's messages go to stderr.
pub(crate) fn build(place: &Place, guests: &Guests) -> Result<(), BuildError> {
    let cargo = env::var_os("CARGO").ok_or(BuildError::NotABuildScript { variable: "CARGO" })?;
    let mut command = Command::new(&cargo);
    for (variable, _) in env::vars_os().filter(|(variable, _)| !keeps(variable)) {
        command.env_remove(variable);
    }
    isolate(&mut command, &place.components);
    command.current_dir(&place.workspace).args(["build", "--profile", guests.profile_name(), "--target", TARGET]);
    command.arg("--target-dir").arg(&place.components).args(guests.cargo_arguments());
    let status = command.status().map_err(BuildError::io("running", &cargo))?;
    match status.success() {
        true => Ok(()),
        false => Err(BuildError::Cargo { status }),
    }
}

/// Overrides what a user's cargo configuration file may say: no flags meant for the host's own code,
/// no directory whose lock the outer cargo holds.
fn isolate(command: &mut Command, components: &Path) {
    command.env("CARGO_ENCODED_RUSTFLAGS", "").env("CARGO_BUILD_BUILD_DIR", components);
}

fn keeps(variable: &OsString) -> bool {
    let Some(name) = OsStr::to_str(variable) else { return true };
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    KEPT.contains(&name) || begins(KEPT_PREFIXES) || !begins(DROPPED_PREFIXES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_wrappers_of_the_outer_run_are_dropped() {
        let dropped = [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CLIPPY_ARGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_FEATURE_DEFAULT",
            "CARGO_CFG_TARGET_ARCH",
            "RUSTDOCFLAGS",
        ];
        for variable in dropped {
            assert!(!keeps(&variable.into()), "{variable}");
        }
    }

    #[test]
    fn where_crates_come_from_and_the_job_server_are_kept() {
        for variable in ["PATH", "HOME", "RUSTUP_TOOLCHAIN", "CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_OFFLINE"] {
            assert!(keeps(&variable.into()), "{variable}");
        }
    }
}
