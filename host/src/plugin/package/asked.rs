//! What an embedded manifest asks for: shown to the operator, and in force only when the operator says so.

use toml::{Table, Value};

use super::super::{Manifest, ManifestError};
use super::Kind;
use crate::delivery::Policy;
use crate::document::{line_in, quoted};
use crate::runtime::Limits;

/// Keys of `[grants]` that give a plugin something. The others (`read`, `config`) only narrow what all have.
const GIVING: [&str; 5] = ["append", "dispatch", "http", "http_private", "secrets"];

/// Tables that say how a plugin is driven, and what it may use: what an author wrote into them is in force.
const DRIVING: [&str; 4] = ["subscribe", "delivery", "aggregate", "limits"];

/// An author's manifest, taken apart: what it says, and what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The manifest without what it asks for.
    pub without: String,
    /// What it asks for, as lines of a manifest; empty when it asks for nothing.
    pub requests: Vec<String>,
    /// What of it is in force without being asked for, as lines of a manifest.
    pub in_force: Vec<String>,
}

impl Asked {
    /// Takes the manifest of what is of this kind apart. The requests stay in `without` as comments, for an operator to take up.
    ///
    /// # Errors
    /// When it is no manifest.
    pub fn of(kind: Kind, file: &str, text: &str) -> Result<Self, ManifestError> {
        kind.manifest(file, text)?;
        let mut table: Table = text.parse().unwrap_or_default();
        let mut requests = Vec::new();
        if let Some(Value::Table(grants)) = table.get_mut("grants") {
            for key in GIVING {
                requests.extend(grants.remove(key).and_then(|value| request(key, &value)));
            }
        }
        if let Some(Value::Array(names)) = table.remove("unstable").filter(|names| !is_empty(names)) {
            requests.push(format!("unstable = {}", inline(&Value::Array(names))));
        }
        for (section, key) in beyond(&table) {
            let value = table.get_mut(section).and_then(Value::as_table_mut).and_then(|section| section.remove(&key));
            requests.extend(value.map(|value| line_in(section, key, inline(&value))));
        }
        let in_force = driving(&table);
        if requests.is_empty() {
            return Ok(Self { without: text.to_owned(), requests, in_force });
        }
        let mut without = String::from("# It asks for what follows, and was installed without.\n");
        for line in requests.iter().flat_map(|request| request.lines()) {
            without.push_str(&format!("# {line}\n"));
        }
        without.push('\n');
        without.push_str(&table.to_string());
        // What gives nothing is left out by construction; that is said here again, by the one who reads it in earnest.
        let granted = kind.manifest(file, &without)?;
        debug_assert!(granted.grants.append.is_empty() && granted.grants.http.is_empty());
        Ok(Self { without, requests, in_force })
    }
}

/// The keys by which a plugin would have more of the machine than one has that says nothing: that is for an operator to
/// give.
fn beyond(table: &Table) -> Vec<(&'static str, String)> {
    let is_more = |section: &str, key: &str, value: &Value| {
        let alone = format!("[{section}]\n{} = {}\n", inline(&key.into()), inline(value));
        Manifest::parse(section, &alone).is_ok_and(|manifest| {
            let (limits, none) = (manifest.limits, Limits::default());
            exceeds(&limits, &none)
                || manifest.policy.partitions > Policy::default().partitions
                || manifest.policy.causation_depth_max > Policy::default().causation_depth_max
                || manifest.policy.causation_events_max > Policy::default().causation_events_max
                || manifest.policy.state_bytes_max > Policy::default().state_bytes_max
        })
    };
    let of = |section: &'static str| {
        let entries = table.get(section).and_then(Value::as_table).into_iter().flatten();
        entries.filter(move |(key, value)| is_more(section, key, value)).map(move |(key, _)| (section, key.clone()))
    };
    ["limits", "delivery"].into_iter().flat_map(of).collect()
}

/// Whether one limit allows more than the other does. Fuel only ever takes away.
fn exceeds(limits: &Limits, others: &Limits) -> bool {
    limits.memory_bytes > others.memory_bytes
        || limits.batch_time_ms > others.batch_time_ms
        || limits.query_time_ms > others.query_time_ms
        || limits.query_answer_bytes > others.query_answer_bytes
        || limits.log_bytes_per_batch > others.log_bytes_per_batch
        || limits.http_requests_per_batch > others.http_requests_per_batch
        || limits.http_request_bytes > others.http_request_bytes
        || limits.http_response_bytes > others.http_response_bytes
        || limits.http_time_ms > others.http_time_ms
}

/// What a manifest says of how its plugin is driven, line by line.
fn driving(table: &Table) -> Vec<String> {
    let lines = |section: &&str| {
        let entries = table.get(*section).and_then(Value::as_table).into_iter().flatten();
        entries.map(|(key, value)| line_in(section, key, inline(value))).collect::<Vec<_>>()
    };
    DRIVING.iter().flat_map(lines).collect()
}

