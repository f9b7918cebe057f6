mod folders;

use std::fs;

use tempfile::TempDir;

use super::*;

/// A plugins directory and its scanner.
struct Fixture {
    directory: TempDir,
    scanner: Scanner,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scanner = Scanner::new(directory.path().into());
        Self { directory, scanner }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Looks once.
    fn look(&mut self) -> Scan {
        self.scanner.scan().unwrap()
    }

    /// Looks twice: what stands still is reported.
    fn settled(&mut self) -> Scan {
        self.look();
        self.look()
    }

    fn found(&mut self, name: &str) -> Option<Found> {
        self.settled().plugins.remove(&PluginName::new(name).unwrap())
    }

    fn ready(&mut self, name: &str) -> Candidate {
        match self.found(name) {
            Some(Found::Ready(candidate)) => *candidate,
            other => panic!("{name} is not ready: {other:?}"),
        }
    }

    fn problem(&mut self, name: &str) -> String {
        match self.found(name) {
            Some(Found::Broken(broken)) => self.strip(&broken.problem),
            other => panic!("{name} is not broken: {other:?}"),
        }
    }

    /// An error's text without the temporary directory.
    fn strip(&self, problem: &SourceError) -> String {
        problem.to_string().replace(&self.directory.path().display().to_string(), "DIR")
    }
}

fn name(text: &str) -> PluginName {
    PluginName::new(text).unwrap()
}

#[test]
fn both_forms_are_found() {
    let mut fixture = Fixture::new();
    fixture.write("orders/plugin.toml", "[delivery]\nmax_attempts = 2");
    fixture.write("orders/any-name.wasm", "orders");
    fixture.write("payment.wasm", "payment");
    fixture.write("stock.wasm", "stock");
    fixture.write("stock.toml", "[config]\na = 1");
    let orders = fixture.ready("orders");
    assert_eq!(orders.manifest.policy.max_attempts, 2);
    assert_eq!(orders.source, fixture.path("orders"));
    assert_eq!(orders.read_component().unwrap(), b"orders");
    let payment = fixture.ready("payment");
    assert_eq!(*payment.manifest, Manifest::default());
    assert_eq!(payment.manifest_path, fixture.path("payment.toml"));
    assert_eq!(payment.digest.len(), 64);
    assert_eq!(fixture.ready("stock").manifest.config["a"], "1");
    let scan = fixture.look();
    assert_eq!(scan.plugins.len(), 3);
    assert!(scan.strays.is_empty() && !scan.settling);
}

#[test]
fn the_manifest_may_say_which_component() {
    let mut fixture = Fixture::new();
    fixture.write("orders/plugin.toml", "component = \"b.wasm\"");
    fixture.write("orders/a.wasm", "a");
    fixture.write("orders/b.wasm", "b");
    assert_eq!(fixture.ready("orders").read_component().unwrap(), b"b");
}

#[test]
fn hidden_and_temporary_files_are_ignored() {
    let mut fixture = Fixture::new();
    for passing in [".a.wasm", "a.wasm~", "a.wasm.tmp", "a.wasm.part", ".a.wasm.swp", "README.md", "#a.wasm"] {
        fixture.write(passing, "x");
    }
    fixture.write("orders/plugin.toml", "");
    fixture.write("orders/orders.wasm", "x");
    fixture.write("orders/.orders.wasm", "x");
    fixture.write("orders/orders.wasm.tmp", "x");
    fixture.write("source-code/Cargo.toml", "[package]");
    let scan = fixture.settled();
    assert_eq!(scan.plugins.keys().collect::<Vec<_>>(), [&name("orders")]);
    assert!(matches!(scan.plugins[&name("orders")], Found::Ready(_)));
    assert!(scan.strays.is_empty());
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let mut fixture = Fixture::new();
    fixture.write("no-component/plugin.toml", "");
    fixture.write("no-manifest/a.wasm", "");
    fixture.write("several/plugin.toml", "");
    fixture.write("several/a.wasm", "");
    fixture.write("several/b.wasm", "");
    fixture.write("missing/plugin.toml", "component = \"gone.wasm\"");
    fixture.write("named.wasm", "");
    fixture.write("named.toml", "component = \"other.wasm\"");
    fixture.write("latin.wasm", "");
    fixture.write("latin.toml", b"# caf\xe9");
    fixture.write("typo.wasm", "");
    fixture.write("typo.toml", "[subscribe]\ntyps = []");
    let expected = [
        ("no-component", "DIR/no-component holds a plugin.toml but no .wasm file; put the component there"),
        (
            "no-manifest",
            "DIR/no-manifest holds a component but no plugin.toml; add one (an empty file will do), \
             or move the component up, beside the folder",
        ),
        (
            "several",
            "DIR/several holds several .wasm files (a.wasm, b.wasm); \
             say which one it is in its plugin.toml: component = \"...\"",
        ),
        (
            "missing",
            "DIR/missing/plugin.toml names component \"gone.wasm\", which is not in that folder; \
             put it there, or change the name",
        ),
        (
            "named",
            "DIR/named.toml belongs to the component beside it and cannot name another; remove its `component` line",
        ),
        ("latin", "DIR/latin.toml is not UTF-8 text; save it as UTF-8"),
        (
            "typo",
            "DIR/typo.toml:2: unknown key \"typs\" in [subscribe]; did you mean \"types\"? \
             known here: types, tags, streams, start",
        ),
    ];
    for (name, text) in expected {
        assert_eq!(fixture.problem(name), text);
    }
}

