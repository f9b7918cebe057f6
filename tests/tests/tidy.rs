//! House rules as tests: layer order, names that belong to one place, sizes, leftovers, dead links.

use std::fs;
use std::path::{Path, PathBuf};

/// Layers of `host/src`, lowest first; a module may name its own rank's modules and lower ones.
const LAYERS: &[&[&str]] = &[
    &["clock", "document", "error", "measure", "nearest", "trace"],
    &["event"],
    &["integrity", "schema"],
    &["access"],
    &["store"],
    &["backup"],
    &["delivery"],
    &["projection"],
    &["command"],
    &["runtime"],
    &["plugin"],
    &["config", "telemetry"],
    &["gate"],
    &["api", "grpc"],
    &["kit"],
    &["cli"],
    &["app"],
];

/// A text that may stand only in some places of `host/src`, and why.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("wasmtime", &["runtime/"], "wasmtime belongs to the runtime"),
    (
        "redb::",
        &["store/embedded/state", "store/embedded/disk", "store/embedded/failure.rs"],
        "redb belongs to the file of plugins' data",
    ),
    ("SystemTime::now", &["clock.rs"], "time comes from a Clock"),
    ("Instant::now", &["clock.rs"], "time comes from a Clock"),
    ("std::env", &["config", "cli/"], "the environment is read at the edge"),
    ("env::var", &["config", "cli/"], "the environment is read at the edge"),
    ("unbounded_channel", &[], "every queue is bounded"),
    ("mpsc::channel()", &[], "every queue is bounded"),
    ("anyhow", &[], "layers have their own error enums"),
    ("axum", &["api"], "HTTP belongs to the API"),
    ("tonic::", &["grpc", "telemetry/otlp.rs"], "gRPC belongs to its face; messages of OTLP stand below the name too"),
    ("prost::", &["grpc", "telemetry/otlp.rs"], "protobuf belongs to the edge"),
    ("opentelemetry::", &["trace.rs", "telemetry/otlp.rs"], "spans are made in one place and sent from another"),
    ("Uuid::now_v7", &["event/", "store/stream.rs", "cli/"], "ids are made where events are proposed"),
];

/// Places that must not name a text.
const PURE: &[(&str, &str)] = &[
    ("event/", "tokio"),
    ("delivery/machine", "tokio"),
    ("event/", "std::fs"),
    ("schema/", "tokio"),
    ("schema/", "std::fs"),
    ("access/", "tokio"),
    ("access/", "std::fs"),
];

const FILE_LINES_MAX: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is around this package").into()
}

/// Every file below a folder whose name ends so; build output and hidden folders left out.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The host's sources: path relative to `host/src`, and the code without comments and test modules.
fn host_sources() -> Vec<(String, String)> {
    let source = root().join("host/src");
    files(&source, ".rs")
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let name = path.strip_prefix(&source).expect("below host/src").to_string_lossy().into_owned();
            (name, code_of(&text))
        })
        .filter(|(name, _)| !name.ends_with("tests.rs") && !name.contains("/tests/"))
        .collect()
}

