//! `tidemill plugins pack` and `install`, by the real binary: from files, URLs and a registry into a plugins directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packaging {
    pub(super) mod registry;
    pub(super) mod secure;
}

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use packaging::registry::{Registry, sha256};
use packaging::secure;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, ORDERS};
use tidemill_tests::authority::Authority;
use tidemill_tests::told::complains;
use tidemill_tests::{Server, another_version, guests, poll, tidemill};

/// What Debian's minisign made: a key, a text, and its signature.
const KEY: &str = include_str!("packaging/minisign.pub");
const SIGNED: &[u8] = b"a text that is signed\n";
const SIGNATURE: &str = include_str!("packaging/signed.minisig");

/// A small component that handles events, as text, and what signs its encoding.
const SUBSCRIBER: &str = include_str!("packaging/subscriber.wat");
const SUBSCRIBER_KEY: &str = include_str!("packaging/component.pub");
const SUBSCRIBER_SIGNATURE: &str = include_str!("packaging/component.minisig");

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A component with its manifest embedded, made by `pack`.
    fn packed(&self, component: &[u8], manifest: &str, more: &[&str]) -> Vec<u8> {
        self.write("project/build/plugin.wasm", component);
        self.write("project/plugin.toml", manifest.as_bytes());
        let (project, packed) = (self.path("project"), self.path("packed.wasm"));
        let made =
            tidemill().args(["plugins", "pack"]).arg(project).arg("-o").arg(&packed).args(more).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::read(packed).unwrap()
    }

    fn install(&self, source: &str, more: &[&str]) -> Output {
        self.install_as(source, more, &[])
    }

    /// The same, with variables.
    fn install_as(&self, source: &str, more: &[&str], variables: &[(&str, &str)]) -> Output {
        let plugins = self.path("plugins");
        let mut command = tidemill();
        command.args(["plugins", "install", source, "--plugins"]).arg(plugins).args(more);
        command.envs(variables.iter().copied()).output().unwrap()
    }

    fn rm(&self, name: &str, more: &[&str]) -> Output {
        self.rm_in("plugins", name, more)
    }

    fn rm_in(&self, plugins: &str, name: &str, more: &[&str]) -> Output {
        tidemill().args(["plugins", "rm", name, "--plugins"]).arg(self.path(plugins)).args(more).output().unwrap()
    }

    /// What is in the plugins directory, by path.
    fn installed(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        list(&self.path("plugins"), Path::new(""), &mut found);
        found
    }
}

fn list(folder: &Path, within: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let path = within.join(entry.file_name());
        if entry.path().is_dir() {
            list(&entry.path(), &path, found);
        } else {
            found.insert(path.display().to_string());
        }
    }
}

fn files(name: &str) -> BTreeSet<String> {
    BTreeSet::from([format!("{name}/plugin.toml"), format!("{name}/plugin.wasm")])
}

#[test]
fn what_is_packed_is_shown_installed_and_run() {
    let place = Place::new();
    let labels = ["--label", "licenses=Apache-2.0", "--label", "version=9.8.7", "--label", "name=counts"];
    let packed = place.packed(COUNTER.component, COUNTER.manifest, &labels);
    let file = place.path("packed.wasm");
    let checked = tidemill().args(["plugins", "check"]).arg(&file).output().unwrap();
    let shown = String::from_utf8(checked.stdout).unwrap();
    for words in ["licenses     Apache-2.0", "version      9.8.7", "name         counts", "carries      a manifest"] {
        assert!(shown.contains(words), "{words} is not in: {shown}");
    }
    let said = place.install(file.to_str().unwrap(), &["--json"]);
    assert!(said.status.success(), "{said:?}");
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(
        (&said["name"], &said["version"], &said["replaced"]),
        (&"counts".into(), &"9.8.7".into(), &false.into())
    );
    assert_eq!(said["digest"], sha256(&packed));
    assert_eq!(place.installed(), files("counts"));
    let data = place.path("data");
    let server = Server::start(&data, &place.path("plugins"));
    let runs = || server.try_get("/v1/plugins/counts").ok().filter(|plugin| plugin["digest"].is_string());
    let digest = poll("the plugin to run", runs)["digest"].clone();
    assert_eq!(format!("sha256:{}", digest.as_str().unwrap()), sha256(&packed));
}

