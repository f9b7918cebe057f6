//! Plugins in other languages: projects made by `tidemill new`, built with the tools of their languages.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tidemill_templates::Language;

use crate::tidemill;

/// Set where every tool has to be there, as in CI: then a missing one is a failure.
const ALL_REQUIRED: &str = "TIDEMILL_ALL_LANGUAGES";
/// A folder of tools as `sdk/install-tools.sh` leaves it.
const TOOLS: &str = "TIDEMILL_TOOLS";

/// Whether a language can be built here. Where it cannot, says so loudly.
///
/// # Panics
/// When it cannot and `TIDEMILL_ALL_LANGUAGES` is set.
#[must_use]
pub fn can_build(language: &Language) -> bool {
    let missing: Vec<_> =
        language.tools.iter().filter(|tool| find(tool.program).is_none()).map(|tool| tool.program).collect();
    if missing.is_empty() {
        return true;
    }
    let line = format!(
        "SKIPPED: {} plugins are not built and not tested: {} missing; `sh sdk/install-tools.sh` installs what they need",
        language.title,
        missing.join(", ")
    );
    assert!(env::var_os(ALL_REQUIRED).is_none(), "{line}");
    // Not by `eprintln!`, which is not shown when a test passes.
    let _ = writeln!(std::io::stderr(), "\n{line}");
    false
}

fn tools() -> PathBuf {
    env::var_os(TOOLS).map_or_else(|| below_target("tools"), PathBuf::from)
}

/// Where programs are looked for: the tools' folders, then the path.
#[must_use]
pub fn path() -> OsString {
    let own = ["bin", "python/bin", "js/node_modules/.bin"].map(|folder| tools().join(folder));
    let inherited = env::var_os("PATH").unwrap_or_default();
    env::join_paths(own.into_iter().chain(env::split_paths(&inherited))).unwrap_or(inherited)
}

fn find(tool: &str) -> Option<PathBuf> {
    env::split_paths(&path()).map(|folder| folder.join(tool)).find(|file| file.is_file())
}

/// Whether a variable is for the build that runs this test, and not for all builds of this machine.
fn is_of_outer_cargo(variable: &str) -> bool {
    variable.starts_with("CARGO_") && variable != "CARGO_HOME" && !variable.starts_with("CARGO_NET_")
}

/// Has a command find the tools, and nothing of the cargo that runs this test; programs in `first` come before others.
pub(crate) fn prepare(command: &mut Command, first: &Path) {
    let all = env::join_paths([first.to_path_buf()].into_iter().chain(env::split_paths(&path())));
    command.env("PATH", all.unwrap_or_else(|_| path()));
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if is_of_outer_cargo(&name) || name.starts_with("TIDEMILL_") {
            command.env_remove(&variable);
        }
    }
    // What Go would fetch from a module proxy.
    let go_pkg = tools().join("go-pkg");
    if go_pkg.is_dir() {
        command.env("TIDEMILL_GO_PKG", go_pkg);
    }
}

/// `target/<name>` of the build that this test belongs to.
pub(crate) fn below_target(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let target = test.ancestors().nth(3).expect("tests are built into target/<profile>/deps");
    target.join(name)
}

/// A project on disk.
#[derive(Debug)]
pub struct Project {
    language: &'static Language,
    name: String,
    folder: PathBuf,
}

