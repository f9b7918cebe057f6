//! The book in `docs/`: every sample is built and run, every output compared, every link followed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidemill::plugin::Manifest;
use tidemill::schema::rules;
use tidemill_templates::{LANGUAGES, Language};
use tidemill_tests::book::{Page, Sample, Session};
use tidemill_tests::projects::can_build;
use tidemill_tests::tidemill;

/// A test for each page that has something to run, and the languages that have to be built for it.
macro_rules! pages {
    ($($test:ident: $page:literal [$($language:literal),*];)*) => {
        $(
            #[test]
            fn $test() {
                follow($page, &[$($language),*]);
            }
        )*

        const FOLLOWED: &[(&str, &[&str])] = &[$(($page, &[$($language),*])),*];
    };
}

pages! {
    installing: "install" [];
    a_first_plugin_in_rust: "first-plugin-rust" ["rust"];
    a_first_plugin_in_typescript: "first-plugin-typescript" ["js"];
    a_first_plugin_in_python: "first-plugin-python" ["python"];
    a_first_plugin_in_go: "first-plugin-go" ["go"];
    a_first_plugin_in_c: "first-plugin-c" ["c"];
    state: "state" ["rust"];
    appending: "emitting" ["rust"];
    errors: "errors" ["rust"];
    limits_and_grants: "limits-and-grants" ["c"];
    http: "http" ["rust"];
    time_and_chance: "time-and-chance" ["rust"];
    testing: "testing" ["rust", "c"];
    upgrading: "upgrading" ["c"];
    reading_your_writes: "reading-your-writes" ["c"];
    running: "running" [];
    keys: "keys-and-tls" [];
    backup: "backup" [];
    retention: "retention" [];
    watching: "watching" [];
    coming_from: "coming-from" [];
    commands: "commands" ["rust", "js", "python"];
    upcasters: "upcasters" ["rust", "js", "python", "c"];
    packaging: "packaging" ["c"];
}

/// What a fresh machine lacks, beside what the SDKs name.
const BASICS: &[&str] = &[
    "apt-get update",
    "apt-get install build-essential curl git",
    "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y",
    ". ~/.cargo/env",
    "cargo build --release",
    "install -m 755 target/release/tidemill ~/.cargo/bin/",
    "apt-get install python3-venv",
    "python3 -m venv ~/.tidemill-python",
    ". ~/.tidemill-python/bin/activate",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

fn source() -> PathBuf {
    workspace().join("docs/src")
}

fn page(name: &str) -> Page {
    Page::read(&source().join(format!("{name}.md")))
}

/// Every page, by name.
fn pages() -> Vec<(String, Page)> {
    let mut files: Vec<_> = fs::read_dir(source()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), Page::read(file))).collect()
}

