//! The API over the memory store, without a socket.

mod access;
mod append;
mod append_stream;
mod cloud_events;
mod commands;
mod discreet;
mod forms;
mod maintenance;
mod metrics;
mod openapi;
mod plugins;
mod query;
mod read;
mod rehearsals;
mod request_header;
mod retention;
mod schema;
mod serve;
mod starting;
mod streams;
mod subscribe;
mod wait_for;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use axum::response::Response;
use futures::future::{BoxFuture, FutureExt as _, ready};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::*;
use crate::clock::ManualClock;
use crate::delivery::{
    CommandError, Cost, Letters, PartitionStatus, Redriven, Retry, State, Status, StillFailing, Usage,
};
use crate::event::{PluginName, Position};
use crate::plugin::{GenerationRefused, InstallError};
use crate::schema::Chain;
use crate::store::memory::MemoryStore;
use crate::store::{DeadLetter, DeadLetterChange, Progress, StateChange, Store, UnitOfWork};

#[path = "../../../../tests/src/documented.rs"]
#[expect(unreachable_pub, reason = "the integration tests use it too")]
mod documented;

/// Longest that a test waits for something that must come.
const DEADLINE: Duration = Duration::from_secs(120);

/// An API to ask.
struct Api {
    router: Router,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    plugins: Arc<FakePlugins>,
    state: ApiState,
}

impl Api {
    fn new() -> Self {
        Self::with(FakePlugins::new())
    }

    fn with(plugins: FakePlugins) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000_000));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let plugins = Arc::new(plugins);
        let state = ApiState::new(store.clone(), plugins.clone()).with_clock(clock.clone());
        Self { router: router(state.clone()), clock, store, plugins, state }
    }

    async fn respond(&self, request: Request<Body>) -> Response {
        tokio::time::timeout(DEADLINE, self.router.clone().oneshot(request)).await.expect("an answer").unwrap()
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content_type);
        let response = self.respond(request.body(body.into()).unwrap()).await;
        let status = response.status().as_u16();
        if status >= 400 {
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
        let headers = response.headers().clone();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        openapi::check((method, path), status, &headers, &body);
        let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        if status >= 400 {
            assert_eq!(json["status"], status, "{json}");
            assert!(json["type"].as_str().unwrap().starts_with("urn:tidemill:problem:"), "{json}");
        }
        (status, json)
    }

    /// Sends a request with header fields; answers status, header and body.
    async fn exchange(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (u16, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.respond(request.body(body.into()).unwrap()).await;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(DEADLINE, to_bytes(body, usize::MAX)).await.expect("an end").unwrap();
        openapi::check((method, path), parts.status.as_u16(), &parts.headers, &body);
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.into()).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "application/json", "").await
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        self.send("POST", "/v1/events", "application/json", body.to_string()).await
    }

    async fn ndjson(&self, body: impl Into<Body>) -> (u16, Value) {
        self.send("POST", "/v1/events?atomic=true", "application/x-ndjson", body).await
    }

    /// Appends one event of each type to a stream.
    async fn fill(&self, stream: &str, types: &[&str]) {
        let events: Vec<_> =
            types.iter().map(|name| json!({ "type": name, "stream": stream, "tags": [name] })).collect();
        assert_eq!(self.post(&json!({ "events": events })).await.0, 201);
    }

    /// Positions on a page.
    async fn positions(&self, path: &str) -> Vec<u64> {
        let (status, page) = self.get(path).await;
        assert_eq!(status, 200, "{page}");
        positions(&page)
    }

    /// Commits state and dead letters for a plugin.
    fn commit(&self, plugin: &str, revision: u64, checkpoint: u64, state: &[(&str, &[u8])], letters: &[u64]) {
        let state = state.iter().map(|(key, value)| StateChange { key: (*key).into(), value: Some((*value).into()) });
        let work = UnitOfWork {
            owner: plugin.parse().unwrap(),
            partition: 0,
            progress: Progress { revision, checkpoint: Position(checkpoint), ..Progress::default() },
            state: state.collect(),
            events: Vec::new(),
            dead_letters: letters.iter().map(|position| DeadLetterChange::Put(letter(*position))).collect(),
        };
        self.store.commit(work).now_or_never().unwrap().unwrap();
    }
}

impl Api {
    /// Sets events of a plugin aside, each under its key.
    fn set_aside<'k>(&self, plugin: &str, letters: impl Iterator<Item = (u64, Option<&'k str>)>) {
        let letters = letters
            .map(|(position, key)| DeadLetterChange::Put(DeadLetter { key: key.map(Into::into), ..letter(position) }));
        let work = UnitOfWork {
            owner: plugin.parse().unwrap(),
            partition: 0,
            progress: Progress { revision: 1, ..Progress::default() },
            state: Vec::new(),
            events: Vec::new(),
            dead_letters: letters.collect(),
        };
        self.store.commit(work).now_or_never().unwrap().unwrap();
    }
}

fn positions(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()).collect()
}