fn request(key: &str, value: &Value) -> Option<String> {
    (!is_empty(value)).then(|| line_in("grants", key, inline(value)))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Table(items) => items.is_empty(),
        _ => false,
    }
}

/// A value on one line, whatever is in its texts: what follows a line break would not be a comment any more.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{} = {}", quoted(key), inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::ConfigGrant;

    const MANIFEST: &str = r#"
        unstable = ["unstable-timers"]
        [subscribe]
        types = ["A"]
        [grants]
        append = ["B", "C*"]
        read = ["A"]
        config = ["k"]
        http = ["https://api.example.com/"]
        http_private = ["localhost"]
        [grants.secrets]
        KEY = { env = "KEY", host = "https://api.example.com/", header = "authorization" }
        [config]
        k = 1
    "#;

    #[test]
    fn what_gives_is_a_request_and_what_narrows_stays() {
        let asked = Asked::of(Kind::Plugin, "plugin.toml", MANIFEST).unwrap();
        let granted = Manifest::parse("plugin.toml", &asked.without).unwrap();
        let grants = &granted.grants;
        assert!(grants.append.is_empty() && grants.http.is_empty() && grants.http_private.is_empty());
        assert!(grants.secrets.is_empty() && granted.unstable.is_empty());
        assert_eq!((grants.read.len(), &grants.config), (1, &ConfigGrant::Keys(vec!["k".into()])));
        assert_eq!((granted.subscribe.types.as_ref().unwrap().len(), &*granted.config["k"]), (1, "1"));
        assert_eq!(asked.requests.len(), 5, "{:?}", asked.requests);
        assert_eq!(asked.requests[0], "in [grants]: append = ['B', 'C*']");
        assert!(asked.requests[3].starts_with("in [grants]: secrets = { 'KEY' = { "), "{:?}", asked.requests);
        for request in &asked.requests {
            assert!(asked.without.contains(&format!("# {request}\n")), "{request}");
        }
    }

    #[test]
    fn what_is_behind_a_line_break_in_a_request_is_not_in_force() {
        let sly = "[subscribe]\ntypes = [\"'''#\"]\n[grants.secrets]\nK = { config = true, file = \"\\n[grants]\\nappend = \
                   ['*']\\n[subscribe]\\ntypes = ['*']\\n[config]\\nx = '''\\n\" }\n";
        let asked = Asked::of(Kind::Plugin, "plugin.toml", sly).unwrap();
        assert_eq!(asked.requests.len(), 1, "{:?}", asked.requests);
        assert!(!asked.requests[0].contains('\n'), "{:?}", asked.requests);
        let granted = Manifest::parse("plugin.toml", &asked.without).unwrap().grants;
        assert!(granted.append.is_empty() && granted.secrets.is_empty(), "{}", asked.without);
    }

    #[test]
    fn more_of_the_machine_than_others_have_is_a_request_and_less_is_in_force() {
        let text = "[limits]\nmemory = \"1GiB\"\nbatch_time = \"10ms\"\nfuel = 5000\n[delivery]\npartitions = 8\nmax_attempts \
                    = 9\n[subscribe]\ntypes = [\"A\"]\n";
        let asked = Asked::of(Kind::Plugin, "plugin.toml", text).unwrap();
        assert_eq!(asked.requests, ["in [limits]: memory = '1GiB'", "in [delivery]: partitions = 8"]);
        let mut in_force = asked.in_force.clone();
        in_force.sort();
        assert_eq!(
            in_force,
            [
                "in [delivery]: max_attempts = 9",
                "in [limits]: batch_time = '10ms'",
                "in [limits]: fuel = 5000",
                "in [subscribe]: types = ['A']"
            ]
        );
        let manifest = Manifest::parse("plugin.toml", &asked.without).unwrap();
        assert_eq!(manifest.limits.memory_bytes, Limits::default().memory_bytes);
        assert_eq!((manifest.policy.partitions, manifest.limits.batch_time_ms), (1, 10));
    }

    #[test]
    fn a_manifest_that_asks_for_nothing_stays_as_it_is() {
        for text in ["", "# words\n[grants]\nread = [\"A\"]\nappend = []\n"] {
            assert_eq!(Asked::of(Kind::Plugin, "p", text).unwrap(), Asked { without: text.into(), ..Asked::default() });
        }
        assert!(Asked::of(Kind::Plugin, "p", "grants = 3").is_err());
    }

    #[test]
    fn a_validator_is_asked_about_what_its_author_says() {
        let text = "commands = [\"order:*\"]\n[limits]\nmemory = \"1GiB\"\n[config]\nk = 1\n";
        let asked = Asked::of(Kind::Validator, "p", text).unwrap();
        assert_eq!(asked.requests, ["in [limits]: memory = '1GiB'"]);
        assert!(asked.without.contains("commands = [\"order:*\"]"), "{}", asked.without);
        assert!(Asked::of(Kind::Plugin, "p", text).is_err() && Asked::of(Kind::Validator, "p", "[grants]").is_err());
    }
}
