//! Which guests to build.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{BuildError, PROFILE};

/// What every guest is made of, besides its own folder; relative to the workspace.
const SHARED_SOURCES: &[&str] = &["Cargo.toml", "Cargo.lock", "wit", "sdk/rust/Cargo.toml", "sdk/rust/src"];

/// The guest packages to build, and what to call their components.
#[derive(Clone, Debug, Default)]
pub struct Guests {
    packages: Vec<Package>,
    for_each_macro: Option<String>,
    profile: Option<String>,
}

#[derive(Clone, Debug)]
struct Package {
    folder: PathBuf,
    name: String,
    /// The name of its one component; none: one component for each of its examples.
    component: Option<String>,
}

/// One component that the build makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    /// Its name, in snake case or kebab case.
    pub(crate) name: String,
    /// Its file, relative to the inner cargo's artifacts.
    pub(crate) artifact: PathBuf,
}

impl Component {
    /// The name of its constant.
    pub(crate) fn constant(&self) -> String {
        self.name.replace('-', "_").to_uppercase()
    }

    /// Its file in `OUT_DIR`.
    pub(crate) fn file(&self) -> String {
        format!("{}.wasm", self.name)
    }
}

impl Guests {
    /// No guests yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a package whose library is a component: its folder (relative to the workspace), its
    /// package name, and the component's name.
    #[must_use]
    pub fn package(mut self, folder: &str, package: &str, component: &str) -> Self {
        let component = Some(component.to_owned());
        self.packages.push(Package { folder: folder.into(), name: package.into(), component });
        self
    }

    /// Adds a package with one component in each file of its `examples` folder, called like the file.
    #[must_use]
    pub fn examples(mut self, folder: &str, package: &str) -> Self {
        self.packages.push(Package { folder: folder.into(), name: package.into(), component: None });
        self
    }

    /// Also generates an exported macro of this name, which calls a given macro with the name of each
    /// component, as an identifier.
    #[must_use]
    pub fn for_each_macro(mut self, name: &str) -> Self {
        self.for_each_macro = Some(name.into());
        self
    }

    /// Builds with another profile of the workspace than [`PROFILE`].
    #[must_use]
    pub fn profile(mut self, name: &str) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// The cargo profile to build with.
    pub(crate) fn profile_name(&self) -> &str {
        self.profile.as_deref().unwrap_or(PROFILE)
    }

    /// The name of the macro to generate.
    pub(crate) fn macro_name(&self) -> Option<&str> {
        self.for_each_macro.as_deref()
    }

    /// The arguments that select all of it for `cargo build`.
    pub(crate) fn cargo_arguments(&self) -> Vec<&str> {
        let mut arguments: Vec<&str> = self.packages.iter().flat_map(|package| ["-p", &package.name]).collect();
        let (examples, libraries): (Vec<_>, Vec<_>) = self.packages.iter().partition(|p| p.component.is_none());
        if !libraries.is_empty() {
            arguments.push("--lib");
        }
        if !examples.is_empty() {
            arguments.push("--examples");
        }
        arguments
    }

    /// Files and folders that the components are made of, relative to the workspace.
    pub(crate) fn sources(&self) -> Vec<PathBuf> {
        let own = self
            .packages
            .iter()
            .flat_map(|package| ["Cargo.toml", "src", "examples"].map(|source| package.folder.join(source)));
        SHARED_SOURCES.iter().map(PathBuf::from).chain(own).collect()
    }

    /// The components, in the order given; examples in alphabetical order.
    pub(crate) fn components(&self, workspace: &Path) -> Result<Vec<Component>, BuildError> {
        let mut components = Vec::new();
        for package in &self.packages {
            match &package.component {
                Some(name) => {
                    let artifact = format!("{}.wasm", package.name.replace('-', "_")).into();
                    components.push(Component { name: name.clone(), artifact });
                }
                None => components.extend(examples_in(&workspace.join(&package.folder).join("examples"))?),
            }
        }
        Ok(components)
    }
}

fn examples_in(folder: &Path) -> Result<Vec<Component>, BuildError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(BuildError::io("listing", folder))? {
        let path = entry.map_err(BuildError::io("listing", folder))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let (Some(name), true) = (stem, path.extension().is_some_and(|extension| extension == "rs")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let component = |name: String| Component { artifact: format!("examples/{name}.wasm").into(), name };
    Ok(names.into_iter().map(component).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_gives_one_component_named_as_told() {
        let guests = Guests::new().package("plugins/git-history", "plugin-git-history", "git-history");
        let [component] = guests.components(Path::new("/nowhere")).unwrap().try_into().unwrap();
        assert_eq!(component.constant(), "GIT_HISTORY");
        assert_eq!(component.artifact, Path::new("plugin_git_history.wasm"));
        assert_eq!(guests.cargo_arguments(), ["-p", "plugin-git-history", "--lib"]);
    }

    #[test]
    fn examples_are_found_by_their_files() {
        let folder = std::env::temp_dir().join(format!("component-build-{}", std::process::id()));
        fs::create_dir_all(folder.join("guests/examples")).unwrap();
        for file in ["spin.rs", "ok.rs", "notes.md"] {
            fs::write(folder.join("guests/examples").join(file), "").unwrap();
        }
        let guests = Guests::new().examples("guests", "test-guests");
        let names: Vec<_> = guests.components(&folder).unwrap().into_iter().map(|c| c.name).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names, ["ok", "spin"]);
        assert_eq!(guests.cargo_arguments(), ["-p", "test-guests", "--examples"]);
        assert!(matches!(guests.components(&folder), Err(BuildError::Io { .. })));
    }
}