/// Code lines, without the items that are for tests only.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            skip_item(&mut lines);
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// Skips an item after its first attribute: to its `;`, or to the brace at the margin that closes its block.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let head = lines.find(|line| !line.starts_with(['#', '/']) && line.ends_with([';', '{', '}']));
    if head.expect("an item after its attribute").ends_with('{') {
        let close = lines.find(|line| matches!(*line, "}" | "};"));
        assert!(close.is_some(), "the block of a test item has no end");
    }
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top-level modules that code names as `crate::<module>`.
fn named_modules(code: &str) -> Vec<String> {
    let names = code.split("crate::").skip(1);
    names.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn code_is_all_but_what_is_for_tests() {
    let module = "#[cfg(test)]\n#[expect(lint, reason = \"why\")]\nmod tests {\n    fn a() {\n    }\n}\n";
    for (text, code) in [
        ("#[cfg(test)]\nmod tests;\n\nuse a;\n", "\nuse a;\n"),
        (&*format!("// why\nuse a;\n{module}"), "use a;\n"),
        (&*format!("use a;\n{module}use b;\n"), "use a;\nuse b;\n"),
        ("#[cfg(test)]\npub(super) fn a(\n    b: B,\n) -> C {\n    b\n}\nuse c;\n", "use c;\n"),
        ("#[cfg(test)]\nuse a::{\n    b,\n};\nuse c;\n", "use c;\n"),
        ("#[cfg(test)]\nimpl A for B {}\nuse c;\n", "use c;\n"),
    ] {
        assert_eq!(code_of(text), code, "{text}");
    }
    let seen = host_sources();
    let machine = seen.iter().find(|(name, _)| name == "delivery/machine.rs");
    assert!(machine.is_some_and(|(_, code)| code.contains("struct Machine")));
}

#[test]
fn lower_layers_know_nothing_of_higher_ones() {
    let mut faults = Vec::new();
    for (name, code) in host_sources() {
        let module = name.split(['/', '.']).next().unwrap_or_default();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(own) = rank(module) else {
            faults.push(format!("host/src/{name}: module `{module}` has no layer; add it to LAYERS"));
            continue;
        };
        for named in named_modules(&code) {
            if rank(&named).is_some_and(|other| other > own) {
                faults.push(format!("host/src/{name} names crate::{named}, a higher layer"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_table_of_layers_has_their_order() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Layers\n")).expect("the section of layers");
    let first = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let told: Vec<_> = first.flat_map(|cell| cell.split(", ").map(|name| name.trim_matches('`'))).collect();
    let ranks: Vec<_> = told.iter().map(|name| rank(name)).collect();
    assert!(ranks.is_sorted() && ranks.iter().all(Option::is_some), "{told:?}: {ranks:?}");
    let untold: Vec<_> = LAYERS.concat().into_iter().filter(|name| !told.contains(name)).collect();
    assert!(untold.is_empty(), "ARCHITECTURE.md has no row of {untold:?}");
}

/// Whether code has a text that is no end of a longer word.
fn names(code: &str, text: &str) -> bool {
    let is_of_word = |before: char| before.is_alphanumeric() || before == '_';
    code.match_indices(text).any(|(at, _)| !code[..at].ends_with(is_of_word) || !text.starts_with(is_of_word))
}

#[test]
fn names_stay_where_they_belong() {
    let mut faults = Vec::new();
    for (name, code) in host_sources() {
        // Our own module of that name is not the crate.
        let code = code.replace("store::embedded::", "store::");
        for (text, places, why) in BANNED {
            if names(&code, text) && !places.iter().any(|place| name.starts_with(place)) {
                faults.push(format!("host/src/{name} names `{text}`: {why}"));
            }
        }
        for (place, text) in PURE {
            if name.starts_with(place) && names(&code, text) {
                faults.push(format!("host/src/{name} names `{text}`, but {place} is pure"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn files_stay_readable() {
    let long = |path: &PathBuf| {
        let lines = fs::read_to_string(path).expect("a source file").lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{} has {lines} lines: look for the seam", path.display()))
    };
    let faults: Vec<_> = files(&root(), ".rs").iter().filter_map(long).collect();
    assert_none(&faults);
}

#[test]
fn nothing_is_left_over() {
    let leftovers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("dbg", "!(")];
    let mut faults = Vec::new();
    for ending in [".rs", ".md", ".toml", ".wit", ".sh"] {
        for path in files(&root(), ending) {
            let text = fs::read_to_string(&path).expect("a file of the project");
            for leftover in leftovers.iter().filter(|leftover| text.contains(**leftover)) {
                faults.push(format!("{} holds {leftover}", path.display()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn tests_do_not_sleep() {
    let mut faults = Vec::new();
    for path in files(&root().join("tests/tests"), ".rs") {
        let text = fs::read_to_string(&path).expect("a test");
        if !path.ends_with("tidy.rs") && (text.contains("thread::sleep") || text.contains("time::sleep")) {
            faults.push(format!("{} sleeps: poll with the helper that has a deadline", path.display()));
        }
    }
    assert_none(&faults);
}

#[test]
fn links_in_the_docs_lead_somewhere() {
    let mut faults = Vec::new();
    for path in files(&root(), ".md") {
        let text = fs::read_to_string(&path).expect("a document");
        // Every other part is code, in blocks and in lines.
        let prose: String = text.split("\n```").step_by(2).flat_map(|block| block.split('`').step_by(2)).collect();
        for target in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || file.is_empty();
            if !outside && !path.parent().expect("a folder").join(file).exists() {
                faults.push(format!("{} links to {target}, which is not there", path.display()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_guest_has_a_test() {
    let tests: String = files(&root().join("tests/tests"), ".rs")
        .iter()
        .map(|path| fs::read_to_string(path).expect("a test"))
        .collect();
    let untested = |name: &&str| !tests.contains(&format!("guests::{}", name.to_uppercase()));
    let faults: Vec<_> = tidemill_tests::guests::ALL
        .iter()
        .map(|(name, _)| *name)
        .filter(untested)
        .map(|name| format!("tests/guests/examples/{name}.rs is in no test"))
        .collect();
    assert_none(&faults);
}
