//! What a project is made of: whether it must be built again, or only run again.

use std::fs;
use std::hash::Hasher as _;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::cli::error::{CliError, Exit};
use crate::plugin::UPCASTERS_FOLDER;

/// Folders that builds write to, or that hold what others wrote, wherever they are.
const LEFT_OUT: [&str; 3] = ["target", "node_modules", "__pycache__"];
/// The same, by their places: elsewhere these names are as good as others.
const LEFT_OUT_PLACES: [&str; 5] = ["build", "venv", "data", "plugins", "sdk/go/bindings"];
/// Files that builds write beside sources, and that no build reads.
const LEFT_OUT_ENDINGS: [&str; 5] = [".lock", "package-lock.json", "go.sum", ".md", "~"];
/// What a plugin is run with, and not built from.
const FED: [&str; 2] = ["fixtures", "plugin.toml"];
/// Most bytes of a file that are looked at; of a longer one its length counts.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The files of a project.
pub(super) struct Sources {
    pub(super) state: State,
    /// Every folder with files that count.
    pub(super) folders: Vec<PathBuf>,
}

/// What is in them: another hash, another content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// What it is built from.
    pub(super) built_from: u64,
    /// What is one chain with an upcaster.
    pub(super) chained_with: u64,
    /// What it is run with.
    fed_with: u64,
}

impl Sources {
    /// Looks at a project, and at a file of events if there is one.
    pub(super) fn of(folder: &Path, events: Option<&Path>) -> Result<Self, CliError> {
        let failed = |error: io::Error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failure };
            CliError::new(exit, format_args!("{} cannot be read: {error}", folder.display()))
        };
        let (mut built, mut chained, mut fed) = (Xxh3Default::new(), Xxh3Default::new(), Xxh3Default::new());
        let mut folders = Vec::new();
        let mut left = vec![folder.to_owned()];
        let events_file = events.and_then(|file| fs::canonicalize(file).ok());
        while let Some(folder_now) = left.pop() {
            let entries = match fs::read_dir(&folder_now) {
                Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(failed)?,
                // It went while the others were looked at.
                Err(_) if folder_now != folder => continue,
                Err(error) => return Err(failed(error)),
            };
            let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths.into_iter().filter(|path| counts(path, folder)) {
                if path.is_dir() {
                    // A link may lead back to where it is.
                    left.extend(Some(path).filter(|path| !path.is_symlink()));
                    continue;
                }
                let first = path.strip_prefix(folder).ok().and_then(|path| path.iter().next());
                let is_events = events_file.is_some() && fs::canonicalize(&path).ok() == events_file;
                let is_fed = is_events || FED.iter().any(|name| first.is_some_and(|first| first == *name));
                let hash = match is_fed {
                    true => &mut fed,
                    false if is_chained(&path, folder) => &mut chained,
                    false => &mut built,
                };
                add(hash, &path);
            }
            folders.push(folder_now);
        }
        if let Some(file) = events {
            add(&mut fed, file);
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            folders.push(parent.unwrap_or(Path::new(".")).into());
        }
        let state = State { built_from: built.finish(), chained_with: chained.finish(), fed_with: fed.finish() };
        Ok(Self { state, folders })
    }
}

fn counts(path: &Path, project: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let place = path.strip_prefix(project).unwrap_or(path);
    let left_out = match path.is_dir() {
        true => LEFT_OUT.contains(&name.as_ref()) || LEFT_OUT_PLACES.iter().any(|known| place == Path::new(known)),
        false => LEFT_OUT_ENDINGS.iter().any(|ending| name.ends_with(ending)),
    };
    !left_out && !name.starts_with('.')
}

/// Whether a file is one of those that are one chain with an upcaster. Others may be sources.
fn is_chained(path: &Path, project: &Path) -> bool {
    let lifts = path.extension().is_some_and(|ending| ending == "toml" || ending == "wasm");
    lifts && path.parent() == Some(&*project.join(UPCASTERS_FOLDER))
}

/// Adds a file by its path and what is in it. One that cannot be read is as good as none.
fn add(hash: &mut Xxh3Default, path: &Path) {
    let bytes = fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0);
    let content = if bytes > FILE_BYTES_MAX { Ok(Vec::new()) } else { fs::read(path) };
    hash.write(path.as_os_str().as_encoded_bytes());
    hash.write_u64(bytes);
    hash.write(&content.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_whether_to_build_or_only_to_run() {
        let project = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = project.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let state = || Sources::of(project.path(), None).unwrap().state;
        write("src/lib.rs", "a");
        write("fixtures/a.json", "a");
        std::os::unix::fs::symlink(project.path(), project.path().join("src/loop")).unwrap();
        let first = state();
        for name in [
            "target/a.wasm",
            "build/plugin.wasm",
            "sdk/go/bindings/a.go",
            "plugins/a/a.wasm",
            "data/x",
            "Cargo.lock",
            "README.md",
            ".git/x",
        ] {
            write(name, "x");
            assert_eq!(state(), first, "{name}");
        }
        let mut before = state().built_from;
        for name in ["src/data/a.rs", "src/plugins/a.rs", "src/build/a.rs", "app/bindings/a.go", "app/venv/a.py"] {
            write(name, "x");
            let after = state().built_from;
            assert_ne!(after, before, "{name}");
            before = after;
            fs::remove_file(project.path().join(name)).unwrap();
            before = if state() == first { first.built_from } else { before };
        }
        write("src/lib.rs", "a");
        assert_eq!(state(), first, "written, and the same");
        write("fixtures/a.json", "b");
        let fed = state();
        assert!(fed.built_from == first.built_from && fed != first);
        write("upcasters/rules.toml", "a");
        let chained = state();
        assert!(chained.built_from == first.built_from && chained.chained_with != first.chained_with);
        write("upcasters/rules.py", "a");
        assert_ne!(state().built_from, first.built_from, "only rules and components are no sources there");
        fs::remove_file(project.path().join("upcasters/rules.py")).unwrap();
        write("src/lib.rs", "b");
        assert_ne!(state().built_from, first.built_from);
        let folders = Sources::of(project.path(), None).unwrap().folders;
        assert!(folders.contains(&project.path().join("src")) && !folders.contains(&project.path().join("target")));
    }

    #[test]
    fn a_file_of_events_counts_wherever_it_is() {
        let (project, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = elsewhere.path().join("events.ndjson");
        let state = || Sources::of(project.path(), Some(&file)).unwrap();
        let first = state();
        fs::write(&file, "{}").unwrap();
        assert_ne!(state().state, first.state);
        assert!(first.folders.contains(&elsewhere.path().to_owned()));
    }
}