#[test]
fn what_it_asks_for_is_granted_only_when_that_is_said() {
    let place = Place::new();
    place.packed(ORDERS.component, ORDERS.manifest, &[]);
    let file = place.path("packed.wasm");
    let source = file.to_str().unwrap();
    let refused = place.install(source, &["--name", "orders"]);
    complains(&refused, 6, &["would not run it", "in [grants]: append", "--grant", "nothing was installed"]);
    assert_eq!(place.installed(), BTreeSet::new());
    let granted = place.install(source, &["--name", "orders", "--grant"]);
    assert!(granted.status.success(), "{granted:?}");
    assert!(String::from_utf8_lossy(&granted.stdout).contains("granted: in [grants]: append = "), "{granted:?}");
    let manifest = fs::read_to_string(place.path("plugins/orders/plugin.toml")).unwrap();
    assert_eq!(manifest, ORDERS.manifest);
    // What the operator has written stays in force when another version comes.
    let own = format!("{manifest}\n# mine\n");
    place.write("plugins/orders/plugin.toml", own.as_bytes());
    complains(&place.install(source, &["--name", "orders"]), 4, &["already", "--replace"]);
    let replaced = place.install(source, &["--name", "orders", "--replace"]);
    assert!(replaced.status.success(), "{replaced:?}");
    assert_eq!(fs::read_to_string(place.path("plugins/orders/plugin.toml")).unwrap(), own);
    assert_eq!(place.installed(), files("orders"));
}

#[test]
fn a_digest_is_held_against_what_comes() {
    let place = Place::new();
    let file = place.write("counter.wasm", COUNTER.component);
    let source = file.to_str().unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    complains(&place.install(source, &["--digest", &other]), 6, &["is not what it must be", &other]);
    complains(&place.install(source, &["--digest", "sha256:12"]), 2, &["no digest"]);
    assert_eq!(place.installed(), BTreeSet::new());
    assert!(place.install(source, &["--digest", &sha256(COUNTER.component)]).status.success());
    assert_eq!(place.installed(), files("counter"));
}

#[test]
fn what_a_host_would_not_run_is_not_installed() {
    let place = Place::new();
    let file = place.write("text.wasm", b"not a component");
    complains(&place.install(file.to_str().unwrap(), &[]), 2, &["not WebAssembly"]);
    let packed = tidemill().args(["plugins", "pack"]).arg(&file).output().unwrap();
    complains(&packed, 2, &["not WebAssembly"]);
    complains(&place.install("nowhere.wasm", &[]), 3, &["nowhere.wasm", "cannot be read"]);
    complains(&place.install("ftp://x/y", &[]), 2, &["oci://"]);
    complains(&place.install("http://example.com/y.wasm", &[]), 2, &["plain HTTP", "--digest"]);
    assert_eq!(place.installed(), BTreeSet::new());
}

#[test]
fn a_registry_is_asked_by_tag_and_by_digest() {
    let place = Place::new();
    for token in [None, Some("secret-token")] {
        let registry = Registry::start(token);
        let manifest = registry.push("acme/counter", "1.0", COUNTER.component);
        for (version, name) in [("acme/counter:1.0".to_owned(), "tag"), (format!("acme/counter@{manifest}"), "digest")]
        {
            let name = format!("{name}-{}", token.is_some());
            let installed = place.install(&registry.reference(&version), &["--name", &name]);
            assert!(installed.status.success(), "{version}: {installed:?}");
            let component = fs::read(place.path(&format!("plugins/{name}/plugin.wasm"))).unwrap();
            assert!(component == COUNTER.component, "{version}");
        }
        complains(&place.install(&registry.reference("acme/counter:2.0"), &["--name", "x"]), 3, &["is not there"]);
    }
    let registry = Registry::start(None);
    registry.push_index("acme/counter", "multi", COUNTER.component);
    let installed = place.install(&registry.reference("acme/counter:multi"), &[]);
    assert!(installed.status.success(), "{installed:?}");
}

