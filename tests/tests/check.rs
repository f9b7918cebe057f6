//! `tidemill plugins check`: a component looked at without a server, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, ORDER_TOTALS};
use tidemill_tests::{guests, tidemill};

struct Folder(TempDir);

impl Folder {
    fn holding(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let file = self.path("plugin.wasm");
        tidemill().args(["plugins", "check"]).arg(file).args(arguments).output().unwrap()
    }
}

/// Exit code, stdout and stderr.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn refused(component: &[u8], code: i32, words: &[&str]) {
    let (exit, _, errors) = told(&Folder::holding(&[("plugin.wasm", component)]).check(&[]));
    assert_eq!(exit, Some(code), "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "{words:?} in: {errors}");
}

#[test]
fn a_component_that_fits_is_shown_with_all_that_it_asks_for() {
    let folder = Folder::holding(&[("plugin.wasm", COUNTER.component)]);
    let (exit, shown, errors) = told(&folder.check(&[]));
    assert_eq!((exit, errors.as_str()), (Some(0), ""), "{shown}");
    for words in ["roles        subscriber", "tidemill:plugin/state@0.1.1", "Rust\n", "at the start"] {
        assert!(shown.contains(words), "{words} in: {shown}");
    }
    let (exit, shown, _) = told(&folder.check(&["--json"]));
    let found: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((exit, &found["roles"], &found["refused"]), (Some(0), &json!(["subscriber"]), &Value::Null));
    assert_eq!(found["bytes"], COUNTER.component.len());
    assert!(found["memory_bytes_min"].as_u64().unwrap() >= 64 << 10, "{found}");
}

#[test]
fn the_schema_of_its_state_is_shown_where_it_says_one() {
    let manifest = ORDER_TOTALS.manifest.as_bytes();
    let folder = Folder::holding(&[("plugin.wasm", ORDER_TOTALS.component), ("plugin.toml", manifest)]);
    let (exit, shown, errors) = told(&folder.check(&[]));
    assert!(exit == Some(0) && shown.contains("state schema 1\n"), "{shown}{errors}");
    let (_, shown, _) = told(&folder.check(&["--json"]));
    let found: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(found["description"]["state_schema"], "1", "{found}");
}

#[test]
fn what_the_host_would_not_run_is_refused_in_its_words() {
    refused(b"\0asm\x01\0\0\0", 2, &["core module", "wasm32-wasip2"]);
    refused(b"hello", 2, &["not WebAssembly", "hello"]);
    refused(&COUNTER.component[..COUNTER.component.len() / 2], 2, &["not a valid component"]);
    refused(guests::UNKNOWN_IMPORT, 2, &["it imports", "does not offer"]);
    refused(guests::NO_EXPORTS, 2, &["which makes it no plugin"]);
    refused(guests::HTTP_GET, 6, &["granted no HTTP", "in [grants]: http"]);
    let (exit, _, errors) = told(&Folder::holding(&[]).check(&[]));
    assert!(exit == Some(3) && errors.contains("plugin.wasm cannot be read"), "{errors}");
    let folder = Folder::holding(&[]);
    fs::create_dir(folder.path("plugin.wasm")).unwrap();
    let (exit, _, errors) = told(&folder.check(&[]));
    let words = ["plugin.wasm is a directory", "give the .wasm file that the build wrote"];
    assert!(exit == Some(2) && words.iter().all(|word| errors.contains(word)), "{errors}");
}

#[test]
fn it_is_held_against_the_manifest_beside_it_or_the_one_that_is_named() {
    let granted = "[grants]\nappend = [\"Asked\"]\nhttp = [\"https://api.example.com\"]\n[config]\ncurrency = \"EUR\"\n\
                   [grants.secrets]\n\
                   API_KEY = { file = \"key\", host = \"https://api.example.com\", header = \"x-key\" }\n";
    let folder = Folder::holding(&[
        ("plugin.wasm", guests::ASKS),
        ("key", b"s3cret\n"),
        ("other.toml", granted.as_bytes()),
        ("typo.toml", b"[grants]\napend = [\"*\"]\n"),
    ]);
    let (exit, shown, errors) = told(&folder.check(&[]));
    assert!(exit == Some(6) && errors.contains("in [grants]: append = ['Asked']"), "{errors}");
    assert!(shown.contains("appends      Asked"), "{shown}");
    let named = |name: &str| told(&folder.check(&["--manifest", folder.path(name).to_str().unwrap()]));
    assert_eq!(named("other.toml").0, Some(0));
    let (exit, _, errors) = named("typo.toml");
    assert!(exit == Some(2) && errors.contains("apend") && errors.contains("append"), "{errors}");
    fs::rename(folder.path("other.toml"), folder.path("plugin.toml")).unwrap();
    assert_eq!(told(&folder.check(&[])).0, Some(0));
}

/// The component with a custom section more, of so many bytes.
fn with_section(component: &[u8], name: &str, bytes: usize) -> Vec<u8> {
    let leb = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 127 {
            bytes.push(number as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let content = [leb(name.len()), name.as_bytes().to_vec(), vec![0; bytes]].concat();
    [component, &[0][..], &leb(content.len()), &content].concat()
}

#[test]
fn what_is_odd_is_warned_of_and_runs_all_the_same() {
    let warns = |component: &[u8], manifest: &str, words: &[&str]| {
        let folder = Folder::holding(&[("plugin.wasm", component), ("plugin.toml", manifest.as_bytes())]);
        let (exit, shown, errors) = told(&folder.check(&[]));
        assert_eq!(exit, Some(0), "{shown}{errors}");
        for word in words {
            assert!(
                errors.lines().any(|line| line.starts_with("warning: ") && line.contains(word)),
                "{word} in: {errors}"
            );
        }
        let (_, shown, errors) = told(&folder.check(&["--json"]));
        let found: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(errors, "", "they are in the object");
        found
    };
    let plain = warns(guests::OK, "", &["it does not describe itself"]);
    assert_eq!(plain["warnings"].as_array().unwrap().len(), 1, "{plain}");
    let debug = with_section(guests::OK, ".debug_info", guests::OK.len() * 2);
    warns(&debug, "", &["are debug information: build it for release"]);
    let least = plain["memory_bytes_min"].as_u64().unwrap();
    let tight = format!("[limits]\nmemory = \"{}B\"\n", least * 3 / 2);
    warns(guests::OK, &tight, &["give it more by [limits] memory"]);
    let http = "[grants]\nhttp = [\"https://api.example.com\"]\n";
    let http = warns(guests::HTTP_GET, http, &["it imports HTTP, so two runs over the same events may differ"]);
    assert_eq!(http["replayable"], false);
    warns(guests::WASI_PROBE, "", &["it imports wasi:filesystem: there are no files", "it imports wasi:clocks: "]);
}
