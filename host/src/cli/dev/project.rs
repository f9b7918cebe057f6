//! `dev.toml`: how a project is built.

use std::env;
use std::fs;
use std::path::{self, Path, PathBuf};

use tidemill_templates::{LANGUAGES, Language, Tool};

use crate::cli::error::{CliError, Exit};
use crate::document::{Document, Known, Section};
use crate::nearest::unknown;

/// The file's name.
const FILE: &str = "dev.toml";
const ROOT: Known<'static> = Known::table("", &["language", "build", "component", "world"], &[]);

/// A plugin's project.
pub(in crate::cli) struct Project {
    pub(super) folder: PathBuf,
    /// What builds it, as a shell takes it.
    pub(in crate::cli) build: String,
    /// The component that the build leaves.
    pub(in crate::cli) component: PathBuf,
    /// Its language, where that is one of those that have a template.
    pub(super) language: Option<&'static Language>,
}

impl Project {
    /// Whether a folder says how it is built.
    pub(in crate::cli) fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// The folder of the project that a file is in: the nearest above it that says how it is built.
    pub(in crate::cli) fn around(file: &Path) -> Option<PathBuf> {
        let file = path::absolute(file).ok()?;
        file.ancestors().skip(1).find(|folder| Self::is_in(folder)).map(Path::to_path_buf)
    }

    /// Reads how the project in a folder is built.
    pub(in crate::cli) fn read(folder: &Path) -> Result<Self, CliError> {
        let file = folder.join(FILE);
        let text = fs::read_to_string(&file).map_err(|error| {
            CliError::new(Exit::NotFound, format_args!("{} cannot be read: {error}", file.display())).hint(
                "give the folder of a project that `tidemill new` made, or write a dev.toml with `build` and \
                 `component`; `tidemill dev --help` shows one",
            )
        })?;
        let name = file.display().to_string();
        let (document, table) = Document::parse(&name, &text, &[&ROOT]).map_err(CliError::usage)?;
        let root = document.root(table.get_ref(), &ROOT).map_err(CliError::usage)?;
        let needed = |key: &str| {
            let missing = || CliError::usage(format_args!("{name}: `{key}` is missing"));
            text_of(&root, key)?.ok_or_else(missing)
        };
        let names: Vec<_> = LANGUAGES.iter().map(|language| language.name).collect();
        let language = text_of(&root, "language")?.map(|given| {
            let stranger = || CliError::usage(format_args!("{name}: {}", unknown("language", &given, &names)));
            Language::named(&given).ok_or_else(stranger)
        });
        Ok(Self {
            folder: folder.into(),
            build: needed("build")?,
            component: folder.join(needed("component")?),
            language: language.transpose()?,
        })
    }

    /// Says which programs the build needs and cannot find, and what brings them.
    pub(super) fn check_tools(&self) -> Result<(), CliError> {
        let Some(language) = self.language else { return Ok(()) };
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.folder.join("node_modules/.bin")];
        let folders: Vec<_> = own.into_iter().chain(env::split_paths(&path)).collect();
        let is_missing = |tool: &&Tool| !folders.iter().any(|folder| folder.join(tool.program).is_file());
        let missing: Vec<_> = language.tools.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let told = |tool: &&Tool| format!("{}: {}", tool.program, tool.from);
        let (names, from): (Vec<_>, Vec<_>) = missing.iter().map(|tool| (tool.program, told(tool))).unzip();
        let what = format!("{} plugins are built with {}, which cannot be found", language.title, names.join(", "));
        Err(CliError::new(Exit::Failure, what).hint(from.join("\n      ")))
    }
}

fn text_of(root: &Section<'_>, key: &str) -> Result<Option<String>, CliError> {
    let text = root.get(key).map(|value| value.text("a text").map(str::to_owned));
    text.transpose().map_err(CliError::usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Project, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        Project::read(folder.path()).map_err(|error| match error {
            CliError::Failed { what, .. } => what,
            CliError::OutputClosed => String::new(),
        })
    }

    #[test]
    fn what_every_template_writes_is_read() {
        let all = LANGUAGES.iter().flat_map(|language| language.roles().map(move |role| (language, role)));
        for (language, role) in all {
            let files = language.project(role, "big-orders").unwrap();
            let (_, bytes) = files.iter().find(|(path, _)| path == FILE).unwrap();
            let project = read(std::str::from_utf8(bytes).unwrap()).unwrap();
            assert_eq!((project.language, project.build.as_str()), (Some(language), language.build));
            assert!(project.component.ends_with(language.component("big-orders")), "{:?}", project.component);
        }
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        for (text, words) in [
            ("build = 'make'", "`component` is missing"),
            ("build = 'make'\ncomponent = 'a.wasm'\nlanguage = 'Go'", "did you mean `go`?"),
            ("biuld = 'make'", "did you mean \"build\"?"),
            ("build = 1", "build"),
        ] {
            let Err(said) = read(text) else { panic!("{text} was taken") };
            assert!(said.contains(words), "{words} in: {said}");
        }
        let Err(CliError::Failed { exit, hint, .. }) = Project::read(Path::new("nowhere")) else {
            panic!("it is there")
        };
        assert!(exit == Exit::NotFound && hint.is_some_and(|hint| hint.contains("tidemill new")));
    }
}