#[test]
fn a_user_is_sent_to_the_registry_that_it_is_for_and_to_no_other() {
    let place = Place::new();
    // me:secret
    let registry = Registry::start_for(Some("token"), Some("Basic bWU6c2VjcmV0"));
    registry.push("acme/counter", "1.0", COUNTER.component);
    let reference = registry.reference("acme/counter:1.0");
    let user = [("TIDEMILL_REGISTRY_USER", "me"), ("TIDEMILL_REGISTRY_PASSWORD", "secret")];
    let with = |registry: &str, name: &str| {
        let variables = [user[0], user[1], ("TIDEMILL_REGISTRY", registry)];
        place.install_as(&reference, &["--name", name], &variables)
    };
    complains(&place.install(&reference, &[]), 6, &["token server answered 401", "TIDEMILL_REGISTRY="]);
    complains(&place.install_as(&reference, &[], &user), 2, &["--registry"]);
    complains(&with("ghcr.io", "other"), 6, &["is for ghcr.io and is not sent to 127.0.0.1", "auths"]);
    assert_eq!(place.installed(), BTreeSet::new());
    let sent = with(registry.address(), "named");
    assert!(sent.status.success(), "{sent:?}");
    let kept = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, registry.address());
    place.write("docker/config.json", kept.as_bytes());
    let docker = place.path("docker");
    let docker = [("DOCKER_CONFIG", docker.to_str().unwrap())];
    let sent = place.install_as(&reference, &["--name", "kept"], &docker);
    assert!(sent.status.success(), "{sent:?}");
    place.write("docker/config.json", b"{\"auths\": secret}");
    let odd = place.install_as(&reference, &["--name", "odd"], &docker);
    complains(&odd, 2, &["config.json is not understood, at line 1"]);
    assert!(!String::from_utf8_lossy(&odd.stderr).contains("secret"), "{odd:?}");
}

#[test]
fn a_plugin_is_taken_out_whole_and_a_running_server_lets_it_go() {
    let place = Place::new();
    let file = place.write("counter.wasm", COUNTER.component);
    assert!(place.install(file.to_str().unwrap(), &["--name", "counts"]).status.success());
    place.write("plugins/counts/salt.txt", b"salt");
    let server = Server::start(&place.path("data"), &place.path("plugins"));
    let runs = || server.try_get("/v1/plugins/counts").ok().filter(|plugin| plugin["digest"].is_string());
    poll("the plugin to run", runs);
    complains(&place.rm("count", &["--yes"]), 3, &["no plugin", "did you mean counts?"]);
    let kept = [("validators", "10-limit.wasm"), ("schemas", "A.1.json"), ("upcasters", "a.toml"), ("notes", "a.txt")];
    for (folder, file) in kept {
        let file = place.write(&format!("other/{folder}/{file}"), b"");
        complains(&place.rm_in("other", folder, &["--yes"]), 3, &["no plugin"]);
        assert!(file.exists(), "{folder}");
    }
    complains(&place.rm("../data", &["--yes"]), 3, &["no plugin"]);
    complains(&place.rm("counts", &[]), 2, &["--yes"]);
    assert_eq!(place.installed().len(), 3, "nothing went");
    let removed = place.rm("counts", &["--yes"]);
    assert!(removed.status.success(), "{removed:?}");
    assert!(String::from_utf8_lossy(&removed.stdout).contains("stay in the data directory"), "{removed:?}");
    poll("the plugin to be gone", || runs().is_none().then_some(()));
    assert_eq!(place.installed(), BTreeSet::new());
    complains(&place.rm("counts", &["--yes"]), 3, &["no plugin"]);
}

