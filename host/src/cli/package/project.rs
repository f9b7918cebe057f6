//! What a plugin's project says of itself: where its component is, and what its authors wrote into the files of their
//! tools. Nothing of it is needed; what is there is taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::super::dev::project::Project;
use super::super::error::{CliError, Exit};
use crate::event::PluginName;
use crate::plugin::PackageLabels;

/// Where a component is looked for in a folder that does not say: in the folder of a plugin, and where builds leave it.
const PLACES: [&str; 3] = ["", "build", "target/wasm32-wasip2/release"];
/// The files in which tools of a language know a name and a version.
const TOOLS: [&str; 3] = ["Cargo.toml", "package.json", "pyproject.toml"];

/// The component of a project: the one that its `dev.toml` names, else the only one there is.
pub(super) fn component(folder: &Path) -> Result<PathBuf, CliError> {
    if Project::is_in(folder) {
        let Project { component, build, .. } = Project::read(folder)?;
        let missing = || CliError::new(Exit::NotFound, format_args!("{} is not there", component.display()));
        return if component.is_file() {
            Ok(component)
        } else {
            Err(missing().hint(format_args!("build it: {build}")))
        };
    }
    for place in PLACES {
        let found = components(&folder.join(place));
        match found.as_slice() {
            [] => {}
            [component] => return Ok(component.clone()),
            several => {
                let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
                let what = format_args!("{} holds several components: {}", folder.display(), names.join(", "));
                return Err(CliError::usage(what).hint("give the one to pack"));
            }
        }
    }
    let what =
        format_args!("{} holds no .wasm, nor does its build/ or target/wasm32-wasip2/release/", folder.display());
    Err(CliError::new(Exit::NotFound, what).hint("build the project first, or give the file"))
}

fn components(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "wasm")).collect();
    found.sort();
    found
}

/// What `Cargo.toml`, `package.json` or `pyproject.toml` says, the first of them that is there, and the revision that git
/// knows.
pub(super) fn labels(folder: &Path) -> PackageLabels {
    let toml = |file: &str, table: &str| {
        let text = fs::read_to_string(folder.join(file)).ok()?;
        let table = text.parse::<toml::Table>().ok()?.remove(table)?;
        serde_json::to_value(table).ok()
    };
    let json = || serde_json::from_str(&fs::read_to_string(folder.join("package.json")).ok()?).ok();
    let said = toml("Cargo.toml", "package").or_else(json).or_else(|| toml("pyproject.toml", "project"));
    let said = said.as_ref().map(of_value).unwrap_or_default();
    PackageLabels { revision: revision(folder), ..said }
}

/// The folder of the project of a component: the one whose `dev.toml` says that its build leaves it, else the one that
/// holds it beside a file of its tools.
pub(super) fn of(component: &Path) -> Option<PathBuf> {
    let component = component.canonicalize().ok()?;
    let beside = || component.parent().filter(|folder| TOOLS.iter().any(|file| folder.join(file).is_file()));
    builder(&component).or_else(beside).map(Path::to_path_buf)
}

/// The folder above a component, whose path is canonical, whose `dev.toml` says that its build leaves it.
fn builder(component: &Path) -> Option<&Path> {
    let leaves_it = |folder: &&Path| {
        let project = Project::is_in(folder).then(|| Project::read(folder).ok()).flatten();
        project.is_some_and(|project| project.component.canonicalize().is_ok_and(|path| path == component))
    };
    component.ancestors().skip(1).find(leaves_it)
}

/// The name of the project whose `dev.toml` says that its build leaves this component: what its tools call it, else that
/// of its folder.
pub(super) fn name(component: &Path) -> Option<String> {
    let component = component.canonicalize().ok()?;
    let folder = builder(&component)?;
    let own = || PluginName::new(folder.file_name()?.to_str()?).ok().map(|name| name.to_string());
    labels(folder).name.or_else(own)
}

