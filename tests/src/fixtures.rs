//! Fixtures: events that a plugin is given, and what must come of them; run through the real host.
//!
//! One server runs all fixtures of a component one after another, each as a plugin of its own that begins at
//! the end of the log, so the component is compiled once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill::kit::{Appended, Asked, Dead, Fixture, Then};

use crate::{Server, poll};

/// All fixtures of a folder, by name.
///
/// # Panics
/// When there is none, or one cannot be read.
#[must_use]
pub fn all(folder: &Path) -> Vec<(String, Fixture)> {
    let files = Fixture::files(folder).unwrap_or_else(|error| panic!("{error}"));
    let read = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).expect("a fixture is text");
        let fixture = Fixture::parse(file, &text).unwrap_or_else(|error| panic!("{error}"));
        (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), fixture)
    };
    files.iter().map(read).collect()
}

/// Runs fixtures on a component; answers what the host tells of it.
///
/// # Panics
/// When something else comes of them.
pub fn run(component: &[u8], manifest: &str, fixtures: &[(String, Fixture)]) -> Value {
    let (data, plugins, staged) = (temporary(), temporary(), temporary());
    let server = Server::start(data.path(), plugins.path());
    let mut told = Value::Null;
    for (name, fixture) in fixtures {
        // In one step: a folder with half of its files is a problem that the host would tell.
        let (folder, half) = (plugins.path().join(name), staged.path().join(name));
        fs::create_dir(&half).expect("a folder in a temporary directory");
        fs::write(half.join("plugin.toml"), manifest_for(manifest, fixture)).expect("a file in it");
        fs::write(half.join("plugin.wasm"), component).expect("a file in it");
        fs::rename(&half, &folder).expect("temporary directories are beside each other");
        told = wait_until_it_runs(&server, name);
        Run { server: &server, name, first: head(&server) + 1 }.check(fixture);
        fs::remove_dir_all(&folder).expect("it was made above");
        // It stays known by what it stored.
        poll("the plugin to be gone", || status(&server, name).is_none().then_some(()));
    }
    told
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The manifest with the fixture's settings, beginning where the fixture does, with two quick attempts, and with the time
/// that a busy machine takes.
fn manifest_for(manifest: &str, fixture: &Fixture) -> String {
    let mut table: toml::Table = manifest.parse().expect("the manifest is TOML");
    set(&mut table, "subscribe", "start", toml::Value::from("end"));
    set(&mut table, "delivery", "max_attempts", toml::Value::from(2));
    let backoff = toml::Table::from_iter([("initial".to_owned(), "1ms".into()), ("max".to_owned(), "1ms".into())]);
    set(&mut table, "delivery", "backoff", backoff.into());
    take_time(&mut table);
    for (key, value) in &fixture.config {
        set(&mut table, "config", key, toml::Value::try_from(value).expect("a setting is no null"));
    }
    table.to_string()
}

/// Gives each call more time than it takes on a busy machine.
pub(crate) fn take_time(manifest: &mut toml::Table) {
    for limit in ["batch_time", "query_time"] {
        set(manifest, "limits", limit, "1m".into());
    }
}

fn set(table: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
    section.as_table_mut().expect("a section").insert(key.to_owned(), value);
}

fn wait_until_it_runs(server: &Server, name: &str) -> Value {
    poll(&format!("plugin {name} to run"), || {
        let info = server.try_get(&format!("/v1/plugins/{name}")).ok()?;
        assert!(info.get("problem").is_none_or(Value::is_null), "{name} does not load: {info}");
        is_status(&info).then_some(info)
    })
}

fn head(server: &Server) -> u64 {
    server.get("/v1/events?limit=1").get("head").and_then(Value::as_u64).expect("a head")
}

/// What a plugin is doing; none while it does not run.
fn status(server: &Server, name: &str) -> Option<Value> {
    let info = server.try_get(&format!("/v1/plugins/{name}")).ok()?;
    info.get("status").filter(|_| is_status(&info)).cloned()
}

/// Whether what is told of a plugin tells what it is doing.
fn is_status(info: &Value) -> bool {
    info.get("status").is_some_and(|status| !status.is_null())
}

/// One fixture on its plugin.
struct Run<'a> {
    server: &'a Server,
    name: &'a str,
    /// Position of the fixture's first event.
    first: u64,
}