/// Installs the counter as `counts`, lets a server run it, and has it handle an event.
fn counted(place: &Place) -> Server {
    let file = place.write("counter.wasm", COUNTER.component);
    assert!(place.install(file.to_str().unwrap(), &["--name", "counts"]).status.success());
    let server = Server::start(&place.path("data"), &place.path("plugins"));
    server.try_post("/v1/events", &json!({ "events": [{ "type": "Counted" }] })).unwrap();
    poll("the event to be counted", || {
        let plugin = server.try_get("/v1/plugins/counts").ok()?;
        let handled = plugin.pointer("/status/counters/handled")?.as_u64()?;
        (handled > 0 && plugin.get("lag_events")? == 0).then_some(())
    });
    server
}

#[test]
fn what_a_plugin_keeps_goes_with_it_when_that_is_said() {
    let place = Place::new();
    let server = counted(&place);
    let to_server = ["--server", server.url(), "--state", "--yes"];
    complains(&place.rm_in("elsewhere", "counts", &to_server), 4, &["installed", "nothing was removed"]);
    complains(&place.rm("never", &to_server), 3, &["no plugin"]);
    complains(&place.rm("counts", &to_server[..3]), 2, &["--yes"]);
    complains(&place.rm("counts", &["--server", "http://127.0.0.1:1", "--state", "--yes"]), 5, &["127.0.0.1:1"]);
    assert_eq!(place.installed().len(), 2, "nothing went");
    let next = place.write("next.wasm", &another_version(COUNTER.component, 2));
    let tried = ["--server", server.url(), "plugins", "shadow", "counts", "--component", next.to_str().unwrap()];
    let tried = tidemill().args(tried).output().unwrap();
    assert!(tried.status.success(), "{tried:?}");
    let candidate = place.path("data/candidates/counts");
    assert!(candidate.exists());
    let removed = place.rm("counts", &to_server);
    assert!(removed.status.success(), "{removed:?}");
    let said = String::from_utf8_lossy(&removed.stdout).into_owned();
    assert!(said.contains("removed what it kept: ") && said.contains("keys of state"), "{said}");
    assert_eq!(place.installed(), BTreeSet::new());
    assert!(!candidate.exists(), "the candidate goes with it");
    let known = server.get("/v1/plugins");
    assert_eq!(known["plugins"], json!([]), "it is not known any more");
    complains(&place.rm("counts", &to_server), 3, &["no plugin"]);
    // A plugin of that name later is one that never was there.
    drop(server);
    let server = counted(&place);
    let state = server.get("/v1/plugins/counts/state?limit=10");
    assert_eq!(state["entries"][0]["value"], 2, "it began at the beginning: {state}");
}

#[test]
fn what_a_plugin_left_behind_goes_later_also_without_a_server() {
    let place = Place::new();
    drop(counted(&place));
    let left = place.rm("counts", &["--yes", "--json"]);
    let left: Value = serde_json::from_slice(&left.stdout).unwrap();
    assert_eq!(left["kept"], Value::Null, "only the files went: {left}");
    let data = place.path("data");
    let data = ["--state", "--yes", "--json", "--data", data.to_str().unwrap()];
    let removed = place.rm("counts", &data);
    assert!(removed.status.success(), "{removed:?}");
    let removed: Value = serde_json::from_slice(&removed.stdout).unwrap();
    let (path, kept) = (&removed["removed"], &removed["kept"]);
    assert_eq!((path, &kept["checkpoint"], &kept["dead_letters"]), (&Value::Null, &json!(1), &json!(0)), "{removed}");
    assert!(kept["state_size"]["keys"].as_u64().unwrap() > 0, "{removed}");
    complains(&place.rm("counts", &data), 3, &["no plugin"]);
    let upcaster = place.write("plugins/upcasters/lifts.wasm", guests::UPCASTER);
    complains(&place.rm("lifts", &data), 2, &["keeps no state", "--state"]);
    assert!(upcaster.exists());
}