#[test]
fn two_of_one_name_are_both_named() {
    let mut fixture = Fixture::new();
    fixture.write("orders/plugin.toml", "");
    fixture.write("orders/a.wasm", "a");
    fixture.ready("orders");
    fixture.write("orders.wasm", "b");
    assert_eq!(
        fixture.problem("orders"),
        "plugin orders is there twice, as DIR/orders and as DIR/orders.wasm; remove one of them \
         (whichever runs goes on)"
    );
    fs::remove_file(fixture.path("orders.wasm")).unwrap();
    fixture.ready("orders");
}

#[test]
fn what_belongs_to_no_plugin_is_reported_beside_them() {
    let mut fixture = Fixture::new();
    fixture.write("bad name.wasm", "x");
    fixture.write("alone.toml", "");
    fixture.write("good.wasm", "x");
    let scan = fixture.settled();
    let texts: Vec<_> = scan.strays.values().map(|problem| fixture.strip(problem)).collect();
    assert_eq!(
        texts,
        [
            "DIR/alone.toml has no component: there is no DIR/alone.wasm beside it; add it, or remove the manifest",
            "DIR/bad name.wasm cannot be a plugin: plugin name \"bad name\" holds ' ' at byte 3; \
             allowed are letters, digits, '-', '_' and '.'; rename it",
        ]
    );
    assert_eq!(scan.plugins.len(), 1);
}

#[test]
fn a_file_that_is_still_written_is_never_taken() {
    let mut fixture = Fixture::new();
    fixture.write("orders.wasm", "half");
    for length in 0..5 {
        let scan = fixture.look();
        assert_eq!(scan.plugins[&name("orders")], Found::Settling, "after {length} writes");
        assert!(scan.settling);
        fixture.write("orders.wasm", "half".repeat(length + 2));
    }
    let complete = "half".repeat(6);
    assert_eq!(fixture.ready("orders").read_component().unwrap(), complete.as_bytes());
}

#[test]
fn a_replacement_by_removal_is_never_seen_as_one() {
    let mut fixture = Fixture::new();
    fixture.write("orders.wasm", "one");
    let before = fixture.ready("orders");
    fs::remove_file(fixture.path("orders.wasm")).unwrap();
    assert_eq!(fixture.look().plugins[&name("orders")], Found::Settling);
    fixture.write("orders.wasm", "two");
    assert_ne!(fixture.ready("orders").digest, before.digest);
    fs::remove_file(fixture.path("orders.wasm")).unwrap();
    assert_eq!(fixture.found("orders"), None);
    let scan = fixture.look();
    assert!(scan.plugins.is_empty() && !scan.settling);
}

#[test]
fn a_touched_file_is_another_candidate_of_the_same_digest() {
    let mut fixture = Fixture::new();
    fixture.write("orders.wasm", "one");
    let before = fixture.ready("orders");
    fs::rename(fixture.path("orders.wasm"), fixture.path("aside.tmp")).unwrap();
    fixture.write("orders.wasm", "one");
    let after = fixture.ready("orders");
    assert_eq!(before.digest, after.digest);
    assert_ne!(before, after);
}

#[test]
fn bytes_that_are_no_longer_those_that_were_seen_are_refused() {
    let mut fixture = Fixture::new();
    fixture.write("orders.wasm", "one");
    let candidate = fixture.ready("orders");
    fixture.write("orders.wasm", "two");
    let error = candidate.read_component().unwrap_err();
    assert_eq!(
        fixture.strip(&error),
        "DIR/orders.wasm changed while it was being read; it is loaded when it is complete"
    );
}

#[test]
fn a_directory_that_is_gone_forgets_nothing() {
    let mut fixture = Fixture::new();
    fixture.write("orders.wasm", "x");
    fixture.ready("orders");
    let aside = fixture.directory.path().with_extension("aside");
    fs::rename(fixture.directory.path(), &aside).unwrap();
    let error = fixture.scanner.scan().unwrap_err();
    assert!(matches!(error, SourceError::Directory { .. }), "{error}");
    fs::rename(&aside, fixture.directory.path()).unwrap();
    let scan = fixture.look();
    assert!(matches!(scan.plugins[&name("orders")], Found::Ready(_)), "{scan:?}");
}

#[cfg(unix)]
#[test]
fn what_is_not_a_file_is_never_opened() {
    let mut fixture = Fixture::new();
    fixture.write("orders/plugin.toml", "");
    // Opening a pipe would block for ever; a socket stands in for all that is not a file.
    let socket = std::os::unix::net::UnixListener::bind(fixture.path("orders/a.wasm")).unwrap();
    assert_eq!(fixture.problem("orders"), "DIR/orders/a.wasm is not a file; put a regular file there");
    drop(socket);
}

#[test]
fn a_component_past_the_bound_is_not_read() {
    let mut fixture = Fixture::new();
    fs::File::create(fixture.path("orders.wasm")).unwrap().set_len(files::COMPONENT_BYTES_MAX + 1).unwrap();
    assert_eq!(fixture.problem("orders"), "DIR/orders.wasm has 67108865 bytes; at most 67108864 are allowed");
}