impl Project {
    /// Makes a project by `tidemill new`, in a folder of the build that belongs to `purpose`. What an earlier run left
    /// there goes.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(language: &'static Language, purpose: &str, name: &str) -> Self {
        Self::of_role(language, "subscriber", purpose, name)
    }

    /// The same, of a plugin of this role.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_role(language: &'static Language, role: &str, purpose: &str, name: &str) -> Self {
        let place = below_target("projects").join(format!("{purpose}-{}", language.name));
        let folder = place.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&place).expect("a folder below target/");
        let made = tidemill().current_dir(&place).args(["new", name, "--lang", language.name, "--role", role]).output();
        let made = made.expect("the binary under test runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        if language.name == "rust" {
            // The versions that are here already.
            let lock = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("Cargo.lock");
            fs::copy(lock, folder.join("Cargo.lock")).expect("the workspace has a lock file");
        }
        Self { language, name: name.into(), folder }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts another source in the place of the template's.
    ///
    /// # Panics
    /// When the source cannot be read.
    pub fn replace_source(&self, source: &Path) {
        let copied = fs::copy(source, self.folder.join(self.language.source));
        copied.unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    }

    /// Makes it one that answers queries, where its build has to be told.
    ///
    /// # Panics
    /// When the build cannot be changed.
    pub fn answer_queries(&self) {
        self.play("described-projection-plugin");
    }

    /// Makes it one that decides commands, where its build has to be told.
    ///
    /// # Panics
    /// When the build cannot be changed.
    pub fn decide_commands(&self) {
        self.play("described-aggregate-plugin");
    }

    /// Makes it one of this source that is built for this world.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn become_plugin(&self, source: &str, world: &str) {
        fs::write(self.folder.join(self.language.source), source).expect("a file of the project");
        self.play(world);
        let file = self.folder.join("dev.toml");
        let told = fs::read_to_string(&file).expect("how it is built");
        fs::write(&file, format!("{told}world = \"{world}\"\n")).expect("a file of the project");
    }

    fn play(&self, world: &str) {
        let package = self.folder.join("package.json");
        if let Ok(text) = fs::read_to_string(&package) {
            let told = text.replace("described-subscriber-plugin", world);
            fs::write(&package, told).expect("a file of the project");
        }
    }

    /// Builds it as its README says; answers the component.
    ///
    /// # Panics
    /// When the build fails.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut command = Command::new("sh");
        command.args(["-c", self.language.build]).current_dir(&self.folder).stdin(Stdio::null());
        prepare(&mut command, &tools().join("bin"));
        // What cargo has compiled is kept.
        let cache = below_target("projects").join("cargo");
        if self.language.name == "rust" {
            command.env("CARGO_TARGET_DIR", &cache);
        }
        let built = command.output().expect("there is a shell");
        let said = [built.stdout, built.stderr].concat();
        assert!(built.status.success(), "{}:\n{}", self.folder.display(), String::from_utf8_lossy(&said));
        let component = self.language.component(&self.name);
        let file = match component.strip_prefix("target/") {
            Some(rest) => cache.join(rest),
            None => self.folder.join(component),
        };
        fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Has the types of a project in TypeScript checked as its README says.
    ///
    /// # Panics
    /// When they do not hold.
    pub fn check_types(&self) {
        let mut command = Command::new("npm");
        command.args(["run", "-s", "check"]).current_dir(&self.folder).stdin(Stdio::null());
        prepare(&mut command, &tools().join("bin"));
        let checked = command.output().expect("there is npm");
        let said = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success(), "{}:\n{}", self.folder.display(), String::from_utf8_lossy(&said));
    }

    /// `tidemill dev` in its folder, with the tools of its language.
    ///
    /// # Panics
    /// When what other builds have compiled cannot be used again.
    #[must_use]
    pub fn dev(&self, arguments: &[&str]) -> Command {
        let mut command = tidemill();
        command.envs(env::vars_os()).arg("dev").arg(&self.folder).args(arguments);
        prepare(&mut command, &tools().join("bin"));
        self.link_target();
        command
    }

    /// `tidemill plugins pack .` in its folder, when it is built.
    ///
    /// # Panics
    /// When what was built cannot be found, or the binary under test does not run.
    #[must_use]
    pub fn pack(&self) -> Output {
        self.link_target();
        let mut command = tidemill();
        command.current_dir(&self.folder).args(["plugins", "pack", ".", "-o", "packed.wasm"]);
        command.output().expect("the binary under test runs")
    }

    /// Has its `target` be where all projects in Rust are built.
    fn link_target(&self) {
        let target = self.folder.join("target");
        if self.language.name == "rust" && !target.exists() {
            let cache = below_target("projects").join("cargo");
            fs::create_dir_all(&cache).expect("a folder below target/");
            std::os::unix::fs::symlink(cache, target).expect("a link in the project");
        }
    }
}