#[test]
fn what_an_author_wrote_is_shown_and_more_of_the_machine_is_only_asked_for() {
    let place = Place::new();
    let manifest =
        "[limits]\nmemory = \"512MiB\"\nbatch_time = \"900ms\"\n[delivery]\npartitions = 2\nmax_attempts = 7\n";
    place.packed(COUNTER.component, manifest, &[]);
    let source = place.path("packed.wasm");
    let source = source.to_str().unwrap();
    let installed = place.install(source, &["--name", "counts"]);
    assert!(installed.status.success(), "{installed:?}");
    let shown = String::from_utf8(installed.stdout).unwrap();
    for line in [
        "asked for, not granted: in [limits]: memory = '512MiB'",
        "asked for, not granted: in [delivery]: partitions = 2",
        "in force, by its author: in [limits]: batch_time = '900ms'",
        "in force, by its author: in [delivery]: max_attempts = 7",
    ] {
        assert!(shown.contains(line), "{line} is not in: {shown}");
    }
    let written: toml::Table = fs::read_to_string(place.path("plugins/counts/plugin.toml")).unwrap().parse().unwrap();
    assert!(written["limits"].get("memory").is_none() && written["delivery"].get("partitions").is_none(), "{written}");
    let granted = place.install(source, &["--name", "counts", "--replace", "--grant", "--json"]);
    let said: Value = serde_json::from_slice(&granted.stdout).unwrap();
    assert_eq!((&said["granted"], said["in_force"].as_array().unwrap().len()), (&true.into(), 2), "{said}");
    let huge = format!("# {}\n", "x".repeat(70_000));
    place.write("huge.toml", huge.as_bytes());
    let file = place.write("counter.wasm", COUNTER.component);
    let mut pack = tidemill();
    pack.args(["plugins", "pack"]).arg(file).arg("--manifest").arg(place.path("huge.toml"));
    let refused = pack.arg("-o").arg(place.path("huge.wasm")).output().unwrap();
    complains(&refused, 2, &["the embedded plugin.toml has", "at most 65536"]);
    assert!(!place.path("huge.wasm").exists());
}

#[test]
fn an_upcaster_that_nobody_names_is_called_as_its_project() {
    let place = Place::new();
    for project in ["first-lift", "second-lift"] {
        let component = place.write(&format!("{project}/build/plugin.wasm"), guests::UPCASTER);
        let dev = "build = \"make\"\ncomponent = \"build/plugin.wasm\"\n";
        place.write(&format!("{project}/dev.toml"), dev.as_bytes());
        let folder = place.path(project);
        for from in [&folder, &component] {
            let made = tidemill().args(["plugins", "pack"]).arg(from).current_dir(place.path("")).output().unwrap();
            let said = String::from_utf8_lossy(&made.stdout).into_owned();
            assert!(said.starts_with(&format!("{project}.wasm: ")) && !said.contains("manifest"), "{made:?}");
        }
        let installed = place.install(place.path(&format!("{project}.wasm")).to_str().unwrap(), &[]);
        assert!(installed.status.success(), "{installed:?}");
    }
    let folder = place.install(place.path("first-lift").to_str().unwrap(), &[]);
    complains(&folder, 2, &["first-lift is a directory", "`tidemill plugins pack .` writes"]);
    let lifts = ["first-lift", "second-lift"].map(|name| format!("upcasters/{name}.wasm"));
    assert_eq!(place.installed(), BTreeSet::from(lifts));
}

