//! Verifying and measuring data directories.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::cli::{doctor, verify};
use crate::clock::{Stopwatch, SystemClock};
use crate::store::embedded::{EmbeddedStore, OpenOptions};

/// Longest that something may take that must come.
const DEADLINE: Duration = Duration::from_secs(120);

fn open(directory: &Path) -> Result<Option<Arc<dyn Store>>, crate::store::StoreError> {
    let options = OpenOptions { journal_bytes_max: 64 << 10, ..OpenOptions::new(directory) };
    Ok(Some(Arc::new(EmbeddedStore::open(&options, Arc::new(SystemClock))?)))
}

/// A directory with 400 events, some of them sealed.
fn pond() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap().unwrap();
    for round in 0..40 {
        let data = format!("\"{}\"", "x".repeat(1000));
        let events = (0..10).map(|id| event(round * 10 + id + 1, "T", &data)).collect();
        store.append(AppendRequest::unconditional(events)).wait().unwrap();
    }
    // Another thread seals, and may begin late. It ends what it has begun before the store is closed.
    let begin = Stopwatch::start();
    while files(&directory, ".index").is_empty() {
        assert!(begin.elapsed() < DEADLINE, "nothing is sealed");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(store);
    directory
}

/// The files whose names end so.
fn files(directory: &TempDir, ending: &str) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|name| name.to_string_lossy().ends_with(ending));
    names.sort();
    names
}

/// The first of them.
fn file(directory: &TempDir, ending: &str) -> PathBuf {
    files(directory, ending).into_iter().next().expect("something is sealed")
}

fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(file, bytes).unwrap();
}

/// What is printed, and how the command ends.
fn run(directory: &Path, line: &str) -> (String, Result<(), CliError>) {
    let line = format!("{line} --data {}", directory.display());
    let server = || Server::new("http://127.0.0.1:1".parse().unwrap());
    let mut bytes = Vec::new();
    let mut output = Output::plain(&mut bytes);
    let result = match parse(&line).unwrap().command {
        Command::Verify(args) => verify::run(&args, &server(), &mut output),
        Command::Doctor(args) => doctor::run(&args, server(), None, &mut output),
        other => panic!("neither: {other:?}"),
    };
    output.flush().unwrap();
    drop(output);
    (String::from_utf8(bytes).unwrap(), result)
}

fn failed(result: Result<(), CliError>) -> (Exit, String, String) {
    let Err(CliError::Failed { exit, what, hint }) = result else { panic!("no failure: {result:?}") };
    (exit, what, hint.unwrap_or_default())
}

#[test]
fn a_sound_store_is_said_to_be_sound() {
    let pond = pond();
    let (text, result) = run(pond.path(), "tidemill verify");
    result.unwrap();
    assert!(text.starts_with("head         400\nevents       400\nsegments     "), "{text}");
    assert!(text.ends_with("problems     0\n"), "{text}");
    let (text, result) = run(pond.path(), "tidemill verify --json --repair-indexes");
    result.unwrap();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&summary["sound"], &summary["made"]), (&true.into(), &0.into()), "{summary}");
}

#[test]
fn a_damaged_segment_is_named_and_not_repaired() {
    let pond = pond();
    let segment = file(&pond, ".segment");
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    flip_a_bit(&segment);
    let (text, result) = run(pond.path(), "tidemill verify");
    assert!(text.contains("\nproblems     1\n") && text.lines().last().unwrap().starts_with(&name), "{text}");
    let (exit, what, hint) = failed(result);
    assert_eq!(exit, Exit::Failure);
    assert!(what.starts_with(&format!("the store is damaged in {name}: ")), "{what}");
    assert!(hint.contains("restore the damaged files from a backup"), "{hint}");
    let (text, result) = run(pond.path(), "tidemill verify --json --repair-indexes");
    assert_eq!(failed(result).0, Exit::Failure);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["place"], &lines[0]["repairable"]), (&name.into(), &false.into()));
    assert_eq!((&lines[1]["sound"], &lines[1]["problems"]), (&false.into(), &1.into()));
}

