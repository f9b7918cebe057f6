//! The contract against its releases: within a line a version only adds.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Difference, Interface, Wit, differ};
use crate::runtime::contract::compatible;

/// The `.wit` files of a folder: name and text.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wit = entries.filter(|path| path.extension().is_some_and(|extension| extension == "wit"));
    wit.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

fn read(files: &[(String, String)]) -> Wit {
    Wit::parse(files.iter().map(|(path, text)| (&**path, &**text))).unwrap()
}

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// The folders of the releases; each is named after its version.
fn releases() -> Vec<PathBuf> {
    fs::read_dir(wit().join("releases")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// What of a release the current contract has no more, or has in another shape.
fn broken(current: &Wit, release: &Wit) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, then) in release.interfaces.iter().filter(|(name, _)| !name.starts_with("unstable-")) {
        match current.interfaces.get(name) {
            None => faults.push(format!("interface {name} is gone")),
            Some(now) => faults.extend(broken_interface(name, now, then)),
        }
    }
    for (name, then) in &release.worlds {
        let Some(now) = current.worlds.get(name) else {
            faults.push(format!("world {name} is gone"));
            continue;
        };
        if now.exports != then.exports {
            faults.push(format!("world {name} has other exports"));
        }
        if !now.imports.is_superset(&then.imports) {
            faults.push(format!("world {name} lost imports"));
        }
    }
    faults
}

fn broken_interface(name: &str, now: &Interface, then: &Interface) -> Vec<String> {
    let mut faults = Vec::new();
    for (function, model) in &then.functions {
        let Some(found) = now.functions.get(function) else {
            faults.push(format!("function {function} of {name} is gone"));
            continue;
        };
        let (has, wanted) = (found.text(function), model.text(function));
        if let Some(Difference { has, wanted }) = differ(function, found, model) {
            faults.push(format!("function {function} of {name} is `{has}`, was `{wanted}`"));
        } else if has != wanted {
            faults.push(format!("function {function} of {name} is `{has}`, was `{wanted}`"));
        }
    }
    for (ty, model) in &then.types {
        match now.types.get(ty) {
            None => faults.push(format!("type {ty} of {name} is gone")),
            Some(found) => faults.extend(
                found
                    .difference(model)
                    .map(|Difference { has, wanted }| format!("type {ty} of {name} is `{has}`, was `{wanted}`")),
            ),
        }
    }
    faults
}

#[test]
fn the_contract_only_adds_to_its_releases() {
    let current = read(&files(&wit()));
    let releases = releases();
    for version in ["0.1.0", &current.version] {
        assert!(releases.iter().any(|folder| folder.ends_with(version)), "{version} is not among {releases:?}");
    }
    for folder in releases {
        let release = read(&files(&folder));
        let (version, now) = (&release.version, &current.version);
        assert_eq!(Some(&**version), folder.file_name().unwrap().to_str(), "a release stands under its version");
        let same_line = compatible(version, now);
        assert!(!same_line || broken(&current, &release).is_empty(), "{:#?}", broken(&current, &release));
        let added = if version == now { broken(&release, &current) } else { Vec::new() };
        assert!(added.is_empty(), "{now} is released; what is added is another version: {added:#?}");
    }
}

/// What is wrong with the contract when a text in it is another, as far as a release goes.
fn edited(version: &str, from: &str, to: &str) -> Vec<String> {
    let mut texts = files(&wit());
    assert!(texts.iter().any(|(_, text)| text.contains(from)), "{from}");
    for (_, text) in &mut texts {
        *text = text.replace(from, to);
    }
    broken(&read(&texts), &read(&files(&wit().join("releases").join(version))))
}

#[test]
fn each_role_is_held() {
    for (interface, from, to) in [
        ("projection", "    query: func(", "    ask: func("),
        ("aggregate", "        decide: func(", "        choose: func("),
        ("upcaster", "        schema-version: u32,\n    }\n\n    /// What an event becomes", "    }\n\n    /// What"),
        ("validator", "    validate: func(", "    check: func("),
        ("dispatch", "    dispatch: func(", "    send: func("),
    ] {
        let faults = edited("0.1.1", from, to);
        assert!(faults.iter().any(|fault| fault.contains(&format!(" of {interface} is "))), "{interface}: {faults:?}");
        assert_eq!(edited("0.1.0", from, to), Vec::<String>::new(), "0.1.0 had no {interface}");
    }
}

#[test]
fn a_breaking_edit_is_named() {
    let edited = |from: &str, to: &str| edited("0.1.0", from, to);
    let gone = edited(" config", " settings");
    assert!(gone.contains(&"interface config is gone".to_owned()), "{gone:?}");
    assert_eq!(edited("    delete: func", "    remove: func"), ["function delete of state is gone"]);
    assert_eq!(
        edited("get: func(key: string) -> option<string>", "get: func(name: string) -> option<string>"),
        ["function get of config is `get: func(name: string) -> option<string>`, was \
          `get: func(key: string) -> option<string>`"]
    );
    let faults = edited("        length: u32,", "        length: u64,");
    assert!(
        faults.contains(
            &"type span of bulk-subscriber is `record span { start: u32, length: u64 }`, was \
             `record span { start: u32, length: u32 }`"
                .to_owned()
        ),
        "{faults:?}"
    );
    let faults = edited("    import config;\n", "");
    assert!(faults.contains(&"world imports lost imports".to_owned()), "{faults:?}");
    let added = edited("interface log {", "interface log {\n    flush: func();\n    enum colour { red }");
    assert_eq!(added, Vec::<String>::new(), "what is added breaks nothing");
}
