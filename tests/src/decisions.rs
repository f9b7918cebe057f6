//! Fixtures of components that decide: commands sent to a real server over HTTP, and what must come of them.
//!
//! One server runs all fixtures of a component, each on an aggregate of its own, so the component is compiled once.

use std::fs;

use serde_json::{Value, json};
use tidemill::kit::{CameOf, Fixture, Followed};

use crate::fixtures::take_time;
use crate::{Server, poll};

/// Runs fixtures on a component that decides for `category`.
///
/// # Panics
/// When something else comes of them.
pub fn run(component: &[u8], manifest: &str, category: &str, fixtures: &[(String, Fixture)]) {
    let [data, plugins] = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
    let folder = plugins.path().join("deciding");
    fs::create_dir(&folder).expect("a folder in a temporary directory");
    let mut manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    take_time(&mut manifest);
    fs::write(folder.join("plugin.toml"), manifest.to_string()).expect("a file in it");
    fs::write(folder.join("plugin.wasm"), component).expect("a file in it");
    let server = Server::start(data.path(), plugins.path());
    poll("the component to decide", || {
        let info = server.try_get("/v1/plugins/deciding").ok()?;
        assert!(info.get("problem").is_none_or(Value::is_null), "it does not load: {info}");
        (info.get("aggregate")?.as_str()? == category).then_some(())
    });
    for (name, fixture) in fixtures {
        Run { server: &server, name, stream: format!("{category}-{name}"), category }.check(fixture);
    }
}

/// One fixture on its aggregate.
struct Run<'a> {
    server: &'a Server,
    name: &'a str,
    stream: String,
    category: &'a str,
}

impl Run<'_> {
    fn check(&self, fixture: &Fixture) {
        let given: Vec<_> = fixture.given.events.iter().map(|event| self.with(event, "stream", &self.stream)).collect();
        if !given.is_empty() {
            self.server.try_post("/v1/events", &json!({ "events": given })).expect("its history is appended");
        }
        let wanted = fixture.then.outcomes.iter().flatten();
        for (index, (command, wanted)) in fixture.when.iter().zip(wanted).enumerate() {
            let is = self.send(index, command);
            assert!(wanted.fits(&is), "{}: outcome {index}: {wanted:?} was to come, but {is:?} came", self.name);
        }
        if let Some(state) = &fixture.then.state {
            let found = self.server.get(&format!("/v1/streams/{}/state", self.stream));
            assert_eq!(found.get("state"), Some(&json!(state)), "{}: its state", self.name);
        }
    }

    fn with(&self, value: &Value, key: &str, what: &str) -> Value {
        let mut value = value.clone();
        value.as_object_mut().expect("an object").insert(key.to_owned(), what.into());
        value
    }

    fn send(&self, index: usize, command: &Value) -> CameOf {
        let mut body = self.with(command, "id", &format!("{}-{index}", self.name));
        let fields = body.as_object_mut().expect("an object");
        let command_type = fields.remove("command").expect("a fixture of commands");
        fields.insert("type".into(), command_type);
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}/v1/commands/{}/{}", self.server.url(), self.category, self.name);
        let answer = agent.post(url).send_json(&body).expect("an answer").body_mut().read_json::<Value>();
        self.came_of(&answer.expect("JSON"))
    }

    fn came_of(&self, answer: &Value) -> CameOf {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let reason = text("detail").into_iter().collect();
        if let Some(events) = answer.get("events").and_then(Value::as_array) {
            let events = events.iter().map(|event| self.followed(event)).collect();
            return CameOf { events: Some(events), ..CameOf::default() };
        }
        match (text("code"), text("fault")) {
            (Some(code), _) => {
                CameOf { rejection: Some(code), details: answer.get("details").cloned(), reason, ..CameOf::default() }
            }
            (None, fault) => CameOf { error: fault.or(Some("refused".into())), reason, ..CameOf::default() },
        }
    }

    /// An event as it is in the log.
    fn followed(&self, event: &Value) -> Followed {
        let id = event.get("id").and_then(Value::as_str).expect("an id");
        let stored = self.server.get(&format!("/v1/events/{id}"));
        let field = |key: &str| stored.get(key).cloned().unwrap_or_default();
        Followed {
            event_type: field("type").as_str().expect("a type").to_owned(),
            tags: serde_json::from_value(field("tags")).unwrap_or_default(),
            schema_version: serde_json::from_value(field("schema_version")).unwrap_or(1),
            metadata: serde_json::from_value(field("metadata")).unwrap_or_default(),
            data: field("data"),
        }
    }
}
