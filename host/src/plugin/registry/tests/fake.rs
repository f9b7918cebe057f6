//! Components without wasm: a text whose words say how it behaves.
//!
//! `v1` and the like are what it reports having handled events as; `broken` cannot be loaded, `panic`
//! panics the engine, `slow` loads only when [`FakeLoader::release`] was called, `halt` stops before its
//! first event, `late` handles nothing before [`FakeLoader::open`] was called, `asks` describes itself as wanting to
//! append `StockReserved`, `emits` appends one for each event and reports when it may not, `answers` answers queries
//! with its configuration, `decides` claims aggregates, `schema=1` names the schema of its state.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use super::fixture::DEADLINE;
use crate::command::{AggregateCode, AggregateHost, Validate};
use crate::delivery::{Effects, EventBatch, Evidence, Failure, HandleError, Handled, Handler, Verdict};
use crate::event::{EventType, NewEvent, Position};
use crate::plugin::{Loaded, LoadedUpcaster, Loader};
use crate::projection::{Answer, Moment, NoAnswer, Projection, Query};
use crate::runtime::{Description, InstanceOptions, LoadError, LoadOptions, Role};

/// Who handled what, in order.
pub(super) type Journal = Arc<Mutex<Vec<(String, Position)>>>;

#[derive(Default)]
pub(super) struct FakeLoader {
    pub(super) journal: Journal,
    /// Every component that a load was tried of.
    pub(super) loads: Mutex<Vec<String>>,
    released: Gate,
    opened: Arc<Gate>,
}

/// Is closed, until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn close(&self) {
        *self.open.lock().unwrap() = false;
    }

    /// Waits until it is opened; a test that never does so has failed, and shall end.
    fn pass(&self) {
        drop(self.opened.wait_timeout_while(self.open.lock().unwrap(), DEADLINE, |open| !*open).unwrap());
    }
}

struct FakeLoaded {
    text: String,
    description: Option<Description>,
    roles: Vec<Role>,
    journal: Journal,
    opened: Arc<Gate>,
}

/// Code that claims, and is never asked.
struct Decides;

struct FakeHandler {
    label: String,
    halts: bool,
    waits: Option<Arc<Gate>>,
    emits: bool,
    journal: Journal,
}

/// Answers with what it is configured with.
struct Config(BTreeMap<String, String>);

impl FakeLoader {
    /// Lets every slow component load.
    pub(super) fn release(&self) {
        self.released.open();
    }

    /// Holds slow components up again.
    pub(super) fn hold(&self) {
        self.released.close();
    }

    /// Lets every late component handle events.
    pub(super) fn open(&self) {
        self.opened.open();
    }
}

impl Loader for FakeLoader {
    fn load(&self, bytes: &[u8], _: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.loads.lock().unwrap().push(text.clone());
        assert!(!text.contains("panic"), "the engine panics");
        if text.contains("slow") {
            self.released.pass();
        }
        if text.contains("broken") {
            return Err(LoadError::NotWasm { found: format!("{text:?}") });
        }
        let append = if text.contains("asks") { vec!["StockReserved".into()] } else { Vec::new() };
        let schema = text.split_once("schema=").map(|(_, schema)| ("schema".into(), schema.into()));
        let described = !append.is_empty() || schema.is_some();
        let description = Description { append, extra: schema.into_iter().collect(), ..Description::default() };
        let description = described.then_some(description);
        let answers = text.contains("answers").then_some(Role::Projection);
        let first = if text.contains("decides") { Role::Aggregate } else { Role::Subscriber };
        let roles = [first].into_iter().chain(answers).collect();
        let (journal, opened) = (Arc::clone(&self.journal), Arc::clone(&self.opened));
        Ok(Arc::new(FakeLoaded { text, description, roles, journal, opened }))
    }

    fn load_upcaster(&self, bytes: &[u8]) -> Result<LoadedUpcaster, LoadError> {
        self.compile_in_vain(bytes);
        Err(LoadError::no_upcaster(&[]))
    }

    fn load_validator(&self, bytes: &[u8], _: InstanceOptions) -> Result<Arc<dyn Validate>, LoadError> {
        self.compile_in_vain(bytes);
        Err(LoadError::no_validator(&[]))
    }
}

impl FakeLoader {
    /// What has another role than a plugin's is compiled, and is none.
    fn compile_in_vain(&self, bytes: &[u8]) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.loads.lock().unwrap().push(text.clone());
        assert!(!text.contains("panic"), "the engine panics");
        if text.contains("slow") {
            self.released.pass();
        }
    }
}

impl Loaded for FakeLoaded {
    fn roles(&self) -> &[Role] {
        &self.roles
    }

    fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    fn replayable(&self) -> bool {
        true
    }

    fn projection(&self, options: InstanceOptions) -> Option<Box<dyn Projection>> {
        Some(Box::new(Config(options.config)))
    }

    fn aggregate(&self, _: InstanceOptions) -> Option<Arc<dyn AggregateCode>> {
        self.text.contains("decides").then(|| Arc::new(Decides) as _)
    }

    fn subscriber(&self, options: InstanceOptions) -> Box<dyn Handler> {
        let suffix = options.config.get("suffix").map(String::as_str).unwrap_or_default();
        Box::new(FakeHandler {
            label: format!("{}: {}{suffix}", options.plugin, self.text),
            halts: self.text.contains("halt"),
            waits: self.text.contains("late").then(|| Arc::clone(&self.opened)),
            emits: self.text.contains("emits"),
            journal: Arc::clone(&self.journal),
        })
    }
}

impl Projection for Config {
    fn query(&mut self, _: &Query, _: Moment) -> Result<Answer, NoAnswer> {
        let body = self.0.values().cloned().collect::<String>().into_bytes();
        Ok(Answer { content_type: "text/plain".into(), body })
    }
}

impl AggregateCode for Decides {
    fn snapshot_schema(&self) -> u32 {
        1
    }

    fn host(&self) -> Box<dyn AggregateHost> {
        panic!("nobody sends commands")
    }
}

impl Handler for FakeHandler {
    fn handle(&mut self, batch: EventBatch, mut effects: Effects) -> Handled {
        self.waits.iter().for_each(|gate| gate.pass());
        for event in batch.iter().filter(|_| self.emits) {
            let reserved = NewEvent::json(EventType::new("StockReserved").unwrap(), "1");
            if effects.append(event.position, reserved).is_err() {
                self.journal.lock().unwrap().push(("denied".into(), event.position));
            }
        }
        let outcome = if self.halts {
            Err(HandleError::Failure(Failure { index: 0, verdict: Verdict::Stop, reason: "no".into() }))
        } else {
            let handled = batch.iter().map(|event| (self.label.clone(), event.position));
            self.journal.lock().unwrap().extend(handled);
            Ok(())
        };
        Handled { effects, outcome, evidence: Evidence::default() }
    }
}
