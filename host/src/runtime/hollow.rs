//! What a component imports of WASI that is linked and gives less here than it does elsewhere.
//!
//! Runtimes of languages import such things whether a plugin uses them or not, so an import alone is no alarm there.

use super::Anatomy;

/// Interfaces that are linked, and what they give.
struct Hollow {
    /// What people call them.
    name: &'static str,
    interfaces: &'static [&'static str],
    /// What they give here, and what to use instead.
    gives: &'static str,
    /// Languages whose standard library imports them by itself.
    always_in: &'static [&'static str],
}

const HOLLOW: &[Hollow] = &[
    Hollow {
        name: "wasi:filesystem",
        interfaces: &["wasi:filesystem/types", "wasi:filesystem/preopens"],
        gives: "there are no files: what is to last belongs into state",
        always_in: &[],
    },
    Hollow {
        name: "wasi:cli/environment",
        interfaces: &["wasi:cli/environment"],
        gives: "there are no variables and no arguments: settings come by tidemill:plugin/config",
        always_in: &["Rust"],
    },
    Hollow {
        name: "wasi:clocks",
        interfaces: &["wasi:clocks/wall-clock", "wasi:clocks/monotonic-clock"],
        gives: "the time is that of the call's first event, and passes only by waiting; with HTTP the monotonic clock runs",
        always_in: &[],
    },
    Hollow {
        name: "wasi:random",
        interfaces: &["wasi:random/random"],
        gives: "the numbers follow from the event, so that they are the same again: none for a key or a secret",
        always_in: &[],
    },
];

/// Languages that bring a runtime, as their tools or an SDK name them; it imports all of this by itself.
const WITH_RUNTIME: &[&str] = &["Go", "Python", "JavaScript"];
/// The SDKs of such languages.
const SDKS_WITH_RUNTIME: &[&str] = &["tidemill-go", "tidemill-python", "tidemill-js"];

/// A line for each group of interfaces that a component imports and that gives less than it may expect; one line in all where
/// its language's runtime imports them. `sdk` is what it was made with, where it says so.
pub(crate) fn told(anatomy: &Anatomy, sdk: Option<&str>) -> Vec<String> {
    let languages: Vec<_> =
        anatomy.producers.get("language").into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let is_imported = |group: &&Hollow| {
        let path = |import: &String| import.split('@').next().unwrap_or_default().to_owned();
        anatomy.imports.iter().map(path).any(|import| group.interfaces.contains(&import.as_str()))
    };
    let imported = HOLLOW.iter().filter(is_imported);
    let has_runtime = languages.iter().any(|language| WITH_RUNTIME.contains(language))
        || sdk.and_then(|sdk| sdk.split(' ').next()).is_some_and(|sdk| SDKS_WITH_RUNTIME.contains(&sdk));
    if has_runtime {
        let names: Vec<_> = imported.map(|group| group.name).collect();
        let line = || {
            format!(
                "its language's runtime imports {}: here they are without files and variables, and of the event's time",
                names.join(", ")
            )
        };
        return (!names.is_empty()).then(line).into_iter().collect();
    }
    let is_own = |group: &&Hollow| !languages.iter().any(|language| group.always_in.contains(language));
    imported.filter(is_own).map(|group| format!("it imports {}: {}", group.name, group.gives)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::contract::WASI_OFFERED;
    use super::*;

    fn made(language: Option<&str>, imports: &[&str]) -> Anatomy {
        let language = language.map(|name| ("language".to_owned(), [(name.to_owned(), String::new())].into()));
        let imports = imports.iter().map(|name| format!("{name}@0.2.6")).collect();
        Anatomy { imports, producers: language.into_iter().collect(), ..Anatomy::default() }
    }

    #[test]
    fn what_is_told_of_is_linked() {
        let all = HOLLOW.iter().flat_map(|group| group.interfaces);
        assert!(all.clone().all(|interface| WASI_OFFERED.contains(interface)), "{:?}", all.collect::<Vec<_>>());
    }

    #[test]
    fn each_group_is_told_once_and_what_a_language_always_imports_is_no_alarm() {
        let files = ["wasi:filesystem/types", "wasi:filesystem/preopens", "wasi:cli/environment", "wasi:io/error"];
        let told_of = |language, sdk| told(&made(language, &files), sdk);
        assert_eq!(told_of(None, None).len(), 2);
        let [rust] = &told_of(Some("Rust"), None)[..] else { panic!("one line for the files") };
        assert!(rust.starts_with("it imports wasi:filesystem: there are no files"), "{rust}");
        for (language, sdk) in [(Some("Go"), None), (Some("Rust"), Some("tidemill-js 0.1.1"))] {
            let [line] = &told_of(language, sdk)[..] else { panic!("one line in all") };
            assert!(line.contains("runtime imports wasi:filesystem, wasi:cli/environment: "), "{line}");
        }
        assert!(told(&made(Some("Go"), &["wasi:io/error"]), None).is_empty());
    }
}