fn letter(position: u64) -> DeadLetter {
    DeadLetter {
        position: Position(position),
        key: None,
        reason: "card refused".into(),
        kind: "trap".into(),
        attempts: 5,
        faults: 0,
        due_us: None,
        first_us: 1_700_000_000_000_000,
        last_us: 1_700_000_001_000_000,
        component_digest: "abc".into(),
        stderr_tail: "panicked at\nline 1".into(),
        backtrace: "0: pay".into(),
        quiet: false,
    }
}

/// One plugin, `billing`, that handles the dead letter at position 1 and no other.
struct FakePlugins {
    rehearsals: Option<Arc<dyn Rehearse>>,
    status: watch::Sender<Status>,
    chain: Mutex<Result<Arc<Chain>, String>>,
    ready: AtomicBool,
}

impl FakePlugins {
    fn new() -> Self {
        let status = watch::Sender::new(Status { checkpoint: Position(2), ..Status::default() });
        Self { rehearsals: None, status, chain: Mutex::new(Ok(Arc::default())), ready: AtomicBool::new(true) }
    }

    fn no_such(name: &PluginName, position: Position) -> CommandRefused {
        CommandError::NoSuchDeadLetter { plugin: name.clone(), position }.into()
    }
}

impl Plugins for FakePlugins {
    fn list(&self) -> Vec<PluginSummary> {
        self.get(&PluginName::new("billing").unwrap()).into_iter().collect()
    }

    fn get(&self, name: &PluginName) -> Option<PluginSummary> {
        let details = Map::from_iter([("generation".into(), json!(3)), ("name".into(), json!("not this one"))]);
        let status = Some(self.status.borrow().clone());
        (name.as_str() == "billing").then(|| PluginSummary { name: name.clone(), status, details })
    }

    fn problems(&self) -> Vec<String> {
        vec!["two plugins are called x".into()]
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn chain(&self) -> Result<Arc<Chain>, String> {
        self.chain.lock().unwrap().clone()
    }

    fn rehearsals(&self) -> Option<Arc<dyn Rehearse>> {
        self.rehearsals.clone()
    }

    fn query<'a>(
        &'a self,
        name: &'a PluginName,
        asked: &'a crate::projection::Query,
    ) -> BoxFuture<'a, Result<crate::projection::Answered, crate::projection::QueryRefused>> {
        ready(query::answered(name, asked)).boxed()
    }

    fn watch(&self, name: &PluginName) -> Option<watch::Receiver<Status>> {
        (name.as_str() == "billing").then(|| self.status.subscribe())
    }

    fn retry_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        retry: Retry,
    ) -> BoxFuture<'a, Result<Redriven, CommandRefused>> {
        let failing = |key: Option<&str>| {
            let reason = "card refused".into();
            let failing = StillFailing { position: Position(2), key: key.map(Into::into), reason };
            Redriven { failed: 1, failing: vec![failing], ..Redriven::default() }
        };
        ready(match retry {
            _ if name.as_str() != "billing" => Err(CommandRefused::NotRunning { plugin: name.clone() }),
            Retry::All => Ok(Redriven { handled: 7, ..Redriven::default() }),
            Retry::Key(key) => Ok(failing(Some(&key))),
            Retry::Position(Position(1)) => Ok(Redriven { handled: 1, ..Redriven::default() }),
            Retry::Position(Position(2)) => Ok(failing(None)),
            Retry::Position(position) => Err(Self::no_such(name, position)),
        })
        .boxed()
    }

    fn set_paused<'a>(&'a self, name: &'a PluginName, paused: bool) -> BoxFuture<'a, Result<(), CommandRefused>> {
        ready(match (name.as_str(), paused) {
            ("billing", true) => Ok(()),
            ("billing", false) => Err(CommandError::Stopped { plugin: name.clone() }.into()),
            _ => Err(CommandRefused::NotRunning { plugin: name.clone() }),
        })
        .boxed()
    }

    fn reload<'a>(&'a self, name: &'a PluginName, installed: bool) -> BoxFuture<'a, Result<(), CommandRefused>> {
        let plugin = name.clone();
        ready(match name.as_str() {
            "billing" => Ok(()),
            "returned" if installed => Ok(()),
            "broken" => {
                let reason = Box::new(InstallError::Panicked { component: "broken.wasm".into() });
                Err(GenerationRefused::NotReloaded { plugin, reason }.into())
            }
            _ => Err(GenerationRefused::NotInstalled { plugin }.into()),
        })
        .boxed()
    }

    fn discard_dead_letters<'a>(
        &'a self,
        name: &'a PluginName,
        letters: Letters,
    ) -> BoxFuture<'a, Result<u64, CommandRefused>> {
        ready(match letters {
            _ if name.as_str() != "billing" => Err(CommandRefused::NotRunning { plugin: name.clone() }),
            Letters::All => Ok(7),
            Letters::Key(_) => Ok(2),
            Letters::Position(Position(1)) => Ok(1),
            Letters::Position(position) => Err(Self::no_such(name, position)),
        })
        .boxed()
    }
}

/// The header field of a body of lines.
const NDJSON: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];