#[test]
fn a_component_has_the_version_of_its_project_however_it_is_given() {
    let place = Place::new();
    let component = place.write("lifts/build/plugin.wasm", guests::UPCASTER);
    place.write("lifts/dev.toml", b"build = \"make\"\ncomponent = \"build/plugin.wasm\"\n");
    place.write("lifts/pyproject.toml", b"[project]\nname = \"lift-prices\"\nversion = \"1.2.3\"\n");
    for from in [&place.path("lifts"), &component] {
        let made = tidemill().args(["plugins", "pack"]).arg(from).current_dir(place.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(said.starts_with("lift-prices-1.2.3.wasm: "), "{made:?}");
    }
}

#[test]
fn what_lifts_events_is_installed_among_its_like() {
    let place = Place::new();
    let file = place.write("bought.wasm", guests::UPCASTER);
    let source = file.to_str().unwrap();
    let checked = tidemill().args(["plugins", "check", source]).output().unwrap();
    let shown = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{shown}");
    assert!(shown.contains("roles        upcaster") && shown.contains("lifts        Bought 1 → Bought 2"), "{shown}");
    assert!(place.install(source, &[]).status.success());
    assert_eq!(place.installed(), BTreeSet::from(["upcasters/bought.wasm".to_owned()]));
    complains(&place.install(source, &[]), 4, &["--replace"]);
    assert!(place.install(source, &["--replace"]).status.success());
    for folder in ["upcasters", "validators", "schemas"] {
        complains(&place.install(source, &["--name", folder]), 2, &["no name for a plugin"]);
    }
    let plugin = place.write("other.wasm", COUNTER.component);
    let plugin = plugin.to_str().unwrap();
    complains(&place.install(plugin, &["--name", "bought", "--replace"]), 4, &["another kind", "--name"]);
    assert!(place.rm("bought", &["--yes"]).status.success());
    assert_eq!(place.installed(), BTreeSet::new());
}

#[test]
fn what_commands_are_held_to_is_installed_among_its_like_with_its_manifest() {
    let place = Place::new();
    let source = place.write("10-limit.wasm", guests::VALIDATOR);
    let source = source.to_str().unwrap();
    let manifest = place.write("limit.toml", b"commands = [\"account:*\"]\n");
    let with = ["--manifest", manifest.to_str().unwrap()];
    let installed = place.install(source, &with);
    assert!(installed.status.success(), "{installed:?}");
    let files = BTreeSet::from(["validators/10-limit.toml".to_owned(), "validators/10-limit.wasm".to_owned()]);
    assert_eq!(place.installed(), files);
    assert!(place.install(source, &["--replace"]).status.success(), "its manifest stays");
    assert_eq!(place.installed(), files);
    fs::write(&manifest, "[grants]\nappend = [\"A\"]\n").unwrap();
    complains(
        &place.install(source, &[&with[..], &["--replace"]].concat()),
        2,
        &["grants", "a validator's manifest has"],
    );
    assert!(place.rm("10-limit", &["--yes"]).status.success());
    assert_eq!(place.installed(), BTreeSet::new());
}

#[test]
fn an_installed_validator_is_checked_and_packed_with_its_manifest() {
    let place = Place::new();
    let source = place.write("plugins/validators/10-limit.wasm", guests::VALIDATOR);
    place.write("plugins/validators/10-limit.toml", b"commands = [\"account:*\"]\n[config]\ncents_max = 5\n");
    let on = |command: &str| tidemill().args(["plugins", command]).arg(&source).output().unwrap();
    let checked = on("check");
    assert!(checked.status.success(), "{checked:?}");
    let packed = place.path("limit.wasm");
    let made = tidemill().args(["plugins", "pack"]).arg(&source).arg("-o").arg(&packed).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let packed = packed.to_str().unwrap();
    let shown = tidemill().args(["plugins", "check", packed]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("carries      a manifest"), "{shown:?}");
    assert!(place.install(packed, &["--name", "20-limit"]).status.success());
    let manifest = fs::read_to_string(place.path("plugins/validators/20-limit.toml")).unwrap();
    assert!(manifest.contains("account:*"), "{manifest}");
    // What lies beside an upcaster are rules.
    let lifts = place.write("plugins/upcasters/bought.wasm", guests::UPCASTER);
    place.write("plugins/upcasters/bought.toml", b"[[upcast]]\ntype = \"A\"\nfrom = 1\nrules = []\n");
    let checked = tidemill().args(["plugins", "check"]).arg(lifts).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    place.write("plugins/validators/10-limit.toml", b"[grants]\nappend = [\"A\"]\n");
    complains(&on("check"), 2, &["10-limit.toml", "grants"]);
}

#[test]
fn no_more_of_a_file_is_read_than_a_host_takes() {
    let place = Place::new();
    let too_large = ["/dev/zero cannot be read", "more than 67108864 bytes"];
    complains(&place.install("/dev/zero", &["--name", "endless"]), 2, &too_large);
    for command in ["check", "pack"] {
        complains(&tidemill().args(["plugins", command, "/dev/zero"]).output().unwrap(), 2, &too_large);
    }
    let file = place.write("counter.wasm", COUNTER.component);
    let endless = place.install(file.to_str().unwrap(), &["--manifest", "/dev/zero"]);
    complains(&endless, 2, &["/dev/zero cannot be read", "more than 1048576 bytes"]);
    assert_eq!(place.installed(), BTreeSet::new());
}

#[test]
fn a_url_is_followed_and_cut_off() {
    let place = Place::new();
    let web = Registry::start(None);
    let there = web.serve("/files/counter.wasm", COUNTER.component);
    let moved = web.redirect("/latest", &there);
    for (url, name) in [(&there, "counter"), (&moved, "moved")] {
        let installed = place.install(url, &["--name", name]);
        assert!(installed.status.success(), "{installed:?}");
        assert!(fs::read(place.path(&format!("plugins/{name}/plugin.wasm"))).unwrap() == COUNTER.component);
    }
    assert!(place.install(&there, &["--replace"]).status.success(), "its name is that of the file");
    let pinned = place.install(&moved, &["--name", "pinned", "--digest", &sha256(b"another")]);
    complains(&pinned, 6, &["is not what it must be"]);
    complains(&place.install(&there.replace("counter", "nowhere"), &[]), 3, &["nowhere.wasm answered 404"]);
    let round = web.redirect("/round", &format!("http://{}/round", web.address()));
    complains(&place.install(&round, &[]), 5, &["/round cannot be got"]);
    let huge = web.serve("/huge.wasm", &vec![0; (64 << 20) + 1]);
    complains(&place.install(&huge, &[]), 2, &["huge.wasm has more than 67108864 bytes"]);
    let mut all = files("counter");
    all.extend(files("moved"));
    assert_eq!(place.installed(), all);
}

#[test]
fn a_url_of_a_private_authority_is_trusted_when_it_is_said() {
    let place = Place::new();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let web = Registry::start(None);
    let plain = web.serve("/counter.wasm", COUNTER.component);
    web.redirect("/down", &plain);
    let front = secure::in_front_of(web.address(), &ours);
    let url = format!("https://{front}/counter.wasm");
    let untrusted = ["counter.wasm cannot be got", "certificate", "hint: ", "--tls-ca FILE"];
    complains(&place.install(&url, &[]), 5, &untrusted);
    complains(&place.install(&url, &["--tls-ca", &others.ca()]), 5, &untrusted);
    let installed = place.install(&url, &["--tls-ca", &ours.ca()]);
    assert!(installed.status.success(), "{installed:?}");
    let by_variable = place.install_as(&url, &["--name", "second"], &[("TIDEMILL_TLS_CA", &ours.ca())]);
    assert!(by_variable.status.success(), "{by_variable:?}");
    let down = format!("https://{front}/down");
    complains(&place.install(&down, &["--tls-ca", &ours.ca(), "--name", "down"]), 5, &["/down cannot be got"]);
    let mut all = files("counter");
    all.extend(files("second"));
    assert_eq!(place.installed(), all);
}

#[test]
fn a_component_that_is_signed_is_installed() {
    let place = Place::new();
    let key = place.write("component.pub", SUBSCRIBER_KEY.as_bytes());
    let key = ["--key", key.to_str().unwrap()];
    let component = wat::parse_str(SUBSCRIBER).expect("the text of a component");
    let file = place.write("subscriber.wasm", &component);
    place.write("subscriber.wasm.minisig", SUBSCRIBER_SIGNATURE.as_bytes());
    let installed = place.install(file.to_str().unwrap(), &key);
    assert!(installed.status.success(), "{installed:?}");
    assert_eq!(place.installed(), files("subscriber"));
    let web = Registry::start(None);
    let url = web.serve("/subscriber.wasm", &component);
    complains(&place.install(&url, &[&key[..], &["--name", "web"]].concat()), 3, &["subscriber.wasm.minisig", "404"]);
    web.serve("/subscriber.wasm.minisig", SUBSCRIBER_SIGNATURE.as_bytes());
    assert!(place.install(&url, &[&key[..], &["--name", "web"]].concat()).status.success());
    let other = place.write("minisign.pub", KEY.as_bytes());
    let other = place.install(&url, &["--key", other.to_str().unwrap(), "--name", "other"]);
    complains(&other, 6, &["does not sign", "nothing was installed"]);
}

#[test]
fn what_is_compiled_once_is_not_compiled_again() {
    let place = Place::new();
    let file = place.write("counter.wasm", COUNTER.component);
    let cache = place.path("cache");
    let check = |variables: &[(&str, &Path)]| {
        let mut command = tidemill();
        command.args(["plugins", "check", "--json"]).arg(&file).envs(variables.iter().copied());
        let checked = command.output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    };
    let kept = || {
        let entries = fs::read_dir(cache.join("tidemill")).into_iter().flatten().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap())).collect::<Vec<_>>()
    };
    check(&[]);
    assert_eq!(kept().len(), 0, "without a home there is no place");
    check(&[("XDG_CACHE_HOME", &cache)]);
    let first = kept();
    assert_eq!(first.len(), 1);
    check(&[("XDG_CACHE_HOME", &cache)]);
    assert_eq!(kept(), first, "it is read, not written");
    fs::write(cache.join("tidemill").join(&first[0].0), b"damaged").unwrap();
    check(&[("XDG_CACHE_HOME", &cache)]);
    assert_eq!(kept().len(), 1);
}

