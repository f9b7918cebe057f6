//! Components without wasm: a text whose words say how it behaves.
//!
//! `v1` and the like are what it reports having handled events as; `broken` cannot be loaded, `panic`
//! panics the engine, `slow` loads only when [`FakeLoader::release`] was called, `halt` stops before its
//! first event, `asks` describes itself as wanting to append `StockReserved`, `emits` appends one for each event and
//! reports when it may not, `decides` claims aggregates, `schema=1` names the schema of its state.

use std::sync::{Arc, Condvar, Mutex};

use crate::command::{AggregateCode, AggregateHost};
use crate::delivery::{Effects, EventBatch, Evidence, Failure, HandleError, Handled, Handler, Verdict};
use crate::event::{EventType, NewEvent, Position};
use crate::plugin::{Loaded, Loader};
use crate::runtime::{Description, InstanceOptions, LoadError, LoadOptions, Role};

/// Who handled what, in order.
pub(super) type Journal = Arc<Mutex<Vec<(String, Position)>>>;

#[derive(Default)]
pub(super) struct FakeLoader {
    pub(super) journal: Journal,
    /// Every component that a load was tried of.
    pub(super) loads: Mutex<Vec<String>>,
    released: Mutex<bool>,
    release: Condvar,
}

struct FakeLoaded {
    text: String,
    description: Option<Description>,
    journal: Journal,
}

/// Code that claims, and is never asked.
struct Decides;

struct FakeHandler {
    label: String,
    halts: bool,
    emits: bool,
    journal: Journal,
}

impl FakeLoader {
    /// Lets every slow component load.
    pub(super) fn release(&self) {
        *self.released.lock().unwrap() = true;
        self.release.notify_all();
    }
}

impl Loader for FakeLoader {
    fn load(&self, bytes: &[u8], _: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.loads.lock().unwrap().push(text.clone());
        assert!(!text.contains("panic"), "the engine panics");
        if text.contains("slow") {
            drop(self.release.wait_while(self.released.lock().unwrap(), |released| !*released).unwrap());
        }
        if text.contains("broken") {
            return Err(LoadError::NotWasm { found: format!("{text:?}") });
        }
        let append = if text.contains("asks") { vec!["StockReserved".into()] } else { Vec::new() };
        let schema = text.split_once("schema=").map(|(_, schema)| ("schema".into(), schema.into()));
        let described = !append.is_empty() || schema.is_some();
        let description = Description { append, extra: schema.into_iter().collect(), ..Description::default() };
        let description = described.then_some(description);
        Ok(Arc::new(FakeLoaded { text, description, journal: Arc::clone(&self.journal) }))
    }
}

impl Loaded for FakeLoaded {
    fn roles(&self) -> &[Role] {
        if self.text.contains("decides") { &[Role::Aggregate] } else { &[Role::Subscriber] }
    }

    fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    fn replayable(&self) -> bool {
        true
    }

    fn aggregate(&self, _: InstanceOptions) -> Option<Arc<dyn AggregateCode>> {
        self.text.contains("decides").then(|| Arc::new(Decides) as _)
    }

    fn subscriber(&self, options: InstanceOptions) -> Box<dyn Handler> {
        let suffix = options.config.get("suffix").map(String::as_str).unwrap_or_default();
        Box::new(FakeHandler {
            label: format!("{}: {}{suffix}", options.plugin, self.text),
            halts: self.text.contains("halt"),
            emits: self.text.contains("emits"),
            journal: Arc::clone(&self.journal),
        })
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