/// The keys that the three share, and those in which they differ.
fn of_value(said: &Value) -> PackageLabels {
    let text = |pointers: &[&str]| {
        let found = pointers.iter().find_map(|pointer| said.pointer(pointer).and_then(Value::as_str));
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    PackageLabels {
        name: text(&["/name"]),
        version: text(&["/version"]),
        description: text(&["/description"]),
        authors: said.get("authors").and_then(people).or_else(|| said.get("author").and_then(person)),
        licenses: text(&["/license", "/license/text"]),
        source: text(&["/repository/url", "/repository", "/urls/Repository", "/urls/Source"]),
        revision: None,
        homepage: text(&["/homepage", "/urls/Homepage"]),
    }
}

fn people(people: &Value) -> Option<String> {
    let names: Vec<_> = people.as_array()?.iter().filter_map(person).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// `"Name <address>"`, or a table with both.
fn person(person: &Value) -> Option<String> {
    if let Some(text) = person.as_str() {
        return Some(text.to_owned());
    }
    let part = |key: &str| person.get(key).and_then(Value::as_str);
    match (part("name"), part("email")) {
        (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
        (name, address) => name.or(address).map(str::to_owned),
    }
}

/// The commit that is checked out; it ends in `-dirty` when files differ from it.
fn revision(folder: &Path) -> Option<String> {
    let described = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(described.stdout).ok()?.trim().to_owned();
    (described.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_of_a_language_know_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let labels_of = |file: &str, text: &str| {
            fs::write(folder.path().join(file), text).unwrap();
            let labels = labels(folder.path());
            fs::remove_file(folder.path().join(file)).unwrap();
            labels
        };
        let cargo = labels_of(
            "Cargo.toml",
            "[package]\nname = \"big\"\nversion = \"1.2.3\"\nauthors = [\"A <a@b>\", \"C\"]\nlicense = \"MIT\"\nrepository = \"https://r\"",
        );
        assert_eq!((cargo.name.as_deref(), cargo.version.as_deref()), (Some("big"), Some("1.2.3")));
        assert_eq!((cargo.authors.as_deref(), cargo.source.as_deref()), (Some("A <a@b>, C"), Some("https://r")));
        let inherited = labels_of("Cargo.toml", "[package]\nname = \"big\"\nversion.workspace = true");
        assert_eq!(inherited.version, None);
        let npm = labels_of(
            "package.json",
            r#"{"name":"big","version":"2","author":{"name":"A","email":"a@b"},"repository":{"url":"u"},"license":"MIT"}"#,
        );
        assert_eq!((npm.authors.as_deref(), npm.source.as_deref()), (Some("A <a@b>"), Some("u")));
        let python =
            labels_of("pyproject.toml", "[project]\nname = \"p\"\nauthors = [{ name = \"A\" }]\nurls.Source = \"s\"");
        assert_eq!((python.authors.as_deref(), python.source.as_deref()), (Some("A"), Some("s")));
        assert_eq!(PackageLabels { revision: None, ..labels(folder.path()) }, PackageLabels::default());
    }

    #[test]
    fn the_one_component_of_a_project_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert!(component(folder.path()).is_err());
        let built = folder.path().join("target/wasm32-wasip2/release");
        fs::create_dir_all(&built).unwrap();
        fs::write(built.join("big.wasm"), "").unwrap();
        assert_eq!(component(folder.path()).unwrap(), built.join("big.wasm"));
        fs::write(built.join("other.wasm"), "").unwrap();
        let Err(CliError::Failed { exit, what, .. }) = component(folder.path()) else { panic!("one of two was taken") };
        assert_eq!(exit, Exit::Usage);
        assert!(what.contains("big.wasm") && what.contains("other.wasm"), "{what}");
        fs::write(folder.path().join("dev.toml"), "build = 'make'\ncomponent = 'out/it.wasm'\n").unwrap();
        let Err(CliError::Failed { exit, hint, .. }) = component(folder.path()) else { panic!("it is not built") };
        assert_eq!((exit, hint.as_deref()), (Exit::NotFound, Some("build it: make")));
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(folder.path().join("out/it.wasm"), "").unwrap();
        assert_eq!(component(folder.path()).unwrap(), folder.path().join("out/it.wasm"), "what dev.toml names");
    }

    #[test]
    fn what_no_tool_names_is_called_as_its_project_is() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("lift-orders");
        fs::create_dir_all(folder.join("build")).unwrap();
        let (built, other) = (folder.join("build/plugin.wasm"), folder.join("build/other.wasm"));
        for file in [&built, &other] {
            fs::write(file, "").unwrap();
        }
        assert_eq!(name(&built), None, "it is nobody's");
        fs::write(folder.join("dev.toml"), "build = 'make'\ncomponent = 'build/plugin.wasm'\n").unwrap();
        assert_eq!((name(&built).as_deref(), name(&other)), (Some("lift-orders"), None));
        fs::write(folder.join("pyproject.toml"), "[project]\nname = \"lifts\"\nversion = \"1.2.3\"").unwrap();
        assert_eq!(name(&built).as_deref(), Some("lifts"));
        assert_eq!(of(&built).map(|folder| labels(&folder).version), Some(Some("1.2.3".to_owned())));
    }

    #[test]
    fn a_component_beside_the_file_of_its_tools_is_of_their_project() {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("plugin.wasm");
        fs::write(&component, "").unwrap();
        assert_eq!(of(&component), None, "it is nobody's");
        fs::write(folder.path().join("pyproject.toml"), "[project]\nversion = \"2\"").unwrap();
        assert_eq!(of(&component), Some(folder.path().canonicalize().unwrap()));
    }
}