impl Run<'_> {
    fn check(&self, fixture: &Fixture) {
        // A server answers no log lines.
        let Then { state, appended, dead_letters, queries, stopped, .. } = &fixture.then;
        self.server.try_post("/v1/events", &json!({ "events": fixture.when })).expect("its events are appended");
        match stopped {
            Some(reason) => self.is_stopped(reason),
            None => self.settle(fixture.when.len()),
        }
        if let Some(state) = state {
            assert_eq!(&self.state(), state, "{}: its state; {}", self.name, fixture.about);
        }
        if let Some(appended) = appended {
            let found = self.appended(fixture.when.len());
            let fits = found.len() == appended.len() && appended.iter().zip(&found).all(|(event, is)| event.fits(is));
            assert!(fits, "{}: it appended {found:#?}, not {appended:#?}", self.name);
        }
        if let Some(dead_letters) = dead_letters {
            self.check_dead_letters(dead_letters);
        }
        queries.iter().flatten().for_each(|asked| self.check_query(asked));
    }

    /// Asks over HTTP, for what the fixture's events have made.
    fn check_query(&self, asked: &Asked) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url =
            format!("{}/v1/plugins/{}/query/{}?at_least={}", self.server.url(), self.name, asked.query, self.first);
        let answer = agent.post(url).send_json(json!({ "parameters": asked.parameters }));
        let body: Value = answer.expect("an answer").body_mut().read_json().expect("JSON");
        match &asked.error {
            None => assert_eq!(Some(&body), asked.answer.as_ref(), "{}: query {}", self.name, asked.query),
            Some(error) => {
                let field = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
                let (kind, detail) = (field("type"), field("detail"));
                let told = match error.as_str() {
                    "failed" => kind.ends_with(":query-failed"),
                    error => kind.ends_with(&format!(":{error}-query")),
                };
                assert!(told && asked.reason.iter().all(|word| detail.contains(word)), "{}: {body}", self.name);
            }
        }
    }

    /// A stop is another end than the one that was to come, so it is not waited out.
    fn settle(&self, events: usize) {
        poll(&format!("{} to have handled its events", self.name), || {
            let status = status(self.server, self.name)?;
            let halted = status.get("state").is_some_and(|state| state == "halted");
            assert!(!halted, "{} has stopped: {status}", self.name);
            (status.get("checkpoint")?.as_u64()? + 1 >= self.first + events as u64).then_some(())
        });
    }

    fn is_stopped(&self, reason: &[String]) {
        let why = poll(&format!("{} to stop", self.name), || {
            let status = status(self.server, self.name)?;
            status.get("reason").and_then(Value::as_str).map(str::to_owned)
        });
        self.holds(&why, reason);
    }

    fn holds(&self, text: &str, words: &[String]) {
        assert!(words.iter().all(|word| text.contains(word)), "{}: {words:?} in: {text}", self.name);
    }

    fn state(&self) -> BTreeMap<String, Value> {
        let page = self.server.get(&format!("/v1/plugins/{}/state?limit=1000", self.name));
        let entries = page.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
        let entry = |entry: &Value| {
            let value = entry.get("value").unwrap_or_else(|| panic!("{}: not JSON: {entry}", self.name));
            Some((entry.get("key")?.as_str()?.to_owned(), value.clone()))
        };
        entries.iter().map(|found| entry(found).expect("an entry")).collect()
    }

    /// What stands behind the fixture's own events.
    fn appended(&self, events: usize) -> Vec<Appended> {
        let page = self.server.get(&format!("/v1/events?after={}&limit=1000", self.first - 1));
        let stored = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let (own, others) = stored.split_at(events);
        others.iter().map(|event| self.as_appended(own, event).expect("an event")).collect()
    }

    fn as_appended(&self, own: &[Value], event: &Value) -> Option<Appended> {
        let cause = event.pointer("/metadata/causation_id")?;
        Some(Appended {
            cause: own.iter().position(|event| event.get("id") == Some(cause))?,
            event_type: event.get("type")?.as_str()?.to_owned(),
            stream: event.get("stream")?.as_str().map(str::to_owned),
            tags: serde_json::from_value(event.get("tags")?.clone()).ok()?,
            schema_version: u32::try_from(event.get("schema_version")?.as_u64()?).ok()?,
            metadata: serde_json::from_value(event.get("metadata")?.clone()).ok()?,
            data: event.get("data")?.clone(),
        })
    }

    fn check_dead_letters(&self, expected: &[Dead]) {
        let page = self.server.get(&format!("/v1/plugins/{}/dead-letters", self.name));
        let letters = page.get("dead_letters").and_then(Value::as_array).cloned().unwrap_or_default();
        assert_eq!(letters.len(), expected.len(), "{}: {letters:?}", self.name);
        for (letter, expected) in letters.iter().zip(expected) {
            let position = self.first + expected.event as u64;
            let found = ["position", "kind", "attempts"].map(|key| letter.get(key).cloned().unwrap_or_default());
            assert_eq!(found, [json!(position), json!(expected.kind), json!(expected.attempts)], "{letter}");
            let reason = letter.get("reason").and_then(Value::as_str).unwrap_or_default();
            self.holds(reason, &expected.reason);
        }
    }
}
