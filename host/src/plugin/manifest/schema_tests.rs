//! The JSON schema says what the parser says.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::*;
use crate::document::{Known, schema_check::faults};

fn schema() -> Json {
    serde_json::from_str(MANIFEST_SCHEMA).unwrap()
}

fn faults_of(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    faults(&schema(), &serde_json::to_value(table).unwrap())
}

/// Whether the parser takes a text; the schema must be of the same mind.
fn is_taken(text: &str) -> bool {
    let (parsed, faults) = (Manifest::parse("plugin.toml", text), faults_of(text));
    assert_eq!(parsed.is_ok(), faults.is_empty(), "{text:?}: {:?} {faults:?}", parsed.err());
    faults.is_empty()
}

/// Where the schema of a table stands.
fn place(known: &Known<'_>) -> String {
    match known.name {
        "" => String::new(),
        "grants.secrets" => "/properties/grants/properties/secrets/additionalProperties".into(),
        name => name.split('.').map(|part| format!("/properties/{part}")).collect(),
    }
}

/// Those of plugins: a validator's has keys of its own.
fn manifests(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            manifests(&path, found);
        } else if name == "plugin.toml" && !path.ends_with("validator/plugin.toml")
            || path.ends_with("manifest/default.toml")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_manifest_of_the_project_is_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    manifests(root, &mut found);
    assert!(found.len() > 8, "{found:?}");
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(faults_of(&text).is_empty(), "{}: {:?}", path.display(), faults_of(&text));
    }
}

#[test]
fn both_know_the_same_keys() {
    let schema = schema();
    for known in keys::TABLES.iter().copied().chain([&keys::SECRET]) {
        let table = schema.pointer(&place(known)).unwrap();
        let mut stated: Vec<_> = table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut keys = known.keys.to_vec();
        keys.sort_unstable();
        stated.sort_unstable();
        assert_eq!(stated, keys, "[{}]", known.name);
        assert_eq!(table["additionalProperties"], false, "[{}]", known.name);
        for unknown in ["memorry", "colour"].into_iter().chain(known.later.iter().copied()) {
            let text = match known.name {
                "grants.secrets" => format!("grants.secrets.K = {{ env = \"K\", config = true, {unknown} = 1 }}"),
                name => format!("{name}{}{unknown} = 1", if name.is_empty() { "" } else { "." }),
            };
            assert!(!is_taken(&text), "{text}");
        }
    }
}

#[test]
fn both_draw_the_same_bounds() {
    let schema = schema();
    let mut numbers = 0;
    for known in keys::TABLES.iter().filter(|known| !known.name.is_empty()) {
        for (key, property) in schema.pointer(&place(known)).unwrap()["properties"].as_object().unwrap() {
            let (Some(least), Some(most)) = (property["minimum"].as_i64(), property["maximum"].as_i64()) else {
                continue;
            };
            let takes = |number: i64| is_taken(&format!("{}.{key} = {number}", known.name));
            assert!(takes(least) && takes(most) && !takes(least - 1) && !takes(most + 1), "{key}");
            numbers += 1;
        }
    }
    assert!(numbers > 6, "{numbers}");
}

#[test]
fn the_defaults_are_those_of_the_default_file() {
    let file: toml::Table = DEFAULT_MANIFEST.parse().unwrap();
    let file = serde_json::to_value(file).unwrap();
    for known in keys::TABLES.iter().filter(|known| !known.name.is_empty()) {
        let stated = schema().pointer(&place(known)).unwrap()["properties"].clone();
        for (key, property) in stated.as_object().unwrap() {
            let Some(default) = property.get("default") else { continue };
            let place = format!("/{}/{key}", known.name.replace('.', "/"));
            assert_eq!(file.pointer(&place), Some(default), "{place}");
        }
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused_by_both() {
    for wrong in [
        "component = 1",
        "unstable = \"timers\"",
        "subscribe.types = \"A\"",
        "subscribe.tags = [1]",
        "delivery.key_missing = \"skip\"",
        "delivery.backoff = \"1s\"",
        "limits.memory = 5",
        "limits.batch_time = 5",
        "grants.read = []",
        "grants.config = 1",
        "grants.secrets.K = { env = \"K\" }",
        "grants.secrets.K = { config = true }",
        "grants.secrets.K = { env = \"K\", file = \"k\", config = true }",
        "grants.secrets.K = { env = \"K\", config = true, prefix = \"B\" }",
    ] {
        assert!(!is_taken(wrong), "{wrong}");
    }
    assert_eq!(faults(&schema(), &json!({ "limits": { "fuel": 0 } })).len(), 1);
}