#[test]
fn a_damaged_or_missing_index_is_made_anew() {
    for missing in [false, true] {
        let pond = pond();
        let index = file(&pond, ".index");
        let name = index.file_name().unwrap().to_string_lossy().into_owned();
        if missing {
            std::fs::remove_file(&index).unwrap()
        } else {
            flip_a_bit(&index)
        }
        let (_, result) = run(pond.path(), "tidemill verify");
        let (exit, what, hint) = failed(result);
        assert!(exit == Exit::Failure && what.contains(&name) && hint.contains("--repair-indexes"), "{what}; {hint}");
        let (text, result) = run(pond.path(), "tidemill verify --repair-indexes");
        result.unwrap();
        assert!(text.starts_with(&format!("replaced {name}: ")), "{text}");
        assert!(text.contains("\nindex files: 1 replaced, ") && text.ends_with("\nproblems     0\n"), "{text}");
        let (_, result) = run(pond.path(), "tidemill verify");
        result.unwrap();
    }
}

#[test]
fn sizes_are_printed_and_what_is_unusual() {
    let pond = pond();
    let (text, result) = run(pond.path(), "tidemill doctor");
    result.unwrap();
    assert!(text.starts_with("events         400\nstreams        1\nhead           400\nsealed up to   "), "{text}");
    assert!(text.contains("\nPART ") && text.contains("\nsegments ") && !text.contains("\nwrong: "), "{text}");
    for found in ["the log opens", "belongs to user", "free", "writes a second", "no plugins directory"] {
        assert!(text.contains(found), "{found} in {text}");
    }
    let (json, _) = run(pond.path(), "tidemill doctor --json");
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    let on_disk: u64 = std::fs::read_dir(&pond)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "lock" && entry.file_type().unwrap().is_file())
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert_eq!(view["total_bytes"], on_disk, "every file is counted");
    assert!(view["amplification"].as_f64().unwrap() > 1.0, "{view}");

    let states: Vec<_> = view["checks"].as_array().unwrap().iter().map(|check| &check["state"]).collect();
    assert!(states.len() > 5 && !states.contains(&&"wrong".into()), "{view}");

    std::fs::remove_file(file(&pond, ".index")).unwrap();
    let (text, result) = run(pond.path(), "tidemill doctor");
    assert!(text.starts_with("events         -\n"), "{text}");
    assert!(text.contains("\nwrong:   the log does not open: "), "{text}");
    let (exit, what, hint) = failed(result);
    assert!(exit == Exit::Failure && what.starts_with("the log does not open: "), "{what}");
    assert!(hint.contains("`tidemill verify"), "{hint}");
}

#[test]
fn a_plugin_that_would_be_refused_is_wrong() {
    let pond = pond();
    let plugins = pond.path().join("plugins");
    for (name, manifest) in [("broken", "[delivery]\nbatch_event_max = 1\n"), ("empty", "")] {
        std::fs::create_dir_all(plugins.join(name)).unwrap();
        std::fs::write(plugins.join(name).join("plugin.toml"), manifest).unwrap();
    }
    std::fs::write(plugins.join("junk.wasm"), "not a component").unwrap();
    let (text, result) = run(pond.path(), "tidemill doctor");
    for name in ["broken", "empty", "junk"] {
        assert!(text.contains(&format!("\nwrong:   plugin {name} is refused: ")), "{text}");
    }
    assert!(text.contains("batch_events_max"), "the nearest key is named: {text}");
    let (exit, what, hint) = failed(result);
    assert_eq!(exit, Exit::Failure);
    assert!(what.starts_with("3 things are wrong, first: plugin broken is refused") && !hint.is_empty(), "{what}");
}

#[test]
fn where_there_is_no_store_or_it_is_in_use_nothing_is_verified() {
    let nothing = tempfile::tempdir().unwrap();
    for line in ["tidemill verify", "tidemill doctor"] {
        assert_eq!(failed(run(nothing.path(), line).1).0, Exit::NotFound);
    }
    assert_eq!(std::fs::read_dir(&nothing).unwrap().count(), 0, "none is made");
    let used = tempfile::tempdir().unwrap();
    let _store = open(used.path()).unwrap();
    for line in ["tidemill verify", "tidemill doctor"] {
        let (exit, what, _) = failed(run(used.path(), line).1);
        assert!(exit == Exit::Unavailable && what.contains("--server"), "{what}");
    }
}