fn follow(name: &str, languages: &[&str]) {
    if languages.iter().all(|language| can_build(Language::named(language).unwrap())) {
        Session::new(name).follow(&page(name));
    }
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_page_is_in_the_summary_once() {
    let listed: Vec<_> = page("SUMMARY").links.into_iter().map(|link| link.replace(".md", "")).collect();
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "a page is listed twice");
    let there: BTreeSet<_> = pages().into_iter().map(|(name, _)| name).filter(|name| name != "SUMMARY").collect();
    assert_eq!(set, there);
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    let readme = ["docs/README.md", "README.md"].map(|file| Page::read(&workspace().join(file)));
    for page in pages().into_iter().map(|(_, page)| page).chain(readme) {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.file.clone() } else { page.file.parent().unwrap().join(file) };
            let found =
                target.exists() && (anchor.is_empty() || Page::read(&target).anchors.iter().any(|a| a == anchor));
            if !found {
                faults.push(format!("{} links to {link}, which is not there", page.file.display()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_sample_is_tried() {
    let mut faults = Vec::new();
    for (name, page) in pages() {
        if page.is_run() && !FOLLOWED.iter().any(|(followed, _)| *followed == name) {
            faults.push(format!("{name} has something to run, and no test does: add it to `pages!`"));
        }
        for shown in &page.samples {
            let fault = match &shown.sample {
                Sample::Unmarked { mark, .. } => Some(format!("nobody knows the mark {mark:?}")),
                Sample::Manifest(text) => Manifest::parse("plugin.toml", text).err().map(|error| error.to_string()),
                _ => None,
            };
            faults.extend(fault.map(|fault| format!("{}:{}: {fault}", page.file.display(), shown.line)));
        }
    }
    assert_none(&faults);
}

/// Samples of each README that are code of a page that is followed, but for comments: at least so many.
const OF_THE_BOOK: &[(&str, usize)] = &[
    ("README.md", 1),
    ("sdk/c/README.md", 1),
    ("sdk/go/README.md", 1),
    ("sdk/js/README.md", 2),
    ("sdk/python/README.md", 2),
    ("sdk/rust/README.md", 2),
];

#[test]
fn code_of_readmes_is_that_of_the_book() {
    let followed = FOLLOWED.iter().flat_map(|(name, _)| page(name).samples);
    let of_book: Vec<_> = followed
        .filter_map(|shown| match shown.sample {
            Sample::File { text, .. } => Some(code(&text)),
            _ => None,
        })
        .collect();
    let is_held = |sample: &Sample| match sample {
        Sample::Unmarked { text, .. } => {
            let text = code(text);
            text.lines().count() > 3 && of_book.iter().any(|sample| sample.contains(&text))
        }
        _ => false,
    };
    let mut faults = Vec::new();
    for (file, least) in OF_THE_BOOK {
        let samples = Page::read(&workspace().join(file)).samples;
        let code = samples.iter().filter(|shown| is_code(&shown.sample));
        let (held, other): (Vec<_>, Vec<_>) = code.partition(|shown| is_held(&shown.sample));
        if held.len() < *least {
            let lines: Vec<_> = other.iter().map(|shown| shown.line.to_string()).collect();
            let lines = lines.join(", ");
            faults.push(format!("{file}: {least} samples are to be a page's; none are those of the lines {lines}"));
        }
    }
    assert_none(&faults);
}

fn is_code(sample: &Sample) -> bool {
    matches!(sample, Sample::Unmarked { mark, .. } if ["rust", "ts", "go", "c", "python"].contains(&&**mark))
}

/// Code without comments, empty lines and indentation.
fn code(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let is_comment = |line: &&str| ["//", "/*", "# ", "\"\"\""].iter().any(|begin| line.starts_with(begin));
    lines.filter(|line| !line.is_empty() && !is_comment(line)).map(|line| format!("{line}\n")).collect()
}

/// Manifests and rules on the project's first page are understood.
#[test]
fn settings_of_the_first_page_are_understood() {
    let (mut faults, mut held) = (Vec::new(), 0);
    for shown in Page::read(&workspace().join("README.md")).samples {
        let Sample::Unmarked { mark, text } = shown.sample else { continue };
        if mark != "toml" {
            continue;
        }
        held += 1;
        let fault = if text.contains("[[upcast]]") {
            rules::read("README.md", &text).err().map(|error| error.to_string())
        } else {
            Manifest::parse("README.md", &text).err().map(|error| error.to_string())
        };
        faults.extend(fault.map(|fault| format!("README.md:{}: {fault}", shown.line)));
    }
    assert_none(&faults);
    assert!(held > 2, "{held} samples");
}

/// Commands of the prose, and those of the project's first page, which no test follows: they are there, with these options.
#[test]
fn commands_that_are_only_named_exist() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let of_readme = readme.lines().filter(|line| line.starts_with("tidemill ")).map(str::to_owned);
    let named: BTreeSet<_> = pages().into_iter().flat_map(|(_, page)| page.named).chain(of_readme).collect();
    assert!(named.len() > 20, "{named:?}");
    let mut faults = Vec::new();
    for command in named {
        let said = command.split(" #").next().unwrap_or_default();
        let is_word = |word: &&str| !word.starts_with('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let words = said.split_whitespace().skip(1).filter(|word| *word != "help").take_while(is_word).take(2);
        let help = tidemill().args(words).arg("--help").output().unwrap();
        let text = String::from_utf8_lossy(&help.stdout);
        let options = said.split_whitespace().filter(|word| word.starts_with("--"));
        let mut names = options.map(|option| option.split('=').next().unwrap_or(option));
        let unknown = names.find(|name| !text.contains(name));
        if !help.status.success() || unknown.is_some() {
            faults.push(format!("`{command}`: there is no such command, or no option {unknown:?}"));
        }
    }
    assert_none(&faults);
}

#[test]
fn what_is_to_be_installed_is_what_the_sdks_need() {
    let plain = |line: &str| line.split(" #").next().unwrap_or_default().trim_end().replace(" -y ", " ");
    let named: Vec<_> = LANGUAGES.iter().flat_map(|language| language.install).map(|line| plain(line)).collect();
    let mut faults = Vec::new();
    for (name, page) in pages() {
        let unknown = |line: &String| !named.contains(line) && !BASICS.contains(&line.as_str()) && !line.is_empty();
        let unknown = page.installs().map(&plain).filter(unknown);
        faults.extend(unknown.map(|line| format!("{name} installs what no SDK names: {line}")));
    }
    for (page, languages) in FOLLOWED.iter().filter(|(page, _)| page.starts_with("first-plugin")) {
        let installs: Vec<_> = self::page(page).installs().map(&plain).collect();
        let needs = languages.iter().flat_map(|language| Language::named(language).unwrap().install);
        let missing = needs.map(|line| plain(line)).filter(|line| !installs.contains(line));
        faults.extend(missing.map(|line| format!("{page} does not say: {line}")));
    }
    assert_none(&faults);
}

/// Headings of the page are texts as they are shown; what varies stands as an ellipsis.
#[test]
fn texts_to_look_up_are_texts_that_are_shown() {
    let mut sources = String::new();
    for folder in ["host/src", "sdk"] {
        gather(&workspace().join(folder), &mut sources);
    }
    let headings = fs::read_to_string(source().join("troubleshooting.md")).unwrap();
    let texts = headings.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let lacks = |text: &&str| !text.split('…').all(|part| sources.contains(part.trim()));
    let faults: Vec<_> = texts.clone().filter(lacks).map(|text| format!("nothing says: {text}")).collect();
    assert!(texts.count() > 10, "the page has texts to look up");
    assert_none(&faults);
}

/// Adds the text of every source below a folder, with texts that go on in the next line put together.
fn gather(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            gather(&path, sources);
        } else if ["rs", "ts", "py", "go", "c", "sh"].contains(&extension) {
            let text = fs::read_to_string(&path).unwrap();
            let mut parts = text.split("\\\n");
            sources.push_str(parts.next().unwrap_or_default());
            parts.for_each(|part| sources.push_str(part.trim_start()));
        }
    }
}