#[test]
fn a_registry_that_lies_is_found_out() {
    let place = Place::new();
    let registry = Registry::start(None);
    let manifest = registry.push("acme/counter", "1.0", COUNTER.component);
    registry.replace_blob(COUNTER.component, b"something else");
    let lied = place.install(&registry.reference("acme/counter:1.0"), &[]);
    complains(&lied, 6, &["the component of", "is not what it must be"]);
    registry.replace_manifest("acme/counter", &manifest, br#"{"layers":[]}"#);
    let lied = place.install(&registry.reference(&format!("acme/counter@{manifest}")), &[]);
    complains(&lied, 6, &["the manifest of", "is not what it must be"]);
    registry.push_layer("acme/image", "1", "application/vnd.oci.image.layer.v1.tar+gzip", b"tar");
    complains(&place.install(&registry.reference("acme/image:1"), &[]), 2, &["no layer of application/wasm"]);
    assert_eq!(place.installed(), BTreeSet::new());
}

#[test]
fn a_signature_is_asked_for_by_its_key() {
    let place = Place::new();
    let key = place.write("minisign.pub", KEY.as_bytes());
    let key = key.to_str().unwrap();
    let file = place.write("signed.wasm", SIGNED);
    let source = file.to_str().unwrap();
    complains(&place.install(source, &["--key", key]), 3, &["signed.wasm.minisig", "minisign -S"]);
    place.write("signed.wasm.minisig", SIGNATURE.as_bytes());
    complains(&place.install(source, &["--key", key]), 2, &["not WebAssembly"]);
    complains(&place.install(source, &["--key", KEY.lines().last().unwrap()]), 2, &["not WebAssembly"]);
    place.write("signed.wasm", b"a text that is not\n");
    complains(&place.install(source, &["--key", key]), 6, &["does not sign", "nothing was installed"]);
    complains(&place.install(source, &["--key", "nokey"]), 2, &["--key nokey", "minisign -G"]);
    let reference = ["--key", key];
    complains(&place.install("oci://localhost:1/a/b", &reference), 5, &["cannot be got"]);
}
